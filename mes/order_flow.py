"""How work orders move and end; shared by the order, operation, serial and journal services.

Everything here expects a session that may write and records each move with its audit. It decides
by `work_order_states` and never by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from cellwright.mes import audit, moves
from cellwright.mes.errors import MesError
from cellwright.mes.models import (
    Operation,
    OperationKind,
    QuantityCounts,
    Unit,
    Verdict,
    WorkOrder,
)
from cellwright.mes.operation_states import OperationEvent, OperationState, step_operation
from cellwright.mes.work_order_states import (
    ENDED,
    Facts,
    WorkOrderEvent,
    WorkOrderState,
    step,
)

MES: Final = "mes"
"""Actor of what the MES does by itself."""


def find(session: Session, job_order_id: str, *, lock: bool) -> WorkOrder:
    """The order with that job order id; raises MesError ``unknown_order``."""
    statement = select(WorkOrder).where(WorkOrder.job_order_id == job_order_id)
    if lock:
        statement = statement.with_for_update(of=WorkOrder).execution_options(
            populate_existing=True
        )
    order = session.scalars(statement).one_or_none()
    if order is None:
        raise MesError(
            "unknown_order",
            f"there is no job order '{job_order_id}'; store it first, or look up its id in the "
            "list of orders",
        )
    return order


def inspection_required(order: WorkOrder) -> bool:
    """True when an operation of the order requires an inspection."""
    return any(operation.inspection_required for operation in order.operations)


def open_inspections(session: Session, order: WorkOrder) -> int:
    """Parts released as good whose required inspection is open or failed."""
    if not inspection_required(order):
        return 0
    return session.scalars(
        select(func.count(Unit.id)).where(
            Unit.order_id == order.id,
            Unit.verdict == Verdict.GOOD,
            or_(Unit.inspection_verdict.is_(None), Unit.inspection_verdict != "ok"),
        )
    ).one()


def move(
    session: Session,
    order: WorkOrder,
    event: WorkOrderEvent,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """Step the order, stamp its times, end its operations when it ends, record and audit it.

    Raises MesError before anything is changed.
    """
    facts = Facts(
        has_routing=bool(order.operations),
        open_inspections=open_inspections(session, order),
        consumed=order.reserved,
    )
    old = order.state
    new = step(order.number, old, event, facts)
    order.state = new
    order.version += 1
    if event is WorkOrderEvent.START:
        order.started_utc = at
    if new in ENDED and old not in ENDED:
        order.ended_utc = _not_before(order.started_utc, at)
        _end_operations(session, order, new, actor=actor, reason=reason, at=at)
    moves.record(
        session, ("work_order", order.number), event, old, new, actor=actor, reason=reason, at=at
    )
    audit.append(
        session,
        audit.AuditEntry(
            actor=actor,
            action=f"work_order.{event}",
            entity_type="work_order",
            entity_id=order.number,
            entity_version=order.version,
            old={"state": old},
            new={"state": new, "good": order.good, "rejected": order.rejected},
            reason=reason,
            correlation_id=order.job_order_id,
        ),
        at=at,
    )


def _not_before(start: datetime | None, at: datetime) -> datetime:
    # A clock that was set back must not make an order end before it began; the transition row
    # keeps what the clock said.
    return at if start is None or at >= start else start


def _end_operations(
    session: Session,
    order: WorkOrder,
    state: WorkOrderState,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    for operation in order.operations:
        if operation.state is OperationState.RUNNING and state is WorkOrderState.COMPLETED:
            move_operation(
                session, operation, OperationEvent.COMPLETE, actor=actor, reason=reason, at=at
            )
        elif operation.state in (OperationState.WAITING, OperationState.RUNNING):
            move_operation(
                session, operation, OperationEvent.STOP, actor=actor, reason=reason, at=at
            )


def operation_name(operation: Operation) -> str:
    """``WO-2026-000001/20``."""
    return f"{operation.order.number}/{operation.sequence}"


def move_operation(
    session: Session,
    operation: Operation,
    event: OperationEvent,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """Step one operation and record it; raises MesError before anything is changed."""
    name = operation_name(operation)
    old = operation.state
    new = step_operation(f"operation {name} ({operation.name})", old, event)
    operation.state = new
    if event is OperationEvent.START:
        operation.started_utc = at
    else:
        operation.ended_utc = _not_before(operation.started_utc, at)
    moves.record(session, ("operation", name), event, old, new, actor=actor, reason=reason, at=at)


def remaining(order: WorkOrder) -> int:
    """Parts that may still get a serial of this order."""
    if order.quantity_counts is QuantityCounts.GOOD:
        return max(order.quantity - (order.reserved - order.rejected), 0)
    return max(order.quantity - order.reserved, 0)


def complete_if_done(session: Session, order: WorkOrder, *, at: datetime) -> None:
    """Complete a running order whose parts are all released, unless a rule forbids it.

    It waits for manual operations; an open or failed required inspection is put in the audit.
    """
    finished = order.good
    if order.quantity_counts is QuantityCounts.ATTEMPTED:
        finished += order.rejected
    if order.state is not WorkOrderState.RUNNING or finished < order.quantity:
        return
    if any(
        operation.kind is OperationKind.MANUAL and operation.state is not OperationState.COMPLETED
        for operation in order.operations
    ):
        return
    try:
        move(
            session,
            order,
            WorkOrderEvent.COMPLETE,
            actor=MES,
            reason=f"all {order.quantity} parts are released",
            at=at,
        )
    except MesError as refusal:
        audit.append(
            session,
            audit.AuditEntry(
                actor=MES,
                action="work_order.completion_refused",
                entity_type="work_order",
                entity_id=order.number,
                entity_version=order.version,
                reason=refusal.message,
                correlation_id=order.job_order_id,
            ),
            at=at,
        )
