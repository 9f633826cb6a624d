"""The schedule is a pure function: it never drifts, and every tick is run or skipped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.plan import Task
from cellwright.runtime.scheduler import Schedule, next_tick, tick_start_ns

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


def test_a_late_cycle_stays_in_phase():
    assert next_tick(0, BASE, 7, 8 * BASE + 1) == 9
    assert next_tick(0, BASE, 7, 20 * BASE + 1) == 21


def test_an_interval_off_the_grid_is_refused():
    with pytest.raises(ValueError, match="not a multiple"):
        Schedule([task(0, 1)], BASE + 1)
