"""PID controllers in the ISA standard form: `PID` for one loop, `PID_BANK` for many at once.

Called by programs once a cycle; the sample time is the measured scan time between two calls. The
rules (anti-windup, transfer, derivative) stand in ``native/src/blocks/pid.h``.
"""

# Inputs and classes are spelled as those of the standard's blocks.
# ruff: noqa: N801, N802, N803

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from cellwright.native import ffi, lib
from cellwright.tasks.control.block import Block, ParameterError, ScanTime, unsound


@dataclass(frozen=True)
class PidTuning:
    """Gains, times and limits of one loop; may stand in a program's options as it is.

    Raises ParameterError (a ValueError) that names the field.
    """

    kp: float
    """Gain, units of OUT for one unit of PV; negative when OUT must rise with PV (cooling)."""
    ti_s: float = 0.0
    """Integral time in seconds; 0: no integral action."""
    td_s: float = 0.0
    """Derivative time in seconds, on PV; 0: no derivative action."""
    n: float = 10.0
    """The derivative is filtered with td_s / n; > 0, usually 5 to 20."""
    b: float = 1.0
    """Weight of SP in the proportional part, 0 to 1; smaller: less overshoot after a step of SP."""
    low: float = 0.0
    """Smallest OUT."""
    high: float = 100.0
    """Largest OUT."""
    hand_rate: float = 0.0
    """By hand OUT approaches MANUAL by at most this a second; 0: at once."""

    def __post_init__(self) -> None:
        complaints = [
            (not math.isfinite(self.kp), "kp must be a finite number"),
            (not 0 <= self.ti_s < math.inf, "ti_s must be 0 or more seconds"),
            (not 0 <= self.td_s < math.inf, "td_s must be 0 or more seconds"),
            (not 0 < self.n < math.inf, "n must be more than 0"),
            (not 0 <= self.b <= 1, "b must be 0 to 1"),
            (not (math.isfinite(self.low) and math.isfinite(self.high)), "limits must be finite"),
            (not self.low <= self.high, "low must not be above high"),
            (not 0 <= self.hand_rate < math.inf, "hand_rate must be 0 or more a second"),
        ]
        for wrong, rule in complaints:
            if wrong:
                raise ParameterError(f"{self} is not a valid tuning: {rule}")


class PID(Block):
    """One loop: ``OUT = KP * (B*SP - PV + 1/TI * integral(SP - PV) - TD * dPV/dt) + FF``.

    OUT stays within the limits and the integral does not wind up behind them. While ``MANUAL`` is
    a number, OUT goes there at the tuning's ``hand_rate``, and the change back to automatic starts
    from where OUT is. A value that is not a finite number holds OUT (by hand it can still be moved)
    and sets ERROR.
    """

    _struct = "struct cw_pid"

    def __init__(self, *, retained: bool = False) -> None:
        self._tuning: PidTuning | None = None
        super().__init__(retained=retained)

    def _allocate(self) -> None:
        super()._allocate()
        self._tuning = None
        self._c_tuning: Any = ffi.new("struct cw_pid_tuning *")

    def __call__(
        self,
        ctx: ScanTime,
        *,
        SP: float,
        PV: float,
        tuning: PidTuning,
        FF: float = 0.0,
        MANUAL: float | None = None,
    ) -> float:
        """Returns OUT; raises TimeBackwardsError. The tuning may be another one at every call."""
        if tuning is not self._tuning:
            self._c_tuning[0] = astuple(tuning)
            self._tuning = tuning
        code = lib.cw_pid_step(
            self._state,
            self._c_tuning,
            ctx.now_ns,
            SP,
            PV,
            FF,
            MANUAL is not None,
            MANUAL or 0.0,
        )
        if code < 0:
            self._refuse(code, ctx.now_ns, f"{tuning}")
        if self._retained:
            self._keep()
        return float(self._state.out)

    @property
    def OUT(self) -> float:
        """As after the last call."""
        return float(self._state.out)

    @property
    def ERROR(self) -> bool:
        """The last call had a value that is not a finite number."""
        return bool(self._state.held)

    @property
    def parts(self) -> tuple[float, float, float]:
        """Proportional, integral and derivative part of OUT, before the limits; for trends."""
        return float(self._state.p), float(self._state.i), float(self._state.d)


class PID_BANK(Block):
    """``count`` loops in one call; each as `PID`. Arrays are in the order of the loops."""

    _struct = "struct cw_pid"

    def __init__(self, count: int, *, retained: bool = False) -> None:
        if count < 1:
            raise ParameterError(f"a bank of {count} loops cannot be; give 1 or more")
        self._count = count
        super().__init__(retained=retained)

    def _allocate(self) -> None:
        count = self._count
        self._state = ffi.new("struct cw_pid[]", count)
        self._memory = (ffi.buffer(self._state),)
        self._tunings: tuple[PidTuning, ...] | None = None
        self._c_tunings: Any = ffi.new("struct cw_pid_tuning[]", count)
        self._sp: Any = ffi.new("double[]", count)
        self._pv: Any = ffi.new("double[]", count)
        self._ff: Any = ffi.new("double[]", count)
        self._hand: Any = ffi.new("double[]", count)
        self._manual: Any = ffi.new("uint8_t[]", count)
        self._out: Any = ffi.new("double[]", count)

    def __call__(
        self,
        ctx: ScanTime,
        *,
        SP: Sequence[float],
        PV: Sequence[float],
        tunings: tuple[PidTuning, ...],
        FF: Sequence[float] | None = None,
        MANUAL: Sequence[float | None] | None = None,
    ) -> list[float]:
        """Returns OUT of every loop; raises ParameterError unless every array has ``count`` items.

        A MANUAL of None leaves all loops in automatic, an item of None that loop.
        """
        count = self._count
        if tunings is not self._tunings:
            self._take(tunings)
        self._fill(self._sp, "SP", SP)
        self._fill(self._pv, "PV", PV)
        ff = manual = hand = ffi.NULL
        if FF is not None:
            ff = self._ff
            self._fill(ff, "FF", FF)
        if MANUAL is not None:
            manual, hand = self._manual, self._hand
            self._fill(hand, "MANUAL", [0.0 if value is None else value for value in MANUAL])
            manual[0:count] = [value is not None for value in MANUAL]
        code = lib.cw_pid_bank_step(
            self._state,
            self._c_tunings,
            count,
            ctx.now_ns,
            self._sp,
            self._pv,
            ff,
            manual,
            hand,
            self._out,
        )
        if code < 0:
            self._refuse(code, ctx.now_ns, f"{tunings}")
        if self._retained:
            self._keep()
        return ffi.unpack(self._out, count)  # type: ignore[no-any-return]

    @property
    def OUT(self) -> list[float]:
        """As after the last call."""
        return [float(loop.out) for loop in self._state]

    @property
    def ERROR(self) -> list[bool]:
        """Loops whose last call had a value that is not a finite number."""
        return [bool(loop.held) for loop in self._state]

    def _take(self, tunings: tuple[PidTuning, ...]) -> None:
        self._measure("tunings", tunings)
        self._c_tunings[0 : self._count] = [astuple(tuning) for tuning in tunings]
        # A tuple cannot change behind our back; anything else is looked at again at every call.
        self._tunings = tunings if isinstance(tunings, tuple) else None

    def _fill(self, array: Any, name: str, values: Sequence[float]) -> None:
        self._measure(name, values)
        array[0 : self._count] = values

    def _measure(self, name: str, values: Sequence[object]) -> None:
        if len(values) != self._count:
            raise ParameterError(
                f"{self!r} was called with {len(values)} {name} for its {self._count} loops"
            )

    def _unsound(self) -> str:
        for place in range(self._count):
            why = unsound(self._state + place)
            if why:
                return f"loop {place}: {why}"
        return ""

    def _forget_clock(self) -> None:
        for loop in self._state:
            loop.clocked = 0
