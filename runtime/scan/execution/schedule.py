"""When a tick starts, which tasks run in it, and what a late tick costs: pure functions.

The scan asks here and nowhere else. Tick k starts at ``start + k * base`` for ever: a late cycle
moves no later one, it only makes ticks be skipped, and every tick is either run or skipped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cellwright.io.plan import Edge, Task, TaskKind


@dataclass(frozen=True, slots=True)
class TaskTiming:
    """A task's place in the grid of ticks; ``interval`` and ``phase`` count ticks.

    ``interval`` is 0 for a task that is called and not due.
    """

    index: int
    interval: int
    phase: int
    priority: int


class Schedule:
    """The table of tasks as a function of the tick number."""

    def __init__(self, tasks: Sequence[Task], base_ns: int) -> None:
        timings = []
        for task in tasks:
            cyclic = task.kind is TaskKind.CYCLIC
            if cyclic and (task.interval_ns % base_ns or task.interval_ns < base_ns):
                raise ValueError(
                    f"task '{task.name}': interval {task.interval_ns} ns is not a multiple "
                    f"of the base {base_ns} ns"
                )
            timings.append(
                TaskTiming(
                    task.index,
                    task.interval_ns // base_ns if cyclic else 0,
                    task.phase_ns // base_ns,
                    task.priority,
                )
            )
        self._timings = sorted(timings, key=lambda timing: (timing.priority, timing.index))
        self._cyclic = [timing for timing in self._timings if timing.interval]
        self._priorities = {timing.index: timing.priority for timing in timings}

    @property
    def order(self) -> list[int]:
        """All tasks, the most urgent first."""
        return [timing.index for timing in self._timings]

    def due(self, tick: int) -> list[int]:
        """Indexes of the cyclic tasks of that tick, the most urgent (lowest number) first."""
        return [t.index for t in self._cyclic if (tick - t.phase) % t.interval == 0]

    def due_with(self, tick: int, called: Collection[int]) -> list[int]:
        """`due` and the ``called`` tasks together, each once, the most urgent first."""
        return [
            t.index
            for t in self._timings
            if t.index in called or (t.interval and (tick - t.phase) % t.interval == 0)
        ]

    def due_between(self, first: int, end: int) -> list[tuple[int, int]]:
        """``(task index, how often it was due)`` for the ticks first to end - 1, zeros left out."""
        counts = []
        for t in self._cyclic:
            # Due ticks below x: the number of k >= 0 with phase + k * interval < x, k from -inf
            # cancelled by the difference.
            below = (end - 1 - t.phase) // t.interval - (first - 1 - t.phase) // t.interval
            if below > 0:
                counts.append((t.index, below))
        return counts

    def take_turns(self, order: Sequence[int], ran: Collection[int]) -> list[int]:
        """The order of the freewheeling tasks for the next slack.

        By priority; among equals those that have not run go before those that have.
        """
        return sorted(order, key=lambda index: (self._priorities[index], index in ran))


def sees(edge: Edge, before: bool, now: bool) -> bool:
    """Whether going from one level to the other is the edge."""
    if before == now:
        return False
    return edge is Edge.BOTH or now == (edge is Edge.RISING)


def tick_start_ns(start_ns: int, base_ns: int, tick: int) -> int:
    """Monotonic time at which a tick starts."""
    return start_ns + tick * base_ns


def next_tick(start_ns: int, base_ns: int, tick: int, now_ns: int) -> int:
    """The tick to run after ``tick`` when it ended at ``now_ns``.

    It is the first one whose start has not passed; those between are skipped, in phase.
    """
    first_open = -(-(now_ns - start_ns) // base_ns)
    return max(tick + 1, first_open)
