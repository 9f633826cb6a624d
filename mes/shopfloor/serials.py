"""Serial numbers: who gets the next one, and never twice.

The journal's consumer asks for the stations; a serial belongs to its part id for ever. Uniqueness
is a constraint of the database; this module only decides which number comes next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit import changes, transitions
from cellwright.mes.definitions.serial_pattern import SerialPattern
from cellwright.mes.definitions.tables import PartDefinition
from cellwright.mes.kernel import quantity, utc
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.store import numbering
from cellwright.mes.kernel.text import MAX_REASON, mend_key, shorten, storable
from cellwright.mes.orders import operations, order_flow
from cellwright.mes.orders.tables import WorkOrder
from cellwright.mes.orders.work_order_states import ENDED, WorkOrderState
from cellwright.mes.shopfloor.tables import Serial, SerialState, Unit
from cellwright.mes.shopfloor.working_set import working_set


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is to be marked on a part."""

    part_id: str
    serial: str
    order: str
    """Work order number."""
    part_number: str
    revision: str
    fields: dict[str, str]
    """Content for the marking template: the part definition's, overlaid by the order's."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Where a serial counter stands since numbers were skipped."""

    pattern: str
    former: int
    """The last number that was given out before."""
    last: int
    """The last number that counts as given out now."""
    next_serial: str
    """What the next part gets; empty when the pattern is used up."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a part gets no serial now, and what would change that."""

    part_id: str
    reason: str


def reserve(
    session: Session, *, part_id: str, station: str, actor: str, at: datetime | None = None
) -> Reservation | Refusal:
    """The serial of this part; the same one however often it is asked for.

    It comes from the running order of highest priority, the oldest among equals, that still
    needs parts. ``at`` is when it was asked for (default: now).
    """
    part_id, station = mend_key(part_id), mend_key(station)
    at = at or utc.now(session)
    work = working_set(session)
    unit = work.find_or_add(part_id, at)
    known = recall(unit)
    if known is not None:
        return known
    reasons: list[str] = []
    for order in work.running():
        if order_flow.remaining(order) == 0:
            reasons.append(
                f"work order {order.number} has all of its {quantity.text(order.quantity)} parts; "
                "start another"
            )
            continue
        obstacle = operations.obstacle_to_marking(order)
        if obstacle:
            reasons.append(obstacle)
            continue
        serial = work.next_serial(order.serial_pattern, at)
        if serial is None:
            reasons.append(
                f"serial pattern '{order.serial_pattern}' of work order {order.number} is used up; "
                "give the part a wider number and store a new order"
            )
            continue
        return _grant(session, unit, order, serial, station, actor=actor, at=at)
    return _refuse(session, unit, reasons, station, actor=actor, at=at)


def recall(unit: Unit) -> Reservation | Refusal | None:
    """What this part was told before, as far as it still holds; None when it may ask afresh."""
    serial = unit.serial
    if unit.verdict is not None:
        return Refusal(unit.part_id, f"part {unit.part_id} is released already as {unit.verdict}")
    if serial is None:
        return None
    if serial.state is SerialState.SPENT:
        return Refusal(
            unit.part_id,
            f"serial {serial.serial} of this part is spent: its marking was authorised before and "
            "it is never marked again; reject the part",
        )
    order = serial.order
    if order is None or order.state is not WorkOrderState.RUNNING:
        state = f"work order {order.number} is {order.state}" if order else "its order is unknown"
        return Refusal(unit.part_id, f"serial {serial.serial} must not be marked now: {state}")
    return _reservation(unit, serial, order)


def skip(
    session: Session,
    wanted: str,
    *,
    to: int | None = None,
    by: int | None = None,
    actor: str,
    reason: str,
) -> Skipped:
    """Move a serial counter forward, so that numbers which were used elsewhere never come again.

    ``wanted`` is a part number or the pattern itself; the counter is that of now, for a date in the
    pattern. ``to`` is the last number that counts as used, ``by`` how many are left out; give one
    of them. It never moves back. Raises MesError.
    """
    if not reason.strip() or not storable(reason):
        raise MesError("invalid_request", "give a reason; it goes into the audit trail")
    text = _pattern_of(session, wanted)
    pattern, at = SerialPattern.parse(text), utc.now(session)
    audit.lock(session)  # in the order in which `reserve` locks
    counter = pattern.counter(at)
    former = numbering.stand(session, counter)
    last = _goal(pattern, text, former, to=to, by=by)
    numbering.next_numbers(session, counter, last - former)
    following = pattern.render(at, last + 1) if last < pattern.last else ""
    audit.append(
        session,
        audit.AuditEntry(
            actor=actor,
            action="serial.skip",
            entity_type="serial_counter",
            entity_id=counter.removeprefix("serial/"),
            old={"last": former},
            new={"last": last, "pattern": text, "next": following},
            reason=shorten(reason, MAX_REASON),
        ),
        at=at,
    )
    return Skipped(text, former, last, following)


def _goal(pattern: SerialPattern, text: str, former: int, *, to: int | None, by: int | None) -> int:
    if (to is None) == (by is None):
        raise MesError("invalid_request", "say either to which number or by how many, not both")
    if by is not None and by < 1:
        raise MesError("invalid_request", f"by {by} is not forward; give 1 or more")
    last = former + by if by is not None else to
    assert last is not None
    if last <= former:
        raise MesError(
            "invalid_state",
            f"the counter of '{text}' stands at {former} and never moves back, so it cannot be set "
            f"to {last}; numbers up to {former} come no more anyway",
        )
    if last > pattern.last:
        raise MesError(
            "invalid_request",
            f"'{text}' ends at {pattern.last} and {last} lies beyond; give the part a wider number "
            "in the master data",
        )
    return last


def _pattern_of(session: Session, wanted: str) -> str:
    """The one pattern that is meant, of those that are in use."""
    if not storable(wanted):
        raise MesError("invalid_request", "a part number or pattern is valid text without NUL")
    of_parts = select(PartDefinition.serial_pattern).where(PartDefinition.serial_pattern != "")
    of_orders = (
        select(WorkOrder.serial_pattern)
        .join(WorkOrder.part_definition)
        .where(WorkOrder.serial_pattern != "", WorkOrder.state.not_in(ENDED))
    )
    used: set[str] = {*session.scalars(of_parts), *session.scalars(of_orders)}
    if wanted in used:
        return wanted
    of_part = PartDefinition.part_number == wanted
    found: list[str] = sorted(
        {*session.scalars(of_parts.where(of_part)), *session.scalars(of_orders.where(of_part))}
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise MesError(
            "invalid_request",
            f"part {wanted} has several patterns, by revision or in orders that are still open: "
            f"{', '.join(found)}; name the pattern",
        )
    # A slip of the pen would move a counter that nobody uses, and look like a remedy.
    raise MesError(
        "unknown_entity",
        f"'{shorten(wanted, MAX_REASON)}' is neither a part with serials nor a pattern of one; the "
        f"patterns in use are {', '.join(sorted(used)) or 'none'}",
    )


def _grant(
    session: Session,
    unit: Unit,
    order: WorkOrder,
    text: str,
    station: str,
    *,
    actor: str,
    at: datetime,
) -> Reservation:
    serial = Serial(
        serial=text,
        unit=unit,
        order=order,
        station=station,
        state=SerialState.RESERVED,
        reserved_utc=at,
    )
    session.add(serial)
    unit.order = order
    unit.refusal = ""
    changes.touch(
        session, order, order_flow.entry(order, "progress", actor=actor, reason=""), at=at
    )
    order.reserved += 1
    reservation = _reservation(unit, serial, order)
    transitions.record(
        session,
        ("serial", text),
        "reserve",
        "",
        SerialState.RESERVED,
        actor=actor,
        reason=f"part {unit.part_id}",
        at=at,
    )
    audit.append(
        session,
        audit.AuditEntry(
            actor=actor,
            action="serial.reserve",
            entity_type="serial",
            entity_id=text,
            new={
                "part_id": unit.part_id,
                "order": order.number,
                "station": station,
                "part_number": reservation.part_number,
                "revision": reservation.revision,
                "part_version": order.part_version,
                "fields": reservation.fields,
            },
            correlation_id=unit.part_id,
        ),
        at=at,
    )
    return reservation


def _refuse(
    session: Session,
    unit: Unit,
    reasons: list[str],
    station: str,
    *,
    actor: str,
    at: datetime,
) -> Refusal:
    if not reasons:
        session.flush()
        interrupted = session.execute(
            select(func.min(WorkOrder.number), func.count(WorkOrder.id)).where(
                WorkOrder.state.in_([WorkOrderState.HELD, WorkOrderState.SUSPENDED])
            )
        ).one()
        reasons = ["no work order is running; start one"]
        if interrupted[1]:
            reasons = [f"no work order is running, {interrupted[0]} is interrupted; resume it"]
    reason = shorten("; ".join(reasons), MAX_REASON)
    # A station asks again every few seconds; only a new answer is news.
    if unit.refusal != reason:
        unit.refusal = reason
        audit.append(
            session,
            audit.AuditEntry(
                actor=actor,
                action="serial.refuse",
                entity_type="unit",
                entity_id=unit.part_id,
                new={"station": station},
                reason=reason,
                correlation_id=unit.part_id,
            ),
            at=at,
        )
    return Refusal(unit.part_id, reason)


def _reservation(unit: Unit, serial: Serial, order: WorkOrder) -> Reservation:
    definition = order.part_definition
    return Reservation(
        part_id=unit.part_id,
        serial=serial.serial,
        order=order.number,
        part_number=definition.part_number,
        revision=definition.revision,
        fields=dict(order.fields),
    )
