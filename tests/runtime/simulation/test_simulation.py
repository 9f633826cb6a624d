"""A cell without a plant in simulated time: what the author of a program tries it with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.messages import ModeChanged, TagWritten
from cellwright.io.plan import CellState, Plan, quality
from cellwright.io.recording.listing import kept_recordings
from cellwright.runtime.cli.templates.first_cell import write_template
from cellwright.runtime.config import compile_file
from cellwright.runtime.recorder.replay import Replay
from cellwright.runtime.simulation import EventQueue, Rank, SimulatedCell, SimulationError

BENCH = Path(__file__).parents[1] / "cells" / "bench" / "cell.yaml"


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Plan]:
    """The cell that ``cellwright init`` writes."""
    write_template(tmp_path / "first")
    yield compile_file(tmp_path / "first" / "cell.yaml")
    # Each test's program lies in another folder, under the same name.
    sys.modules.pop("clamp", None)


@pytest.mark.behaviour(20)
def test_a_program_does_in_two_simulated_seconds_what_it_does_in_two_real_ones(first: Plan) -> None:
    with SimulatedCell(first) as cell:
        cell["close_request"] = True
        cell.run_for("1s")
        assert cell["clamp_pressure"] == pytest.approx(4.0, abs=0.1)
        assert not cell["clamp.closed"]
        cell.run_for(0.5)
        assert cell["clamp.closed"]
        assert cell["clamp.strokes"] == 1
        assert [event.tag for event in cell.events(TagWritten)] == ["close_request"]


@pytest.mark.behaviour(16)
def test_a_system_tag_says_that_the_cell_is_simulated(first: Plan) -> None:
    with SimulatedCell(first) as cell:
        assert cell["sys.simulation"] is True


def test_every_tick_is_run_and_none_is_skipped(first: Plan) -> None:
    with SimulatedCell(first) as cell:
        begin = cell.cycles
        cell.run_for("1min")
        assert cell.cycles - begin == 6000
        assert cell["sys.skipped"] == 0
        assert cell["sys.elapsed"] == cell.cycles


def test_commands_are_obeyed_in_the_next_cycle_or_refused_with_a_reason(first: Plan) -> None:
    with SimulatedCell(first, start=False) as cell:
        assert cell.state is CellState.STOP
        cell.request("start")
        assert cell.state is CellState.RUN
        cell.force("clamp_pressure", 7.5)
        assert cell["clamp_pressure"] == 7.5
        assert cell.quality("clamp_pressure") == quality.GOOD_LOCAL_OVERRIDE
        cell.unforce()
        with pytest.raises(SimulationError, match=r"WriteTag was refused.*written by task 'clamp'"):
            cell["clamp_pressure"] = 1.0
        cell.request("stop")
        cell.run_for("100ms")
        assert [event.new for event in cell.events(ModeChanged)] == ["STOP", "RUN", "STOP"]


def test_a_name_that_no_tag_has_is_an_error_with_the_nearest_names(first: Plan) -> None:
    with (
        SimulatedCell(first) as cell,
        pytest.raises(SimulationError, match="clamp_pressure"),
    ):
        cell["clamp_presure"]


def test_a_time_without_meaning_is_refused(first: Plan) -> None:
    with SimulatedCell(first) as cell, pytest.raises(SimulationError, match="not a duration"):
        cell.run_for("soon")


def test_a_closed_cell_says_so(first: Plan) -> None:
    with SimulatedCell(first) as cell:
        pass
    cell.close()
    with pytest.raises(SimulationError, match="make a new one"):
        cell.run_for("1s")


def test_waiting_for_something_ends_when_it_is_there_or_the_time_is_over(first: Plan) -> None:
    with SimulatedCell(first) as cell:
        cell["close_request"] = True
        assert cell.run_while(lambda: not cell["clamp.closed"], within="5s")
        assert 1.2 < cell.elapsed_s - 1.0 < 1.4
        assert not cell.run_while(lambda: bool(cell["clamp.closed"]), within="500ms")


@pytest.fixture(scope="module")
def bench() -> Plan:
    """The cell with one of everything; nobody has made its plant."""
    sys.path.insert(0, str(BENCH.parent))
    return compile_file(BENCH)


VALUES: list[tuple[str, Any, Any]] = [
    ("part_present", False, True),
    ("part_leaving", False, True),
    ("door_open", False, True),
    ("air_pressure", 0.0, 6.25),
    ("temperature", 20.0, -3.0),
    ("position", 0, -123_456),
]


def test_inputs_without_a_plant_have_their_substitute_or_initial_values(bench: Plan) -> None:
    with SimulatedCell(bench) as cell:
        for name, initial, _ in VALUES:
            assert cell[name] == pytest.approx(initial, abs=1e-3), name
            assert cell.quality(name) == quality.GOOD, name


def test_a_set_input_arrives_through_its_wire_form_with_the_next_poll(bench: Plan) -> None:
    with SimulatedCell(bench) as cell:
        for name, _, value in VALUES:
            cell[name] = value
        cell.run_for("40ms")
        for name, _, value in VALUES:
            assert cell[name] == pytest.approx(value, abs=1e-3), name
        assert cell["clamp_close"] is True
        with pytest.raises(SimulationError, match="input 'position' cannot be 'far'"):
            cell["position"] = "far"


def test_inputs_change_at_the_simulated_time_that_a_script_gives(bench: Plan) -> None:
    with SimulatedCell(bench) as cell:
        tag = bench.tag("part_present")
        cell.at(cell.clock.now_ns() + 500_000_000, lambda: cell.hold(tag, True))
        cell.run_for("490ms")
        assert cell["clamp_close"] is False
        cell.run_for("40ms")
        assert cell["clamp_close"] is True


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(Rank)), max_size=30),
)
def test_actions_come_by_time_then_rank_then_order_of_arrival(items: list[tuple[int, Rank]]):
    queue, done = EventQueue(), []
    for number, (at_ns, rank) in enumerate(items):
        queue.put(at_ns, rank, lambda entry=(at_ns, rank, number): done.append(entry))
    while len(queue):
        assert queue.next_ns == min(at_ns for at_ns, *_ in set(enumerate_left(items, done)))
        queue.take()()
    assert done == sorted(done)
    assert len(done) == len(items)


def enumerate_left(
    items: list[tuple[int, Rank]], done: list[tuple[int, Rank, int]]
) -> list[tuple[int, Rank, int]]:
    """What has not been done yet."""
    entries = [(at_ns, rank, number) for number, (at_ns, rank) in enumerate(items)]
    return [entry for entry in entries if entry not in done]


def test_a_simulated_cell_keeps_what_a_trigger_of_its_file_asks_for(tmp_path: Path) -> None:
    write_template(tmp_path / "first")
    file = tmp_path / "first" / "cell.yaml"
    section = 'recorder: {after: 1s, triggers: {pressed: "clamp_pressure > 3.5"}}\n'
    file.write_text(file.read_text() + section, encoding="utf-8")
    with SimulatedCell(compile_file(file), record=True, data=tmp_path / "data") as cell:
        cell.run_for("3s")
        cell["close_request"] = True
        cell.run_for("3s")
    (kept,) = kept_recordings(tmp_path / "data" / "recordings")
    assert (kept.name, kept.cause) == ("pressed", "pressed: clamp_pressure > 3.5")
    # What the file says now does not matter to a recording that was made before.
    file.write_text(file.read_text().replace(section, "recorder: {window: 1s, files: 1}\n"))
    with Replay(kept.path) as replay:
        outcome = replay.run()
    assert outcome.identical
    assert outcome.first == 1
    assert 3.9e9 < outcome.recorded_ns < 6e9
    sys.modules.pop("clamp", None)
