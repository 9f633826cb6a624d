"""Consumes the journal: every event once, its effects and the position in one transaction.

The gateway calls `consume` for each event in the order of the journal, inside `Store.session`, and
acknowledges the journal only after the commit. An event is a fact: what should not have happened
is recorded and marked in the audit as ``anomaly.*``, never refused.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cellwright.io.messages import (
    AlarmChanged,
    AnyEvent,
    Command,
    CommandRefused,
    Deliver,
    FaultRaised,
    ForceChanged,
    InspectionCompleted,
    MarkAuthorised,
    MarkCompleted,
    ModeChanged,
    PartArrived,
    PartDeparted,
    PartReleased,
    ProgramChanged,
    SerialAssigned,
    SerialGranted,
    SerialRefused,
    SerialRequested,
    StatisticsReset,
    TagWritten,
    UsersChanged,
)
from cellwright.mes import moves, parts, serials
from cellwright.mes.event_records import EventContext, mended
from cellwright.mes.models import InboxPosition
from cellwright.mes.part_events import (
    on_inspection_completed,
    on_mark_authorised,
    on_mark_completed,
    on_part_released,
    on_serial_assigned,
)
from cellwright.mes.serials import Refusal, Reservation
from cellwright.mes.text import mend_key

ACTOR: Final = "mes"
"""Actor of the commands that answer a program."""


def position(session: Session, source: str) -> int:
    """Sequence of the last event consumed from that source; 0 when there is none."""
    found = session.scalar(
        select(InboxPosition.sequence).where(InboxPosition.source == mend_key(source))
    )
    return found or 0


def consume(session: Session, source: str, sequence: int, event: AnyEvent) -> list[Command]:
    """Take one event into the store and return the commands that answer it.

    ``source`` names the journal, ``sequence`` (from 1) is the event's place in it; an event at or
    before the stored position changes nothing, but a serial request is answered again. A journal
    that is begun anew needs a new name, or its events pass for old ones. Deliver the commands
    after the commit. Raises ValueError for a sequence below 1 and StoreError.
    """
    if sequence < 1:
        raise ValueError(f"journal sequences start at 1, not {sequence}")
    source = mend_key(source)
    event = mended(event)
    if not _advance(session, source, sequence):
        return _answer_again(session, event) if isinstance(event, SerialRequested) else []
    ctx = EventContext(session, source, sequence, event)
    if isinstance(event, SerialRequested):
        answer = serials.reserve(
            session, part_id=event.part_id, station=event.station, actor=event.task, at=ctx.at
        )
        return [_deliver(event, answer)]
    _record(ctx, event)
    session.flush()
    return []


def _advance(session: Session, source: str, sequence: int) -> bool:
    """Move the position to ``sequence``; False when it is there or beyond already."""
    moved = session.execute(
        text(
            "INSERT INTO inbox_position (source, sequence) VALUES (:source, :sequence) "
            "ON CONFLICT (source) DO UPDATE SET sequence = excluded.sequence "
            "WHERE inbox_position.sequence < excluded.sequence RETURNING sequence"
        ),
        {"source": source, "sequence": sequence},
    ).one_or_none()
    return moved is not None


def _answer_again(session: Session, event: SerialRequested) -> list[Command]:
    unit = parts.find(session, event.part_id)
    answer = serials.recall(unit) if unit is not None else None
    if answer is None:
        reason = unit.refusal if unit is not None else "this part is not known"
        answer = Refusal(event.part_id, reason)
    return [_deliver(event, answer)]


def _deliver(event: SerialRequested, answer: Reservation | Refusal) -> Command:
    body: SerialGranted | SerialRefused
    if isinstance(answer, Reservation):
        body = SerialGranted(
            part_id=answer.part_id,
            serial=answer.serial,
            order=answer.order,
            part_number=answer.part_number,
            revision=answer.revision,
            fields=answer.fields,
        )
    else:
        body = SerialRefused(part_id=answer.part_id, reason=answer.reason)
    return Deliver(actor=ACTOR, reason="answer to a serial request", task=event.task, body=body)


def _record(ctx: EventContext, event: AnyEvent) -> None:
    match event:
        case PartArrived() | PartDeparted():
            parts.find_or_add(ctx.session, event.part_id, ctx.at)
            ctx.audit("unit", event.part_id)
        case SerialAssigned():
            on_serial_assigned(ctx, event)
        case MarkAuthorised():
            on_mark_authorised(ctx, event)
        case MarkCompleted():
            on_mark_completed(ctx, event)
        case InspectionCompleted():
            on_inspection_completed(ctx, event)
        case PartReleased():
            on_part_released(ctx, event)
        case _:
            _record_cell(ctx, event)


def _record_cell(ctx: EventContext, event: AnyEvent) -> None:
    """What is about no part: people, states, faults."""
    match event:
        case ModeChanged():
            moves.record(
                ctx.session,
                ("cell", ctx.source),
                "mode_changed",
                event.old,
                event.new,
                actor=event.actor,
                reason=event.reason,
                at=ctx.at,
            )
            ctx.audit("cell", ctx.source, actor=event.actor, reason=event.reason)
        case TagWritten() | ForceChanged():
            ctx.audit("tag", event.tag, actor=event.actor, reason=event.reason)
        case StatisticsReset():
            ctx.audit("statistics", event.of or "all", actor=event.actor, reason=event.reason)
        case ProgramChanged():
            ctx.audit("program", mend_key(event.new), actor=event.actor, reason=event.reason)
        case FaultRaised():
            ctx.audit("cell", ctx.source, reason=event.text)
        case AlarmChanged():
            ctx.audit("alarm", event.alarm, actor=event.actor, reason=event.reason or event.text)
        case CommandRefused():
            ctx.audit("command", event.command, actor=event.actor, reason=event.why)
        case UsersChanged():
            ctx.audit("users", mend_key(event.source), reason=event.reason)
        case _:
            raise AssertionError(f"{type(event).__name__} is consumed elsewhere")
