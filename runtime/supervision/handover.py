"""What a dead scan left on its ring and in the journal, as far as its successor must know it.

The supervisor looks before it starts a scan process. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cellwright.io.journal.journal import JournalReader
from cellwright.io.messages import (
    AnyEvent,
    MessageError,
    PartDeparted,
    ProgramChanged,
    decode_event,
    keep_open,
)


def open_events(journal: JournalReader, pending: Sequence[bytes] = ()) -> list[AnyEvent]:
    """Events of the part in the cell: those with a part since the last one departed.

    ``pending`` are encoded events that follow in order; some of them may be in the journal too.
    """
    events: list[AnyEvent] = []
    for event in (*journal.since_last(PartDeparted), *_readable(pending)):
        keep_open(events, event)
    return events


def emitted_change(journal: JournalReader, pending: Sequence[bytes]) -> str:
    """The change of the newest `ProgramChanged` (its SHA-256); empty without one."""
    last = journal.last(ProgramChanged)
    for event in _readable(pending):
        if isinstance(event, ProgramChanged):
            last = event
    return last.change if isinstance(last, ProgramChanged) else ""


def _readable(pending: Sequence[bytes]) -> Iterator[AnyEvent]:
    for data in pending:
        try:
            yield decode_event(data)
        except MessageError:
            continue  # the journal records that it was damaged
