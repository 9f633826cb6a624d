"""What the events of a part's way through the cell do to its records.

`consumer` calls one handler an event. Handlers never refuse: the metal does not care.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from cellwright.io.messages import (
    InspectionCompleted,
    MarkAuthorised,
    MarkCompleted,
    PartReleased,
    SerialAssigned,
)
from cellwright.mes.audit import changes, transitions
from cellwright.mes.definitions.tables import OperationKind
from cellwright.mes.orders import operations, order_flow
from cellwright.mes.orders.events import OpenInspections
from cellwright.mes.orders.operations import Report
from cellwright.mes.orders.tables import WorkOrder
from cellwright.mes.shopfloor import parts
from cellwright.mes.shopfloor.event_records import EventContext, finite
from cellwright.mes.shopfloor.tables import Inspection, Mark, Serial, SerialState, Unit, Verdict
from cellwright.mes.shopfloor.working_set import working_set

OK: Final = "ok"
"""Verdict of an inspection that found nothing wrong."""
ONE: Final = Decimal(1)


def on_serial_assigned(ctx: EventContext, event: SerialAssigned) -> None:
    """The station has taken the serial."""
    ctx.audit("serial", event.serial)
    unit = parts.find_or_add(ctx.session, event.part_id, ctx.at)
    serial = _serial(ctx, unit, event.serial, event.station, event.order)
    if serial is not None and serial.state is SerialState.RESERVED:
        serial.assigned_utc = ctx.at
        _move_serial(ctx, serial, SerialState.ASSIGNED)


def on_mark_authorised(ctx: EventContext, event: MarkAuthorised) -> None:
    """From here on the serial is spent, whatever the marker does."""
    ctx.audit("serial", event.serial)
    unit = parts.find_or_add(ctx.session, event.part_id, ctx.at)
    serial = _serial(ctx, unit, event.serial, event.station, "")
    if working_set(ctx.session).mark_authorised(event.serial):
        ctx.anomaly(
            "serial_marked_twice",
            "serial",
            event.serial,
            f"marking of serial {event.serial} was authorised before; quarantine part "
            f"{event.part_id} and find the other part that carries it",
        )
    if serial is not None and serial.state is not SerialState.SPENT:
        serial.spent_utc = ctx.at
        _move_serial(ctx, serial, SerialState.SPENT)
    ctx.session.add(
        Mark(
            unit=unit,
            serial=event.serial,
            station=event.station,
            device=event.device,
            template=event.template,
            content=event.content,
            authorised_utc=ctx.at,
            outcome="",
            detail="",
        )
    )


def on_mark_completed(ctx: EventContext, event: MarkCompleted) -> None:
    """The marker has answered."""
    ctx.audit("serial", event.serial)
    unit = parts.find_or_add(ctx.session, event.part_id, ctx.at)
    # A mark that was certainly not made passes no piece on to the next operation.
    made = event.outcome != "failed"
    first = not any(mark.completed_utc and mark.outcome != "failed" for mark in unit.marks)
    pending = [
        mark
        for mark in unit.marks
        if mark.serial == event.serial and mark.completed_utc is None and mark.authorised_utc
    ]
    if pending:
        mark = pending[-1]
    else:
        ctx.anomaly(
            "mark_not_authorised",
            "serial",
            event.serial,
            f"the marker reported serial {event.serial} on part {event.part_id}, but no "
            "authorisation is open; quarantine the part",
        )
        mark = Mark(
            unit=unit,
            serial=event.serial,
            station=event.station,
            device="",
            template="",
            content="",
        )
        ctx.session.add(mark)
    mark.completed_utc = ctx.at
    mark.outcome = event.outcome
    mark.detail = event.detail
    mark.duration_ms = finite(event.duration_ms)
    if made and first and unit.order is not None:
        _progress(ctx, unit.order, OperationKind.MARK, event.station, Report(good=ONE))


def on_inspection_completed(ctx: EventContext, event: InspectionCompleted) -> None:
    """The camera has judged the mark; the latest judgement counts."""
    ctx.audit("unit", event.part_id)
    unit = parts.find_or_add(ctx.session, event.part_id, ctx.at)
    before = unit.inspection_verdict
    unit.inspection_verdict = event.verdict
    ctx.session.add(
        Inspection(
            unit=unit,
            serial=event.serial,
            station=event.station,
            expected=event.expected,
            read=event.read,
            verdict=event.verdict,
            reason=event.reason,
            unused_error_correction=finite(event.unused_error_correction),
            module_errors=event.module_errors,
            duration_ms=finite(event.duration_ms),
            frame=event.frame,
            inspected_utc=ctx.at,
        )
    )
    if unit.order is not None:
        _progress(ctx, unit.order, OperationKind.INSPECT, event.station, _judged(before, event))
        # A late inspection may be the one that completion waited for.
        order_flow.complete_if_done(ctx.session, unit.order, at=ctx.at)


def _judged(before: str | None, event: InspectionCompleted) -> Report:
    """What the reading does to its operation's pieces; a later reading corrects an earlier one."""
    good = Decimal(int(event.verdict == OK) - int(before == OK))
    scrap = Decimal(int(event.verdict != OK) - int(before not in {None, OK}))
    return Report(good=good, scrap=scrap)


def on_part_released(ctx: EventContext, event: PartReleased) -> None:
    """The part leaves with its verdict; its order counts it and may be complete."""
    ctx.audit("unit", event.part_id, reason=event.reason)
    unit = parts.find_or_add(ctx.session, event.part_id, ctx.at)
    if unit.verdict is not None:
        ctx.anomaly(
            "released_twice",
            "unit",
            event.part_id,
            f"part {event.part_id} was released before as {unit.verdict}; that verdict stands",
        )
        return
    verdict = _verdict(ctx, event)
    _check_release(ctx, event, unit, verdict)
    unit.verdict = verdict
    unit.reason = event.reason
    unit.recovered = event.recovered
    unit.released_utc = ctx.at
    if unit.order is None:
        return
    order = working_set(ctx.session).locked(unit.order)
    _touch(ctx, order)
    if verdict is Verdict.GOOD:
        order.good += 1
    else:
        order.rejected += 1
    order_flow.complete_if_done(ctx.session, order, at=ctx.at)


def _verdict(ctx: EventContext, event: PartReleased) -> Verdict:
    if event.verdict in list(Verdict):
        return Verdict(event.verdict)
    ctx.anomaly(
        "unknown_verdict",
        "unit",
        event.part_id,
        f"verdict '{event.verdict}' of part {event.part_id} is neither good nor rejected; it "
        "counts as rejected",
    )
    return Verdict.REJECTED


def _check_release(ctx: EventContext, event: PartReleased, unit: Unit, verdict: Verdict) -> None:
    held = unit.serial.serial if unit.serial else ""
    # A part may leave without a serial that it was granted but never took.
    untouched = unit.serial is None or unit.serial.state is SerialState.RESERVED
    if event.serial != held and not (untouched and not event.serial):
        ctx.anomaly(
            "serial_mismatch",
            "unit",
            event.part_id,
            f"part {event.part_id} was released with serial '{event.serial}' but holds "
            f"'{held}'; quarantine it",
        )
    if verdict is not Verdict.GOOD:
        return
    if untouched:
        ctx.anomaly(
            "good_without_serial",
            "unit",
            event.part_id,
            f"part {event.part_id} was released as good without a serial; quarantine it",
        )
    elif (
        unit.order is not None
        and any(each.inspection_required for each in unit.order.operations)
        and unit.inspection_verdict != OK
    ):
        ctx.anomaly(
            "good_without_inspection",
            "unit",
            event.part_id,
            f"part {event.part_id} was released as good, but its required inspection is "
            f"{unit.inspection_verdict or 'open'}; inspect it",
        )


def _serial(
    ctx: EventContext, unit: Unit, text: str, station: str, order_number: str
) -> Serial | None:
    """The serial that the unit holds, when it is the one that the event names.

    A serial that the store has never granted is adopted, so that nobody else gets it: the store
    may be an older copy than the journal.
    """
    if unit.serial is not None and unit.serial.serial == text:
        return unit.serial
    ctx.session.flush()
    known = ctx.session.scalars(select(Serial).where(Serial.serial == text)).one_or_none()
    if known is not None or unit.serial is not None or not text:
        owner = known.unit.part_id if known is not None else "nobody"
        holds = unit.serial.serial if unit.serial is not None else "none"
        ctx.anomaly(
            "serial_mismatch",
            "serial",
            text,
            f"part {unit.part_id} used serial '{text}', which belongs to {owner}; the part's own "
            f"is {holds}; quarantine both",
        )
        return None
    order = ctx.session.scalars(
        select(WorkOrder).where(WorkOrder.number == order_number)
    ).one_or_none()
    serial = Serial(
        serial=text,
        unit=unit,
        order=order,
        station=station,
        state=SerialState.RESERVED,
        reserved_utc=ctx.at,
    )
    ctx.session.add(serial)
    if order is not None and unit.verdict is None:
        unit.order = working_set(ctx.session).locked(order)
        _touch(ctx, unit.order)
        unit.order.reserved += 1
    ctx.anomaly(
        "unknown_serial",
        "serial",
        text,
        f"serial {text} on part {unit.part_id} was never granted by this store; it is taken over "
        "and will not be granted again",
    )
    return serial


def _move_serial(ctx: EventContext, serial: Serial, new: SerialState) -> None:
    old = serial.state
    serial.state = new
    transitions.record(
        ctx.session,
        ("serial", serial.serial),
        type(ctx.event).__name__,
        old,
        new,
        actor=ctx.actor,
        reason=f"part {serial.unit.part_id}",
        at=ctx.at,
    )


def _touch(ctx: EventContext, order: WorkOrder) -> None:
    """What this transaction does to the order's counters is recorded once, at its end."""
    entry = order_flow.entry(order, "progress", actor=ctx.actor, reason="")
    changes.touch(ctx.session, order, entry, at=ctx.at)


def _progress(
    ctx: EventContext, order: WorkOrder, kind: OperationKind, station: str, done: Report
) -> None:
    order = working_set(ctx.session).locked(order)
    operations.progress(ctx.session, order, kind, station, done, actor=ctx.actor, at=ctx.at)


def open_inspections(session: Session, question: OpenInspections) -> int:
    """Parts released as good whose required inspection is open or failed."""
    session.flush()
    return session.scalars(
        select(func.count(Unit.id)).where(
            Unit.order_id == question.order_id,
            Unit.verdict == Verdict.GOOD,
            or_(Unit.inspection_verdict.is_(None), Unit.inspection_verdict != OK),
        )
    ).one()
