"""The clock seam: the only way to ask for the time below the supervisor.

`MonotonicClock` is the machine's; `SimulatedClock` stands still until it is told to go on, so that
every timing rule has a fast deterministic test.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic time for decisions, wall-clock time for records."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds (CLOCK_MONOTONIC); the same clock in all processes."""

    def utc_ns(self) -> int:
        """Wall-clock nanoseconds since 1970-01-01 UTC; may jump; never decides anything."""


class MonotonicClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds."""
        return time.time_ns()


class SimulatedClock:
    """A clock that moves only by `advance`."""

    def __init__(self, start_ns: int = 1_000_000_000, utc_offset_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._utc_offset_ns = utc_offset_ns

    def now_ns(self) -> int:
        """Simulated monotonic time."""
        return self._now_ns

    def utc_ns(self) -> int:
        """Simulated wall-clock time: monotonic time plus the offset."""
        return self._now_ns + self._utc_offset_ns

    def advance(self, by_ns: int) -> None:
        """Let time pass; ``by_ns`` >= 0."""
        if by_ns < 0:
            raise ValueError(f"time does not run backwards (advance by {by_ns} ns)")
        self._now_ns += by_ns
