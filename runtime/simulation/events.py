"""The event queue of a simulated cell: what happens next, in a fixed order.

At one instant the lower rank comes first, and within a rank what was put in first; so a run is the
same every time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum


class Rank(IntEnum):
    """Order of what falls on the same nanosecond: everybody around the scan, then the scan."""

    INPUT = 0
    """Scripted inputs."""
    BEAT = 1
    DEVICE = 2
    WORKER = 3
    JOURNAL = 4
    MES = 5
    SCAN = 6
    RECORDER = 7


class EventQueue:
    """Actions by simulated time, rank and order of arrival."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Callable[[], None]]] = []
        self._number = 0

    def put(self, at_ns: int, rank: Rank, action: Callable[[], None]) -> None:
        """Do ``action`` at that time."""
        self._number += 1
        heapq.heappush(self._heap, (at_ns, rank, self._number, action))

    @property
    def next_ns(self) -> int:
        """Time of the next action; there must be one."""
        return self._heap[0][0]

    def take(self) -> Callable[[], None]:
        """The next action."""
        return heapq.heappop(self._heap)[3]

    def __len__(self) -> int:
        return len(self._heap)
