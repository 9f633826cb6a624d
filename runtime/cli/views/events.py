"""Events of the journal as plain data, as rows of a spreadsheet and as lines for people.

Makes text and data of what was read, judges nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from cellwright.io.journal.journal import CORRUPT, StoredRow
from cellwright.io.messages import (
    AccessAudited,
    AlarmChanged,
    AlarmCommented,
    AnyEvent,
    CommandRefused,
    FaultRaised,
    ForceChanged,
    InspectionCompleted,
    MarkAuthorised,
    MarkCompleted,
    MessageError,
    ModeChanged,
    PartArrived,
    PartDeparted,
    PartReleased,
    ProgramChanged,
    SerialAssigned,
    SerialRequested,
    StatisticsReset,
    TagWritten,
    UsersChanged,
    decode_event,
)
from cellwright.runtime.cli.views.words import shown

CSV_TITLES: Final = ("sequence", "time", "kind", "what", "who", "why", "task", "cycle")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Told(msgspec.Struct, frozen=True):
    """An event in words."""

    row: StoredRow
    event: AnyEvent | None
    """None of a row that holds none, because it was damaged or is of a later version."""
    what: str
    who: str
    why: str

    @property
    def kind(self) -> str:
        """As in the reference of events; ``corrupt`` of a row that holds none."""
        return CORRUPT if self.event is None else self.row.kind

    def data(self) -> dict[str, Any]:
        """All that the event says; ``time`` is ``utc_ns`` as ISO 8601, UTC.

        Numbers that JSON has no sign for are words: NaN, Infinity, -Infinity.
        """
        head = {
            "sequence": self.row.sequence,
            "time": utc_text(self.row.utc_ns),
            "kind": self.kind,
        }
        if self.event is None:
            return head | {"utc_ns": self.row.utc_ns, "error": self.why}
        return head | {name: _plain(v) for name, v in msgspec.structs.asdict(self.event).items()}

    def csv_row(self) -> tuple[object, ...]:
        """In the order of `CSV_TITLES`."""
        event = self.event
        told = ("", "") if event is None else (event.task, event.cycle)
        row = self.row
        return (
            row.sequence, utc_text(row.utc_ns), self.kind, self.what, self.who, self.why, *told
        )  # fmt: skip

    def cells(self) -> tuple[str, ...]:
        """Time, kind, what, who, why."""
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.row.utc_ns // 10**9))
        return at, self.kind, self.what, self.who, self.why


def tell(row: StoredRow) -> Told:
    """The row in words."""
    try:
        event = decode_event(row.payload)
    except MessageError as error:
        return Told(row, None, "a row that holds no event", "", str(error))
    why = getattr(event, "reason", "")
    if isinstance(event, CommandRefused):
        why = event.why
    elif isinstance(event, FaultRaised):
        why = event.text
    elif isinstance(event, MarkCompleted):
        why = event.detail
    elif isinstance(event, AlarmChanged):
        why = why or event.text
    elif isinstance(event, AlarmCommented):
        why = event.text
    return Told(row, event, _what(event), getattr(event, "actor", event.task), why)


def titles(rows: Iterable[Told]) -> tuple[str, ...]:
    """Heads of `Told.cells`; the zone of the times is told there once."""
    zones = dict.fromkeys(time.localtime(told.row.utc_ns // 10**9).tm_zone for told in rows)
    zone = "/".join(zones) or time.localtime().tm_zone
    return f"time ({zone})", "kind", "what", "who", "why"


def utc_text(utc_ns: int) -> str:
    """ISO 8601 in UTC, to the microsecond; ``...Z``."""
    at = _EPOCH + timedelta(microseconds=utc_ns // 1000)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _what(event: AnyEvent) -> str:
    match event:
        case ModeChanged():
            what = f"{event.old} -> {event.new}{f' ({event.request})' if event.request else ''}"
        case TagWritten():
            what = f"{event.tag}: {shown(event.old)} -> {shown(event.new)}"
        case ForceChanged(value=None):
            what = f"{event.tag or 'all forces'} released"
        case ForceChanged(value=value) if value is not None:
            what = f"{event.tag} = {shown(value)}"
        case StatisticsReset():
            what = event.of or "all"
        case ProgramChanged():
            back = "rolled back: " if event.rolled_back else ""
            what = back + ", ".join(event.files or event.tasks)
        case FaultRaised():
            what = f"{event.code} ({event.culprit})" if event.culprit else event.code
        case AlarmChanged():
            value = "" if event.value is None else f", at {shown(event.value)}"
            what = f"{event.alarm}: {event.old} -> {event.new}{value}"
        case AlarmCommented() | CommandRefused():
            what = event.alarm if isinstance(event, AlarmCommented) else event.command
        case UsersChanged():
            lists = (
                ("added", event.added), ("removed", event.removed), ("roles", event.roles),
                ("password of", event.passwords),
            )  # fmt: skip
            what = "; ".join(f"{word} {', '.join(names)}" for word, names in lists if names)
        case AccessAudited():
            parts = (event.step, event.user, event.subject, event.address, event.status)
            what = " ".join(part for part in parts if part)
            what += f" ({event.times} times)" if event.times > 1 else ""
        case _:
            what = _of_part(event)
    return what


def _of_part(event: AnyEvent) -> str:
    """The serial where there is one, for that is on the part; else the part's own id."""
    what = ""
    match event:
        case PartArrived() | PartDeparted():
            what = event.part_id
        case SerialRequested():
            what = f"{event.part_id} at {event.station}"
        case SerialAssigned():
            what = f"{event.part_id}: {event.serial}"
        case MarkAuthorised():
            what = f"{event.serial}: {event.content}"
        case MarkCompleted():
            what = f"{event.serial} {event.outcome}"
        case InspectionCompleted():
            what = f"{event.serial} {event.verdict}{f', read {event.read}' if event.read else ''}"
        case PartReleased():
            what = f"{event.serial or event.part_id} {event.verdict}"
    return what


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
