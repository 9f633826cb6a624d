"""RAMP, LIMITER, HYSTERESIS, MOVING_AVERAGE: what they promise, for any input."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.tasks.api import ScanContext
from cellwright.tasks.control.blocks import (
    HYSTERESIS,
    LIMITER,
    MOVING_AVERAGE,
    RAMP,
    ParameterError,
    TimeBackwardsError,
)

numbers = st.floats(-1e6, 1e6)
SECOND = 10**9


def at(seconds: float) -> ScanContext:
    return ScanContext("test", now_ns=round(seconds * SECOND))


# --- ramp -----------------------------------------------------------------------------------------


def test_a_ramp_starts_at_its_first_input_and_then_follows_at_its_rates():
    ramp = RAMP()
    inputs = [10.0, 20.0, 20.0, 20.0, 0.0, 0.0, 0.0]
    seen = [ramp(at(n), value, RISE=4.0, FALL=8.0) for n, value in enumerate(inputs)]
    assert seen == [10.0, 14.0, 18.0, 20.0, 12.0, 4.0, 0.0]


def test_a_ramp_counts_scan_time_not_calls():
    ramp = RAMP()
    ramp(at(0), 0.0, RISE=1.0, FALL=1.0)
    assert [ramp(at(0.5), 9.0, RISE=1.0, FALL=1.0) for _ in range(5)] == [0.5] * 5


def test_a_ramp_stands_still_at_a_rate_of_zero_and_jumps_at_a_rate_without_bound():
    ramp = RAMP()
    ramp(at(0), 0.0, RISE=0.0, FALL=0.0)
    assert ramp(at(9), 5.0, RISE=0.0, FALL=0.0) == 0.0
    assert ramp(at(9), 5.0, RISE=math.inf, FALL=0.0) == 5.0


def test_a_ramp_that_tracks_takes_the_value_and_goes_on_from_it():
    ramp = RAMP()
    assert ramp(at(0), 0.0, RISE=1.0, FALL=1.0, TRACK=50.0) == 50.0
    assert ramp(at(1), 0.0, RISE=1.0, FALL=1.0, TRACK=60.0) == 60.0
    assert ramp(at(2), 0.0, RISE=1.0, FALL=1.0) == 59.0


@given(
    st.lists(st.tuples(st.integers(0, SECOND), numbers), min_size=1, max_size=30),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
)
def test_a_ramp_never_changes_faster_than_its_rates_and_never_overshoots(
    steps: list[tuple[int, float]], rise: float, fall: float
):
    ramp, ctx = RAMP(), ScanContext("test")
    before = steps[0][1]
    for lapse, value in steps:
        ctx.now_ns += lapse
        out = ramp(ctx, value, RISE=rise, FALL=fall)
        margin = 1e-9 * max(1.0, abs(before), abs(out))
        assert -fall * lapse / SECOND - margin <= out - before <= rise * lapse / SECOND + margin
        assert min(before, value) <= out <= max(before, value)
        before = out


def test_a_ramp_refuses_negative_rates_and_time_that_goes_back():
    ramp = RAMP()
    ramp(at(1), 1.0, RISE=1.0, FALL=1.0)
    before = ramp.state()
    with pytest.raises(ParameterError, match="RISE -1"):
        ramp(at(2), 1.0, RISE=-1.0, FALL=1.0)
    with pytest.raises(ParameterError, match="FALL nan"):
        ramp(at(2), 1.0, RISE=1.0, FALL=math.nan)
    with pytest.raises(TimeBackwardsError):
        ramp(at(0.5), 1.0, RISE=1.0, FALL=1.0)
    assert ramp.state() == before


def test_a_ramp_does_not_count_the_time_in_which_its_input_was_no_number():
    ramp = RAMP()
    ramp(at(0), 0.0, RISE=1.0, FALL=1.0)
    assert ramp(at(10), math.nan, RISE=1.0, FALL=1.0) == 0.0
    assert ramp.ERROR
    assert ramp(at(11), 5.0, RISE=1.0, FALL=1.0) == 1.0
    assert not ramp.ERROR


# --- limiter --------------------------------------------------------------------------------------


@given(numbers, numbers, numbers)
def test_a_limiter_gives_the_middle_one_of_input_and_limits(value: float, one: float, other: float):
    limiter, low, high = LIMITER(), min(one, other), max(one, other)
    assert limiter(MN=low, IN=value, MX=high) == sorted((low, value, high))[1] == limiter.OUT
    assert (value < low, value > high) == (limiter.QL, limiter.QH)


def test_a_limiter_refuses_crossed_limits():
    with pytest.raises(ParameterError, match="MN must not be above MX"):
        LIMITER()(MN=2.0, IN=1.0, MX=1.0)


# --- hysteresis -----------------------------------------------------------------------------------


def test_hysteresis_switches_above_high_and_back_below_low():
    switch = HYSTERESIS()
    inputs = [0.0, 5.0, 8.0, 8.1, 5.0, 3.0, 2.9, 5.0, 9.0]
    seen = [switch(value, LOW=3.0, HIGH=8.0) for value in inputs]
    assert seen == [False, False, False, True, True, True, False, False, True]
    assert switch.Q is True


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_hysteresis_is_what_the_last_value_outside_the_band_made_it(inputs: list[int]):
    switch = HYSTERESIS()
    for last, value in enumerate(inputs):
        outside = [v for v in inputs[: last + 1] if not -2 <= v <= 2]
        assert switch(value, LOW=-2, HIGH=2) is bool(outside and outside[-1] > 2)


def test_hysteresis_refuses_a_band_upside_down():
    with pytest.raises(ParameterError, match="LOW must not be above HIGH"):
        HYSTERESIS()(0.0, LOW=2.0, HIGH=1.0)


# --- moving average -------------------------------------------------------------------------------


@given(st.integers(1, 12), st.lists(numbers, min_size=1, max_size=40))
def test_a_moving_average_is_the_mean_of_the_last_values(size: int, inputs: list[float]):
    average = MOVING_AVERAGE(size)
    for last, value in enumerate(inputs):
        window = inputs[max(0, last + 1 - size) : last + 1]
        expected = math.fsum(window) / len(window)
        assert average(value) == pytest.approx(expected, rel=1e-9, abs=1e-6)
        assert len(window) == average.COUNT


def test_a_spike_leaves_no_trace_once_it_has_left_the_window():
    average = MOVING_AVERAGE(4)
    for value in (0.1, 1e300, 0.1, 0.1, 0.1):
        average(value)
    assert average(0.1) == pytest.approx(0.1)


def test_a_moving_average_can_be_made_to_forget():
    average = MOVING_AVERAGE(4)
    average(100.0)
    assert average(2.0, RESET=True) == 2.0
    assert average.COUNT == 1


def test_a_mean_that_is_too_large_for_a_number_holds_the_output():
    average = MOVING_AVERAGE(2)
    average(1e308)
    assert average(1.7e308) == 1e308
    assert average.ERROR
    assert average(0.0) == 0.85e308


@pytest.mark.parametrize("size", [0, -1, 4001])
def test_a_window_that_cannot_be_is_refused(size: int):
    with pytest.raises(ParameterError, match="give 1 to 4000"):
        MOVING_AVERAGE(size)


# --- values that are none -------------------------------------------------------------------------


def put(block: RAMP | LIMITER | MOVING_AVERAGE, value: float) -> float:
    match block:
        case RAMP():
            return block(at(0), value, RISE=1.0, FALL=1.0)
        case LIMITER():
            return block(MN=0.0, IN=value, MX=9.0)
        case MOVING_AVERAGE():
            return block(value)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("make", [RAMP, LIMITER, lambda: MOVING_AVERAGE(3)])
def test_a_value_that_is_no_number_leaves_the_output_and_is_told(
    make: Callable[[], RAMP | LIMITER | MOVING_AVERAGE], broken: float
):
    block = make()
    assert put(block, 7.0) == 7.0
    assert put(block, broken) == 7.0
    assert block.ERROR
    assert put(block, 7.0) == 7.0
    assert not block.ERROR


def test_a_hysteresis_keeps_its_output_without_a_number():
    switch = HYSTERESIS()
    switch(9.0, LOW=1.0, HIGH=2.0)
    assert switch(math.nan, LOW=1.0, HIGH=2.0) is True
    assert switch(-math.inf, LOW=1.0, HIGH=2.0) is True
    assert switch.ERROR
