"""When a tick starts, which tasks run in it, and what a late tick costs: pure functions.

The scan process asks here and nowhere else. Tick k starts at ``start + k * base`` for ever: a late
cycle moves no later one, it only makes ticks be skipped, and every tick is either run or skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cellwright.io.plan import Task


@dataclass(frozen=True, slots=True)
class TaskTiming:
    """A task's place in the grid of ticks; ``interval`` and ``phase`` count ticks."""

    index: int
    interval: int
    phase: int
    priority: int


class Schedule:
    """The table of tasks as a function of the tick number."""

    def __init__(self, tasks: Sequence[Task], base_ns: int) -> None:
        timings = []
        for task in tasks:
            if task.interval_ns % base_ns or task.interval_ns < base_ns:
                raise ValueError(
                    f"task '{task.name}': interval {task.interval_ns} ns is not a multiple "
                    f"of the base {base_ns} ns"
                )
            timings.append(
                TaskTiming(
                    task.index,
                    task.interval_ns // base_ns,
                    task.phase_ns // base_ns,
                    task.priority,
                )
            )
        self._timings = sorted(timings, key=lambda timing: (timing.priority, timing.index))

    def due(self, tick: int) -> list[int]:
        """Indexes of the tasks that run in that tick, the most urgent (lowest number) first."""
        return [t.index for t in self._timings if (tick - t.phase) % t.interval == 0]

    def due_between(self, first: int, end: int) -> list[tuple[int, int]]:
        """``(task index, how often it was due)`` for the ticks first to end - 1, zeros left out."""
        counts = []
        for t in self._timings:
            # Due ticks below x: the number of k >= 0 with phase + k * interval < x, k from -inf
            # cancelled by the difference.
            below = (end - 1 - t.phase) // t.interval - (first - 1 - t.phase) // t.interval
            if below > 0:
                counts.append((t.index, below))
        return counts


def tick_start_ns(start_ns: int, base_ns: int, tick: int) -> int:
    """Monotonic time at which a tick starts."""
    return start_ns + tick * base_ns


def next_tick(start_ns: int, base_ns: int, tick: int, now_ns: int) -> int:
    """The tick to run after ``tick`` when it ended at ``now_ns``.

    It is the first one whose start has not passed; those between are skipped, in phase.
    """
    first_open = -(-(now_ns - start_ns) // base_ns)
    return max(tick + 1, first_open)
