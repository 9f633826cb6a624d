"""Events in the life of a part, from its arrival to its departure, and which of them are open."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from cellwright.io.messages.base import Event

E = TypeVar("E", bound=Event)


class PartArrived(Event, frozen=True, kw_only=True, tag="part_arrived"):
    """A part entered the cell. ``part_id`` is unique for ever: boot id and a number that no start
    sets back, such as the cycle."""

    part_id: str


class SerialRequested(Event, frozen=True, kw_only=True, tag="serial_requested"):
    """A station asks the MES for the next serial. Repeats carry the same ``part_id``."""

    part_id: str
    station: str


class SerialAssigned(Event, frozen=True, kw_only=True, tag="serial_assigned"):
    """The station has taken the granted serial for the part; nothing is on metal yet."""

    part_id: str
    station: str
    serial: str
    order: str
    part_number: str
    revision: str = ""
    fields: dict[str, str] = msgspec.field(default_factory=dict)


class MarkAuthorised(Event, frozen=True, kw_only=True, tag="mark_authorised"):
    """From here on metal may be marked: the serial is spent and is never marked again."""

    part_id: str
    station: str
    serial: str
    content: str
    """What the symbol is to hold."""
    device: str
    template: str


class MarkCompleted(Event, frozen=True, kw_only=True, tag="mark_completed"):
    """The marker's answer. ``outcome`` is ``acknowledged``, ``unknown`` or ``failed``."""

    part_id: str
    station: str
    serial: str
    outcome: str
    detail: str = ""
    duration_ms: float = 0.0


class InspectionCompleted(Event, frozen=True, kw_only=True, tag="inspection_completed"):
    """What the camera read, compared with what was ordered."""

    part_id: str
    station: str
    serial: str
    expected: str
    read: str
    """Decoded content; empty when nothing was read."""
    verdict: str
    """``ok``, ``not_ok`` or ``not_decidable``."""
    reason: str = ""
    unused_error_correction: float | None = None
    """UEC, 0 to 1 (ISO/IEC 15415); None when nothing was read."""
    module_errors: int | None = None
    duration_ms: float = 0.0
    frame: int = 0


class PartReleased(Event, frozen=True, kw_only=True, tag="part_released"):
    """The control program's decision; durable before the clamp opens. ``verdict`` good/rejected.

    ``serial`` is empty when the part left without one (for example a stuck clamp).
    """

    part_id: str
    serial: str
    verdict: str
    reason: str = ""
    recovered: bool = False
    """The part was in the cell when the scan restarted."""


class PartDeparted(Event, frozen=True, kw_only=True, tag="part_departed"):
    """The part has left the cell for good; what is known of it is complete.

    Durable before the next part is let in, so that a restart never takes a finished part that
    still lies in the clamp for a new one.
    """

    part_id: str


def keep_open(events: list[E], event: E) -> None:
    """Bring ``events``, those of the part in the cell, up to date with one that follows.

    They are the events with a part since the last part departed, each once. Of a station's requests
    for a serial the first stands for all: a blade may wait for work for days, and asks every few
    seconds.
    """
    if isinstance(event, PartDeparted):
        events.clear()
    elif hasattr(event, "part_id") and not any(_repeats(event, known) for known in events):
        events.append(event)


def _repeats(event: Event, known: Event) -> bool:
    if isinstance(event, SerialRequested) and isinstance(known, SerialRequested):
        return event.part_id == known.part_id
    return event == known
