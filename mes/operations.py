"""Operations of a work order: starting, reporting pieces, completing.

People report manual operations through the services; the journal reports marking and inspection
through `progress`. The rule of order between operations is here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from cellwright.mes import audit, order_flow, utc
from cellwright.mes.errors import MesError
from cellwright.mes.models import Operation, OperationKind, WorkOrder
from cellwright.mes.operation_states import OperationEvent, OperationState
from cellwright.mes.work_order_states import WorkOrderState


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation as readers see it; ``done`` counts pieces that went through."""

    sequence: int
    name: str
    kind: OperationKind
    station: str
    state: OperationState
    done: int
    started_utc: datetime | None
    ended_utc: datetime | None


def operations(session: Session, job_order_id: str) -> list[OperationView]:
    """The operations of an order in their sequence; raises MesError ``unknown_order``."""
    order = order_flow.find(session, job_order_id, lock=False)
    return [_view(operation) for operation in order.operations]


def start_operation(
    session: Session, job_order_id: str, sequence: int, *, actor: str, reason: str
) -> OperationView:
    """WAITING to RUNNING, of a running order and when its predecessor allows it.

    Raises MesError ``unknown_order``, ``unknown_operation``, ``invalid_state`` or
    ``out_of_sequence``.
    """
    operation = _find(session, job_order_id, sequence)
    _require_running(operation)
    obstacle = blocked(operation)
    if obstacle:
        raise MesError("out_of_sequence", obstacle)
    _move(session, operation, OperationEvent.START, actor=actor, reason=reason)
    return _view(operation)


def report(
    session: Session, job_order_id: str, sequence: int, pieces: int, *, actor: str, reason: str
) -> OperationView:
    """Count finished pieces of a running manual operation; they may then flow on.

    Raises MesError ``invalid_request`` for more pieces than its predecessor has passed on or than
    the order has, and for operations that the cell reports itself.
    """
    operation = _find(session, job_order_id, sequence)
    _require_running(operation)
    name = order_flow.operation_name(operation)
    if operation.kind is not OperationKind.MANUAL:
        raise MesError(
            "invalid_request",
            f"cannot report operation {name}: the cell itself reports its "
            f"{operation.kind} operations",
        )
    if operation.state is not OperationState.RUNNING:
        raise MesError(
            "invalid_state",
            f"cannot report operation {name}: it is {operation.state}; start it first",
        )
    before = _predecessor(operation)
    limit = before.done if before is not None else operation.order.quantity
    if pieces < 1 or operation.done + pieces > limit:
        raise MesError(
            "invalid_request",
            f"cannot report {pieces} piece(s) on operation {name}: {operation.done} of the "
            f"{limit} that reached it are done; report 1 to {limit - operation.done}",
        )
    old = operation.done
    operation.done += pieces
    _audit(session, operation, "report", {"done": old}, actor=actor, reason=reason)
    return _view(operation)


def complete_operation(
    session: Session, job_order_id: str, sequence: int, *, actor: str, reason: str
) -> OperationView:
    """RUNNING to COMPLETED; also completes the order when that was all it waited for.

    Raises MesError ``inspection_open`` while a good part lacks the inspection that the operation
    requires, and ``invalid_state``.
    """
    operation = _find(session, job_order_id, sequence)
    _require_running(operation)
    missing = (
        order_flow.open_inspections(session, operation.order)
        if operation.inspection_required
        else 0
    )
    if missing:
        raise MesError(
            "inspection_open",
            f"cannot complete operation {order_flow.operation_name(operation)}: {missing} part(s) "
            "released as good have an inspection that is open or failed; inspect them first",
        )
    _move(session, operation, OperationEvent.COMPLETE, actor=actor, reason=reason)
    order_flow.complete_if_done(session, operation.order, at=utc.now(session))
    return _view(operation)


def blocked(operation: Operation, taken: int | None = None) -> str:
    """Why the operation may not take its next piece yet; empty when it may.

    ``taken`` is how many pieces it has begun (default: those that it has done).
    """
    before = _predecessor(operation)
    taken = operation.done if taken is None else taken
    if before is None:
        return ""
    name = order_flow.operation_name(operation)
    if operation.sequential and before.state is not OperationState.COMPLETED:
        return (
            f"operation {name} ({operation.name}) waits for operation {before.sequence} "
            f"({before.name}), which is {before.state}; complete that one first"
        )
    if not operation.sequential and before.done <= taken:
        return (
            f"operation {name} ({operation.name}) waits for pieces from operation "
            f"{before.sequence} ({before.name}), which has passed on {before.done}"
        )
    return ""


def obstacle_to_marking(order: WorkOrder) -> str:
    """Why no part of the order may be marked now; empty when nothing stands in the way."""
    for operation in order.operations:
        if operation.kind is OperationKind.MARK:
            return blocked(operation, taken=order.reserved)
    return ""


def progress(
    session: Session,
    order: WorkOrder,
    kind: OperationKind,
    station: str,
    pieces: int,
    *,
    actor: str,
    at: datetime,
) -> None:
    """Count what the journal says was done at a station; starts the operation when it waits.

    What happened is counted even when it should not have; the audit then says so.
    """
    candidates = [operation for operation in order.operations if operation.kind is kind]
    named = [operation for operation in candidates if operation.station == station]
    for operation in (named or candidates)[:1]:
        if operation.state is OperationState.WAITING and order.state is WorkOrderState.RUNNING:
            obstacle = blocked(operation)
            if obstacle:
                audit.append(
                    session,
                    audit.AuditEntry(
                        actor=actor,
                        action="anomaly.out_of_sequence",
                        entity_type="operation",
                        entity_id=order_flow.operation_name(operation),
                        reason=obstacle,
                        correlation_id=order.job_order_id,
                    ),
                    at=at,
                )
            order_flow.move_operation(
                session, operation, OperationEvent.START, actor=actor, reason="first piece", at=at
            )
        operation.done += pieces


def _predecessor(operation: Operation) -> Operation | None:
    earlier = [other for other in operation.order.operations if other.sequence < operation.sequence]
    return earlier[-1] if earlier else None


def _find(session: Session, job_order_id: str, sequence: int) -> Operation:
    order = order_flow.find(session, job_order_id, lock=True)
    for operation in order.operations:
        if operation.sequence == sequence:
            return operation
    known = ", ".join(str(operation.sequence) for operation in order.operations)
    raise MesError(
        "unknown_operation",
        f"work order {order.number} has no operation {sequence}; it has {known}",
    )


def _require_running(operation: Operation) -> None:
    order = operation.order
    if order.state is not WorkOrderState.RUNNING:
        raise MesError(
            "invalid_state",
            f"cannot work on operation {order_flow.operation_name(operation)}: its order is "
            f"{order.state}; start or resume the order first",
        )


def _move(
    session: Session, operation: Operation, event: OperationEvent, *, actor: str, reason: str
) -> None:
    old = operation.state
    at = utc.now(session)
    order_flow.move_operation(session, operation, event, actor=actor, reason=reason, at=at)
    _audit(session, operation, event, {"state": old}, actor=actor, reason=reason)


def _audit(
    session: Session,
    operation: Operation,
    what: str,
    old: dict[str, object],
    *,
    actor: str,
    reason: str,
) -> None:
    audit.append(
        session,
        audit.AuditEntry(
            actor=actor,
            action=f"operation.{what}",
            entity_type="operation",
            entity_id=order_flow.operation_name(operation),
            old=old,
            new={"state": operation.state, "done": operation.done},
            reason=reason,
            correlation_id=operation.order.job_order_id,
        ),
    )


def _view(operation: Operation) -> OperationView:
    return OperationView(
        sequence=operation.sequence,
        name=operation.name,
        kind=operation.kind,
        station=operation.station,
        state=operation.state,
        done=operation.done,
        started_utc=operation.started_utc,
        ended_utc=operation.ended_utc,
    )
