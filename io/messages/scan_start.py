"""What the supervisor leaves for a scan that it starts."""

from __future__ import annotations

from typing import Any

import msgspec


class ScanStart(msgspec.Struct, frozen=True):
    """What the supervisor tells a starting scan process beside the plan."""

    boot_id: str
    retained: dict[str, Any]
    """Tag name to value, as the retain store or the last image had them."""
    open_events: list[bytes]
    """Encoded events of the part in the cell, oldest first."""
    restarted: bool
    """True when this scan replaces one that died: then nothing starts by itself."""
    notes: list[str]
    simulated: bool = False
    """The scan runs in simulated time, without devices."""
    told_change: str = ""
    """Of the last event that told of a change of programs: which change (SHA-256)."""
