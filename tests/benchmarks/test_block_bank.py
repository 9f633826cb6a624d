"""Fifty PID loops in one call beside the same arithmetic in Python and in numpy.

The peers do what the bank does in automatic with good values, and no more: no manual, no check for
numbers, no state to carry over. That they give the same outputs is asserted before they are timed.
"""

from __future__ import annotations

import math
import random
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from cellwright.native import ffi, lib
from cellwright.tasks.api import ScanContext
from cellwright.tasks.control.blocks import PID, PID_BANK, R_TRIG, TON, PidTuning, T_s
from support.peers import compare

LOOPS = 50
STEP_NS = 1_000_000
H = STEP_NS / 1e9

dice = random.Random(50)
TUNINGS = tuple(
    PidTuning(dice.uniform(0.5, 3), dice.uniform(1, 9), dice.uniform(0.1, 1), b=0.7)
    for _ in range(LOOPS)
)
SP = [dice.uniform(20, 30) for _ in range(LOOPS)]
PV = [dice.uniform(20, 30) for _ in range(LOOPS)]


class PlainLoop:
    """One loop in plain Python, attributes in slots."""

    __slots__ = ("d", "i", "pv", "tuning")

    def __init__(self, tuning: PidTuning) -> None:
        self.tuning = tuning
        self.i = self.d = 0.0
        self.pv = math.nan

    def step(self, sp: float, pv: float, h: float) -> float:
        tuning = self.tuning
        kp = tuning.kp
        p = kp * (tuning.b * sp - pv)
        if self.pv == self.pv:
            lag = tuning.td_s / tuning.n
            self.d = (lag * self.d - kp * tuning.td_s * (pv - self.pv)) / (lag + h)
            more = kp * h / tuning.ti_s * (sp - pv)
            free = p + self.i + self.d
            if more > 0:
                more = min(more, max(tuning.high - free, 0.0))
            else:
                more = max(more, min(tuning.low - free, 0.0))
            self.i += more
        self.pv = pv
        return min(max(p + self.i + self.d, tuning.low), tuning.high)


class NumpyBank:
    """All loops as arrays of one number a loop."""

    def __init__(self, tunings: tuple[PidTuning, ...]) -> None:
        def column(name: str) -> Any:
            return np.array([getattr(tuning, name) for tuning in tunings])

        self.kp, self.b, self.low, self.high = map(column, ("kp", "b", "low", "high"))
        self.kp_td = self.kp * column("td_s")
        self.lag = column("td_s") / column("n")
        self.kp_ti = self.kp / column("ti_s")
        self.i, self.d = np.zeros(len(tunings)), np.zeros(len(tunings))
        self.pv: Any = None

    def step(self, sp: Any, pv: Any, h: float) -> Any:
        p = self.kp * (self.b * sp - pv)
        if self.pv is not None:
            self.d = (self.lag * self.d - self.kp_td * (pv - self.pv)) / (self.lag + h)
            more = self.kp_ti * h * (sp - pv)
            free = p + self.i + self.d
            up = np.minimum(more, np.maximum(self.high - free, 0.0))
            down = np.maximum(more, np.minimum(self.low - free, 0.0))
            self.i += np.where(more > 0, up, down)
        self.pv = pv
        return np.clip(p + self.i + self.d, self.low, self.high)


def test_fifty_pid_loops_in_one_call(benchmark: Any):
    bank, ctx = PID_BANK(LOOPS), ScanContext("bench")
    singles, single_ctx = [PID() for _ in range(LOOPS)], ScanContext("bench")
    plain = [PlainLoop(tuning) for tuning in TUNINGS]
    vector = NumpyBank(TUNINGS)
    sp_array, pv_array = np.array(SP), np.array(PV)

    def ours() -> list[float]:
        ctx.now_ns += STEP_NS
        return bank(ctx, SP=SP, PV=PV, tunings=TUNINGS)

    def one_by_one() -> list[float]:
        single_ctx.now_ns += STEP_NS
        return [
            loop(single_ctx, SP=sp, PV=pv, tuning=tuning)
            for loop, sp, pv, tuning in zip(singles, SP, PV, TUNINGS, strict=True)
        ]

    def python() -> list[float]:
        return [loop.step(sp, pv, H) for loop, sp, pv in zip(plain, SP, PV, strict=True)]

    def numpy_arrays() -> Any:
        return vector.step(sp_array, pv_array, H)

    def numpy_lists() -> list[float]:
        return vector.step(np.array(SP), np.array(PV), H).tolist()  # type: ignore[no-any-return]

    for _ in range(3):
        expected = ours()
        for peer in (one_by_one, python, numpy_arrays):
            assert list(peer()) == pytest.approx(expected, rel=1e-9)
    compare(
        benchmark,
        ours,
        {
            "fifty_calls": one_by_one,
            "python": python,
            "numpy_arrays": numpy_arrays,
            "numpy_lists": numpy_lists,
        },
        times=100,
    )


def test_fifty_pid_loops_below_their_face(benchmark: Any):
    """What a caller with its values in C arrays pays: the arithmetic itself."""
    loops = ffi.new("struct cw_pid[]", LOOPS)
    tunings = ffi.new("struct cw_pid_tuning[]", LOOPS)
    for place, tuning in enumerate(TUNINGS):
        tunings[place] = astuple(tuning)
    sp, pv = ffi.new("double[]", SP), ffi.new("double[]", PV)
    out = ffi.new("double[]", LOOPS)
    vector = NumpyBank(TUNINGS)
    sp_array, pv_array = np.array(SP), np.array(PV)
    now_ns = 0

    def ours() -> int:
        nonlocal now_ns
        now_ns += STEP_NS
        return lib.cw_pid_bank_step(
            loops, tunings, LOOPS, now_ns, sp, pv, ffi.NULL, ffi.NULL, ffi.NULL, out
        )

    assert ours() == 0
    compare(
        benchmark, ours, {"numpy_arrays": lambda: vector.step(sp_array, pv_array, H)}, times=100
    )


class PlainTon:
    """The on-delay in plain Python."""

    __slots__ = ("begin", "done")

    def __init__(self) -> None:
        self.begin: int | None = None
        self.done = False

    def step(self, now_ns: int, level: bool, preset: int) -> bool:
        if not level:
            self.begin, self.done = None, False
        elif not self.done:
            if self.begin is None:
                self.begin = now_ns
            self.done = now_ns - self.begin >= preset
        return self.done


def test_a_single_timer(benchmark: Any):
    """Single blocks gain nothing by C: the call costs more than the work."""
    block, plain, preset = TON(), PlainTon(), T_s(3600)
    ctx = ScanContext("bench")
    compare(
        benchmark,
        lambda: block(ctx, True, preset),
        {"python": lambda: plain.step(ctx.now_ns, True, preset)},
        times=1000,
    )


def test_a_single_edge(benchmark: Any):
    block, memory = R_TRIG(), [False]

    def python() -> bool:
        edge = not memory[0]
        memory[0] = True
        return edge

    compare(benchmark, lambda: block(True), {"python": python}, times=1000)
