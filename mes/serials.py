"""Serial numbers: who gets the next one, and never twice.

The journal's consumer asks for the stations; a serial belongs to its part id for ever. Uniqueness
is a constraint of the database; this module only decides which number comes next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cellwright.mes import audit, moves, operations, order_flow, parts, utc
from cellwright.mes.models import Serial, SerialState, Unit, WorkOrder
from cellwright.mes.serial_pattern import SerialPattern
from cellwright.mes.text import MAX_REASON, mend_key, shorten
from cellwright.mes.work_order_states import WorkOrderState

_MAX_SKIPS: Final = 1_000
"""Numbers in use already that one request passes over before it gives up."""


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
    unit = parts.find_or_add(session, part_id, at)
    known = recall(unit)
    if known is not None:
        return known
    reasons: list[str] = []
    for order in _running(session):
        if order_flow.remaining(order) == 0:
            reasons.append(
                f"work order {order.number} has all of its {order.quantity} parts; start another"
            )
            continue
        obstacle = operations.obstacle_to_marking(order)
        if obstacle:
            reasons.append(obstacle)
            continue
        serial = _next_serial(session, order.serial_pattern, at)
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


def _running(session: Session) -> list[WorkOrder]:
    statement = (
        select(WorkOrder)
        .where(WorkOrder.state == WorkOrderState.RUNNING)
        .order_by(WorkOrder.priority.desc(), WorkOrder.id)
        .with_for_update(of=WorkOrder)
        .execution_options(populate_existing=True)
    )
    return list(session.scalars(statement))


def _next_serial(session: Session, serial_pattern: str, at: datetime) -> str | None:
    pattern = SerialPattern.parse(serial_pattern)
    counter = pattern.counter(at)
    for _ in range(_MAX_SKIPS):
        n = moves.next_number(session, counter)
        if n > pattern.last:
            return None
        serial = pattern.render(at, n)
        # Another pattern may have made the same text.
        if session.scalar(select(Serial.id).where(Serial.serial == serial)) is None:
            return serial
    return None


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
    order.reserved += 1
    reservation = _reservation(unit, serial, order)
    moves.record(
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
