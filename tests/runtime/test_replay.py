"""A recording runs again bit for bit; a changed program is caught at the very cycle and tag."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import make_tag
from recorded_cell import PROGRAMS, Eye, Press, RecordedCell, every_kind_of_task
from scan_bench import input_bit, scan_start

from cellwright.io.messages import (
    Deliver,
    ForceTag,
    PartArrived,
    ResetStatistics,
    SerialRefused,
    SetMode,
    UnforceTag,
    WriteTag,
    encode,
)
from cellwright.io.plan import OnLoss
from cellwright.io.recording import Keyframe, Recording
from cellwright.io.recording_store import Policy
from cellwright.io.rings import RingFull
from cellwright.io.system_tags import CellState
from cellwright.runtime.recorder import Tape
from cellwright.runtime.replay import Outcome, Replay
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


def replayed(path: Path, programs: Sequence[type[Program[Any]]], **options: Any) -> Outcome:
    with Replay(path, programs=programs) as replay:
        return replay.run(**options)


def identical(cell: RecordedCell, path: Path | None = None) -> Outcome:
    outcome = replayed(path or cell.kept(), cell.programs)
    assert outcome.difference is None, outcome.difference
    assert outcome.identical, outcome.notes
    return outcome


# --- everything that comes from outside -------------------------------------------------------

ACTIONS = st.one_of(
    st.tuples(st.just("input"), st.integers(0, 255)),
    st.tuples(st.just("speed"), st.floats(allow_nan=False, width=64)),
    st.tuples(st.just("force"), st.sampled_from(["part", "position", "total", "strokes"])),
    st.tuples(st.just("unforce"), st.sampled_from(["", "part", "position"])),
    st.tuples(
        st.just("mode"),
        st.sampled_from(["start", "cold_start", "hot_start", "pause", "stop", "reset", "dance"]),
    ),
    st.tuples(st.just("deliver"), st.text(max_size=5)),
    st.tuples(st.just("junk"), st.binary(max_size=30)),
    st.tuples(st.just("statistics"), st.just(0)),
    st.tuples(st.just("journal"), st.booleans()),
    st.tuples(st.just("acknowledge"), st.just(0)),
    st.tuples(st.just("work"), st.integers(-5, 5)),
    st.tuples(st.just("answer"), st.binary(max_size=30)),
    st.tuples(st.just("worker dies"), st.just(0)),
    st.tuples(st.just("skip"), st.integers(1, 300)),
    st.tuples(st.just("device"), st.booleans()),
    st.tuples(st.just("slow"), st.sampled_from([0, 1700, 3_000_000, 11_000_000])),
    st.tuples(st.just("degraded"), st.text(max_size=10)),
    st.tuples(st.just("keyframe"), st.just(0)),
    st.tuples(st.just("cycles"), st.integers(1, 30)),
)


def act(cell: RecordedCell, what: str, value: Any) -> None:  # noqa: PLR0912 - one a surrounding
    send = cell.image.commands.send
    match what:
        case "input":
            cell.payload = bytes([value, 0])
        case "speed":
            send(encode(WriteTag(tag="speed", value=value, actor="a")))
        case "force":
            send(encode(ForceTag(tag=value, value=1, actor="a")))
        case "unforce":
            send(encode(UnforceTag(tag=value, actor="a")))
        case "mode":
            send(encode(SetMode(request=value, actor="a")))
        case "deliver":
            message = SerialRefused(part_id=value, reason="")
            send(encode(Deliver(task="press", body=message, actor="mes")))
        case "junk":
            send(value)
        case "statistics":
            send(encode(ResetStatistics(actor="a")))
        case "journal":
            cell.journal_alive = cell.image.journal.ok = value
            cell.image.journal.error = "" if value else "disk full"
        case "acknowledge":
            cell.acknowledge()
        case "work":
            cell.work(value, error="" if value >= 0 else "broken")
        case "answer":
            cell.image.result_ring(1).put(value)
        case "worker dies":
            cell.image.processes["worker:eye"].restarts += 1
        case "skip":
            cell.skip(value)
        case "device":
            cell.drivers_alive = value
            cell.ports[0].error = "" if value else "no route"
        case "slow":
            cell.clock.step_ns = value
        case "degraded":
            cell.image.scan.degraded = value
        case "keyframe":
            cell.image.recorder.wanted += 1
            cell.skip(20)
        case "cycles":
            cell.cycle(value)
    cell.cycle()
    cell.pump()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(ACTIONS, max_size=40),
    st.sampled_from([OnLoss.HOLD, OnLoss.FAULT]),
    st.booleans(),
)
@pytest.mark.behaviour(20)
def test_whatever_happens_around_it_a_scan_runs_again_bit_for_bit(
    actions: list[tuple[str, Any]], on_loss: OnLoss, every_kind: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tags = None
        if on_loss is OnLoss.FAULT:
            tags = [input_bit("part", 3, on_loss=OnLoss.FAULT), *RecordedCell.tags()[1:]]
        if every_kind:
            cell = every_kind_of_task(Path(folder), on_loss, tags)
        else:
            cell = RecordedCell(Path(folder), tags=tags, on_loss=on_loss)
        cell.run()
        for what, value in actions:
            act(cell, what, value)
        outcome = identical(cell)
        assert outcome.cycles == outcome.last == cell.scan.cycle_number
        assert cell.store is not None
        for segment in cell.store.segments:  # begins in the middle, with restored programs
            part = replayed(segment, cell.programs)
            assert part.difference is None, part.difference
            assert not [note for note in part.notes if "cannot begin" in note]


def test_a_watchdog_trip_is_replayed_from_the_clock_readings(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    cell.run()
    cell.cycle(5)
    cell.clock.step_ns = 25_000_000
    cell.cycle(2)
    assert cell.scan.state is CellState.FAULT
    assert "watchdog" in cell.value("sys.first_fault")
    identical(cell)


def test_a_full_event_ring_is_replayed_as_it_was(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    cell.run()
    ring = cell.image.events["scan"]
    for size in (1000, 1):
        with suppress(RingFull):
            while True:
                ring.put(bytes(size))
    cell.image.recorder.wanted += 1
    cell.skip(20)
    cell.cycle()  # the filling is not the scan's own: only a keyframe knows of it
    cell.pump()
    cell.payload = bytes([8, 0])
    cell.cycle(3)
    assert cell.scan.state is CellState.FAULT
    assert "does not take events" in cell.value("sys.first_fault")
    ring.acknowledge(ring.written)
    cell.cycle(2)
    cell.pump()
    last = newest_segment(cell)
    cell.kept()
    identical(cell, last)


def newest_segment(cell: RecordedCell) -> Path:
    assert cell.store is not None
    return cell.store.segments[-1]


def test_a_full_job_ring_is_replayed_as_it_was(tmp_path: Path) -> None:
    class Asks(Eye):
        def scan(self, ctx: ScanContext) -> None:
            for _ in range(40):
                self.asked = ctx.submit("read", body="x" * 3000)
            self.total = len(ctx.results)

    cell = RecordedCell(tmp_path, {"press": Press, "eye": Asks})
    cell.run()
    cell.cycle(20)
    assert cell.value("total") > 0, "refused jobs come back as results"
    identical(cell)


def test_retained_values_and_open_events_of_the_start_are_part_of_the_recording(
    tmp_path: Path,
) -> None:
    recovered: list[int] = []

    class Recovers(Press):
        def recover(self, events: Any, ctx: ScanContext) -> None:
            recovered.append(len(events))
            self.position = 100.0 * len(events)

    cell = RecordedCell(tmp_path, {"press": Recovers, "eye": Eye})
    arrived = PartArrived(task="press", utc_ns=1, part_id="p1")
    cell.launch(scan_start({"strokes": 7}, [arrived]))
    cell.run()
    cell.cycle(3)
    path = cell.kept()
    identical(cell, path)
    assert recovered == [1, 1]


# --- where a replay can begin -----------------------------------------------------------------


def windowed(folder: Path, programs: dict[str, type[Program[Any]]] | None = None) -> RecordedCell:
    """A cell that has run three times as long as its window."""
    cell = RecordedCell(folder, programs, policy=Policy(window_s=6.0))
    cell.run()
    for number in range(1800):
        cell.payload = bytes([8 if number % 50 < 20 else 0, 0])
        if number % 7 == 0:
            cell.acknowledge()
            cell.work(number)
        cell.cycle()
        if number % 100 == 0:
            cell.pump()
    return cell


def test_a_replay_begins_in_the_middle_of_run_with_the_programs_own_state(tmp_path: Path) -> None:
    cell = windowed(tmp_path)
    outcome = identical(cell)
    assert outcome.first > 500, "the begin has left the window"
    assert outcome.last == cell.scan.cycle_number
    assert 6.0 <= outcome.recorded_ns / 1e9 <= 11.1


def test_a_program_that_cannot_be_saved_is_named_and_replayed_from_its_start_only(
    tmp_path: Path,
) -> None:
    class Stubborn(Press):
        def __init__(self, image: Any, binding: Any, options: ProgramOptions) -> None:
            super().__init__(image, binding, options)
            self.helper = lambda: 1

    programs: dict[str, type[Program[Any]]] = {"press": Stubborn, "eye": Eye}
    whole = RecordedCell(tmp_path / "whole", programs)
    whole.run()
    whole.cycle(1200)
    assert "'helper' cannot be saved" in whole.image.recorded.obstacle
    outcome = identical(whole)
    assert outcome.first == 1

    cell = windowed(tmp_path / "window", programs)
    outcome = replayed(cell.kept(), cell.programs)
    assert not outcome.identical
    assert outcome.cycles == 0
    assert any("task 'press': its attribute 'helper'" in note for note in outcome.notes)
    assert outcome.notes[-1] == "there is no cycle that could be compared"


def test_a_gap_is_told_and_the_replay_goes_on_after_it(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    cell.run()
    cell.cycle(20)
    cell.pump()
    cell.image.records.acknowledge(cell.image.records.written)
    cell.cycle(30)
    lost = cell.scan.cycle_number
    cell.image.records.acknowledge(cell.image.records.written)
    cell.cycle(2)
    cell.pump()  # asks for a keyframe
    cell.skip(20)
    cell.cycle(40)
    outcome = identical(cell)
    assert outcome.cycles < cell.scan.cycle_number
    assert outcome.last == cell.scan.cycle_number
    (note,) = [note for note in outcome.notes if "gap" in note]
    assert f"to {lost}" in note


def test_a_cycle_too_large_to_record_is_counted_and_costs_no_more_than_itself(
    tmp_path: Path,
) -> None:
    cell = RecordedCell(tmp_path)
    cell.run()
    cell.cycle(5)
    for _ in range(2):
        cell.image.result_ring(1).put(bytes(100_000))
    cell.cycle(5)
    assert cell.image.recorded.dropped == 1
    cell.skip(100)
    cell.cycle(20)
    outcome = identical(cell)
    assert outcome.last == cell.scan.cycle_number
    assert outcome.cycles >= 7 + 19
    assert any("gap after cycle 7" in note for note in outcome.notes)


def test_a_recording_over_a_restart_of_the_scan_replays_both_scans(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    cell.run()
    cell.cycle(20)
    cell.launch(scan_start(boot_id="0123abcd01"))
    cell.run()
    cell.cycle(10)
    cell.pump()
    assert cell.store is not None
    kept = cell.recordings / cell.store.figures.newest
    assert "scan-restarted" in kept.name
    assert identical(cell, kept).cycles == 22
    assert identical(cell).cycles == 22 + 12


MADE_ANEW = {
    "scan": {"_plan", "_image", "_tape", "_clock", "_around", "boot_id", "process_image", "_outbox",
             "_jobs", "_commands", "execution", "_report", "_keyswitch", "_latched", "_moment",
             "changes", "parts", "_alarms", "_heartbeats"},
    "outbox": {"_ring", "_tape"},
    "execution": {"_plan", "_image", "_statistics", "_clock", "_outbox", "_jobs", "_commands",
                  "classes", "schedule", "programs", "contexts", "calls", "_longest_ns"},
    "calls": {"_tasks", "_base_ns", "_image", "_statistics", "schedule", "_events",
              "_freewheeling"},
    "jobs": {"_desks", "dated"},
    "commands": {"_tags", "_tasks", "_image", "_statistics", "_ask_mode", "_emit", "_utc_ns",
                 "_cycle", "_alarms"},
    "heartbeats": set(),
    "alarms": {"_rules", "_groups", "_image", "_moment", "_emit", "_obey", "_by_name", "_judges",
               "_watch", "_of_tag", "_counts", "_first_tags", "_shown", "_dirty", "_quality",
               "_reads"},
    "changes": {"_emit", "_mark", "_reply", "_loaded", "_ticket", "wanted"},
    "report": {"_base_ns", "_image", "_tags", "_before", "_after", "_half_seconds", "_half_tenths",
               "_second"},
}  # fmt: skip
"""Attributes of each part that a replay makes again, or that say nothing of former cycles."""


def test_every_attribute_of_the_scan_is_carried_or_made_anew_by_a_replay(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    assert set(cell.scan.parts) == set(MADE_ANEW)
    for name, part in cell.scan.parts.items():
        assert set(vars(part)) == MADE_ANEW[name] | set(part.CARRIED), (
            f"a new attribute of {type(part).__name__}: name it in CARRIED when it says anything "
            f"about former cycles"
        )


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


def test_a_recording_without_a_recorder_costs_nothing_and_changes_nothing(tmp_path: Path) -> None:
    tape = Tape()
    assert tape.text(3, "why") == "why"
    cell = RecordedCell(tmp_path)
    assert tape.clock(cell.clock) is cell.clock


def test_the_state_in_a_file_cannot_call_functions(tmp_path: Path) -> None:
    import os  # noqa: PLC0415
    import pickle  # noqa: PLC0415

    from cellwright.runtime.recorder_state import Frozen, StateError, thaw  # noqa: PLC0415

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
