"""How long something has been in trouble and when to try it again; used by the poll loop.

One of these stands for the connection to a device and one for each of its groups, so that what
answers is not slowed down by what does not. Pure arithmetic: the time is an argument.
"""

from __future__ import annotations

from typing import Final

from cellwright.io.timing.backoff import BackOff, BackOffLimits

STEADY: Final = 20
"""A success that lasts for so many of the shortest pauses, and for the last one, is a recovery."""


class Trouble:
    """Pauses grow from one failure to the next. A success ends the trouble, but only one that lasts
    lets the pauses begin anew: one answer in ten is no recovery."""

    def __init__(self, limits: BackOffLimits, seed: int | None = None) -> None:
        self._back_off = BackOff(limits, seed)
        self._limits = limits
        self.failing = False
        self.retry_ns = 0
        """When to try again, while it fails."""
        self._pause_ns = 0
        self._well_ns = 0
        self._relapses = 0

    def fails(self, now_ns: int, longest_ns: int | None = None) -> int:
        """Pause until the next attempt, at most ``longest_ns``."""
        if not self.failing:
            self.failing = True
            lasted_ns = now_ns - self._well_ns
            if lasted_ns >= max(self._pause_ns, STEADY * self._limits.first_ns):
                self._back_off.reset()
            self._relapses = self._relapses + 1 if lasted_ns < self._limits.longest_ns else 0
        self._pause_ns = self._back_off.next_ns()
        pause_ns = self._pause_ns if longest_ns is None else min(self._pause_ns, longest_ns)
        self.retry_ns = now_ns + pause_ns
        return pause_ns

    def works(self, now_ns: int) -> bool:
        """It answered; True when that ends a trouble."""
        if not self.failing:
            return False
        self.failing = False
        self._well_ns = now_ns
        return True

    def is_over(self, now_ns: int) -> bool:
        """Whether the end is worth telling: at once the first time, then only when it lasts."""
        if self.failing:
            return False
        return not self._relapses or now_ns - self._well_ns >= self._limits.longest_ns

    def is_due(self, now_ns: int) -> bool:
        """Whether it may be tried now."""
        return not self.failing or now_ns >= self.retry_ns
