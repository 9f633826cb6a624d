"""Operations of a work order: starting, reporting pieces, completing, rework.

People report manual operations through the services; the journal reports marking and inspection
through `progress`. The rules of order and quantity between operations are here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit import changes
from cellwright.mes.definitions.tables import OperationKind
from cellwright.mes.kernel import quantity, utc
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.quantity import text
from cellwright.mes.orders import order_flow
from cellwright.mes.orders.operation_states import OperationEvent, OperationState
from cellwright.mes.orders.tables import Operation, QuantityCounts, WorkOrder
from cellwright.mes.orders.work_order_states import WorkOrderEvent, WorkOrderState
from cellwright.mes.people.staff import has_skill

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation as readers see it; quantities have the order's unit."""

    sequence: int
    name: str
    kind: OperationKind
    station: str
    state: OperationState
    good: Decimal
    """Pieces that went on."""
    scrap: Decimal
    rework: Decimal
    """Pieces that were sent to rework."""
    rework_of: int | None
    """Sequence of the operation whose pieces it mends."""
    equipment: str
    person: str
    started_utc: datetime | None
    ended_utc: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """Pieces that an operation has done."""

    good: Decimal = ZERO
    scrap: Decimal = ZERO
    rework: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """All of them."""
        return self.good + self.scrap + self.rework


def operations(session: Session, job_order_id: str) -> list[OperationView]:
    """The operations of an order in their sequence; raises MesError ``unknown_order``."""
    order = order_flow.find(session, job_order_id, lock=False)
    return [view(operation) for operation in order.operations]


def start(
    session: Session,
    operation: Operation,
    *,
    actor: str,
    reason: str,
    person: str = "",
    equipment: str = "",
) -> None:
    """WAITING to RUNNING, when its predecessor allows it; starts a released order with it.

    ``person`` is who works on it (default: the actor). Raises MesError ``invalid_state``,
    ``out_of_sequence`` or ``skill_missing``; the operation's order is locked.
    """
    order, at = operation.order, utc.now(session)
    person = person or actor
    _require_free(order)
    if order.state in (WorkOrderState.RELEASED, WorkOrderState.READY):
        _begin_order(session, order, operation, actor=actor, reason=reason, at=at)
    _require_running(operation)
    obstacle = blocked(operation)
    if obstacle and operation.state is OperationState.WAITING:
        raise MesError("out_of_sequence", obstacle)
    skill = operation.required_skill
    if skill and not has_skill(session, person, skill, at):
        raise MesError(
            "skill_missing",
            f"cannot start operation {order_flow.operation_name(operation)}: {person} is not "
            f"certified for '{skill}'; let somebody work on it who is, or renew the certification",
        )
    entry = order_flow.operation_entry(operation, "assign", actor=actor, reason=reason)
    order_flow.move_operation(
        session, operation, OperationEvent.START, actor=actor, reason=reason, at=at
    )
    with changes.changing(session, operation, entry, at=at):
        operation.person = person
        operation.equipment = equipment


def _begin_order(
    session: Session,
    order: WorkOrder,
    operation: Operation,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    obstacle = blocked(operation)
    if obstacle:
        raise MesError("out_of_sequence", obstacle)
    if order.state is WorkOrderState.RELEASED:
        order_flow.move(
            session, order, WorkOrderEvent.MAKE_READY, actor=actor, reason=reason, at=at
        )
    order_flow.move(session, order, WorkOrderEvent.START, actor=actor, reason=reason, at=at)


def report(
    session: Session, operation: Operation, done: Report, *, final: bool, actor: str, reason: str
) -> None:
    """Count pieces of a running operation and, if ``final``, complete it.

    Good pieces may then flow on, scrap never does, rework goes to an operation of its own. Raises
    MesError ``invalid_request`` for more pieces than came in, for none at all, and for pieces of an
    operation that the cell reports itself; ``inspection_open`` and ``invalid_state``. The
    operation's order is locked.
    """
    name = order_flow.operation_name(operation)
    if done.total and operation.kind is not OperationKind.MANUAL:
        raise MesError(
            "invalid_request",
            f"cannot report operation {name}: the cell itself reports its "
            f"{operation.kind} operations",
        )
    _require_free(operation.order)
    _require_running(operation)
    if operation.state is not OperationState.RUNNING:
        wanted = "complete" if final else "report"
        state = operation.state
        remedy = "start it first" if state is OperationState.WAITING else "it is done"
        raise MesError(
            "invalid_state", f"cannot {wanted} operation {name}: it is {state}; {remedy}"
        )
    _check_report(operation, done, final=final)
    at = utc.now(session)
    if done.total:
        _count(session, operation, done, actor=actor, reason=reason, at=at)
    if final:
        _complete(session, operation, actor=actor, reason=reason, at=at)


def _check_report(operation: Operation, done: Report, *, final: bool) -> None:
    order, name = operation.order, order_flow.operation_name(operation)
    details = []
    for field, value in (
        ("quantityGood", done.good),
        ("quantityScrap", done.scrap),
        ("quantityRework", done.rework),
    ):
        quantity.amount(value, order.unit, field=field)
        if value < 0:
            details.append(Detail(field, f"is {text(value)}; pieces are counted from 0"))
    if details:
        message = "; ".join(f"{detail.field} {detail.message}" for detail in details)
        raise MesError("invalid_request", f"cannot report operation {name}: {message}", details)
    counted = operation.good + operation.scrap + operation.rework
    came = incoming(operation)
    if counted + done.total > came:
        left = came - counted
        raise MesError(
            "quantity_exceeded",
            f"cannot report {text(done.total)} piece(s) on operation {name}: {text(counted)} of "
            f"the {text(came)} that reached it are done; report at most {text(left)}",
            [Detail("quantityGood", f"at most {text(left)} are left")],
        )
    if not done.total and not (final and (counted or operation.kind is not OperationKind.MANUAL)):
        raise MesError(
            "invalid_request",
            f"cannot report operation {name}: no piece is named; give quantityGood, quantityScrap "
            "or quantityRework",
            [Detail("quantityGood", "is 0, and so are the others")],
        )


def _count(
    session: Session, operation: Operation, done: Report, *, actor: str, reason: str, at: datetime
) -> None:
    entry = order_flow.operation_entry(operation, "report", actor=actor, reason=reason)
    with changes.changing(session, operation, entry, at=at):
        operation.good += done.good
        operation.scrap += done.scrap
        operation.rework += done.rework
    if done.rework:
        _send_to_rework(session, operation, done.rework, actor=actor, reason=reason, at=at)


def _complete(
    session: Session, operation: Operation, *, actor: str, reason: str, at: datetime
) -> None:
    order = operation.order
    missing = order_flow.open_inspections(session, order) if operation.inspection_required else 0
    if missing:
        raise MesError(
            "inspection_open",
            f"cannot complete operation {order_flow.operation_name(operation)}: {missing} part(s) "
            "released as good have an inspection that is open or failed; inspect them first",
        )
    order_flow.move_operation(
        session, operation, OperationEvent.COMPLETE, actor=actor, reason=reason, at=at
    )
    order_flow.complete_if_done(session, order, at=at)


def _send_to_rework(
    session: Session,
    operation: Operation,
    pieces: Decimal,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """Add to the operation that mends them, or make one; its good pieces go to the successor."""
    order = operation.order
    for other in order.operations:
        if other.rework_of == operation.sequence and other.state is not OperationState.COMPLETED:
            entry = order_flow.operation_entry(other, "offer", actor=actor, reason=reason)
            with changes.changing(session, other, entry, at=at):
                other.offered += pieces
            return
    taken = {other.sequence for other in order.operations}
    sequence = next(
        number for number in range(operation.sequence + 1, 2**31) if number not in taken
    )
    after = _successor(operation)
    rework = Operation(
        sequence=sequence,
        name=f"Rework of {operation.name}",
        kind=OperationKind.MANUAL,
        station=operation.station,
        sequential=False,
        inspection_required=False,
        work_centre_id=operation.work_centre_id,
        required_skill=operation.required_skill,
        quality_critical=operation.quality_critical,
        rework_of=operation.sequence,
        return_to=None if after is None else after.sequence,
        offered=pieces,
        state=OperationState.WAITING,
    )
    rework.order = order
    session.add(rework)
    session.flush()
    order.operations.sort(key=lambda each: each.sequence)
    entry = order_flow.operation_entry(rework, "create", actor=actor, reason=reason)
    changes.created(session, rework, entry, at=at)


def incoming(operation: Operation) -> Decimal:
    """Pieces that have reached the operation so far: its limit at any time."""
    order = operation.order
    if operation.rework_of is not None:
        return operation.offered
    before = predecessor(operation)
    if before is not None:
        came = before.good
    elif order.quantity_counts is QuantityCounts.GOOD:
        came = order.quantity + sum((each.scrap for each in order.operations), ZERO)
    else:
        came = order.quantity
    return came + mended_for(order, operation.sequence)


def mended_for(order: WorkOrder, sequence: int | None) -> Decimal:
    """Good pieces of rework that go to that operation; None: that are finished."""
    return sum(
        (
            each.good
            for each in order.operations
            if each.rework_of is not None and each.return_to == sequence
        ),
        ZERO,
    )


def blocked(operation: Operation, taken: Decimal | None = None) -> str:
    """Why the operation may not take its next piece yet; empty when it may.

    ``taken`` is how many pieces it has begun (default: those that it has done).
    """
    if operation.rework_of is not None:
        return ""
    before = predecessor(operation)
    if before is None:
        return ""
    if taken is None:
        taken = operation.good + operation.scrap + operation.rework
    name = order_flow.operation_name(operation)
    if operation.sequential and before.state is not OperationState.COMPLETED:
        return (
            f"operation {name} ({operation.name}) waits for operation {before.sequence} "
            f"({before.name}), which is {before.state}; complete that one first"
        )
    if not operation.sequential and incoming(operation) <= taken:
        return (
            f"operation {name} ({operation.name}) waits for pieces from operation "
            f"{before.sequence} ({before.name}), which has passed on {text(before.good)}"
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
    done: Report,
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
        entry = order_flow.operation_entry(operation, "progress", actor=actor, reason="")
        changes.touch(session, operation, entry, at=at)
        operation.good += done.good
        operation.scrap += done.scrap


def predecessor(operation: Operation) -> Operation | None:
    """The operation of the routing before this one."""
    earlier = [
        other
        for other in operation.order.operations
        if other.rework_of is None and other.sequence < operation.sequence
    ]
    return earlier[-1] if earlier else None


def _successor(operation: Operation) -> Operation | None:
    later = [
        other
        for other in operation.order.operations
        if other.rework_of is None and other.sequence > operation.sequence
    ]
    return later[0] if later else None


def find(session: Session, order: WorkOrder, sequence: int) -> Operation:
    """The operation with that sequence; raises MesError ``unknown_operation``."""
    for operation in order.operations:
        if operation.sequence == sequence:
            return operation
    known = ", ".join(str(operation.sequence) for operation in order.operations) or "none"
    raise MesError(
        "unknown_operation",
        f"work order {order.number} has no operation {sequence}; it has {known}",
    )


def _require_free(order: WorkOrder) -> None:
    if order.held_by:
        who = "a person" if order.held_by == order_flow.PERSON else order.held_by
        raise MesError(
            "invalid_state", f"work order {order.number} is held by {who}; resume it first"
        )


def _require_running(operation: Operation) -> None:
    order = operation.order
    if order.state is not WorkOrderState.RUNNING:
        raise MesError(
            "invalid_state",
            f"cannot work on operation {order_flow.operation_name(operation)}: its order is "
            f"{order.state}; release, start or resume the order first",
        )


def view(operation: Operation) -> OperationView:
    """The operation as readers see it."""
    return OperationView(
        sequence=operation.sequence,
        name=operation.name,
        kind=operation.kind,
        station=operation.station,
        state=operation.state,
        good=operation.good,
        scrap=operation.scrap,
        rework=operation.rework,
        rework_of=operation.rework_of,
        equipment=operation.equipment,
        person=operation.person,
        started_utc=operation.started_utc,
        ended_utc=operation.ended_utc,
    )
