"""RAMP, LIMITER, HYSTERESIS and MOVING_AVERAGE for measured and set values.

Called by programs once a cycle. A value that is not a finite number never gets through: the output
keeps what it had, and ERROR is TRUE until a call with a good value.
"""

# Inputs and classes are spelled as those of the standard's blocks.
# ruff: noqa: N801, N802, N803

from __future__ import annotations

import math
from typing import Any, Final

from cellwright.native import ffi, lib
from cellwright.tasks.control.block import Block, ParameterError, ScanTime

_LONGEST_WINDOW: Final = 4_000
"""Samples: a retained window must fit into one array of tags, and a sum into a cycle."""


class _Analog(Block):
    @property
    def ERROR(self) -> bool:
        """The last call had a value that is not a finite number."""
        return bool(self._state.held)


class _Value(_Analog):
    @property
    def OUT(self) -> float:
        """As after the last call."""
        return float(self._state.out)


class RAMP(_Value):
    """Rate limiter: OUT follows IN, by at most RISE and FALL units a second.

    The first call starts at IN. With TRACK, OUT is that value at once; the way from there to IN is
    a ramp again when TRACK ends.
    """

    _struct = "struct cw_ramp"

    def __call__(
        self, ctx: ScanTime, IN: float, *, RISE: float, FALL: float, TRACK: float | None = None
    ) -> float:
        """Returns OUT; raises ParameterError for a negative rate, TimeBackwardsError."""
        track = TRACK is not None
        code = lib.cw_ramp_step(
            self._state, ctx.now_ns, IN if TRACK is None else TRACK, RISE, FALL, track
        )
        if code < 0:
            self._refuse(code, ctx.now_ns, f"RISE {RISE} and FALL {FALL}; rates are 0 or more")
        if self._retained:
            self._keep()
        return float(self._state.out)


class LIMITER(_Value):
    """OUT is IN, but not below MN and not above MX."""

    _struct = "struct cw_limiter"

    def __call__(self, *, MN: float, IN: float, MX: float) -> float:
        """Returns OUT; raises ParameterError unless MN <= MX."""
        code = lib.cw_limiter_step(self._state, MN, IN, MX)
        if code < 0:
            self._refuse(code, why=f"MN {MN} and MX {MX}; MN must not be above MX")
        if self._retained:
            self._keep()
        return float(self._state.out)

    @property
    def QL(self) -> bool:
        """IN was below MN."""
        return bool(self._state.at_low)

    @property
    def QH(self) -> bool:
        """IN was above MX."""
        return bool(self._state.at_high)


class HYSTERESIS(_Analog):
    """Q becomes TRUE above HIGH and FALSE below LOW; between them, limits included, it stays."""

    _struct = "struct cw_hysteresis"

    def __call__(self, IN: float, *, LOW: float, HIGH: float) -> bool:
        """Returns Q; raises ParameterError unless LOW <= HIGH."""
        code = lib.cw_hysteresis_step(self._state, IN, LOW, HIGH)
        if code < 0:
            self._refuse(code, why=f"LOW {LOW} and HIGH {HIGH}; LOW must not be above HIGH")
        if self._retained:
            self._keep()
        return bool(self._state.q)

    @property
    def Q(self) -> bool:
        """As after the last call."""
        return bool(self._state.q)


class MOVING_AVERAGE(_Value):
    """Mean of the last ``size`` values of IN (1 to 4,000), of as many as there are at first."""

    _struct = "struct cw_average"

    def __init__(self, size: int, *, retained: bool = False) -> None:
        if not 1 <= size <= _LONGEST_WINDOW:
            raise ParameterError(
                f"a moving average over {size} values cannot be; give 1 to {_LONGEST_WINDOW}"
            )
        self._window_size = size
        super().__init__(retained=retained)

    def _allocate(self) -> None:
        super()._allocate()
        self._window: Any = ffi.new("double[]", self._window_size)
        self._memory = (*self._memory, ffi.buffer(self._window))

    def __call__(self, IN: float, *, RESET: bool = False) -> float:
        """Returns OUT. RESET forgets the earlier values first."""
        code = lib.cw_average_step(self._state, self._window, self._window_size, IN, RESET)
        if code < 0:
            self._refuse(code, why="a damaged state")
        if self._retained:
            self._keep()
        return float(self._state.out)

    @property
    def COUNT(self) -> int:
        """Values that OUT is the mean of."""
        return int(self._state.filled)

    def _unsound(self) -> str:
        state = self._state
        if state.next >= self._window_size or state.filled > self._window_size:
            return "the window is larger than declared"
        if not all(map(math.isfinite, self._window)):
            return "the window holds a value that is not a number"
        return super()._unsound()
