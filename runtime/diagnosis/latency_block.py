"""One block of ``cellwright latency``, in a process of its own: a bare wait loop, or the real scan.

The parent (the module `latency`) starts it with a run folder that holds a plan and reads its answer
from stdout. The scan block is the scan process's own loop on the scan's own classes; journal and
devices are played in the slack after a cycle, so that nothing runs beside it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
from pydantic import ConfigDict

from cellwright.io.image import SCAN, DevicePort, Image, Statistics
from cellwright.io.messages import SetMode, encode
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import Plan, quality
from cellwright.io.timing.clock import MonotonicClock
from cellwright.native import ffi, lib
from cellwright.runtime.cell.membership import Membership
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.programs.resolve import resolve
from cellwright.runtime.realtime.grants import acquire
from cellwright.runtime.recorder.recorder import ScanRecorder
from cellwright.runtime.scan.beat import Beat
from cellwright.runtime.scan.cycle import Scan
from cellwright.runtime.scan.execution.schedule import next_tick
from cellwright.runtime.scan.garbage import Garbage
from cellwright.tasks.api import Program, ProgramOptions, ScanContext

BOOT_ID: Final = "00000000"
WARM_UP_S: Final = 0.2
"""Left out of each block: caches, and the branch from STOP to RUN."""
SURROUNDINGS_NS: Final = 50_000_000
"""How often journal and devices give their sign of life."""


class Block(msgspec.Struct, frozen=True):
    """What one block measured; times in nanoseconds, in the order in which they came."""

    late_ns: list[int]
    """Start after the instant that was asked for."""
    cost_ns: list[int]
    """Duration of a cycle; empty for the bare loop."""
    skipped: int
    """Ticks in which no cycle ran because one was late."""
    state: str
    """Operating state at the end; empty for the bare loop."""
    trouble: str
    """Why it is not RUN."""
    lacking: list[str]
    """What the process was refused, one sentence each."""


class IdleOptions(ProgramOptions):
    """Takes what the program in whose place it stands would take."""

    model_config = ConfigDict(extra="ignore")


class Idle(Program[IdleOptions]):
    """Does nothing: what is left of a cycle is the runtime."""

    Options: ClassVar[type[ProgramOptions]] = IdleOptions

    def scan(self, ctx: ScanContext) -> None:
        """Nothing."""


class Recording(Statistics):
    """The image's statistics, that also keep each cycle's figures."""

    def keep(self, warm_up: int, cycles: int) -> None:
        """Make room for ``cycles`` after the first ``warm_up`` ones."""
        self.seen = -warm_up
        self.late = array("q", bytes(8 * cycles))
        self.cost = array("q", bytes(8 * cycles))

    @property
    def full(self) -> bool:
        """Everything asked for was kept."""
        return self.seen >= len(self.late)

    def record(  # noqa: PLR0917
        self,
        index: int,
        jitter_ns: int,
        execution_ns: int,
        overruns: int = 0,
        skips: int = 0,
        watchdog_hits: int = 0,
    ) -> None:
        """Count as ever, and keep the scan's own figures."""
        super().record(index, jitter_ns, execution_ns, overruns, skips, watchdog_hits)
        if index == SCAN:
            if 0 <= self.seen < len(self.late):
                self.late[self.seen] = jitter_ns
                self.cost[self.seen] = execution_ns
            self.seen += 1


@dataclass
class Bench(Membership):
    """The scan's place in a cell that nobody else runs; ends when enough was recorded."""

    recording: Recording
    until_ns: int
    ports: list[DevicePort] = field(default_factory=list)
    due_ns: int = 0

    def should_stop(self) -> bool:
        """Asked by the scan's loop in the slack of each cycle."""
        now_ns = self.clock.now_ns()
        if now_ns >= self.due_ns:
            self.due_ns = now_ns + SURROUNDINGS_NS
            self.play_surroundings(now_ns)
        return self.recording.full or now_ns > self.until_ns or super().should_stop()

    def play_surroundings(self, now_ns: int) -> None:
        """Be gateway, journal and recorder, which take everything, and devices; inputs are 0."""
        image = self.image
        image.journal.ok = True
        for name in ("journal", "gateway"):
            image.processes[name].beat_ns = now_ns
        for ring in (image.events["scan"], image.records):
            ring.acknowledge(ring.written)
        good = (quality.GOOD, self.clock.utc_ns())
        for port in self.ports:
            device = port.device
            port.publish_inputs(bytes(device.input_size), [good] * len(device.groups), now_ns)


def wait_block(base_ns: int, priority: int, core: int, seconds: float) -> Block:
    """The bare loop in C: nothing but waiting. It skips what a stall covers, as the scan does."""
    lacking = acquire(priority, core)
    warm_up, cycles = _counts(base_ns, seconds)
    late = ffi.new("int64_t[]", warm_up + cycles)
    lib.cw_wait_probe(lib.cw_now() + 2 * base_ns, base_ns, late, warm_up + cycles)
    kept = in_phase(list(late)[warm_up:], base_ns)
    return Block(kept, [], cycles - len(kept), "", "", lacking)


def in_phase(late_ns: Sequence[int], base_ns: int) -> list[int]:
    """The starts that a loop has which skips ticks: those whose instant had not passed already.

    The bare loop waits for each instant in turn, so one stall of ten intervals is ten late starts
    there; the scan and cyclictest have one late start and go on with the next open instant.
    """
    kept, tick = [], 0
    while tick < len(late_ns):
        kept.append(late_ns[tick])
        tick = next_tick(0, base_ns, tick, tick * base_ns + late_ns[tick])
    return kept


def scan_block(folder: RunFolder, plan: Plan, seconds: float, *, empty: bool) -> Block:
    """The scan's loop on a fresh image; ``empty`` puts programs that do nothing in all tasks."""
    clock = MonotonicClock()
    warm_up, cycles = _counts(plan.scan.base_ns, seconds)
    image = Image.create(folder.image, plan, BOOT_ID)
    recording = Recording(image.area("statistics"), len(plan.tasks))
    recording.keep(warm_up, cycles)
    image.statistics = recording
    sys.path.insert(0, plan.folder)
    programs = [Idle if empty else resolve(task.program) for task in plan.tasks]
    image.scan.started_ns = clock.now_ns()
    start = ScanStart(
        boot_id=BOOT_ID + "00", retained={}, open_events=[], restarted=False, notes=[]
    )
    bench = Bench(
        name="scan",
        folder=folder,
        plan=plan,
        image=image,
        slot=image.processes["scan"],
        clock=clock,
        stop=threading.Event(),
        supervisor=os.getppid(),
        recording=recording,
        until_ns=clock.now_ns() + int(4e9 * (seconds + WARM_UP_S)) + 5_000_000_000,
        ports=[image.device(n) for n, one in enumerate(plan.devices) if one.kind == "driver"],
    )
    bench.play_surroundings(clock.now_ns())
    recorder = ScanRecorder(image, clock)
    scan = Scan(plan, image, start, recorder.clock, programs, observer=recorder)
    recorder.bind(scan)
    image.commands.send(encode(SetMode(request="start", actor="latency", reason="measurement")))
    lacking = acquire(plan.scan.priority, plan.scan.core)
    gc.collect()
    gc.freeze()
    gc.disable()
    beat = Beat(
        scan,
        plan,
        image,
        clock,
        slot=bench.slot,
        should_stop=bench.should_stop,
        observer=recorder,
        slack=(Garbage(plan.scan.base_ns, clock.now_ns),),
    )
    while not bench.should_stop():
        beat.once()
    state, kept = scan.state.name, max(0, min(recording.seen, cycles))
    trouble = scan.first_fault or ("" if state == "RUN" else "the cell refused to start")
    scan.end()
    return Block(
        list(recording.late[:kept]),
        list(recording.cost[:kept]),
        image.scan.skipped_ticks,
        state,
        "" if state == "RUN" else trouble,
        lacking,
    )


def _counts(base_ns: int, seconds: float) -> tuple[int, int]:
    return max(1, int(WARM_UP_S * 1e9 / base_ns)), max(1, int(seconds * 1e9 / base_ns))


def main(arguments: list[str] | None = None) -> int:
    """Measure one block and write it to stdout as msgpack."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--kind", choices=["wait", "scan", "empty"], required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parsed: Any = parser.parse_args(arguments)
    folder = RunFolder(parsed.run)
    plan = folder.plan()
    scan = plan.scan
    if parsed.kind == "wait":
        block = wait_block(scan.base_ns, scan.priority, scan.core, parsed.seconds)
    else:
        block = scan_block(folder, plan, parsed.seconds, empty=parsed.kind == "empty")
    sys.stdout.buffer.write(msgspec.msgpack.encode(block))
    return 0


if __name__ == "__main__":
    sys.exit(main())
