"""Time that people spend on operations, put on record when an operation ends, however it ends."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy.orm import Session

from cellwright.mes.orders.tables import Labour, Operation
from cellwright.mes.people.staff import hourly_rate


def record_labour(session: Session, operation: Operation) -> None:
    """Fix time and rates of the work: later rates change no cost."""
    if not operation.person or operation.started_utc is None or operation.ended_utc is None:
        return
    rate = hourly_rate(session, operation.person)
    centre = operation.work_centre
    session.add(
        Labour(
            order_id=operation.order_id,
            operation_id=operation.id,
            person=operation.person,
            started_utc=operation.started_utc,
            ended_utc=operation.ended_utc,
            labour_rate=rate.value,
            overhead_rate=Decimal(0) if centre is None else centre.overhead_rate,
            currency=rate.currency,
        )
    )
