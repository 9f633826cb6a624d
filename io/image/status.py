"""What the processes say about themselves in the image: scan, journal, and the table of them all.

Each record has one writer; everybody reads. States and texts only, no decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum

from cellwright.io.image.areas import Area, Int64, Record, Text
from cellwright.io.image.areas import Flag as _Flag
from cellwright.io.plan import Plan


class ScanStatus(Record):
    """Written by the scan process only."""

    beat_ns = Int64()
    """Monotonic time of the last completed cycle; the global watchdog looks at it."""
    cycle = Int64()
    """Cycles completed since the scan process started."""
    state = Int64()
    """`cellwright.io.plan.system_tags.CellState`."""
    pid = Int64()
    started_ns = Int64()
    """Monotonic time at which the scan process began."""
    elapsed_ticks = Int64()
    run_ticks = Int64()
    skipped_ticks = Int64()
    base_ns = Int64()
    grid_ns = Int64()
    """Monotonic time of tick 0: tick n is due at ``grid_ns + n * base_ns``."""
    fault_code = Text(64)
    """Stable name of the first fault since the last reset; empty without one."""
    fault_text = Text(200)
    """The same for people."""
    degraded = Text(200)
    """What this machine does not grant (real-time class, locked memory, ...)."""


class JournalStatus(Record):
    """Written by the journal process only."""

    ok = _Flag()
    """Events are accepted and confirmed."""
    committed = Int64()
    """Events in the durable journal, written by this process since its start."""
    error = Text(200)
    """What is wrong; empty when all is well."""


class GatewayStatus(Record):
    """Written by the gateway process only."""

    database_ok = _Flag()
    """The database of the MES answered when it was last asked."""
    users_error = Text(500)
    """Why the users of the OPC UA server cannot be read; empty when they can."""


class SupervisorStatus(Record):
    """Written by the supervisor only."""

    utc_synchronised = _Flag()
    """The kernel's clock is disciplined by a time server."""


class _Supervised(Record):
    pid = Int64()
    restarts = Int64()
    state = Int64()
    started_ns = Int64()
    detail = Text(120)


class _Beat(Record):
    beat_ns = Int64()


class ProcessSlot:
    """One process: what the supervisor says about it, and its own sign of life."""

    def __init__(self, name: str, supervised: Area, beat: Area) -> None:
        self.name = name
        self._supervised = _Supervised(supervised)
        self._beat = _Beat(beat)

    @property
    def beat_ns(self) -> int:
        """Monotonic time of the process's last sign of life. The process itself writes it."""
        return self._beat.beat_ns

    @beat_ns.setter
    def beat_ns(self, now_ns: int) -> None:
        self._beat.beat_ns = now_ns

    @property
    def pid(self) -> int:
        """Process number, 0 when it does not run. The supervisor writes this and what follows."""
        return self._supervised.pid

    @pid.setter
    def pid(self, value: int) -> None:
        self._supervised.pid = value

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return self._supervised.restarts

    @restarts.setter
    def restarts(self, value: int) -> None:
        self._supervised.restarts = value

    @property
    def state(self) -> int:
        """The supervisor's state number for it."""
        return self._supervised.state

    @state.setter
    def state(self, value: int) -> None:
        self._supervised.state = value

    @property
    def started_ns(self) -> int:
        """Monotonic time of its last start."""
        return self._supervised.started_ns

    @started_ns.setter
    def started_ns(self, value: int) -> None:
        self._supervised.started_ns = value

    @property
    def detail(self) -> str:
        """Why it is in that state, for people."""
        return self._supervised.detail

    @detail.setter
    def detail(self, value: str) -> None:
        self._supervised.detail = value


def process_names(plan: Plan) -> list[str]:
    """``supervisor``, ``scan``, ``journal``, ``recorder``, ``gateway``, web, devices and workers.

    Theirs are ``web:<n>``, ``device:<name>`` and ``worker:<task>``. Markers and cameras have no
    process of their own: their worker talks to them.
    """
    return [
        "supervisor",
        "scan",
        "journal",
        "recorder",
        "gateway",
        *(f"web:{number}" for number in range(1, plan.web.workers + 1 if plan.web else 1)),
        *(f"device:{device.name}" for device in plan.devices if device.kind == "driver"),
        *(f"worker:{task.name}" for task in plan.tasks if task.worker),
    ]


class ProcessTable(Mapping[str, ProcessSlot]):
    """All processes of the cell, by name."""

    def __init__(self, slots: Mapping[str, ProcessSlot]) -> None:
        self._slots = dict(slots)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of start."""
        return tuple(self._slots)

    def __getitem__(self, name: str) -> ProcessSlot:
        return self._slots[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)


SUPERVISED_SIZE = _Supervised.size
"""Bytes of the supervisor's record of one process."""
BEAT_SIZE = _Beat.size
"""Bytes of a process's own record."""


class ProcessState(IntEnum):
    """What the process table shows."""

    STOPPED = 0
    RUNNING = 1
    WAITING = 2
    """Died; waits for its restart."""
    CRASH_LOOP = 3
    """Died over and over; waits for its restart with growing pauses."""
