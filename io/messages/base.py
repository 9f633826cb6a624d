"""What every message of the rings has."""

from __future__ import annotations

from typing import Final

import msgspec

OWN_TASK: Final = "runtime"
"""Task name in events that the scan itself emits."""


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Common base; ``type`` in the encoded map tells the subclasses apart."""


class Command(Message, frozen=True, kw_only=True):
    """A request to the scan. ``actor`` and ``reason`` land in the audit."""

    actor: str
    """Who asks: user name, or the process name for the runtime's own commands."""
    reason: str = ""
    remote: bool = False
    """It came over the network; the keyswitch may forbid it."""


class Event(Message, frozen=True, kw_only=True):
    """Something that happened. Durable in the journal before anyone acts on it.

    ``utc_ns`` is wall-clock time for people; ``cycle`` is the scan's cycle number (0 from workers).
    """

    task: str
    utc_ns: int
    cycle: int = 0
