"""What the scan asks of the machine, and a sentence for each thing that it does not get.

Nothing here stops a cell: a machine that grants less runs degraded and says so in ``status`` and
in the tag ``sys.degraded``.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import Final

from cellwright.io.plan import ScanSettings
from cellwright.native import lib

DMA_LATENCY: Final = "/dev/cpu_dma_latency"
DRIVER_BELOW_SCAN: Final = 20
"""How much less urgent than the scan a driver is."""
SUPERVISOR_BELOW_SCAN: Final = 30
"""How much less urgent than the scan the supervisor is: below the drivers, too."""
JOURNAL_NICE: Final = -15
"""The journal process among those without a real-time class."""


def acquire(priority: int, core: int) -> list[str]:
    """Ask for SCHED_FIFO, locked memory and a core of its own; return what was refused."""
    lacking = []
    if core >= 0:
        error = lib.cw_pin(core)
        if error:
            lacking.append(f"not pinned to core {core} ({os.strerror(error)})")
    error = lib.cw_lock_memory()
    if error:
        lacking.append(f"memory not locked ({os.strerror(error)})")
    if priority > 0:
        error = lib.cw_schedule_fifo(priority)
        if error:
            lacking.append(f"no SCHED_FIFO {priority} ({os.strerror(error)})")
    else:
        lacking.append("no real-time priority configured")
    return lacking


def stay_awake() -> tuple[int, list[str]]:
    """Let no core sleep while the returned file descriptor is open; and what was refused.

    The kernel's PM QoS interface: a latency of 0 us bars every idle state that takes time to leave.
    """
    try:
        handle = os.open(DMA_LATENCY, os.O_WRONLY | os.O_CLOEXEC)
        os.write(handle, struct.pack("i", 0))
    except OSError as error:
        return -1, [f"cores may sleep between cycles ({error.strerror})"]
    return handle, []


def leave_core(core: int) -> None:
    """Take every thread of this process off the scan's core; nothing where that is the only one.

    Called when a process has started: until then the cell does not depend on the scan's beat, and
    a start that has all cores is shorter.
    """
    others = os.sched_getaffinity(0) - {core}
    if core < 0 or not others:
        return
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), others)


def acquire_for_driver(scan: ScanSettings) -> list[str]:
    """The same for a driver process: less urgent than the scan, and off its core.

    A driver enforces the safe state, so it must run when the rest of the machine is busy.
    """
    lacking = []
    leave_core(scan.core)
    if scan.priority > 1:
        error = lib.cw_schedule_fifo(max(1, scan.priority - DRIVER_BELOW_SCAN))
        if error:
            lacking.append(f"no real-time priority ({os.strerror(error)})")
    return lacking


def acquire_for_journal(scan: ScanSettings) -> list[str]:
    """Before ordinary work, for the journal process, and off the scan's core.

    The scan learns from it that the disk takes no more events, and that is a reason for the safe
    state. A nice value and no real-time class: a large save of retained values may last longer
    than a driver can wait.
    """
    leave_core(scan.core)
    if scan.priority <= 0:
        return []
    try:
        os.setpriority(os.PRIO_PROCESS, 0, JOURNAL_NICE)
    except OSError as error:
        return [f"no nice value of {JOURNAL_NICE} ({error.strerror})"]
    return []


def acquire_for_supervisor(scan: ScanSettings) -> list[str]:
    """A real-time class for the supervisor itself; what it starts begins without one.

    Drivers take the outputs away when it is gone, and a killed process is gone only once it has
    got the processor to end: on a busy machine that alone takes tens of milliseconds.
    """
    if scan.priority <= 1:
        return []
    priority = max(1, scan.priority - SUPERVISOR_BELOW_SCAN)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return [f"no real-time priority ({error.strerror})"]
    return []
