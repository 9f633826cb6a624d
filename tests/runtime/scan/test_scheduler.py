"""The schedule is a pure function: it never drifts, and every tick is run or skipped."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.plan import Edge, Task
from cellwright.runtime.scan.execution.schedule import Schedule, next_tick, sees, tick_start_ns

BASE = 10_000_000


def task(index: int, interval: int, phase: int = 0, priority: int = 0) -> Task:
    return Task(
        index=index,
        name=f"t{index}",
        program="x:Y",
        interval_ns=interval * BASE,
        phase_ns=phase * BASE,
        priority=priority,
        watchdog_ns=BASE,
        binding={},
    )


tables = st.lists(
    st.tuples(st.integers(1, 50), st.integers(0, 49), st.integers(0, 5)), min_size=1, max_size=6
).map(
    lambda rows: [
        task(i, interval, phase % interval, p) for i, (interval, phase, p) in enumerate(rows)
    ]
)


@given(tables, st.integers(0, 10_000))
@pytest.mark.behaviour(7)
def test_a_task_is_due_exactly_on_its_grid_and_in_order_of_priority(tasks, tick):
    due = Schedule(tasks, BASE).due(tick)
    expected = [
        t.index
        for t in sorted(tasks, key=lambda t: (t.priority, t.index))
        if (tick * BASE - t.phase_ns) % t.interval_ns == 0
    ]
    assert due == expected


@given(tables, st.integers(0, 500), st.integers(0, 300))
def test_skipped_executions_are_counted_as_if_the_ticks_had_been_walked(tasks, first, length):
    schedule = Schedule(tasks, BASE)
    walked: dict[int, int] = {}
    for tick in range(first, first + length):
        for index in schedule.due(tick):
            walked[index] = walked.get(index, 0) + 1
    assert dict(schedule.due_between(first, first + length)) == walked


@given(st.lists(st.integers(0, 5 * BASE), min_size=1, max_size=200))
@pytest.mark.behaviour(6)
def test_run_plus_skipped_equals_elapsed_and_no_tick_drifts(durations):
    start = 123_456
    tick = run = skipped = 0
    now = start
    for duration in durations:
        begin = max(now, tick_start_ns(start, BASE, tick))
        assert (begin - start) // BASE >= tick
        now = begin + duration
        run += 1
        following = next_tick(start, BASE, tick, now)
        skipped += following - tick - 1
        assert tick_start_ns(start, BASE, following) >= now, (
            "a tick is never started late on purpose"
        )
        assert tick_start_ns(start, BASE, following) - now < BASE or following == tick + 1
        tick = following
    assert run + skipped == tick


def test_a_cycle_that_ends_on_time_skips_nothing():
    assert next_tick(0, BASE, 7, 7 * BASE + BASE // 2) == 8
    assert next_tick(0, BASE, 7, 8 * BASE) == 8


@pytest.mark.behaviour(6)
def test_a_late_cycle_stays_in_phase():
    assert next_tick(0, BASE, 7, 8 * BASE + 1) == 9
    assert next_tick(0, BASE, 7, 20 * BASE + 1) == 21


def test_an_interval_off_the_grid_is_refused():
    with pytest.raises(ValueError, match="not a multiple"):
        Schedule([task(0, 1)], BASE + 1)


@pytest.mark.behaviour(7)
@given(tables, st.integers(0, 1000), st.sets(st.integers(0, 5)))
def test_called_tasks_are_put_among_the_due_ones_by_priority_each_once(tasks, tick, called):
    schedule = Schedule(tasks, BASE)
    due = set(schedule.due(tick)) | {t.index for t in tasks if t.index in called}
    order = sorted(tasks, key=lambda t: (t.priority, t.index))
    assert schedule.due_with(tick, called) == [t.index for t in order if t.index in due]


def test_tasks_without_an_interval_are_never_due_by_themselves():
    event = Task(index=0, name="e", program="x:Y", priority=0, watchdog_ns=1, binding={}, event=3)
    free = Task(
        index=1, name="f", program="x:Y", priority=0, watchdog_ns=1, binding={}, freewheeling=True
    )
    schedule = Schedule([event, free, task(2, 1)], BASE)
    assert [schedule.due(tick) for tick in range(3)] == [[2]] * 3
    assert schedule.due_between(0, 100) == [(2, 100)]
    assert schedule.due_with(5, {0}) == [0, 2]


@pytest.mark.behaviour(7)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=6), st.integers(1, 8))
def test_every_freewheeling_task_that_fits_alone_gets_a_turn(costs, slack):
    tasks = [
        Task(
            index=i, name=f"f{i}", program="x:Y", priority=0, watchdog_ns=1, binding={},
            freewheeling=True,
        )
        for i in range(len(costs))
    ]  # fmt: skip
    schedule = Schedule(tasks, BASE)
    turns = [t.index for t in tasks]
    runs = dict.fromkeys(turns, 0)
    for _ in range(4 * len(costs)):
        left, ran = slack, []
        for index in turns:
            if costs[index] <= left:
                left -= costs[index]
                ran.append(index)
                runs[index] += 1
        turns = schedule.take_turns(turns, ran)
    for index, cost in enumerate(costs):
        assert (runs[index] >= 3) == (cost <= slack)


@given(st.sampled_from(Edge), st.lists(st.booleans(), min_size=1, max_size=50))
def test_an_edge_is_seen_once_for_each_change_in_its_direction(edge, levels):
    seen = sum(sees(edge, before, now) for before, now in pairwise(levels))
    text = "".join("1" if level else "0" for level in levels)
    up, down = text.count("01"), text.count("10")
    assert seen == {Edge.RISING: up, Edge.FALLING: down, Edge.BOTH: up + down}[edge]
