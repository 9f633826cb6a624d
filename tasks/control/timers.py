"""Timers TON, TOF and TP on scan time.

Semantics of IEC 61131-3:2013, 6.6.3.5 (table 46 and its timing diagrams). Called by programs once a
cycle with the scan context; the wall clock plays no part.
"""

# Inputs are spelled as IEC 61131-3 spells them.
# ruff: noqa: N802, N803

from __future__ import annotations

from cellwright.native import lib
from cellwright.tasks.control.block import Block, ScanTime, Time


class _Timer(Block):
    """PT counts at every call while time is measured: a change acts at once.

    A timer that has ended stays so until IN lets it go, and ET keeps the PT with which it ended;
    PT <= 0 ends at once. Raises TimeBackwardsError while it measures.
    """

    _struct = "struct cw_timer"

    @property
    def Q(self) -> bool:
        """As after the last call."""
        return bool(self._state.q)

    @property
    def ET(self) -> Time:
        """Elapsed time, at most PT."""
        return Time(self._state.et_ns)

    def _unsound(self) -> str:
        return "the elapsed time is negative" if self.ET < 0 else super()._unsound()


class TON(_Timer):
    """On-delay: Q once IN has been TRUE for PT; FALSE at once when IN falls."""

    def __call__(self, ctx: ScanTime, IN: bool, PT: Time) -> bool:
        """Returns Q."""
        q = lib.cw_ton_step(self._state, ctx.now_ns, IN, PT)
        if q < 0:
            self._refuse(q, ctx.now_ns)
        if self._retained:
            self._keep()
        return q == 1


class TOF(_Timer):
    """Off-delay: Q with IN, and for PT after IN has fallen. Before the first IN, Q is FALSE."""

    def __call__(self, ctx: ScanTime, IN: bool, PT: Time) -> bool:
        """Returns Q."""
        q = lib.cw_tof_step(self._state, ctx.now_ns, IN, PT)
        if q < 0:
            self._refuse(q, ctx.now_ns)
        if self._retained:
            self._keep()
        return q == 1


class TP(_Timer):
    """Pulse: Q for PT after IN rose, whatever IN does meanwhile; not retriggerable.

    An edge of IN before the end of the pulse, or in the call that ends it, starts none.
    """

    def __call__(self, ctx: ScanTime, IN: bool, PT: Time) -> bool:
        """Returns Q."""
        q = lib.cw_tp_step(self._state, ctx.now_ns, IN, PT)
        if q < 0:
            self._refuse(q, ctx.now_ns)
        if self._retained:
            self._keep()
        return q == 1
