"""When to poll and when to try again: the timing rules of the poll loop, without I/O.

Used by `cellwright.io.drivers.poll_loop`; both classes take the time as an argument and never wait.
"""

from __future__ import annotations

import random

import msgspec


class BackOffLimits(msgspec.Struct, frozen=True):
    """Pauses between attempts to reach a dead device; each is about twice the one before."""

    first_ns: int = 50_000_000
    longest_ns: int = 5_000_000_000


class BackOff:
    """Exponential pauses with jitter, so that dead devices are not all tried at once.

    The jitter takes away up to a third; ``seed`` makes the sequence repeatable.
    """

    def __init__(self, limits: BackOffLimits, seed: int | None = None) -> None:
        self._limits = limits
        self._random = random.Random(seed)
        self._pause_ns = limits.first_ns

    def next_ns(self) -> int:
        """Pause before the next attempt, at most ``longest_ns``."""
        pause_ns = self._pause_ns
        self._pause_ns = min(pause_ns * 2, self._limits.longest_ns)
        return int(pause_ns * self._random.uniform(2 / 3, 1))

    def reset(self) -> None:
        """The device answers: begin with the shortest pause next time."""
        self._pause_ns = self._limits.first_ns


class PollSchedule:
    """Polls at ``start + n * period`` and nowhere else: a late poll does not move later ones."""

    def __init__(self, period_ns: int, start_ns: int) -> None:
        if period_ns <= 0:
            raise ValueError(f"a poll period is longer than 0 ns, not {period_ns}")
        self._period_ns = period_ns
        self.next_ns = start_ns
        """When the next poll is due."""

    def begin(self, now_ns: int) -> int:
        """Begin the poll that is due; gives the number of polls skipped because one was late."""
        late = max(0, (now_ns - self.next_ns) // self._period_ns)
        self.next_ns += (late + 1) * self._period_ns
        return late
