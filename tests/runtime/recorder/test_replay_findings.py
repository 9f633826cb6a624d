"""What a replay finds: changed programs, other clocks, the state that a file may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cellwright.io.messages import (
    PartArrived,
)
from cellwright.io.plan import CellState
from cellwright.io.recording.file import Keyframe, Recording
from cellwright.io.recording.store import Policy
from cellwright.runtime.recorder.replay import Replay
from cellwright.runtime.scan.observer import CycleObserver
from cellwright.tasks.api import (
    BOOL,
    DINT,
    Input,
    Output,
    Program,
    ProgramOptions,
    ScanContext,
)
from cellwright.tasks.control.blocks import CTU, TON, T_s
from support.plans import make_tag
from support.recorded_cell import PROGRAMS, Eye, Press, RecordedCell
from support.replayed_cell import identical, replayed

# --- what a replay finds ----------------------------------------------------------------------


def recorded(folder: Path) -> tuple[RecordedCell, Path]:
    cell = RecordedCell(folder)
    cell.run()
    for number in range(300):
        cell.payload = bytes([8 if number % 40 < 20 else 0, 0])
        if number % 10 == 0:
            cell.acknowledge()
            cell.work(number)
        cell.cycle()
    return cell, cell.kept()


@pytest.mark.parametrize("at", [2, 3, 57, 200, 301])
@pytest.mark.behaviour(20)
def test_a_changed_program_is_caught_at_the_exact_cycle_and_tag(tmp_path: Path, at: int) -> None:
    class Changed(Press):
        def scan(self, ctx: ScanContext) -> None:
            super().scan(ctx)
            if ctx.cycle >= at:
                self.position = self.position + 0.25

    _, path = recorded(tmp_path)
    outcome = replayed(path, [Changed, Eye])
    difference = outcome.difference
    assert difference is not None
    assert (difference.cycle, outcome.cycles) == (at, at - 1)
    (change,) = difference.changes
    assert (change.tag, change.writer) == ("position", "press")
    assert change.replayed == change.recorded + 0.25  # type: ignore[operator]
    assert not difference.said


def test_the_first_tag_named_is_that_of_the_task_that_ran_first(tmp_path: Path) -> None:
    class Open(Press):
        def scan(self, ctx: ScanContext) -> None:
            super().scan(ctx)
            self.clamp = False

    _, path = recorded(tmp_path)
    difference = replayed(path, [Open, Eye]).difference
    assert difference is not None
    assert (difference.changes[0].tag, difference.changes[0].recorded) == ("clamp", True)


def test_a_program_that_raises_now_is_a_difference_in_state_and_fault(tmp_path: Path) -> None:
    class Raises(Press):
        def scan(self, ctx: ScanContext) -> None:
            super().scan(ctx)
            if ctx.cycle == 90:
                raise ValueError("not today")

    _, path = recorded(tmp_path)
    difference = replayed(path, [Raises, Eye]).difference
    assert difference is not None
    assert difference.cycle == 90
    changes = {change.tag: change.replayed for change in difference.changes}
    assert changes["sys.state"] == CellState.FAULT
    assert "not today" in str(changes["sys.first_fault"])


def test_other_events_with_the_same_outputs_are_a_difference(tmp_path: Path) -> None:
    class Says(Press):
        def scan(self, ctx: ScanContext) -> None:
            super().scan(ctx)
            if ctx.cycle == 150:
                ctx.emit(PartArrived, part_id="one more")

    _, path = recorded(tmp_path)
    difference = replayed(path, [Says, Eye]).difference
    assert difference is not None
    assert (difference.cycle, difference.said) == (150, True)


def test_a_replay_up_to_a_cycle_does_not_see_what_comes_later(tmp_path: Path) -> None:
    class Changed(Press):
        def scan(self, ctx: ScanContext) -> None:
            super().scan(ctx)
            if ctx.cycle >= 100:
                self.message = "changed"

    _, path = recorded(tmp_path)
    outcome = replayed(path, [Changed, Eye], until=99)
    assert outcome.identical
    assert outcome.last == 99
    assert replayed(path, [Changed, Eye], until=100).difference is not None


def test_an_observer_sees_each_cycle_and_may_end_the_replay(tmp_path: Path) -> None:
    _, path = recorded(tmp_path)
    seen: list[int] = []

    def look(replay: Replay, record: Any) -> bool:
        seen.append(record.cycle)
        return record.cycle < 50

    outcome = replayed(path, list(PROGRAMS.values()), on_cycle=look)
    assert seen == list(range(1, 51))
    assert outcome.identical


def test_a_program_that_reads_the_wall_clock_or_draws_lots_is_found_out(tmp_path: Path) -> None:
    drawn = iter(range(1_000_000))

    class Draws(Press):
        def scan(self, ctx: ScanContext) -> None:
            super().scan(ctx)
            self.position = float(next(drawn))

    cell = RecordedCell(tmp_path, {"press": Draws, "eye": Eye})
    cell.run()
    cell.cycle(20)
    outcome = replayed(cell.kept(), cell.programs)
    assert outcome.difference is not None
    assert outcome.difference.changes[0].tag == "position"


def test_a_recording_without_a_recorder_costs_nothing_and_changes_nothing() -> None:
    assert CycleObserver().text(3, "why") == "why"


def test_the_state_in_a_file_cannot_call_functions(tmp_path: Path) -> None:
    import os  # noqa: PLC0415
    import pickle  # noqa: PLC0415

    from cellwright.runtime.programs.state import StateError  # noqa: PLC0415
    from cellwright.runtime.recorder.keyframe import Frozen, thaw  # noqa: PLC0415

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "evil"),)

    cell, path = recorded(tmp_path)
    with Recording(path) as recording:
        keyframe = next(part for part in recording.parts() if isinstance(part, Keyframe))
    state = Frozen(pickle.dumps(Evil()), [], "")
    with pytest.raises(StateError, match="not a class of a program"):
        thaw(cell.scan, state, cell.scan.carried_over())
    assert not (tmp_path / "evil").exists()
    assert keyframe.programs == []


def test_function_blocks_go_on_in_the_middle_of_their_time(tmp_path: Path) -> None:
    class Timed(Program[ProgramOptions]):
        part = Input(BOOL)
        total = Output(DINT)
        late = TON()
        parts = CTU(retained=True)

        def __init__(self, image: Any, binding: Any, options: ProgramOptions) -> None:
            super().__init__(image, binding, options)
            self.more = [TON(), TON()]

        def scan(self, ctx: ScanContext) -> None:
            part = self.part
            self.late(ctx, IN=part, PT=T_s(3.0))
            self.parts(CU=part, R=False, PV=5)
            for timer in self.more:
                timer(ctx, IN=part, PT=T_s(7.0))
            self.total = self.late.ET // 1000 + self.more[1].ET // 1000 + self.parts.CV

    tags = [
        *(tag for tag in RecordedCell.tags() if tag.name in ("part", "total")),
        make_tag("parts_ctu", str(Timed.variables()["parts_ctu"].type), retain=True),
    ]
    cell = RecordedCell(
        tmp_path, {"timed": Timed}, tags=tags, policy=Policy(window_s=1.0), timing={"timed": {}}
    )
    cell.run()
    for number in range(1200):
        cell.payload = bytes([8 if number % 900 > 400 else 0, 0])
        cell.cycle()
        if number % 100 == 0:
            cell.pump()
    assert cell.image.recorded.obstacle == ""
    outcome = identical(cell)
    assert outcome.first > 400, "it begins while the timers measure"


def test_programs_may_hold_plain_data_of_any_shape(tmp_path: Path) -> None:
    import collections  # noqa: PLC0415
    import datetime  # noqa: PLC0415
    import decimal  # noqa: PLC0415
    import random  # noqa: PLC0415

    class Rich(Program[ProgramOptions]):
        part = Input(BOOL)
        total = Output(DINT)

        def __init__(self, image: Any, binding: Any, options: ProgramOptions) -> None:
            super().__init__(image, binding, options)
            self.lots = random.Random(5)
            self.recent = collections.deque([1, 2], maxlen=5)
            self.counts = collections.Counter("abc")
            self.grid = {(1, 2): {3, 4}, "x": [None, True]}
            self.price = decimal.Decimal("1.5")
            self.day = datetime.date(2026, 1, 1)

        def scan(self, ctx: ScanContext) -> None:
            self.recent.append(self.lots.randrange(100))
            self.total = sum(self.recent) + len(self.grid)

    tags = [tag for tag in RecordedCell.tags() if tag.name in ("part", "total")]
    cell = RecordedCell(
        tmp_path, {"rich": Rich}, tags=tags, policy=Policy(window_s=1.0), timing={"rich": {}}
    )
    cell.run()
    cell.cycle(1200)
    assert cell.image.recorded.obstacle == ""
    assert identical(cell).first > 100
