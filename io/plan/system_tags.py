"""The system tags: what the runtime tells every program and every client about itself.

The compiler appends them to each cell's tag table; the scan process writes them once a cycle.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from cellwright.io.plan.iec import Code, TagType


class CellState(IntEnum):
    """Operating state of the cell, as ``sys.state`` shows it."""

    INIT = 0
    STOP = 1
    RUN = 2
    PAUSE = 3
    FAULT = 4


class KeyPosition(IntEnum):
    """Where the keyswitch stands, as ``sys.mode`` shows it."""

    STOP = 0
    RUN = 1
    REMOTE = 2
    UNKNOWN = 3
    """The tag that it is read from has no usable value."""


class SystemTag(msgspec.Struct, frozen=True):
    """Name, type, unit and meaning of one system tag."""

    name: str
    type: TagType
    unit: str
    description: str
    retain: bool = False


_BOOL = TagType(Code.BOOL)
_UINT = TagType(Code.UINT)
_ULINT = TagType(Code.ULINT)

SYSTEM_TAGS: Final[tuple[SystemTag, ...]] = (
    SystemTag(
        "sys.state",
        TagType(Code.INT),
        "",
        "Operating state: 0 INIT, 1 STOP, 2 RUN, 3 PAUSE, 4 FAULT",
    ),
    SystemTag(
        "sys.mode", TagType(Code.INT), "", "Keyswitch: 0 STOP, 1 RUN, 2 REMOTE, 3 not readable"
    ),
    SystemTag("sys.cycle", _ULINT, "", "Number of the cycle, counted from the start of the scan"),
    SystemTag("sys.elapsed", _ULINT, "", "Ticks since the start of the scan: cycle + skipped"),
    SystemTag("sys.skipped", _ULINT, "", "Ticks in which no cycle ran because one was late"),
    SystemTag("sys.first_scan", _BOOL, "", "TRUE in the first cycle after a change to RUN"),
    SystemTag("sys.last_scan", _BOOL, "", "TRUE in the cycle that leaves RUN in order"),
    SystemTag("sys.clock_1s", _BOOL, "", "Changes every 0.5 s"),
    SystemTag("sys.clock_100ms", _BOOL, "", "Changes every 50 ms"),
    SystemTag("sys.load", TagType(Code.REAL), "%", "Part of the base interval that the scan uses"),
    SystemTag("sys.forces_active", _BOOL, "", "At least one tag is forced"),
    SystemTag("sys.first_fault", TagType(Code.STRING, 200), "", "First fault since the last reset"),
    SystemTag("sys.first_fault_code", TagType(Code.STRING, 64), "", "Stable name of that fault"),
    SystemTag("sys.first_fault_task", TagType(Code.STRING, 64), "", "Task or device at fault"),
    SystemTag(
        "sys.first_fault_utc", _ULINT, "", "When it was, in nanoseconds since 1970-01-01 UTC"
    ),
    SystemTag("sys.journal_ok", _BOOL, "", "The journal accepts and confirms events"),
    SystemTag("sys.gateway_alive", _BOOL, "", "The gateway process is alive"),
    SystemTag("sys.database_alive", _BOOL, "", "The database of the MES answers"),
    SystemTag("sys.simulation", _BOOL, "", "The cell runs in simulated time, without devices"),
    SystemTag(
        "sys.utc", _ULINT, "", "Wall clock, whole seconds, in nanoseconds since 1970-01-01 UTC"
    ),
    SystemTag(
        "sys.utc_synchronised", _BOOL, "", "The wall clock is kept by a time server (NTP, PTP)"
    ),
    SystemTag("sys.degraded", TagType(Code.STRING, 200), "", "What this machine does not grant"),
    SystemTag("sys.alarms_active", _UINT, "", "Alarms whose condition holds"),
    SystemTag("sys.alarms_unacknowledged", _UINT, "", "Alarms that wait for acknowledgement"),
    SystemTag("sys.alarms_shelved", _UINT, "", "Alarms that an operator has shelved"),
    SystemTag(
        "sys.alarm_first_out",
        TagType(Code.STRING, 64),
        "",
        "The alarm that came first since the cell had none",
        retain=True,
    ),
)
