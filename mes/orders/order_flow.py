"""How work orders move and end; shared by the order and operation services and by the shop floor.

Everything here expects a session that may write and records each move with its audit. It decides
by the state tables and never by itself.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit import changes, transitions
from cellwright.mes.definitions.tables import OperationKind
from cellwright.mes.kernel.domain_events import ask, publish
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.quantity import text
from cellwright.mes.orders import events
from cellwright.mes.orders.cost import record_labour
from cellwright.mes.orders.operation_states import OperationEvent, OperationState, step_operation
from cellwright.mes.orders.tables import Operation, QuantityCounts, WorkOrder
from cellwright.mes.orders.work_order_states import (
    ENDED,
    Facts,
    WorkOrderEvent,
    WorkOrderState,
    step,
)

MES: Final = "mes"
"""Actor of what the MES does by itself."""
PERSON: Final = "person"
"""`WorkOrder.held_by` of an order that a person holds before it has begun."""

_TOLD: Final[dict[WorkOrderEvent, type[events.OrderEvent]]] = {
    WorkOrderEvent.RELEASE: events.OrderReleased,
    WorkOrderEvent.START: events.OrderStarted,
    WorkOrderEvent.PAUSE: events.OrderHeld,
    WorkOrderEvent.SUSPEND: events.OrderHeld,
    WorkOrderEvent.RESUME: events.OrderResumed,
    WorkOrderEvent.COMPLETE: events.OrderCompleted,
    WorkOrderEvent.STOP: events.OrderCompleted,
    WorkOrderEvent.ABORT: events.OrderCancelled,
    WorkOrderEvent.CANCEL: events.OrderCancelled,
}


def find(session: Session, job_order_id: str, *, lock: bool) -> WorkOrder:
    """The order with that job order id; raises MesError ``unknown_order``."""
    order = _one(session, WorkOrder.job_order_id == job_order_id, lock=lock)
    if order is None:
        raise MesError(
            "unknown_order",
            f"there is no job order '{job_order_id}'; store it first, or look up its id in the "
            "list of orders",
        )
    return order


def find_number(session: Session, number: str, *, lock: bool) -> WorkOrder:
    """The order with that number; raises MesError ``unknown_order``."""
    order = _one(session, WorkOrder.number == number, lock=lock)
    if order is None:
        raise MesError(
            "unknown_order",
            f"there is no work order {number!r:.80}; look up its number in the list of orders",
        )
    return order


def _one(session: Session, condition: Any, *, lock: bool) -> WorkOrder | None:
    statement = select(WorkOrder).where(condition)
    if lock:
        statement = statement.with_for_update(of=WorkOrder).execution_options(
            populate_existing=True
        )
    return session.scalars(statement).one_or_none()


def entry(order: WorkOrder, action: str, *, actor: str, reason: str) -> audit.AuditEntry:
    """What the audit is told about an order, but for its content."""
    return audit.AuditEntry(
        actor=actor,
        action=f"work_order.{action}",
        entity_type="work_order",
        entity_id=order.number,
        reason=reason,
        correlation_id=order.job_order_id,
    )


def operation_entry(
    operation: Operation, action: str, *, actor: str, reason: str
) -> audit.AuditEntry:
    """What the audit is told about an operation, but for its content."""
    return audit.AuditEntry(
        actor=actor,
        action=f"operation.{action}",
        entity_type="operation",
        entity_id=operation_name(operation),
        reason=reason,
        correlation_id=operation.order.job_order_id,
    )


def tell(session: Session, kind: type[events.OrderEvent], order: WorkOrder) -> None:
    """Publish an event of the order."""
    publish(
        session,
        kind(
            number=order.number,
            job_order_id=order.job_order_id,
            part_number=order.part_definition.part_number,
        ),
    )


def open_inspections(session: Session, order: WorkOrder) -> int:
    """Parts whose required inspection is open or failed, as the rooms above know it."""
    if not any(operation.inspection_required for operation in order.operations):
        return 0
    return sum(ask(session, events.OpenInspections(order_id=order.id)))


def consumed(order: WorkOrder) -> Decimal:
    """Pieces that the order has begun: those with a serial, and those reported by people."""
    worked = [each.good + each.scrap + each.rework for each in order.operations]
    return max([order.reserved, *worked], default=Decimal(0))


def move(
    session: Session,
    order: WorkOrder,
    event: WorkOrderEvent,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """Step the order, stamp its times, end its operations when it ends; record, audit, tell.

    Raises MesError before anything is changed.
    """
    facts = Facts(
        has_routing=bool(order.operations),
        open_inspections=open_inspections(session, order),
        consumed=consumed(order),
    )
    old = order.state
    new = step(order.number, old, event, facts)
    with changes.changing(session, order, entry(order, event, actor=actor, reason=reason), at=at):
        order.state = new
        if event is WorkOrderEvent.START:
            order.started_utc = at
        if new in ENDED and old not in ENDED:
            order.ended_utc = not_before(order.started_utc, at)
            order.held_by = ""
            _end_operations(session, order, new, actor=actor, reason=reason, at=at)
    transitions.record(
        session, ("work_order", order.number), event, old, new, actor=actor, reason=reason, at=at
    )
    told = _TOLD.get(event)
    if told is not None:
        tell(session, told, order)


def not_before(start: datetime | None, at: datetime) -> datetime:
    """The end of what began at ``start``, by a clock that may have been set back meanwhile.

    Nothing ends before it began; the transition row keeps what the clock said.
    """
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
            event = OperationEvent.COMPLETE
        elif operation.state in (OperationState.WAITING, OperationState.RUNNING):
            event = OperationEvent.STOP
        else:
            continue
        move_operation(session, operation, event, actor=actor, reason=reason, at=at)


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
    """Step one operation, record, audit and tell it; raises MesError before anything is changed."""
    name = operation_name(operation)
    old = operation.state
    new = step_operation(f"operation {name} ({operation.name})", old, event)
    with changes.changing(
        session, operation, operation_entry(operation, event, actor=actor, reason=reason), at=at
    ):
        operation.state = new
        if event is OperationEvent.START:
            operation.started_utc = at
        else:
            operation.ended_utc = not_before(operation.started_utc, at)
    if event is not OperationEvent.START:
        record_labour(session, operation)
    transitions.record(
        session, ("operation", name), event, old, new, actor=actor, reason=reason, at=at
    )
    told = {
        OperationEvent.START: events.OperationStarted,
        OperationEvent.COMPLETE: events.OperationCompleted,
    }.get(event)
    if told is not None:
        publish(
            session,
            told(
                number=operation.order.number,
                sequence=operation.sequence,
                equipment=operation.equipment,
                person=operation.person,
            ),
        )


def remaining(order: WorkOrder) -> int:
    """Parts that may still get a serial of this order."""
    taken = order.reserved
    if order.quantity_counts is QuantityCounts.GOOD:
        taken -= order.rejected
    return max(int(order.quantity - taken), 0)


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
            reason=f"all {text(order.quantity)} parts are released",
            at=at,
        )
    except MesError as refusal:
        audit.append(
            session,
            entry(order, "completion_refused", actor=MES, reason=refusal.message),
            at=at,
        )
