"""Whatever is pending at a keyframe is in it: a replay can begin at each of them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from cellwright.io.image import RingFull
from cellwright.io.messages import Deliver, PartArrived, SerialRefused, SetMode, encode
from cellwright.io.plan import CellState, ScanSettings
from cellwright.io.recording.file import RecordingWriter
from cellwright.runtime.recorder.replay import Replay
from cellwright.tasks.api import DINT, LREAL, Output, Program, ProgramOptions, ScanContext
from support.plans import POLL_NS
from support.recorded_cell import RecordedCell


class Slow(Program[ProgramOptions]):
    """Runs in every seventh tick only, so that much waits for it."""

    total = Output(DINT)

    def scan(self, ctx: ScanContext) -> None:
        """Takes everything in that may have waited."""
        arrived = len(ctx.inbox) + 100 * ctx.first_scan + ctx.emitted + ctx.durable
        self.total = (3 * self.total + arrived) % 1_000_003


class Quick(Program[ProgramOptions]):
    """Knows after a start how many parts there were, and says something in each execution."""

    position = Output(LREAL)

    def recover(self, events: Any, ctx: ScanContext) -> None:
        """The number of events that are open."""
        self.position = float(len(events))

    def scan(self, ctx: ScanContext) -> None:
        """One event in some cycles."""
        if ctx.cycle % 11 == 0:
            ctx.emit(PartArrived, part_id=str(ctx.cycle))


def slow_cycles(cell: RecordedCell, count: int) -> None:
    cell.clock.step_ns = 25_000_000
    cell.cycle(count)
    cell.clock.step_ns = 1700


class KeyframeEachCycle(RecordedCell):
    """Its recorder makes a keyframe after every cycle."""

    filled = 0
    """The segment that begins when the test had filled the event ring."""

    def cycle(self, count: int = 1) -> None:
        """Cycles, each with a keyframe and in a segment of its own."""
        for _ in range(count):
            self.recorder._due_ns = 0
            super().cycle()
            self.pump()


def eventful(folder: Path) -> KeyframeEachCycle:
    """Restarts, waiting messages, late cycles, a journal that does not take events, forces."""
    tags = [tag for tag in RecordedCell.tags() if tag.name in ("total", "position", "part")]
    cell = KeyframeEachCycle(
        folder,
        {"quick": Quick, "slow": Slow},
        tags=tags,
        timing={
            "quick": {"watchdog_sensitivity": 3},
            "slow": {"interval_ns": 70_000_000, "watchdog_ns": 1_000_000_000},
        },
        scan=ScanSettings(
            base_ns=POLL_NS,
            watchdog_ns=60_000_000,
            watchdog_sensitivity=4,
            priority=0,
            core=-1,
        ),
    )
    cell.run()
    cell.cycle(15)
    for number in range(3):
        message = SerialRefused(part_id=str(number), reason="")
        cell.send(encode(Deliver(task="slow", body=message, actor="mes")))
    cell.cycle(12)
    slow_cycles(cell, 2)
    cell.cycle(2)
    assert cell.scan.state is CellState.RUN, cell.scan.first_fault
    slow_cycles(cell, 3)
    assert cell.scan.state is CellState.FAULT
    ring = cell.image.events["scan"]
    cell.acknowledge()
    cell.request("reset")
    cell.cycle(2)
    assert cell.request("start").code == 0
    cell.cycle(9)
    assert cell.request("stop").code == 0
    cell.acknowledge()
    ring.acknowledge(ring.written)
    for size in (1000, 1):
        with suppress(RingFull):
            while True:
                ring.put(bytes(size))
    cell.recorder._due_ns = 0
    cell.recorder.step(cell.clock.now_ns())
    cell.pump()
    assert cell.store is not None
    cell.filled = len(cell.store._segments) - 1
    cell.cycle(2)
    cell.image.commands.send(encode(SetMode(request="dance", actor="a")))
    cell.cycle(3)
    assert cell.request("start").code != 0, "an event waits, so the cell does not start"
    cell.cycle(3)
    ring.acknowledge(ring.written)
    cell.cycle(2)
    assert cell.request("start").code == 0
    cell.cycle(20)
    cell.pump()
    cell.close()
    return cell


def test_a_replay_that_begins_at_any_keyframe_comes_to_the_same_end(tmp_path: Path) -> None:
    cell = eventful(tmp_path / "cell")
    assert cell.store is not None
    segments = list(cell.store._segments)
    # Strangers have filled the ring between two cycles: no replay can run over that moment.
    filled = cell.filled
    seen = 0
    for begin in range(len(segments)):
        path = tmp_path / f"from-{begin}.cwrec"
        with RecordingWriter(path, cell.store._header) as writer:
            for segment in segments[begin : filled if begin < filled else None]:
                writer.copy(segment.entries, segment.path)
        with Replay(path, programs=cell.programs) as replay:
            outcome = replay.run()
        assert outcome.difference is None, (begin, outcome.difference)
        seen += outcome.cycles
        path.unlink()
    assert seen > 1000
