"""Collects what a change of programs leaves behind, in the slack of a cycle that has enough of it.

The scan process owns one and calls it between cycles; Python's own collector is off there, since it
would come in the middle of a cycle and look at everything that lives for ever.
"""

from __future__ import annotations

import gc
import typing
from collections.abc import Callable
from typing import Final

PER_OBJECT_NS: Final = 400
"""Assumed for an object that no collection has looked at yet; twice what was measured."""
YOUNG_EVERY_NS: Final = 1_000_000_000
"""Between two collections of the youngest objects, which cost microseconds."""
MARGIN: Final = 5
"""The part of a base interval that is left free before a tick: a fifth."""


class Garbage:
    """Full collections when programs were changed, small ones every second."""

    def __init__(self, base_ns: int, now_ns: Callable[[], int]) -> None:
        self._margin_ns = base_ns // MARGIN
        self._most_ns = base_ns - self._margin_ns
        self._now_ns = now_ns
        self._young_at = 0
        self._last_ns = 0
        """What the last full collection took."""
        self._expected_ns = 0
        self.due = False
        """Programs were changed, and what ran before is still in memory."""

    def changed(self) -> None:
        """The programs are others now; what belonged to those before can go."""
        # Typing remembers the last uses of each generic: ``Program[Options]`` and so a module.
        for forget in getattr(typing, "_cleanups", ()):
            forget()
        new = gc.get_count()[0]
        self._expected_ns = 2 * self._last_ns + new * PER_OBJECT_NS
        self.due = self._expected_ns <= self._most_ns
        if not self.due:
            # A change that brought a library along. Collecting would cost ticks again and again.
            gc.freeze()
            self._last_ns = 0

    @property
    def busy(self) -> bool:
        """It always has something to look at."""
        return True

    def step(self, tick_ns: int) -> None:
        """Between two cycles: collect what is due when it will be over before the next tick."""
        now_ns = self._now_ns()
        if self.due and now_ns + self._expected_ns <= tick_ns - self._margin_ns:
            gc.collect()
            self.due = False
            self._last_ns = self._now_ns() - now_ns
            self._young_at = now_ns + YOUNG_EVERY_NS
        elif now_ns >= self._young_at:
            gc.collect(0)
            self._young_at = now_ns + YOUNG_EVERY_NS
