"""What the MES tells Prometheus, by the names that dashboards know.

The MES gathers the figures; this only names them. A store that is away leaves them out and says so
in ``mes_figures_up``, so that a dashboard shows a gap and not an old number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cellwright.mes.kernel.errors import MesError


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long something took: counts below bounds, as Prometheus has them."""

    buckets: Sequence[tuple[float, int]] = ()
    """Upper bound in seconds, and how many took at most so long; ascending, without infinity."""
    count: int = 0
    """How many there are at all."""
    sum_s: float = 0.0
    """Seconds of all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures at one moment. What is None is left out: nobody counts it yet."""

    orders_created: int | None = None
    orders_by_status: Mapping[str, int] = field(default_factory=dict)
    order_times: Times | None = None
    """From release to completion."""
    inspection_pass_rate: float | None = None
    """Percent."""
    spc_out_of_control: int | None = None
    ncr_open: int | None = None
    database_connections: int | None = None
    database_deadlocks: int | None = None
    database_times: Times | None = None
    """Of single statements."""


class MesFigures(Protocol):
    """Who gathers them."""

    def figures(self) -> Figures:
        """The figures now; raises MesError while the store is away."""


class MesCollector(Collector):
    """Asks the MES when Prometheus asks."""

    def __init__(self, source: MesFigures) -> None:
        self._source = source
        self._log = structlog.get_logger(__name__)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not ask a database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics of the MES."""
        up = GaugeMetricFamily("mes_figures_up", "1 when the figures of the MES could be read.")
        try:
            figures = self._source.figures()
        except MesError as error:
            self._log.warning("no figures of the MES", error=error.message)
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from _single(figures)
        status = GaugeMetricFamily(
            "workorder_status_gauge", "Work orders by status.", labels=("status",)
        )
        for name, count in figures.orders_by_status.items():
            status.add_metric((name,), count)
        yield status
        yield from _times("workorder_duration_seconds",
                          "Time from release to completion of a work order.",
                          figures.order_times)  # fmt: skip
        yield from _times("postgres_query_duration_seconds",
                          "Time of single statements of the database.",
                          figures.database_times)  # fmt: skip


def _single(figures: Figures) -> Iterator[Metric]:
    counters = (
        ("workorder_created_total", "Work orders created.", figures.orders_created),
        ("spc_out_of_control_total", "Points that a control chart took for out of control.",
         figures.spc_out_of_control),
        ("postgres_deadlocks_total", "Deadlocks that the database ended.",
         figures.database_deadlocks),
    )  # fmt: skip
    gauges = (
        ("inspection_pass_rate", "Inspections that were passed, in percent.",
         figures.inspection_pass_rate),
        ("ncr_open_gauge", "Nonconformance reports that are open.", figures.ncr_open),
        ("postgres_active_connections", "Connections to the database in use.",
         figures.database_connections),
    )  # fmt: skip
    for name, text, count in counters:
        if count is not None:
            yield CounterMetricFamily(name, text, value=count)
    for name, text, value in gauges:
        if value is not None:
            yield GaugeMetricFamily(name, text, value=value)


def _times(name: str, text: str, times: Times | None) -> Iterator[Metric]:
    if times is None:
        return
    buckets = [(str(float(bound)), float(count)) for bound, count in times.buckets]
    buckets.append(("+Inf", float(times.count)))
    yield HistogramMetricFamily(name, text, buckets=buckets, sum_value=times.sum_s)
