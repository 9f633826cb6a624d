"""Counters and histograms: what is recorded is what everybody reads, also across a kill."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import SCAN, Area, Image, Statistics, bucket_low
from cellwright.native import lib
from support.plans import small_plan
from support.victims import Victim, let_live


@pytest.fixture
def statistics(tmp_path: Path) -> Statistics:
    return Image.create(tmp_path / "image", small_plan(), "0123abcd").statistics


def test_nothing_was_recorded_at_first(statistics: Statistics) -> None:
    found = statistics.read(SCAN)
    assert (found.runs, found.execution.count, found.execution.percentile(99)) == (0, 0, 0)
    assert found.jitter.mean == 0.0


def test_tasks_and_the_scan_are_counted_apart(statistics: Statistics) -> None:
    statistics.record(SCAN, 1_000, 50_000)
    statistics.record(0, 2_000, 10_000)
    statistics.record(0, 4_000, 30_000)
    statistics.skipped(1, 3)
    statistics.overran(1)
    statistics.watchdog_hit(1)
    statistics.ran_late(1, 2)
    statistics.omitted(1, 4)
    statistics.timed_out(1, 5)
    statistics.answered_late(1, 6)
    first, second = statistics.read_all()
    assert statistics.read(SCAN).execution.last == 50_000
    assert (first.runs, first.skips) == (2, 0)
    assert (first.execution.minimum, first.execution.maximum) == (10_000, 30_000)
    assert (first.jitter.mean, first.jitter.last) == (3_000.0, 4_000)
    assert (second.runs, second.overruns, second.skips, second.watchdog_hits) == (0, 1, 3, 1)
    assert (second.late_runs, second.omitted) == (2, 4)
    assert (second.job_timeouts, second.late_answers) == (5, 6)


@pytest.mark.behaviour(8)
def test_a_reset_zeroes_and_is_itself_counted(statistics: Statistics) -> None:
    statistics.record(0, 5, 5)
    statistics.record(1, 5, 5)
    statistics.reset(0)
    assert (statistics.read(0).runs, statistics.read(0).resets) == (0, 1)
    assert statistics.read(1).runs == 1
    statistics.reset()
    assert [found.resets for found in statistics.read_all()] == [2, 1]


def test_a_task_that_does_not_exist_is_refused(statistics: Statistics) -> None:
    for index in (-2, 2):
        with pytest.raises(IndexError, match="there are 2"):
            statistics.read(index)


@given(st.integers(-10, 2**42))
def test_a_value_lies_in_its_bucket_and_a_bucket_is_an_eighth_wide(value: int) -> None:
    bucket = lib.cw_bucket(value)
    low = bucket_low(bucket)
    assert low <= max(value, 0)
    if bucket < lib.CW_BUCKETS - 1:
        high = bucket_low(bucket + 1)
        assert max(value, 0) < high
        assert high - low <= max(1, low / 8)


@given(st.lists(st.integers(0, 2**36), min_size=1, max_size=50), st.floats(1, 100))
@pytest.mark.behaviour(8)
def test_a_percentile_is_at_most_an_eighth_above_the_true_one(
    times: list[int], percent: float
) -> None:
    area = Statistics(Area(memoryview(bytearray(Statistics.size(0)))), 0)
    for time in times:
        area.record(SCAN, 0, time)
    found = area.read(SCAN).execution
    rank = max(1, -(-len(times) * percent // 100))
    true = sorted(times)[int(rank) - 1]
    assert true <= found.percentile(percent) <= max(true + 1, true * 1.125)
    assert sum(found.buckets) == found.count == len(times)
    assert (found.minimum, found.maximum, found.total) == (min(times), max(times), sum(times))


def test_a_scan_killed_while_it_records_leaves_a_whole_record(tmp_path: Path) -> None:
    plan = small_plan()
    path = tmp_path / "image"
    image = Image.create(path, plan, "0123abcd")
    chance = random.Random(5)

    def work() -> None:
        mine = Image.attach(path, plan).statistics
        mine.repair()
        while True:
            for number in range(1, 1000):
                mine.record(0, number, number, overruns=1, skips=1, watchdog_hits=1)

    last = 0
    for _ in range(40):
        victim = Victim(work)
        let_live(chance, 0.008)
        while image.statistics.read(0).runs == last:
            let_live(chance)
        victim.kill()
        found = image.statistics.read(0)
        assert found.runs == found.overruns == found.skips == found.watchdog_hits
        assert found.runs == found.jitter.count == sum(found.jitter.buckets)
        assert found.runs == found.execution.count == sum(found.execution.buckets)
        assert found.jitter.total == found.execution.total
        assert found.runs > last
        last = found.runs
