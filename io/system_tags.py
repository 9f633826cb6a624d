"""The system tags: what the runtime tells every program and every client about itself.

The compiler appends them to each cell's tag table; the scan process writes them once a cycle.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from cellwright.io.iec import Code, TagType


class CellState(IntEnum):
    """Operating state of the cell, as ``sys.state`` shows it."""

    INIT = 0
    STOP = 1
    RUN = 2
    FAULT = 4


class SystemTag(msgspec.Struct, frozen=True):
    """Name, type, unit and meaning of one system tag."""

    name: str
    type: TagType
    unit: str
    description: str


_BOOL = TagType(Code.BOOL)
_ULINT = TagType(Code.ULINT)

SYSTEM_TAGS: Final[tuple[SystemTag, ...]] = (
    SystemTag(
        "sys.state", TagType(Code.INT), "", "Operating state: 0 INIT, 1 STOP, 2 RUN, 4 FAULT"
    ),
    SystemTag("sys.cycle", _ULINT, "", "Number of the cycle, counted from the start of the scan"),
    SystemTag("sys.elapsed", _ULINT, "", "Ticks since the start of the scan: cycle + skipped"),
    SystemTag("sys.skipped", _ULINT, "", "Ticks in which no cycle ran because one was late"),
    SystemTag("sys.first_scan", _BOOL, "", "TRUE in the first cycle after a change to RUN"),
    SystemTag("sys.clock_1s", _BOOL, "", "Changes every 0.5 s"),
    SystemTag("sys.clock_100ms", _BOOL, "", "Changes every 50 ms"),
    SystemTag("sys.load", TagType(Code.REAL), "%", "Part of the base interval that the scan uses"),
    SystemTag("sys.forces_active", _BOOL, "", "At least one tag is forced"),
    SystemTag("sys.first_fault", TagType(Code.STRING, 200), "", "First fault since the last reset"),
    SystemTag("sys.journal_ok", _BOOL, "", "The journal accepts and confirms events"),
    SystemTag("sys.gateway_alive", _BOOL, "", "The gateway process gives signs of life"),
    SystemTag("sys.degraded", TagType(Code.STRING, 200), "", "What this machine does not grant"),
)
