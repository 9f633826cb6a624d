"""The fault campaign: ``make chaos`` (``N=1000 SEED=... ARGS='--hogs 4'``).

Makes faults at random moments of a running cell, asks the plant's log how long every output took
to its declared safe value, and prints a line for each kind. Exit code 1 when an injection outside
of stalls of the machine itself took longer than 50 ms or the cell did what it must not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from chaos.chaos_tools import StallMonitor, steal_ms, within
from chaos.fault_bench import SAFE, FaultBench
from chaos.fault_kinds import KINDS, Fault, Kind

LIMIT_MS = 50.0
TOGGLE_MS = 100.0
TOGGLE_LIMIT_MS = 30.0
"""Longest deviation of the program's 100 ms timer, seen at the plant: three cycles."""
SCAN_RESTARTS = {"scan killed", "scan stopped", "endless loop", "supervisor killed"}
"""Kinds after which there may be another scan process."""
MARGIN_NS = 20_000_000
"""A stall just before a fault delays what follows, too."""


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault and what became of it."""

    kind: str
    at_ns: int
    took_ms: float
    """Until every output was safe; or the longest gap of the heartbeat where nothing may happen."""
    timer_ms: float
    """Largest deviation of the program's timer where nothing may happen."""
    stalled: bool
    wrong: str
    spent_s: float
    """With the waiting for what must follow, without the way back to RUN."""
    late: bool
    """The cell was stopped by one of its watchdogs of time before the fault could do its work."""

    @property
    def missed(self) -> bool:
        """Not as it must be, whatever the reason."""
        return bool(self.wrong) or self.took_ms > LIMIT_MS or self.timer_ms > TOGGLE_LIMIT_MS


class Campaign:
    """Injections into one cell."""

    def __init__(self, cell: FaultBench, monitor: StallMonitor, seed: int) -> None:
        self._cell = cell
        self._monitor = monitor
        self._chance = random.Random(seed)
        self.done: list[Injection] = []

    def shuffle(self, kinds: list[Kind]) -> None:
        """Put them into random order."""
        self._chance.shuffle(kinds)

    def run(self, kinds: list[Kind]) -> Iterator[Injection]:
        """Make one fault after the other; the cell is in RUN at the beginning and at the end."""
        for kind in kinds:
            self._cell.recover()
            time.sleep(self._chance.uniform(0.02, 0.25))
            yield self._inject(kind)
        self._cell.recover()

    def _inject(self, kind: Kind) -> Injection:
        wrong, late = "", False
        begin_ns = time.monotonic_ns()
        restarts = self._cell.image.processes["scan"].restarts
        try:
            fault = kind.make(self._cell, self._chance)
        except AssertionError as error:
            wrong = str(error).partition("\n")[0]
            late = self._cell.was_late
            if kind.name not in SCAN_RESTARTS:
                # The supervisor took it for hanging: it got no time for a whole second.
                late |= self._cell.image.processes["scan"].restarts != restarts
            fault = Fault(begin_ns, time.monotonic_ns())
        spent_s = (time.monotonic_ns() - begin_ns) / 1e9
        took, timer = self._safe_after(fault), 0.0
        if not kind.safe:
            took, timer = self._longest_gap(fault), self._timer_deviation(fault)
        end_ns = fault.at_ns + max(int(took * 1e6), int(LIMIT_MS * 1e6))
        if not kind.safe:
            end_ns = fault.until_ns
        stalls = within(self._monitor.stalls(), fault.at_ns - MARGIN_NS, end_ns)
        done = Injection(kind.name, fault.at_ns, took, timer, bool(stalls), wrong, spent_s, late)
        self.done.append(done)
        return done

    def _safe_after(self, fault: Fault) -> float:
        """To the last change that brought an output to its safe value, ms; 0: all were safe."""
        self._cell.tail.look()
        times = [
            at for at, name, _ in self._cell.tail.changes
            if fault.at_ns <= at <= fault.until_ns and name in SAFE
        ]  # fmt: skip
        return (max(times) - fault.at_ns) / 1e6 if times else 0.0

    def _longest_gap(self, fault: Fault) -> float:
        gaps = [
            beat.gap_ns for beat in self._cell.tail.beats
            if fault.at_ns <= beat.mono_ns and beat.mono_ns - beat.gap_ns <= fault.until_ns
        ]  # fmt: skip
        return max(gaps, default=fault.until_ns - fault.at_ns) / 1e6

    def _timer_deviation(self, fault: Fault) -> float:
        """The program's timer toggles an output every 100 ms of scan time."""
        toggles = [
            at for at, name, _ in self._cell.tail.changes
            if name == "eject_reject" and at >= fault.at_ns - int(TOGGLE_MS * 1e6)
        ]  # fmt: skip
        periods = [(b - a) / 1e6 for a, b in itertools.pairwise(toggles)]
        # The timer is asked once a cycle and started again in the next one.
        return max((abs(p - TOGGLE_MS - 10.0) for p in periods), default=0.0)


def plan(count: int, chance: random.Random) -> list[Kind]:
    """So many faults in random order, each kind by its weight and at least once."""
    total = sum(kind.weight for kind in KINDS)
    chosen = [kind for kind in KINDS for _ in range(max(1, count * kind.weight // total))]
    while len(chosen) < count:
        chosen.append(chance.choice(KINDS))
    chance.shuffle(chosen)
    return chosen


def report(done: list[Injection], console: Console) -> None:
    """The table, a line a kind."""
    table = Table("fault", "n", "p50 ms", "p99 ms", "worst ms", "misses", "stalled", "missed there")
    for kind in KINDS:
        mine = [one for one in done if one.kind == kind.name]
        calm = sorted(one.took_ms for one in mine if not one.stalled)
        if not mine:
            continue
        row = [f"{calm[int(len(calm) * q)]:.1f}" if calm else "-" for q in (0.5, 0.99)]
        row.append(f"{calm[-1]:.1f}" if calm else "-")
        missed = sum(one.missed for one in mine if not one.stalled)
        stalled = [one for one in mine if one.stalled]
        there = sum(one.missed for one in stalled)
        table.add_row(kind.name, str(len(mine)), *row, str(missed), str(len(stalled)), str(there))
    console.print(table)


def report_misses(done: list[Injection], console: Console) -> None:
    """Every miss, with what is known of it."""
    for one in done:
        if one.missed:
            where = "machine stalled" if one.stalled else "MISS"
            console.print(
                f"{where}: {one.kind} at {one.at_ns}: {one.took_ms:.1f} ms, "
                f"timer {one.timer_ms:.1f} ms {one.wrong}",
                markup=False, soft_wrap=True,
            )  # fmt: skip


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """So many processes that take all the processor they can get."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def main() -> int:
    """Run a campaign and print it; 0 when every injection outside of stalls was in time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1000, help="injections")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--hogs", type=int, default=0, help="busy processes beside the cell")
    parser.add_argument("--no-realtime", action="store_true", help="cell without real-time class")
    parser.add_argument("--device-ms", type=int, default=35, help="time of the coupler's watchdog")
    parser.add_argument("--only", action="append", help="only this kind; may be repeated")
    parser.add_argument("--keep", type=Path, help="folder for the cell and the injections")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=110)
    chance = random.Random(seed)
    kinds = plan(given.n, chance)
    if given.only:
        wanted = [kind for kind in KINDS if kind.name in given.only]
        kinds = [wanted[n % len(wanted)] for n in range(given.n)]
    console.print(f"seed {seed}, {len(kinds)} injections, cell in {folder}")
    stolen, begin = steal_ms(), time.monotonic()

    def edit(cell: Any) -> None:
        cell["devices"]["remote_io"]["watchdog"]["time_ms"] = given.device_ms

    with (
        StallMonitor(folder) as monitor,
        FaultBench(folder / "cell", realtime=not given.no_realtime, edit=edit) as cell,
        hogs(given.hogs),
        (folder / "injections.jsonl").open("w", encoding="utf-8", buffering=1) as notes,
    ):
        campaign = Campaign(cell, monitor, seed)
        try:
            for number, one in enumerate(campaign.run(kinds), 1):
                notes.write(json.dumps(asdict(one)) + "\n")
                if one.missed or number % 50 == 0:
                    late = f" {one.kind} {one.took_ms:.1f} ms {one.wrong}" if one.missed else ""
                    passed = time.monotonic() - begin
                    console.print(f"{number}/{len(kinds)} {passed:.0f} s{late}", markup=False)
        except KeyboardInterrupt:
            console.print("interrupted; what was done so far:")
        stalls = monitor.stalls()
        urgent = monitor.urgent
        degraded = cell.image.scan.degraded
    report(campaign.done, console)
    report_misses(campaign.done, console)
    longest = max((s.end_ns - s.begin_ns for s in stalls), default=0) / 1e6
    console.print(
        f"{len(campaign.done)} injections in {time.monotonic() - begin:.0f} s; the machine stood "
        f"still {len(stalls)} times for more than 10 ms, longest {longest:.1f} ms (monitor "
        f"{'SCHED_FIFO 99' if urgent else 'WITHOUT real-time class'}); "
        f"steal {steal_ms() - stolen} ms; scan lacks: {degraded or 'nothing'}"
    )
    if given.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    return int(any(one.missed and not one.stalled for one in campaign.done))


if __name__ == "__main__":
    with suppress(AttributeError):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.setdefault("COLUMNS", "110")
    sys.exit(main())
