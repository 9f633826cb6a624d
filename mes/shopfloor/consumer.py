"""Consumes the journal: every event once, its effects and the position in one transaction.

The gateway calls `consume_batch` for the events in the order of the journal, inside
`Store.session`, and acknowledges the journal only after the commit. An event is a fact: what should
not have happened is recorded and marked in the audit as ``anomaly.*``, never refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cellwright.io.messages import (
    AccessAudited,
    AlarmChanged,
    AlarmCommented,
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
from cellwright.mes.audit import transitions
from cellwright.mes.kernel.scope import scope_of
from cellwright.mes.kernel.store import numbering
from cellwright.mes.kernel.text import mend_key
from cellwright.mes.shopfloor import parts, serials
from cellwright.mes.shopfloor.event_records import EventContext, mended
from cellwright.mes.shopfloor.part_events import (
    on_inspection_completed,
    on_mark_authorised,
    on_mark_completed,
    on_part_released,
    on_serial_assigned,
)
from cellwright.mes.shopfloor.serials import Refusal, Reservation
from cellwright.mes.shopfloor.tables import InboxPosition
from cellwright.mes.shopfloor.working_set import WorkingSet, working_set

ACTOR: Final = "mes"
"""Actor of the commands that answer a program."""


def position(session: Session, source: str) -> int:
    """Sequence of the last event consumed from that source; 0 when there is none."""
    found = session.scalar(
        select(InboxPosition.sequence).where(InboxPosition.source == mend_key(source))
    )
    return found or 0


def consume(session: Session, source: str, sequence: int, event: AnyEvent) -> list[Command]:
    """`consume_batch` of one event."""
    return consume_batch(session, source, [(sequence, event)])


def consume_batch(
    session: Session, source: str, events: Sequence[tuple[int, AnyEvent]]
) -> list[Command]:
    """Take neighbouring events into the store and return the commands that answer them.

    ``source`` names the journal; each event comes with its place in it (from 1). An event at or
    before the stored position changes nothing, but a serial request is answered again. A journal
    that is begun anew needs a new name, or its events pass for old ones. Deliver the commands
    after the commit. Raises ValueError for a sequence below 1 and StoreError.
    """
    source = mend_key(source)
    taken = [(sequence, mended(event)) for sequence, event in events]
    if not taken:
        return []
    if taken[0][0] < 1:
        raise ValueError(f"journal sequences start at 1, not {taken[0][0]}")
    work = working_set(session)
    known = position(session, source)
    answers: list[Command] = []
    with session.no_autoflush:
        _prefetch(work, [event for _, event in taken])
        for sequence, event in taken:
            if sequence <= known:
                if isinstance(event, SerialRequested):
                    answers += _answer_again(session, event)
                continue
            answers += _take(EventContext(session, source, sequence, event))
            known = sequence
        work.finish()
        numbering.number_new_rows(session)
        session.flush()
    _advance(session, source, known)
    return answers


def _prefetch(work: WorkingSet, events: list[AnyEvent]) -> None:
    work.requests = max(1, sum(isinstance(event, SerialRequested) for event in events))
    work.expect(
        [part for event in events if (part := getattr(event, "part_id", None)) is not None],
        [event.serial for event in events if isinstance(event, MarkAuthorised)],
    )


def _take(ctx: EventContext) -> list[Command]:
    event = ctx.event
    if isinstance(event, SerialRequested):
        answer = serials.reserve(
            ctx.session, part_id=event.part_id, station=event.station, actor=event.task, at=ctx.at
        )
        return [_deliver(event, answer)]
    _record(ctx, event)
    return []


def _advance(session: Session, source: str, sequence: int) -> None:
    """Move the position to ``sequence``, unless it is beyond already."""
    scope = scope_of(session)
    session.execute(
        text(
            "INSERT INTO inbox_position (tenant_id, site_id, source, sequence) "
            "VALUES (:tenant, :site, :source, :sequence) "
            "ON CONFLICT (tenant_id, source) DO UPDATE SET sequence = excluded.sequence "
            "WHERE inbox_position.sequence < excluded.sequence"
        ),
        {
            "tenant": scope.tenant_id,
            "site": scope.site_id,
            "source": source,
            "sequence": sequence,
        },
    )


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
            transitions.record(
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
        case AlarmCommented():
            ctx.audit("alarm", event.alarm, actor=event.actor, reason=event.text)
        case CommandRefused():
            ctx.audit("command", event.command, actor=event.actor, reason=event.why)
        case UsersChanged():
            ctx.audit("users", mend_key(event.source), reason=event.reason)
        case AccessAudited():
            client = mend_key(event.address or "unknown")
            ctx.audit("client", client, actor=event.actor, reason=event.reason)
        case _:
            raise AssertionError(f"{type(event).__name__} is consumed elsewhere")
