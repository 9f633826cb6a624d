"""Bistables, edge detection and counters: SR, RS, R_TRIG, F_TRIG, CTU, CTD, CTUD.

Semantics of IEC 61131-3:2013, 6.6.3.5 (tables 43 to 45). Called by programs once a cycle; none of
them measures time.
"""

# Inputs and classes are spelled as IEC 61131-3 spells them.
# ruff: noqa: N801, N803, N802

from __future__ import annotations

from typing import Final

from cellwright.io.plan import INTEGERS, TagType, integer_range
from cellwright.native import lib
from cellwright.tasks.api import INT
from cellwright.tasks.control.block import Block, ParameterError

_LARGEST: Final = 2**63 - 1
_QU: Final = lib.CW_QU
_QD: Final = lib.CW_QD


class _Bistable(Block):
    _struct = "struct cw_bistable"

    @property
    def Q1(self) -> bool:
        """As after the last call."""
        return bool(self._state.q)


class SR(_Bistable):
    """Bistable, set dominant: ``Q1 := S1 OR (NOT R AND Q1)``."""

    def __call__(self, *, S1: bool, R: bool) -> bool:
        """Returns Q1."""
        q = lib.cw_sr_step(self._state, S1, R)
        if self._retained:
            self._keep()
        return q == 1


class RS(_Bistable):
    """Bistable, reset dominant: ``Q1 := NOT R1 AND (S OR Q1)``."""

    def __call__(self, *, S: bool, R1: bool) -> bool:
        """Returns Q1."""
        q = lib.cw_rs_step(self._state, S, R1)
        if self._retained:
            self._keep()
        return q == 1


class _Edge(Block):
    _struct = "struct cw_edge"

    @property
    def Q(self) -> bool:
        """As after the last call."""
        return bool(self._state.q)


class R_TRIG(_Edge):
    """Rising edge. A first call with CLK TRUE is one, as the standard has it."""

    def __call__(self, CLK: bool) -> bool:
        """TRUE in the call in which CLK has become TRUE."""
        q = lib.cw_r_trig_step(self._state, CLK)
        if self._retained:
            self._keep()
        return q == 1


class F_TRIG(_Edge):
    """Falling edge. A first call with CLK FALSE is one, as the standard has it."""

    def __call__(self, CLK: bool) -> bool:
        """TRUE in the call in which CLK has become FALSE."""
        q = lib.cw_f_trig_step(self._state, CLK)
        if self._retained:
            self._keep()
        return q == 1


class _Counter(Block):
    """``type`` is the integer type of PV and CV; CV stays within it (PVmin, PVmax).

    Of ULINT the lower half is used. Edges are taken at every call, also while R or LD is TRUE.
    """

    _struct = "struct cw_counter"

    def __init__(self, type: TagType = INT, *, retained: bool = False) -> None:
        if type.code not in INTEGERS or type.is_array:
            raise ParameterError(f"a counter counts in an integer type such as DINT, not in {type}")
        low, high = integer_range(type.code)
        self._type = type
        self._low = low
        self._high = min(high, _LARGEST)
        super().__init__(retained=retained)

    @property
    def CV(self) -> int:
        """The count."""
        return int(self._state.cv)

    def _unsound(self) -> str:
        if not self._low <= self.CV <= self._high:
            return f"the count {self.CV} is not a {self._type}"
        return super()._unsound()

    def _check(self, PV: int) -> None:
        if not self._low <= PV <= self._high:
            raise ParameterError(
                f"{self!r} was called with PV {PV}; a counter in {self._type} takes "
                f"{self._low} to {self._high}"
            )


class CTU(_Counter):
    """Up counter: R sets CV to 0 and goes before CU; Q when CV >= PV."""

    def __call__(self, *, CU: bool, R: bool = False, PV: int) -> bool:
        """Returns Q; raises ParameterError when the counter's type does not hold PV."""
        self._check(PV)
        bits = lib.cw_ctu_step(self._state, CU, R, PV, self._low, self._high)
        if self._retained:
            self._keep()
        return bits != 0

    @property
    def Q(self) -> bool:
        """As after the last call."""
        return bool(self._state.qu)


class CTD(_Counter):
    """Down counter: LD sets CV to PV and goes before CD; Q when CV <= 0."""

    def __call__(self, *, CD: bool, LD: bool = False, PV: int) -> bool:
        """Returns Q; raises ParameterError when the counter's type does not hold PV."""
        self._check(PV)
        bits = lib.cw_ctd_step(self._state, CD, LD, PV, self._low, self._high)
        if self._retained:
            self._keep()
        return bits != 0

    @property
    def Q(self) -> bool:
        """As after the last call."""
        return bool(self._state.qd)


class CTUD(_Counter):
    """Up and down counter: R before LD before counting; edges of CU and CD together cancel."""

    def __call__(
        self, *, CU: bool, CD: bool, R: bool = False, LD: bool = False, PV: int
    ) -> tuple[bool, bool]:
        """Returns QU (CV >= PV) and QD (CV <= 0); raises ParameterError as `CTU` does."""
        self._check(PV)
        bits = lib.cw_ctud_step(self._state, CU, CD, R, LD, PV, self._low, self._high)
        if self._retained:
            self._keep()
        return bits & _QU != 0, bits & _QD != 0

    @property
    def QU(self) -> bool:
        """CV >= PV, as after the last call."""
        return bool(self._state.qu)

    @property
    def QD(self) -> bool:
        """CV <= 0, as after the last call."""
        return bool(self._state.qd)
