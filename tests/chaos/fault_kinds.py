"""The kinds of faults: how each is made, what must follow, and how the cell is brought back.

Each kind is a function that makes the fault, waits for what must follow and returns when it
happened; the campaign then asks the plant's log how long the outputs took. What must follow is in
the table `KINDS`, one line a kind.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from cellwright.io.plan import CellState
from cellwright.runtime.supervision.crash_loops import BACKOFF_LAST_S
from chaos.chaos_tools import HERE, HOUR_S
from chaos.fault_bench import FaultBench

sys.path.insert(0, str(HERE / "fault_cell"))

from faulty import EAT, LOOP, PING, RAISE

SETTLE_S = 10.0
"""Patience for what must follow; the verdict is the time in the plant's log, not this."""
LINGER_S = 0.1
"""How long the outputs are watched after they were safe: none may come back by itself."""
RESTART_S = BACKOFF_LAST_S + 15.0
"""Patience for a process that is started again, the longest pause of a crash loop included."""
WATCHED_S = 0.4
"""Window in which nothing may happen after a fault that must not stop the cell."""


class WrongError(AssertionError):
    """The cell did something else than it must after this fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One that was made."""

    at_ns: int
    """CLOCK_MONOTONIC; when it took effect, or earlier where that cannot be told exactly."""
    until_ns: int
    """End of the window in which the outputs were watched."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table."""

    name: str
    make: Callable[[FaultBench, random.Random], Fault]
    safe: bool
    """True: every output falls to its safe value. False: outputs and beat go on as if nothing."""
    weight: int
    """Share of a campaign."""
    must: str


def _settled(cell: FaultBench, at_ns: int, *, states: tuple[CellState, ...]) -> Fault:
    """Wait for safe outputs, watch them, and see that the cell has left RUN and stays out of it."""
    cell.until(lambda: cell.is_safe, "every output at its safe value", SETTLE_S)
    time.sleep(LINGER_S)
    cell.until(lambda: cell.state in states, f"one of {[s.name for s in states]}", SETTLE_S)
    if not cell.is_safe:
        raise WrongError(f"outputs came back by themselves: {cell.tail.coils}")
    return Fault(at_ns, time.monotonic_ns())


def _signal(cell: FaultBench, process: str, number: int) -> tuple[int, int]:
    pid = cell.until(lambda: cell.pid(process), f"{process} runs")
    at_ns = time.monotonic_ns()
    os.kill(pid, number)
    return pid, at_ns


def _signal_again(pid: int, number: int) -> None:
    """To a process that may be gone by now; never to a group (pid 0)."""
    if pid > 1:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def scan_killed(cell: FaultBench, chance: random.Random) -> Fault:
    """SIGKILL of the scan."""
    _, at_ns = _signal(cell, "scan", signal.SIGKILL)
    return _settled(cell, at_ns, states=(CellState.STOP,))


def scan_stopped(cell: FaultBench, chance: random.Random) -> Fault:
    """SIGSTOP of the scan; it goes on later, or the supervisor finds that it hangs."""
    pid, at_ns = _signal(cell, "scan", signal.SIGSTOP)
    cell.until(lambda: cell.is_safe, "every output at its safe value", SETTLE_S)
    if chance.random() < 0.75:
        time.sleep(chance.uniform(0.0, 0.2))
        _signal_again(pid, signal.SIGCONT)
    # FAULT where it went on and saw that it had lost its outputs, STOP where it was killed before.
    return _settled(cell, at_ns, states=(CellState.FAULT, CellState.STOP))


def task_loops(cell: FaultBench, chance: random.Random) -> Fault:
    """An endless loop in a task: measured from the start of the cycle that does not end."""
    scan = cell.image.scan
    pid = cell.pid("scan")
    cell.post(LOOP)
    cell.until(lambda: time.monotonic_ns() - scan.beat_ns > 25_000_000, "the scan hangs", SETTLE_S)
    at_ns = scan.beat_ns
    cell.until(lambda: cell.is_safe, "every output at its safe value", SETTLE_S)
    if chance.random() < 0.75:  # the rest of them waits for the supervisor
        _signal_again(pid, signal.SIGKILL)
    return _settled(cell, at_ns, states=(CellState.STOP,))


def task_raises(cell: FaultBench, chance: random.Random) -> Fault:
    """An exception in a task: measured from the order to raise, a cycle before at most."""
    at_ns = cell.post(RAISE)
    fault = _settled(cell, at_ns, states=(CellState.FAULT,))
    if cell.image.scan.fault_code != "task_exception":
        raise WrongError(f"the fault is '{cell.image.scan.fault_code}'")
    return fault


def worker_out_of_memory(cell: FaultBench, chance: random.Random) -> Fault:
    """The worker gets no more memory, or is killed for its hunger; its scan goes on."""
    worker = cell.until(lambda: cell.pid("worker:faults"), "a worker", 30)
    restarts = cell.image.processes["worker:faults"].restarts
    answers, refused = cell.values("faults.answers", "faults.refused")
    killed = chance.random() < 0.5
    if not killed:
        have = int(Path(f"/proc/{worker}/statm").read_text().split()[0]) * resource.getpagesize()
        limit = have + 100_000_000
        resource.prlimit(worker, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    at_ns = cell.post(EAT)
    if killed:
        time.sleep(chance.uniform(0.02, 0.1))
        _signal_again(
            worker, signal.SIGKILL
        )  # as the kernel does when the machine has no memory left
    cell.until(lambda: cell.value("faults.refused") > refused, "the program is told", SETTLE_S)
    fault = _unmoved(cell, at_ns)
    if killed:
        cell.until(
            lambda: cell.image.processes["worker:faults"].restarts > restarts,
            "a new one",
            RESTART_S,
        )
        slot = cell.image.processes["worker:faults"]
        cell.until(lambda: slot.pid and slot.beat_ns > at_ns, "a new worker", RESTART_S)
    else:
        endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        with suppress(ProcessLookupError):
            resource.prlimit(worker, resource.RLIMIT_AS, endless)
    cell.post(PING)
    cell.until(lambda: cell.value("faults.answers") > answers, "the worker works again", RESTART_S)
    cell.post(0)
    return fault


def disk_full(cell: FaultBench, chance: random.Random) -> Fault:
    """No new byte goes to the disk, neither the journal's nor the recorder's."""
    pids = [cell.pid("journal"), cell.pid("recorder")]
    endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    at_ns = time.monotonic_ns()
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (32, resource.RLIM_INFINITY))
    try:
        return _settled(cell, at_ns, states=(CellState.FAULT,))
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, endless)


def journal_locked(cell: FaultBench, chance: random.Random) -> Fault:
    """Another connection holds SQLite's write lock."""
    with closing(sqlite3.connect(cell.data / "journal.db", isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 5000")
        other.execute("BEGIN IMMEDIATE")
        at_ns = time.monotonic_ns()
        try:
            return _settled(cell, at_ns, states=(CellState.FAULT,))
        finally:
            other.execute("ROLLBACK")


def clock_jumps(cell: FaultBench, chance: random.Random) -> Fault:
    """The wall clock of all processes of the cell jumps by one or two hours."""
    at_ns = time.monotonic_ns()
    cell.clock.set(chance.choice([s for s in (-HOUR_S, 0, HOUR_S) if s != cell.clock.seconds]))
    return _unmoved(cell, at_ns)


def driver_killed(cell: FaultBench, chance: random.Random) -> Fault:
    """SIGKILL of the driver: the device's own watchdog."""
    _, at_ns = _signal(cell, "device:remote_io", signal.SIGKILL)
    return _settled(cell, at_ns, states=(CellState.FAULT,))


def driver_stopped(cell: FaultBench, chance: random.Random) -> Fault:
    """SIGSTOP of the driver; it goes on later, or the supervisor finds that it hangs."""
    pid, at_ns = _signal(cell, "device:remote_io", signal.SIGSTOP)
    cell.until(lambda: cell.is_safe, "every output at its safe value", SETTLE_S)
    if chance.random() < 0.75:
        time.sleep(chance.uniform(0.0, 0.3))
        _signal_again(pid, signal.SIGCONT)
    return _settled(cell, at_ns, states=(CellState.FAULT,))


def supervisor_killed(cell: FaultBench, chance: random.Random) -> Fault:
    """SIGKILL of the supervisor: drivers make their outputs safe, and all orphans end."""
    orphans = [slot.pid for name, slot in cell.image.processes.items() if slot.pid]
    at_ns = time.monotonic_ns()
    os.kill(cell.supervisor_pid, signal.SIGKILL)
    cell.until(lambda: cell.is_safe, "every output at its safe value", SETTLE_S)
    cell.reap()
    cell.until(lambda: not any(map(_lives, orphans)), "all orphans end", 30)
    if not cell.is_safe:
        raise WrongError(f"outputs came back by themselves: {cell.tail.coils}")
    fault = Fault(at_ns, time.monotonic_ns())
    cell.relaunch()
    time.sleep(LINGER_S)
    if cell.state is CellState.RUN:
        raise WrongError("the cell went to RUN by itself after its supervisor was killed")
    return fault


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return not stat.rpartition(") ")[2].startswith("Z")


def _unmoved(cell: FaultBench, at_ns: int) -> Fault:
    while time.monotonic_ns() < at_ns + int(WATCHED_S * 1e9):
        time.sleep(0.02)
        if not cell.is_steady:
            raise WrongError(f"the cell did not go on: {cell.state.name}, {cell.tail.coils}")
    return Fault(at_ns, time.monotonic_ns())


KINDS = (
    Kind("scan killed", scan_killed, True, 13, "safe; waits in STOP for an operator"),
    Kind("scan stopped", scan_stopped, True, 12, "safe; FAULT when it goes on, STOP if not"),
    Kind("endless loop", task_loops, True, 10, "safe; waits in STOP for an operator"),
    Kind("exception", task_raises, True, 14, "safe; FAULT"),
    Kind("worker memory", worker_out_of_memory, False, 8, "program is told; nothing else"),
    Kind("disk full", disk_full, True, 7, "safe; FAULT"),
    Kind("journal locked", journal_locked, True, 7, "safe; FAULT"),
    Kind("clock +-1 h", clock_jumps, False, 10, "nothing"),
    Kind("driver killed", driver_killed, True, 7, "safe by the device's watchdog; FAULT"),
    Kind("driver stopped", driver_stopped, True, 7, "safe by the device's watchdog; FAULT"),
    Kind("supervisor killed", supervisor_killed, True, 5, "safe; orphans end; waits in STOP"),
)
"""What the campaign draws from."""
