"""Many alarms in one cycle: their states are there at once, their events follow in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.messages import AlarmChanged, ReplyCode, encode
from cellwright.io.plan import CellState
from cellwright.runtime.recorder.replay import Replay
from cellwright.runtime.scan.alarms import engine
from support.alarm_bench import HEAD, AlarmBench, Quiet, RecordedAlarms, acknowledge, shelve
from support.campaign import examples

COUNT = 24
TAGS = "".join(
    f"  n{number}: {{type: INT, memory: true, write: [Operator]}}\n" for number in range(COUNT)
)
FLOOD = "alarms:\n" + "".join(
    f"  a{number}: {{tag: n{number}, high: 0, text: Much, group: g{number % 3}, "
    f"acknowledge: {str(number % 2 == 0).lower()}}}\n"
    for number in range(COUNT)
)
TAIL = 60
"""Cycles after which everything was told, whatever the bound."""
FLOOD_HEAD = HEAD.replace("tasks:", TAGS + "tasks:", 1)


@contextmanager
def events_per_cycle(most: int) -> Iterator[None]:
    """Another bound than the built-in one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "EVENTS_PER_CYCLE", most)
        yield


def put(bench: AlarmBench | RecordedAlarms, values: dict[int, int]) -> None:
    """Values of the watched tags, before the next cycle."""
    for number, value in values.items():
        bench.scan.process_image.set(bench.plan.tag(f"n{number}").index, value)


def test_a_flood_is_seen_in_the_tags_at_once_and_told_in_order_over_some_cycles(
    tmp_path: Path,
) -> None:
    bench = AlarmBench(tmp_path, FLOOD, head=FLOOD_HEAD)
    bench.cycle()
    with events_per_cycle(10):
        put(bench, dict.fromkeys(range(COUNT), 5))
        told = []
        for _ in range(4):
            bench.cycle()
            told.append(len(bench.events(AlarmChanged)))
            assert set(bench.states().values()) == {"UNACKNOWLEDGED", "ACKNOWLEDGED"}
            assert bench.value("sys.alarms_active") == COUNT
            assert bench.value("sys.alarm_first_out") == "a0"
    assert told == [10, 20, 24, 24]
    events = bench.events(AlarmChanged)
    assert [event.alarm for event in events] == [f"a{number}" for number in range(COUNT)]
    assert {(event.cycle, event.utc_ns, event.value) for event in events} == {
        (events[0].cycle, events[0].utc_ns, 5)
    }
    assert [event.alarm for event in events if event.first_out] == ["a0", "a1", "a2"]


steps = st.lists(
    st.one_of(
        st.dictionaries(st.integers(0, COUNT - 1), st.sampled_from([0, 5]), max_size=COUNT),
        st.sampled_from(["all", "none", "acknowledge", "shelve"]),
    ),
    min_size=1,
    max_size=8,
)


def played(folder: Path, script: list[dict[int, int] | str], most: int) -> tuple[list[bytes], ...]:
    """All events; states, first-outs and number of new events after each cycle."""
    bench = AlarmBench(folder, FLOOD, head=FLOOD_HEAD)
    seen: list[bytes] = []
    counts: list[float] = []
    known = looked = 0

    def look() -> None:
        nonlocal known, looked
        first = [str(bench.value(f"alarms.g{group}.first_out")) for group in range(3)]
        seen.append(repr((bench.states(), first)).encode())
        cycle, now = bench.scan.cycle_number, len(bench.events(AlarmChanged))
        counts.append((now - known) / (cycle - looked))
        known, looked = now, cycle

    with events_per_cycle(most):
        bench.cycle()
        for step in script:
            if step == "acknowledge":
                acknowledge(bench)
            elif step == "shelve":
                shelve(bench, "a1", 0.02)
            else:
                many = {"all": 5, "none": 0}
                values = dict.fromkeys(range(COUNT), many[step]) if isinstance(step, str) else step
                put(bench, values)
                bench.cycle()
            look()
        for _ in range(TAIL):
            bench.cycle()
            look()
        assert not bench.scan._alarms._untold
        events = [encode(event) for event in bench.events(AlarmChanged)]
    bench.image.close()
    assert max(counts) <= max(most, len(events) // engine.BACKLOG_CYCLES)
    return events, seen[: len(script)]


@examples(8)
@given(steps, st.integers(2, 12))
def test_in_turns_or_at_once_the_events_and_the_states_are_the_same(
    script: list[dict[int, int] | str], most: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        turns = played(Path(folder) / "turns", script, most)
        at_once = played(Path(folder) / "once", script, 10_000)
    assert turns == at_once


def test_a_backlog_that_keeps_growing_stays_bounded_and_loses_nothing(tmp_path: Path) -> None:
    bench = AlarmBench(tmp_path, FLOOD, head=FLOOD_HEAD)
    bench.cycle()
    waiting = []
    with events_per_cycle(4):
        for number in range(120):
            put(bench, dict.fromkeys(range(COUNT), 5 * (number % 2)))
            bench.cycle()
            bench.events(AlarmChanged)
            waiting.append(len(bench.scan._alarms._untold))
    assert max(waiting) <= engine.BACKLOG_CYCLES * (COUNT + 1)
    assert max(waiting[60:]) < max(waiting[:60]) * 2
    bench.scan.end()
    assert not bench.scan._alarms._untold, "the end of the process tells the rest"
    for _ in range(10):  # as far as the ring has room, which a journal makes
        bench.events(AlarmChanged)
        bench.scan.end()
    assert bench.scan.unsent == 0
    events = bench.events(AlarmChanged)
    for alarm in ("a0", "a1"):
        own = [event for event in events if event.alarm == alarm]
        assert len(own) == 119, "a change in every cycle but the first"
        assert all(one.new == two.old for one, two in pairwise(own))


def test_an_alarm_with_a_consequence_acts_at_once_in_a_flood(tmp_path: Path) -> None:
    sections = FLOOD + '  zz: {when: "n9 > 3", text: Too much, consequence: fault}\n'
    bench = AlarmBench(tmp_path, sections, head=FLOOD_HEAD)
    bench.run()
    with events_per_cycle(2):
        put(bench, dict.fromkeys(range(COUNT), 5))
        bench.cycle()
        assert bench.scan.state is CellState.FAULT
        assert len(bench.events(AlarmChanged)) == 2


def test_what_cannot_be_told_is_refused_also_while_others_wait(tmp_path: Path) -> None:
    bench = AlarmBench(tmp_path, FLOOD, head=FLOOD_HEAD)
    bench.cycle()
    with events_per_cycle(1):
        put(bench, dict.fromkeys(range(COUNT), 5))
        bench.cycle()
        desk = bench.scan._alarms
        long = "x" * bench.image.events["scan"].longest
        with pytest.raises(engine.RefusedError) as refused:
            desk.acknowledge("a0", "anna", long)
        assert refused.value.code is ReplyCode.OUT_OF_RANGE
        assert bench.states()["a0"] == "UNACKNOWLEDGED"
        bench.cycle(COUNT)
    assert len(bench.events(AlarmChanged)) == COUNT


def test_a_flood_is_replayed_from_a_keyframe_in_its_middle(tmp_path: Path) -> None:
    levels = "alarms:\n" + "".join(
        f"  a{number}: {{tag: level, high: {number}, text: Much}}\n" for number in range(COUNT)
    )
    cell = RecordedAlarms(tmp_path, levels)
    with events_per_cycle(1):
        cell.cycle(3)
        cell.inputs(level=100)
        cell.cycle(2)
        cell.image.recorder.wanted += 1
        cell.cycle(13)
        assert 0 < len(cell.scan._alarms._untold) < COUNT - 10, "a keyframe lies behind"
        cell.cycle(30)
        assert len(cell.events(AlarmChanged)) == COUNT
        cell.pump()
        cell.kept()
        assert cell.store is not None
        compared = 0
        for file in cell.store.segments:
            with Replay(file, programs=[Quiet]) as replay:
                outcome = replay.run()
            assert outcome.difference is None, outcome.difference
            compared += outcome.cycles
        assert compared >= 40
