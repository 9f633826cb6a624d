"""PID against a plain Python controller, banks of loops, and tunings that make no sense."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cellwright.tasks.api import ScanContext
from cellwright.tasks.control.blocks import (
    PID,
    PID_BANK,
    ParameterError,
    PidTuning,
    TimeBackwardsError,
)
from tasks.pid_loop import Cycle, values

# --- against plain Python -------------------------------------------------------------------------


class PlainPid:
    """The same controller, written from its description with lists of all samples."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float, float]] = []
        self.integral = self.derivative = self.output = 0.0

    def step(
        self, now: float, sp: float, pv: float, tuning: PidTuning, manual: float | None
    ) -> float:
        share = tuning.kp * (tuning.b * sp - pv)
        h = now - self.samples[-1][0] if self.samples else 0.0
        if self.samples and tuning.td_s:
            lag = tuning.td_s / tuning.n
            slope = pv - self.samples[-1][2]
            self.derivative = lag / (lag + h) * self.derivative - (
                tuning.kp * tuning.td_s / (lag + h) * slope
            )
        if manual is not None:
            self.output = min(max(manual, tuning.low), tuning.high)
            self.integral = self.output - share - self.derivative
        else:
            if self.samples and tuning.ti_s:
                more = tuning.kp * h * (sp - pv) / tuning.ti_s
                free = share + self.integral + self.derivative
                above, below = tuning.high - free, tuning.low - free
                self.integral += (
                    min(more, max(above, 0.0)) if more > 0 else max(more, min(below, 0.0))
                )
            free = share + self.integral + self.derivative
            self.output = min(max(free, tuning.low), tuning.high)
        self.samples.append((now, sp, pv))
        return self.output


@given(
    st.builds(
        PidTuning,
        kp=st.floats(-5, 5),
        ti_s=st.just(0.0) | st.floats(0.1, 10),
        td_s=st.just(0.0) | st.floats(0.1, 5),
        n=st.floats(2, 20),
        b=st.floats(0, 1),
        low=st.just(-50.0),
        high=st.just(50.0),
    ),
    st.lists(
        st.tuples(st.integers(0, 500_000_000), values, values, st.none() | values),
        min_size=1,
        max_size=30,
    ),
)
def test_any_history_agrees_with_a_plain_python_controller(
    tuning: PidTuning, history: list[tuple[int, float, float, float | None]]
):
    loop, plain, ctx = PID(), PlainPid(), ScanContext("test", now_ns=0)
    for lapse, sp, pv, manual in history:
        ctx.now_ns += lapse
        expected = plain.step(ctx.now_ns / 1e9, sp, pv, tuning, manual)
        got = loop(ctx, SP=sp, PV=pv, tuning=tuning, MANUAL=manual)
        assert got == pytest.approx(expected, rel=1e-6, abs=1e-6)


# --- bank -----------------------------------------------------------------------------------------


@given(
    st.lists(
        st.lists(
            st.tuples(st.floats(), values, values, st.none() | st.floats(0, 100)),
            min_size=3,
            max_size=3,
        ),
        min_size=1,
        max_size=8,
    ),
    st.booleans(),
)
def test_a_bank_does_exactly_what_single_loops_do(
    history: list[list[tuple[float, float, float, float | None]]], by_hand: bool
):
    tunings = (
        PidTuning(1.0, 2.0),
        PidTuning(2.0, 0.5, 0.1, b=0.3),
        PidTuning(-1.0, low=-5, high=5),
    )
    bank, singles, cycle = PID_BANK(3), [PID() for _ in range(3)], Cycle()
    for row in history:
        ctx = cycle.next()
        manual = [call[3] for call in row] if by_hand else [None] * 3
        expected = [
            loop(ctx, SP=sp, PV=pv, tuning=tuning, FF=ff, MANUAL=hand)
            for loop, (pv, sp, ff, _), tuning, hand in zip(
                singles, row, tunings, manual, strict=True
            )
        ]
        got = bank(
            ctx,
            SP=[call[1] for call in row],
            PV=[call[0] for call in row],
            FF=[call[2] for call in row],
            tunings=tunings,
            MANUAL=manual if by_hand else None,
        )
        assert got == expected == bank.OUT
        assert [loop.ERROR for loop in singles] == bank.ERROR


def test_a_broken_sensor_holds_its_loop_and_no_other():
    bank, cycle = PID_BANK(2), Cycle()
    tunings = (PidTuning(1.0, 1.0), PidTuning(1.0, 1.0))
    bank(cycle.next(), SP=[10.0, 10.0], PV=[5.0, 5.0], tunings=tunings)
    first, second = bank(cycle.next(), SP=[10.0, 10.0], PV=[math.nan, 5.0], tunings=tunings)
    assert first == 5.0
    assert second > 5.0
    assert bank.ERROR == [True, False]


def test_a_bank_refuses_arrays_of_another_length_and_changes_nothing():
    bank, cycle = PID_BANK(2), Cycle()
    tunings = (PidTuning(1.0), PidTuning(1.0))
    bank(cycle.next(), SP=[10.0, 10.0], PV=[5.0, 5.0], tunings=tunings)
    before = bank.state()
    good = {"SP": [1.0, 1.0], "PV": [1.0, 1.0]}
    for name in good:
        with pytest.raises(ParameterError, match=f"3 {name} for its 2 loops"):
            bank(cycle.next(), **(good | {name: [1.0] * 3}), tunings=tunings)
    with pytest.raises(ParameterError, match="1 tunings for its 2 loops"):
        bank(cycle.next(), **good, tunings=tunings[:1])
    with pytest.raises(ParameterError, match="1 MANUAL for its 2 loops"):
        bank(cycle.next(), **good, tunings=tunings, MANUAL=[None])
    assert bank.state() == before
    with pytest.raises(ParameterError, match="give 1 or more"):
        PID_BANK(0)


# --- tuning and time ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"kp": math.nan}, "kp"),
        ({"ti_s": -1.0}, "ti_s"),
        ({"td_s": math.inf}, "td_s"),
        ({"n": 0.0}, "n must be"),
        ({"b": 1.1}, "b must be"),
        ({"low": math.nan}, "limits"),
        ({"low": 2.0, "high": 1.0}, "low must not be above high"),
        ({"hand_rate": -1.0}, "hand_rate"),
    ],
)
def test_a_tuning_that_makes_no_sense_is_refused_with_the_field(wrong: dict[str, float], rule: str):
    with pytest.raises(ParameterError, match=rule):
        PidTuning(**({"kp": 1.0} | wrong))


def test_a_tuning_in_the_options_of_a_program_is_checked_with_them():
    class Options(BaseModel):
        heater: PidTuning

    assert Options.model_validate({"heater": {"kp": 2, "ti_s": 8}}).heater == PidTuning(2.0, 8.0)
    with pytest.raises(ValidationError, match="low must not be above high"):
        Options.model_validate({"heater": {"kp": 2, "low": 5, "high": 1}})


def test_scan_time_that_goes_back_is_refused_and_changes_no_loop():
    loop, bank, tuning = PID(), PID_BANK(2), PidTuning(1.0, 1.0)
    ctx = ScanContext("test", now_ns=1000)
    for _ in range(2):
        loop(ctx, SP=1.0, PV=0.0, tuning=tuning)
        bank(ctx, SP=[1.0] * 2, PV=[0.0] * 2, tunings=(tuning, tuning))
        ctx.now_ns += 50
    states = loop.state(), bank.state()
    ctx.now_ns = 1049
    with pytest.raises(TimeBackwardsError):
        loop(ctx, SP=1.0, PV=0.0, tuning=tuning)
    with pytest.raises(TimeBackwardsError):
        bank(ctx, SP=[1.0] * 2, PV=[0.0] * 2, tunings=(tuning, tuning))
    assert (loop.state(), bank.state()) == states
