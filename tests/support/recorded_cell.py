"""A small recorded cell in simulated time: bench, scan recorder and store in one process.

The cell uses everything a record can hold: inputs, commands, forces, a worker, events, faults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cellwright.io.messages import PartArrived, PartDeparted, Result, decode_job, encode
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import Deadline, Edge, OnLoss, OverrunPolicy, Tag
from cellwright.io.plan import plan as plans
from cellwright.io.recording.file import Header
from cellwright.io.recording.store import Policy, RecordingStore, Watcher
from cellwright.io.timing.clock import SimulatedClock
from cellwright.runtime.recorder.provenance import sources_of
from cellwright.runtime.recorder.recorder import ScanRecorder
from cellwright.runtime.scan.cycle import Scan
from cellwright.tasks.api import (
    BOOL,
    DINT,
    LREAL,
    STRING,
    UDINT,
    Input,
    Output,
    Program,
    ProgramOptions,
    Retained,
    ScanContext,
)
from support.plans import make_tag
from support.scan_bench import Bench, coupler, input_bit, output_bit, scan_start


class Press(Program[ProgramOptions]):
    """Counts parts, keeps state of its own, emits events and waits until they are durable."""

    part = Input(BOOL)
    speed = Input(LREAL)
    clamp = Output(BOOL)
    strokes = Retained(UDINT)
    position = Output(LREAL)
    message = Output(STRING(20))

    def __init__(self, image: Any, binding: Any, options: ProgramOptions) -> None:
        super().__init__(image, binding, options)
        self.was = False
        self.waiting: list[int] = []
        self.seen: dict[str, int] = {}

    def scan(self, ctx: ScanContext) -> None:
        """Close on a part, open when its arrival is durable."""
        if self.part and not self.was:
            self.strokes = (self.strokes + 1) % 2**32
            self.waiting.append(ctx.emit(PartArrived, part_id=f"{ctx.boot_id}-{self.strokes}"))
        if self.waiting and ctx.durable >= self.waiting[0]:
            self.waiting.pop(0)
            ctx.emit(PartDeparted, part_id=f"{ctx.boot_id}-{self.strokes}")
        self.was = self.part
        self.clamp = bool(self.waiting)
        for message in ctx.inbox:
            self.seen[message.part_id] = self.seen.get(message.part_id, 0) + 1
        self.message = ",".join(sorted(self.seen))[:20]
        self.position = self.position * 0.5 + self.speed + ctx.now_ns % 7


class Eye(Program[ProgramOptions]):
    """Has a worker: asks it while the clamp is closed and adds up what it says."""

    clamp = Input(BOOL)
    total = Output(DINT)
    trouble = Output(STRING(60))
    worker = "programs:Eyes"

    def __init__(self, image: Any, binding: Any, options: ProgramOptions) -> None:
        super().__init__(image, binding, options)
        self.asked = 0

    def scan(self, ctx: ScanContext) -> None:
        """One job a closing clamp."""
        for result in ctx.results:
            self.asked = 0
            self.trouble = result.error[:60]
            self.total = (self.total + int(result.body.get("read", 0))) % 2**31
        if self.clamp and not self.asked:
            self.asked = ctx.submit("read", cycle=ctx.cycle)


TAGS: list[Tag] = [
    input_bit("part", 3),
    make_tag("speed", "LREAL", write=("operator",)),
    output_bit("clamp", 2, writer="press"),
    make_tag("strokes", "UDINT", retain=True, writer="press"),
    make_tag("position", "LREAL", writer="press"),
    make_tag("message", "STRING(20)", writer="press"),
    make_tag("total", "DINT", writer="eye"),
    make_tag("trouble", "STRING(60)", writer="eye"),
]
PROGRAMS: dict[str, type[Program[Any]]] = {"press": Press, "eye": Eye}


class SlowClock(SimulatedClock):
    """A clock that moves at each reading, as a real one does; by amounts the test gives."""

    step_ns = 1700

    def now_ns(self) -> int:
        """Simulated time, a little later each time."""
        self.advance(self.step_ns)
        return super().now_ns()


class RecordedCell(Bench):
    """A bench whose scan is recorded into ``folder / "recordings"``."""

    def __init__(
        self,
        folder: Path,
        programs: Mapping[str, type[Program[Any]]] | None = None,
        *,
        tags: Sequence[Tag] | None = None,
        policy: Policy | None = None,
        watch: Watcher | None = None,
        on_loss: OnLoss = OnLoss.HOLD,
        timing: Mapping[str, Mapping[str, Any]] | None = None,
        **fields: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.recordings = folder / "recordings"
        self.policy = policy or Policy()
        self.watch = watch
        self.store: RecordingStore | None = None
        self.recorder: ScanRecorder
        super().__init__(
            folder,
            TAGS if tags is None else tags,
            programs or PROGRAMS,
            devices=[coupler(on_loss=on_loss)],
            timing=timing or {"eye": {"worker": "programs:Eyes", "interval_ns": 20_000_000}},
            **fields,
        )

    @staticmethod
    def tags() -> list[Tag]:
        """The cell's own tags."""
        return list(TAGS)

    def launch(self, start: ScanStart | None = None) -> None:
        """A new, recorded scan on the same image."""
        if self.store is None:
            self.store = self.new_store()
        clock = SlowClock(start_ns=self.clock.now_ns(), utc_offset_ns=1_760_000_000_000_000_000)
        self.clock = clock
        self.image.scan.started_ns = clock.now_ns()
        self.image.scan.skipped_ticks = 0
        self.tick = 0
        self.image.journal.ok = True
        self.recorder = ScanRecorder(self.image, clock)
        self.scan = Scan(
            self.plan,
            self.image,
            start or scan_start(),
            self.recorder.clock,
            self.programs,
            observer=self.recorder,
        )
        self.recorder.bind(self.scan)
        self.recorder.step(clock.now_ns())

    def new_store(self) -> RecordingStore:
        """A store as a recorder process makes one."""
        header = Header(
            cell=self.plan.cell,
            plan=plans.dump(self.plan),
            layout_hash=self.plan.layout_hash,
            sources=sources_of(self.plan, self.programs),
            created_utc_ns=0,
        )
        return RecordingStore(self.recordings, header, self.policy, self.watch)

    def cycle(self, count: int = 1) -> None:
        """Cycles, each followed by what the scan process does between cycles."""
        for _ in range(count):
            super().cycle()
            self.recorder.step(self.clock.now_ns())

    def pump(self) -> None:
        """What the recorder process does when it wakes."""
        assert self.store is not None
        ring = self.image.records
        while records := ring.peek():
            for sequence, data in records:
                self.store.take(data)
                ring.acknowledge(sequence)
        if self.store.wants_keyframe:
            self.image.recorder.wanted += 1
        self.store.step()

    def work(self, read: int, *, error: str = "") -> None:
        """The worker answers every job on its ring."""
        ring, answers = self.image.job_ring(1), self.image.result_ring(1)
        for sequence, data in ring.peek():
            job = decode_job(data)
            ring.acknowledge(sequence)
            answers.put(
                encode(
                    Result(
                        number=job.number,
                        epoch=job.epoch,
                        kind=job.kind,
                        body={"read": read},
                        error=error,
                    )
                )
            )

    def close(self) -> None:
        """Close the files."""
        if self.store is not None:
            self.store.close()

    def kept(self, cause: str = "asked for by a test") -> Path:
        """Keep everything now and return the file."""
        assert self.store is not None
        self.pump()
        self.store.keep(cause)
        self.store.close()
        assert not self.store.figures.error, self.store.figures.error
        return self.recordings / self.store.figures.newest


def tally(name: str) -> type[Program[ProgramOptions]]:
    """A program that adds up when it ran, in another way for each order of cycles."""

    def scan(self: Any, ctx: ScanContext) -> None:
        setattr(self, name, (3 * getattr(self, name) + ctx.cycle) % 2**31)

    return type("Tally", (Program,), {name: Output(DINT), "scan": scan})


def every_kind_of_task(
    folder: Path, on_loss: OnLoss = OnLoss.HOLD, tags: Sequence[Tag] | None = None
) -> RecordedCell:
    """The cell with a deadline, a late task, an event task and two freewheeling ones."""
    names = ("count", "idle", "rest")
    return RecordedCell(
        folder,
        PROGRAMS | {name: tally(name) for name in names},
        tags=[*(tags or TAGS), *(make_tag(name, "DINT", writer=name) for name in names)],
        on_loss=on_loss,
        timing={
            "press": {"interval_ns": 30_000_000, "overrun": OverrunPolicy.LATE},
            "eye": {
                "worker": "programs:Eyes",
                "interval_ns": 20_000_000,
                "deadlines": {"read": Deadline(4, {"read": -3})},
                "watchdog_omitted": 40,
            },
            "count": {"interval_ns": 0, "event": 0, "edge": Edge.BOTH},
            "idle": {"interval_ns": 0, "freewheeling": True, "watchdog_ns": 6_000_000},
            "rest": {"interval_ns": 0, "freewheeling": True, "watchdog_ns": 3_000_000},
        },
    )
