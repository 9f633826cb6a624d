"""Aggregates against a model that goes through the values one by one."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.mes.history.aggregates import (
    AGGREGATES,
    CALCULATED,
    INTERPOLATED,
    NO_DATA,
    PARTIAL,
    SUB_NORMAL,
    Rows,
    Rules,
    Span,
    processed,
    spans,
)
from cellwright.mes.history.batch import Batch, Kind
from cellwright.mes.history.summary import each

BAD = 0x80310000


def rows_of(values, *, kind=Kind.FLOAT, stepped=False) -> Rows:
    """Rows of (time, value, status)."""
    count = len(values)
    numbers = np.array([value for _, value, _ in values])
    bits = numbers.astype(np.float64 if kind is Kind.FLOAT else np.int64).view(np.uint64)
    batch = Batch(
        np.ones(count, np.uint32),
        np.full(count, kind, np.uint8),
        np.array([time for time, *_ in values], np.int64),
        np.array([status for *_, status in values], np.uint32),
        bits,
    )
    return Rows(each(batch), Rules(stepped))


VALUES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(-50, 50), st.sampled_from([0, 0, 0, BAD])),
    max_size=12,
    unique_by=lambda row: row[0],
).map(sorted)


def at(values, time, stepped):
    """The model of a value between others: exact, and whether only Good neighbours made it."""
    good = [row for row in values if row[2] == 0]
    before = [row for row in good if row[0] <= time]
    after = [row for row in good if row[0] > time]
    if not before:
        return None
    (start, low, _) = before[-1]
    if start == time or stepped or not after:
        return Fraction(low)
    end, high, _ = after[0]
    return Fraction(low) + Fraction(high - low) * (time - start) / (end - start)


def model(name, values, span, stepped):
    """One aggregate of one interval, told value by value; None: there is none."""
    inside = [row for row in values if span.start_ns <= row[0] < span.end_ns]
    good = [value for _, value, status in inside if status == 0]
    if name == "Interpolative":
        return at(values, span.stamp_ns, stepped)
    if name == "Count":
        first, last = (values[0][0], values[-1][0]) if values else (0, -1)
        outside = not values or span.end_ns <= first or span.start_ns > last
        return None if not inside and outside else len(good)
    if name == "TimeAverage":
        known = [at(values, time, stepped) for time in range(span.start_ns, span.end_ns + 1)]
        pairs = [
            (one, one if stepped or other is None else other)
            for one, other in pairwise(known)
            if one is not None
        ]
        return sum((one + other) / 2 for one, other in pairs) / len(pairs) if pairs else None
    if not good:
        return None
    return {
        "Average": Fraction(sum(good), len(good)),
        "Minimum": min(good),
        "Maximum": max(good),
        "Range": max(good) - min(good),
    }[name]


@pytest.mark.parametrize("name", AGGREGATES)
@given(VALUES, st.booleans(), st.tuples(st.integers(0, 50), st.integers(1, 40), st.integers(1, 20)))
def test_each_aggregate_is_that_of_a_model_that_goes_value_by_value(name, values, stepped, asked):
    start, length, step = asked
    wanted = spans(start, start + length, step)
    got = processed(name, rows_of(values, stepped=stepped), wanted)
    assert [result.time_ns for result in got] == [span.stamp_ns for span in wanted]
    for result, span in zip(got, wanted, strict=True):
        expected = model(name, values, span, stepped)
        assert result.value == (None if expected is None else pytest.approx(float(expected)))
        assert (result.status == NO_DATA) == (expected is None)


@given(VALUES, st.booleans())
def test_what_has_only_good_values_around_it_is_good_and_nothing_else_is(values, stepped):
    rows, known = rows_of(values, stepped=stepped), {row[0]: row for row in values}
    for name in ("Average", "Minimum", "Maximum", "Range"):
        for got, span in zip(
            processed(name, rows, spans(0, 60, 20)), spans(0, 60, 20), strict=True
        ):
            inside = [row for row in values if span.start_ns <= row[0] < span.end_ns]
            if got.value is not None:
                clean = all(row[2] == 0 for row in inside)
                assert got.status == (0 if clean else SUB_NORMAL) | CALCULATED
    for time in range(61):
        got = rows.at(time)
        if known.get(time, (0, 0, BAD))[2] == 0:
            assert got.status == 0
        elif got.value is not None:
            assert got.status & INTERPOLATED == INTERPOLATED


def test_intervals_go_either_way_and_the_last_one_may_be_shorter():
    assert spans(0, 25, 10) == [Span(0, 0, 10), Span(10, 10, 20), Span(20, 20, 25, True)]
    assert spans(25, 0, 10) == [Span(25, 16, 26), Span(15, 6, 16), Span(5, 1, 6, True)]
    assert spans(3, 9, 0) == [Span(3, 3, 9)]
    rows = rows_of([(0, 1, 0), (5, 2, 0), (15, 3, 0), (25, 4, 0)])
    back = processed("Count", rows, spans(25, 0, 10))
    assert [got[:2] for got in back] == [(25, 1), (15, 1), (5, 1)]
    assert back[-1].status == CALCULATED | PARTIAL


def test_start_and_end_are_values_with_their_own_times():
    rows = rows_of([(1, 5, 0), (4, 6, BAD), (9, 7, 0)], kind=Kind.INTEGER)
    assert processed("Start", rows, spans(0, 10, 10)) == [(1, 5, 0)]
    assert processed("End", rows, spans(0, 6, 6)) == [(4, None, BAD)]
    assert processed("Start", rows, spans(10, 0, 10)) == [(9, 7, 0)]
    assert processed("End", rows, spans(10, 20, 10)) == [(10, None, NO_DATA)]


def test_large_integers_keep_their_last_digit():
    rows = rows_of([(0, 2**60 + 1, 0), (1, 2**60 + 3, 0)], kind=Kind.INTEGER)
    assert processed("Minimum", rows, spans(0, 2, 2))[0].value == 2**60 + 1
    assert processed("Range", rows, spans(0, 2, 2))[0].value == 2
