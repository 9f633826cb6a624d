"""A cell of 64 channels that all change in every cycle, with and without its recorder.

For the benchmark of the recorder's cost and of the speed of a replay.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

from cellwright.io.image import Image
from cellwright.io.messages import SetMode, encode
from cellwright.io.plan import Address, Direction, Plan, ScanSettings, TagType, quality
from cellwright.io.plan import plan as plans
from cellwright.io.recording.cycle import PeerStatus
from cellwright.io.recording.file import Header
from cellwright.io.recording.store import Policy, RecordingStore
from cellwright.io.timing.clock import Clock, MonotonicClock, SimulatedClock
from cellwright.runtime.recorder.recorder import ScanRecorder
from cellwright.runtime.scan.cycle import Scan
from cellwright.tasks.api import DINT, INT, Input, Output, Program, ProgramOptions, ScanContext
from support.plans import make_device, make_group, make_plan, make_tag, make_task
from support.scan_bench import scan_start

CHANNELS = 64
EVERYTHING = Policy(window_s=1e6, rolling_bytes=1 << 40, kept_bytes=1 << 40)


class Sum(Program[ProgramOptions]):
    """Adds up two of the channels."""

    a = Input(INT)
    b = Input(INT)
    total = Output(DINT)

    def scan(self, ctx: ScanContext) -> None:
        """Stays within DINT."""
        self.total = (self.total + self.a - self.b) % 1_000_000


def load_plan(base_ns: int, more_tags: int = 0) -> Plan:
    """The channels as input registers, one task at the base interval, further tags in memory."""
    kind = TagType.parse("INT")
    tags = [
        make_tag(f"c{n}", "INT", Direction.INPUT, address=Address("io", "words", n, kind))
        for n in range(CHANNELS)
    ]
    tags.append(make_tag("total", "DINT", writer="sum"))
    tags += [make_tag(f"m{n}", "REAL") for n in range(more_tags)]
    group = make_group(0, "words", 0, CHANNELS, bits=False, output=False)
    task = make_task(
        0,
        "sum",
        interval_ns=base_ns,
        watchdog_ns=100_000_000,
        binding={"a": 0, "b": 1, "total": CHANNELS},
    )
    settings = ScanSettings(
        base_ns=base_ns, watchdog_ns=100_000_000, watchdog_sensitivity=1, priority=0, core=-1
    )
    return make_plan(tags, [make_device("io", [group])], [task], scan=settings)


class TimedRecorder(ScanRecorder):
    """A recorder that notes how long its own part of each scan takes, nanoseconds."""

    def __init__(self, image: Image, clock: Clock) -> None:
        super().__init__(image, clock)
        self.spent: list[int] = []
        self._sum = 0

    def latched(self) -> None:
        """Timed."""
        begin = time.perf_counter_ns()
        super().latched()
        self._sum += time.perf_counter_ns() - begin

    def peers(self, status: PeerStatus) -> None:
        """Timed."""
        begin = time.perf_counter_ns()
        super().peers(status)
        self._sum += time.perf_counter_ns() - begin

    def settled(self, cycle: int, tick: int, now_ns: int, utc_ns: int) -> None:
        """Timed."""
        begin = time.perf_counter_ns()
        super().settled(cycle, tick, now_ns, utc_ns)
        self.spent.append(self._sum + time.perf_counter_ns() - begin)
        self._sum = 0


class LoadedCell:
    """The cell, stepped by hand; ``recorded`` is the class of its recorder.

    On the machine's clock, or on a simulated one that each cycle moves by the base interval.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        *,
        recorded: type[ScanRecorder] | None,
        simulated: SimulatedClock | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.plan = plan
        self._simulated = simulated
        self.clock: Clock = simulated or MonotonicClock()
        self.image = Image.create(folder / "image", plan, "0123abcd")
        self.image.scan.started_ns = self.clock.now_ns()
        self.image.journal.ok = True
        self.port = self.image.device(0)
        self.recorder = recorded(self.image, self.clock) if recorded else None
        clock = self.clock if self.recorder is None else self.recorder.clock
        self.scan = Scan(plan, self.image, scan_start(), clock, [Sum], observer=self.recorder)
        if self.recorder is not None:
            self.recorder.bind(self.scan)
        self.tick = 0
        self._number = 0
        self.header = Header("load", plans.dump(plan), plan.layout_hash, {}, 0)
        self.store = RecordingStore(folder / "recordings", self.header, EVERYTHING)
        self.begin(self.clock.now_ns())
        if self.recorder is not None:
            self.recorder.step(self.clock.now_ns())
        self.image.commands.send(encode(SetMode(request="start", actor="bench")))
        self.step()
        self.step()
        assert self.scan.state.name == "RUN", self.scan.first_fault

    def begin(self, now_ns: int) -> None:
        """What the surroundings do before a cycle: all channels change, the journal keeps up."""
        self._number += 1
        words = struct.pack(">64H", *(((self._number * 7 + n) & 0x7FFF) for n in range(CHANNELS)))
        self.port.publish_inputs(words, [(quality.GOOD, now_ns)], now_ns)
        self.image.processes["journal"].beat_ns = now_ns
        ring = self.image.events["scan"]
        ring.acknowledge(ring.written)

    def step(self) -> tuple[int, int]:
        """One cycle; how long it took and how long the processor worked, nanoseconds."""
        now_ns = self.clock.now_ns()
        self.begin(now_ns)
        utc_ns = self.clock.utc_ns()
        begin, begin_cpu = time.perf_counter_ns(), time.thread_time_ns()
        self.scan.cycle(self.tick, now_ns, utc_ns)
        if self.recorder is not None:
            self.recorder.step(now_ns)
        took, worked = time.perf_counter_ns() - begin, time.thread_time_ns() - begin_cpu
        self.tick += 1
        if self._simulated is not None:
            self._simulated.advance(self.plan.scan.base_ns)
        return took, worked

    def kept(self) -> Path:
        """Everything that was recorded, as one file."""
        self.drain(keep=True)
        self.store.keep("asked for by a test")
        self.store.close()
        assert not self.store.figures.error, self.store.figures.error
        return self.store.segments[0].parent / self.store.figures.newest

    def drain(self, *, keep: bool) -> None:
        """The recorder process's part: to the store, or only off the ring."""
        ring = self.image.records
        if not keep:
            ring.acknowledge(ring.written)
            return
        while records := ring.peek():
            for _, data in records:
                self.store.take(data)
            ring.acknowledge(records[-1][0])
        self.store.step()
