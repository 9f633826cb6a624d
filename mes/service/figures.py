"""The figures of the MES that dashboards watch: orders by state, how long they take, pass rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cellwright.mes.orders.tables import WorkOrder
from cellwright.mes.orders.work_order_states import WorkOrderState
from cellwright.mes.shopfloor.tables import Unit

BOUNDS_S: Final = (60.0, 600.0, 3600.0, 4 * 3600.0, 86_400.0, 7 * 86_400.0)
"""Upper bounds of how long an order takes, in seconds."""
_NEWEST: Final = 10_000
"""Completed orders that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MesFigures:
    """The figures at one moment."""

    created: int
    by_state: Mapping[str, int]
    """Number of orders in each state, by its name as people read it."""
    durations_s: tuple[float, ...]
    """From start to end of the newest completed orders."""
    pass_rate: float | None
    """Per cent of the inspected parts whose latest reading is good; None: none is inspected."""


def figures(session: Session) -> MesFigures:
    """The figures of the session's tenant."""
    counted = session.execute(
        select(WorkOrder.state, func.count(WorkOrder.id)).group_by(WorkOrder.state)
    ).all()
    by_state = {state.capitalize(): 0 for state in WorkOrderState}
    by_state |= {state.capitalize(): int(number) for state, number in counted}
    ended = session.execute(
        select(WorkOrder.started_utc, WorkOrder.ended_utc)
        .where(WorkOrder.state == WorkOrderState.COMPLETED, WorkOrder.started_utc.is_not(None))
        .order_by(WorkOrder.id.desc())
        .limit(_NEWEST)
    ).all()
    inspected = session.execute(
        select(Unit.inspection_verdict, func.count(Unit.id))
        .where(Unit.inspection_verdict.is_not(None))
        .group_by(Unit.inspection_verdict)
    ).all()
    verdicts = {verdict: int(number) for verdict, number in inspected}
    total = sum(verdicts.values())
    return MesFigures(
        created=sum(by_state.values()),
        by_state=by_state,
        durations_s=tuple(
            (end - start).total_seconds()
            for start, end in ended
            if start is not None and end is not None
        ),
        pass_rate=100 * verdicts.get("ok", 0) / total if total else None,
    )
