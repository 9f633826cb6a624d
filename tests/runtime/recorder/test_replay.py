"""A recording runs again bit for bit; a changed program is caught at the very cycle and tag."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import RingFull
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
from cellwright.io.plan import CellState, OnLoss
from cellwright.io.recording.store import Policy
from cellwright.tasks.api import (
    Program,
    ProgramOptions,
    ScanContext,
)
from support.recorded_cell import Eye, Press, RecordedCell, every_kind_of_task
from support.replayed_cell import identical, replayed
from support.scan_bench import input_bit, scan_start

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
    "scan": {"_plan", "_image", "_observer", "_clock", "_peers", "boot_id", "process_image",
             "_outbox", "_jobs", "_commands", "execution", "_report", "_keyswitch", "_latched",
             "_moment", "changes", "parts", "_asked", "_alarms", "_heartbeats"},
    "outbox": {"_ring", "_observer"},
    "execution": {"_declared", "_plan", "_image", "_statistics", "_clock", "_outbox", "_jobs",
                  "_commands", "classes", "schedule", "programs", "contexts", "calls",
                  "_longest_ns", "_ended_ns"},
    "calls": {"_tasks", "_base_ns", "_image", "_statistics", "schedule", "_events",
              "_freewheeling"},
    "jobs": {"_of_task", "dated"},
    "commands": {"_tags", "_tasks", "_image", "_statistics", "_ask_mode", "_emit", "_utc_ns",
                 "_cycle", "_alarms", "_changes"},
    "heartbeats": set(),
    "alarms": {"_rules", "_groups", "_image", "_moment", "_emit", "_obey", "_by_name", "_judges",
               "_watch", "_of_tag", "_counts", "_first_tags", "_shown", "_dirty", "_quality",
               "_reads", "_moves", "_check", "_emitted_in", "_emitted"},
    "changes": {"_emit", "_state", "_mark", "_reply", "_loaded", "_ticket", "wanted"},
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
