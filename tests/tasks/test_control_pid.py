"""PID against plants whose answer is known in closed form, and its behaviour at limits and by hand.

The first-order plant is sampled exactly (zero-order hold), so closed forms hold to rounding: no
simulation stands in for the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.tasks.api import ScanContext
from cellwright.tasks.control.blocks import (
    PID,
    PidTuning,
)
from tasks.pid_loop import STEP_S, Cycle, values

WIDE = {"low": -1e9, "high": 1e9}
Output = Callable[[float, float], float]
"""Controller: set value and measured value to output, one step on."""


def controller(tuning: PidTuning, step_s: float = STEP_S) -> Output:
    """A loop that has seen one sample at rest, so that the next one has a full interval."""
    loop, cycle = PID(), Cycle(step_s)
    loop(cycle.next(), SP=0.0, PV=0.0, tuning=tuning)
    return lambda sp, pv: loop(cycle.next(), SP=sp, PV=pv, tuning=tuning)


def respond(
    output: Output, gain: float, lag_s: float, steps: int, *, sp: float = 1.0, h: float = STEP_S
) -> list[float]:
    """A first-order plant under control, from rest: its value at each sample."""
    keep = math.exp(-h / lag_s)
    pv, seen = 0.0, []
    for _ in range(steps):
        seen.append(pv)
        pv = keep * pv + gain * (1 - keep) * output(sp, pv)
    return seen


# --- closed forms ---------------------------------------------------------------------------------


def test_pi_that_cancels_the_pole_of_a_first_order_plant_gives_the_exact_geometric_answer():
    gain, lag_s, kp = 2.5, 0.8, 1.3
    keep = math.exp(-STEP_S / lag_s)
    ti_s = STEP_S * keep / (1 - keep)  # the controller's zero lies on the plant's pole
    closing = kp * gain * (1 - keep) / keep
    seen = respond(controller(PidTuning(kp, ti_s, **WIDE)), gain, lag_s, 200)
    expected = [1 - (1 - closing) ** n for n in range(200)]
    assert seen == pytest.approx(expected, abs=1e-9)


def test_pi_approaches_the_continuous_first_order_answer_linearly_with_the_interval():
    gain, lag_s, kp = 1.5, 2.0, 0.9
    speed = kp * gain / lag_s  # with TI equal to the lag, y = 1 - exp(-speed t)

    def worst(h: float) -> float:
        seen = respond(controller(PidTuning(kp, lag_s, **WIDE), h), gain, lag_s, int(4 / h), h=h)
        return max(abs(y - 1 + math.exp(-speed * n * h)) for n, y in enumerate(seen))

    errors = [worst(h) for h in (0.04, 0.02, 0.01)]
    assert errors[0] < 0.02
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2, rel=0.1)


def test_p_alone_leaves_the_offset_that_theory_says():
    gain, lag_s, kp = 2.0, 0.5, 3.0
    keep = math.exp(-STEP_S / lag_s)
    root = keep - gain * (1 - keep) * kp
    rest = kp * gain / (1 + kp * gain)
    seen = respond(controller(PidTuning(kp, **WIDE)), gain, lag_s, 150)
    assert seen == pytest.approx([rest * (1 - root**n) for n in range(150)], abs=1e-9)


def test_p_with_weight_leaves_the_weighted_offset():
    gain, kp, b = 2.0, 1.0, 0.25
    seen = respond(controller(PidTuning(kp, b=b, **WIDE)), gain, 0.5, 400)
    assert seen[-1] == pytest.approx(b * kp * gain / (1 + kp * gain), abs=1e-9)


def test_integral_of_a_constant_error_is_a_ramp_of_kp_over_ti():
    output = controller(PidTuning(2.0, 4.0, **WIDE))
    for n in range(1, 100):
        assert output(3.0, 1.0) == pytest.approx(2.0 * 2.0 * (1 + n * STEP_S / 4.0))


def test_derivative_of_a_ramp_approaches_its_slope_through_the_filter():
    kp, td_s, n, slope = 1.5, 0.6, 5.0, 4.0
    tuning = PidTuning(kp, td_s=td_s, n=n, **WIDE)
    loop, cycle = PID(), Cycle()
    root = (td_s / n) / (td_s / n + STEP_S)
    for k in range(100):
        loop(cycle.next(), SP=0.0, PV=slope * k * STEP_S, tuning=tuning)
        assert loop.parts[2] == pytest.approx(-kp * td_s * slope * (1 - root**k), abs=1e-9)


def test_a_negative_gain_controls_a_plant_that_answers_the_other_way_round():
    seen = respond(controller(PidTuning(-1.0, 0.5, **WIDE)), -2.0, 0.5, 600)
    assert seen[-1] == pytest.approx(1.0, abs=1e-6)


def test_feed_forward_is_added_to_the_output():
    loop, cycle, tuning = PID(), Cycle(), PidTuning(2.0, 1.0, **WIDE)
    assert loop(cycle.next(), SP=1.0, PV=0.0, tuning=tuning, FF=5.0) == 7.0


# --- derivative -----------------------------------------------------------------------------------


def test_a_step_of_the_set_value_gives_no_derivative_kick():
    tuning = PidTuning(2.0, td_s=3.0, **WIDE)
    loop, cycle = PID(), Cycle()
    for _ in range(5):
        loop(cycle.next(), SP=10.0, PV=10.0, tuning=tuning)
    before = loop.OUT
    assert loop(cycle.next(), SP=15.0, PV=10.0, tuning=tuning) - before == pytest.approx(10.0)
    assert loop.parts[2] == 0.0


def test_the_first_sample_gives_no_derivative():
    loop = PID()
    loop(Cycle().next(), SP=0.0, PV=1000.0, tuning=PidTuning(1.0, td_s=5.0, **WIDE))
    assert loop.parts[2] == 0.0


def test_what_was_sampled_under_another_clock_gives_neither_derivative_nor_integral():
    tuning = PidTuning(1.0, 1.0, td_s=5.0, **WIDE)
    loop, cycle = PID(), Cycle()
    for _ in range(5):
        loop(cycle.next(), SP=10.0, PV=8.0, tuning=tuning)
    integral = loop.parts[1]
    loop.restore(loop.state(), new_clock=True)
    loop(cycle.next(), SP=10.0, PV=3.0, tuning=tuning)
    assert loop.parts == (7.0, integral, 0.0)


# --- limits ---------------------------------------------------------------------------------------


def test_output_leaves_its_limit_in_the_step_in_which_the_error_changes_sign():
    output = controller(PidTuning(2.0, 0.5, low=0.0, high=100.0))
    for _ in range(5000):
        assert output(50.0, 10.0) <= 100.0
    assert output(50.0, 10.0) == 100.0
    assert output(50.0, 50.0001) < 100.0


def test_output_leaves_its_lower_limit_as_readily():
    output = controller(PidTuning(2.0, 0.5, low=-20.0, high=100.0))
    for _ in range(5000):
        output(10.0, 50.0)
    assert output(10.0, 50.0) == -20.0
    assert output(10.0, 9.9999) > -20.0


def test_a_saturated_start_overshoots_far_less_than_with_an_integral_that_winds_up():
    gain, lag_s, tuning = 1.0, 2.0, PidTuning(4.0, 0.8, low=0.0, high=60.0)
    total = 0.0

    def naive(sp: float, pv: float) -> float:
        nonlocal total
        total += STEP_S * (sp - pv)
        return max(0.0, min(60.0, tuning.kp * (sp - pv + total / tuning.ti_s)))

    ours = respond(controller(tuning), gain, lag_s, 1500, sp=50.0)
    theirs = respond(naive, gain, lag_s, 1500, sp=50.0)
    assert max(theirs) > 55.0, "the plant must wind up for this to say anything"
    assert max(ours) - 50.0 < (max(theirs) - 50.0) / 4
    assert ours[-1] == pytest.approx(50.0, abs=0.01)


def test_a_tightened_limit_takes_the_integral_with_it():
    loop, cycle = PID(), Cycle()
    wide, tight = PidTuning(1.0, 1.0, low=0, high=100), PidTuning(1.0, 1.0, low=0, high=40)
    for _ in range(600):
        loop(cycle.next(), SP=10.0, PV=0.0, tuning=wide)
    assert loop.OUT == 100.0
    assert loop(cycle.next(), SP=10.0, PV=10.0, tuning=tight) == pytest.approx(30.0)


def test_a_long_gap_moves_the_integral_no_further_than_the_limit():
    loop, cycle, tuning = PID(), Cycle(), PidTuning(1.0, 1.0, low=0, high=100)
    loop(cycle.next(), SP=2.0, PV=1.0, tuning=tuning)
    cycle.ctx.now_ns += 3600 * 10**9
    assert loop(cycle.next(), SP=2.0, PV=1.0, tuning=tuning) == 100.0
    assert loop(cycle.next(), SP=2.0, PV=2.5, tuning=tuning) < 100.0


@given(
    st.lists(st.tuples(values, values), min_size=1, max_size=10),
    st.floats(0, 100),
    values,
    values,
    st.floats(0, 1),
)
def test_the_change_to_automatic_starts_from_the_value_set_by_hand(
    before: list[tuple[float, float]], hand: float, sp: float, pv: float, b: float
):
    tuning = PidTuning(1.7, 12.0, b=b)
    loop, cycle = PID(), Cycle()
    for some_sp, some_pv in before:
        loop(cycle.next(), SP=some_sp, PV=some_pv, tuning=tuning)
    assert loop(cycle.next(), SP=sp, PV=pv, tuning=tuning, MANUAL=hand) == hand
    one_step = abs(1.7 * STEP_S / 12.0 * (sp - pv))
    after = loop(cycle.next(), SP=sp, PV=pv, tuning=tuning)
    assert abs(after - hand) <= one_step + 1e-9


def test_without_integral_action_the_value_set_by_hand_stays_as_bias():
    loop, cycle, tuning = PID(), Cycle(), PidTuning(2.0)
    loop(cycle.next(), SP=10.0, PV=10.0, tuning=tuning, MANUAL=30.0)
    assert loop(cycle.next(), SP=10.0, PV=10.0, tuning=tuning) == pytest.approx(30.0)
    assert loop(cycle.next(), SP=10.0, PV=9.0, tuning=tuning) == pytest.approx(32.0)


def test_a_value_set_by_hand_is_limited():
    loop, cycle = PID(), Cycle()
    assert loop(cycle.next(), SP=0.0, PV=0.0, tuning=PidTuning(1.0), MANUAL=250.0) == 100.0
    assert loop(cycle.next(), SP=0.0, PV=0.0, tuning=PidTuning(1.0), MANUAL=-1.0) == 0.0


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.none() | st.floats(-50, 150), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
def test_by_hand_the_output_moves_no_faster_than_its_rate(
    steps: list[tuple[float, float | None, bool]],
):
    rate, tuning = 20.0, PidTuning(1.0, 5.0, hand_rate=20.0)
    loop, cycle = PID(), Cycle()
    loop(cycle.next(), SP=20.0, PV=15.0, tuning=tuning)
    for pv, manual, broken in steps:
        before = loop.OUT
        after = loop(
            cycle.next(), SP=20.0, PV=math.nan if broken else pv, tuning=tuning, MANUAL=manual
        )
        if manual is not None:
            assert abs(after - before) <= rate * STEP_S + 1e-9
            assert abs(after - manual) <= max(abs(before - manual) - rate * STEP_S, 0) + 1e-9 or (
                after in (tuning.low, tuning.high)
            )


def test_a_loop_that_is_by_hand_from_its_first_call_begins_at_that_value():
    tuning = PidTuning(1.0, hand_rate=1.0)
    assert PID()(Cycle().next(), SP=0.0, PV=0.0, tuning=tuning, MANUAL=60.0) == 60.0
    assert PID()(Cycle().next(), SP=0.0, PV=math.nan, tuning=tuning, MANUAL=60.0) == 60.0


def test_a_change_of_gain_does_not_move_an_integrating_output():
    loop, cycle = PID(), Cycle()
    soft, hard = PidTuning(1.0, 10.0, b=0.5, **WIDE), PidTuning(3.0, 10.0, b=0.2, **WIDE)
    for _ in range(50):
        loop(cycle.next(), SP=30.0, PV=29.0, tuning=soft)
    before = loop.OUT
    after = loop(cycle.next(), SP=30.0, PV=29.0, tuning=hard)
    assert after - before == pytest.approx(3.0 * STEP_S / 10.0)


# --- values that are none -------------------------------------------------------------------------

NOT_NUMBERS = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("broken", NOT_NUMBERS)
@pytest.mark.parametrize("which", ["SP", "PV", "FF"])
def test_a_value_that_is_no_number_holds_the_output_and_is_told(which: str, broken: float):
    loop, cycle, tuning = PID(), Cycle(), PidTuning(2.0, 1.0, td_s=0.5)
    good = {"SP": 20.0, "PV": 10.0, "FF": 0.0}
    for _ in range(10):
        loop(cycle.next(), **good, tuning=tuning)
    before = loop.OUT
    for _ in range(100):
        assert loop(cycle.next(), **(good | {which: broken}), tuning=tuning) == before
        assert loop.ERROR
    integral = loop.parts[1]
    loop(cycle.next(), SP=20.0, PV=12.0, FF=0.0, tuning=tuning)
    assert not loop.ERROR
    assert loop.parts[1:] == (integral, 0.0), "neither integral nor derivative of what was not seen"


def test_with_a_broken_sensor_the_output_can_still_be_moved_by_hand():
    loop, cycle, tuning = PID(), Cycle(), PidTuning(2.0, 1.0)
    assert loop(cycle.next(), SP=20.0, PV=math.nan, tuning=tuning, MANUAL=35.0) == 35.0
    assert loop.ERROR
    assert loop(cycle.next(), SP=20.0, PV=math.nan, tuning=tuning) == 35.0
    assert loop(cycle.next(), SP=20.0, PV=math.nan, tuning=tuning, MANUAL=math.nan) == 35.0


def test_when_a_sensor_comes_back_together_with_automatic_the_output_starts_from_the_hand():
    loop, cycle, tuning = PID(), Cycle(), PidTuning(2.0, 1.0)
    loop(cycle.next(), SP=20.0, PV=math.nan, tuning=tuning, MANUAL=35.0)
    assert loop(cycle.next(), SP=20.0, PV=11.0, tuning=tuning) == pytest.approx(35.0)


def test_a_value_that_is_no_number_at_the_first_call_gives_an_output_within_the_limits():
    loop = PID()
    assert loop(Cycle().next(), SP=1.0, PV=math.nan, tuning=PidTuning(1.0, low=20, high=30)) == 20.0


@given(
    st.lists(
        st.tuples(
            st.floats(), st.floats(), st.floats(), st.none() | st.floats(), st.integers(0, 10**12)
        ),
        max_size=12,
    )
)
def test_whatever_comes_in_the_output_is_a_number_within_the_limits(
    calls: list[tuple[float, float, float, float | None, int]],
):
    loop, ctx = PID(), ScanContext("test")
    for sp, pv, ff, manual, lapse in calls:
        ctx.now_ns += lapse
        out = loop(ctx, SP=sp, PV=pv, tuning=PidTuning(3.0, 2.0, 1.0), FF=ff, MANUAL=manual)
        assert 0.0 <= out <= 100.0
        assert all(map(math.isfinite, loop.parts))
