"""Asks the MES for its figures when Prometheus asks us."""

from __future__ import annotations

from cellwright.mes.kernel.actions import Sessions
from cellwright.mes.service.figures import BOUNDS_S
from cellwright.mes.service.figures import figures as mes_figures
from cellwright.web.metrics.figures import Figures, Times


class StoreFigures:
    """`figures.MesFigures` of a store."""

    def __init__(self, store: Sessions) -> None:
        self._store = store

    def figures(self) -> Figures:
        """The figures now; raises MesError while the store is away."""
        with self._store.reading() as session:
            found = mes_figures(session)
        taken = found.durations_s
        return Figures(
            orders_created=found.created,
            orders_by_status=found.by_state,
            order_times=Times(
                buckets=[(bound, sum(each <= bound for each in taken)) for bound in BOUNDS_S],
                count=len(taken),
                sum_s=sum(taken),
            ),
            inspection_pass_rate=found.pass_rate,
        )
