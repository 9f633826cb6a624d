"""When to poll and when to try again: the timing rules of the poll loop, without I/O.

Used by `cellwright.io.drivers.poll_loop`; both classes take the time as an argument and never wait.
"""

from __future__ import annotations


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
