"""Which tasks a cycle calls: those that are due, those whose event came, those that are late.

Asked by `Execution` once a cycle in which tasks run. It looks at the tick, the image and what it
carries, and never at a clock. It accounts for what a late cycle cost each task.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Final

from cellwright.io.image import Statistics
from cellwright.io.plan import OverrunPolicy, Plan
from cellwright.runtime.scan.cycle_state import CarriesState, CycleTime
from cellwright.runtime.scan.execution.failure import Failure
from cellwright.runtime.scan.execution.schedule import Schedule, sees
from cellwright.tasks.api import TagAccess

MARGIN: Final = 5
"""The most that is kept from freewheeling tasks: a fifth of the base interval."""


class DueTasks(CarriesState):
    """The calls of one cell between a start and its end."""

    CARRIED: ClassVar = (
        "_cycle",
        "_tick",
        "_levels",
        "_missed",
        "_origin_ns",
        "_rest_ns",
        "_wake_ns",
        "late",
        "turns",
    )

    def __init__(self, plan: Plan, image: TagAccess, statistics: Statistics) -> None:
        self._tasks = plan.tasks
        self._base_ns = plan.scan.base_ns
        self._image = image
        self._statistics = statistics
        self.schedule = Schedule(plan.tasks, plan.scan.base_ns)
        self._events = [
            (task.index, task.event, task.edge) for task in plan.tasks if task.event is not None
        ]
        self._freewheeling = self.schedule.take_turns(
            [task.index for task in plan.tasks if task.freewheeling], ()
        )
        self._origin_ns: int | None = None
        self._rest_ns = 0
        """What a cycle usually needs after its tasks: alarms, commit, publication."""
        self._wake_ns = 0
        """How late a cycle usually starts."""
        self.start()

    def start(self) -> None:
        """Forget what was missed and seen before; a level at the start is not an edge."""
        self._cycle = self._tick = -2
        self._levels: dict[int, bool] = {}
        self._missed: dict[int, int] = {}
        """Executions missed in a row by tasks that missed the last one."""
        self.late: list[int] = []
        """Tasks that make up for a missed execution in this cycle."""
        self.turns = self._freewheeling
        """Freewheeling tasks in the order in which this cycle's slack is offered to them."""

    def due(self, moment: CycleTime) -> list[int] | Failure:
        """Tasks that run in this cycle, the most urgent first; freewheeling ones apart."""
        if self.late:
            self.late = []
        # After a pause nothing was missed: the tasks were to stand still.
        if moment.tick != self._tick + 1 and moment.cycle == self._cycle + 1:
            failure = self._account(moment.tick)
            if failure is not None:
                return failure
        self._tick, self._cycle = moment.tick, moment.cycle
        called = self._seen() if self._events else []
        if called or self.late:
            due = self.schedule.due_with(moment.tick, {*called, *self.late})
        else:
            due = self.schedule.due(moment.tick)
        if self._missed:
            for index in due:
                self._missed.pop(index, None)
        return due

    def _account(self, tick: int) -> Failure | None:
        """What the ticks since the last cycle cost, and who makes up for it."""
        failure = None
        in_phase = self.schedule.due(tick)
        for index, count in self.schedule.due_between(self._tick + 1, tick):
            task = self._tasks[index]
            self._statistics.skipped(index, count)
            if task.overrun is OverrunPolicy.LATE and index not in in_phase:
                self.late.append(index)
            if task.overrun is OverrunPolicy.FAULT:
                times = "one execution" if count == 1 else f"{count} executions"
                failure = failure or Failure(
                    "task_overrun",
                    task.name,
                    f"task '{task.name}' missed {times}: no cycle ran in ticks {self._tick + 1} to "
                    f"{tick - 1}; shorten what runs in a cycle, or let it skip",
                )
            failure = failure or self._miss(index, count)
        return failure

    def _miss(self, index: int, count: int) -> Failure | None:
        task = self._tasks[index]
        if not task.watchdog_omitted:
            return None
        missed = self._missed[index] = self._missed.get(index, 0) + count
        if missed < task.watchdog_omitted:
            return None
        return Failure(
            "task_omitted",
            task.name,
            f"task '{task.name}' missed {missed} executions in a row, its watchdog allows "
            f"{task.watchdog_omitted - 1}; shorten what runs before it or raise 'omitted'",
        )

    def _seen(self) -> list[int]:
        called = []
        for index, tag, edge in self._events:
            now = bool(self._image.get(tag))
            before = self._levels.get(index, now)
            if sees(edge, before, now):
                called.append(index)
            self._levels[index] = now
        return called

    # --- slack ----------------------------------------------------------------------------------

    def on_grid(self, start_ns: int) -> None:
        """Tick 0 starts at this monotonic time. Without it the earliest start shows the grid."""
        self._origin_ns = start_ns

    def end_ns(self, moment: CycleTime) -> int:
        """Monotonic time at which the slack ends: some time before the next tick.

        What is left free is what the rest of a cycle and waking up have usually taken so far, at
        most a fifth of the base interval. Once a cycle.
        """
        base_ns = self._base_ns
        # No cycle starts before its tick: the earliest start is the best sight of the grid.
        origin = moment.now_ns - moment.tick * base_ns
        if self._origin_ns is None or origin < self._origin_ns:
            self._origin_ns = origin
        self._wake_ns = self._usual(self._wake_ns, origin - self._origin_ns)
        margin_ns = min(self._rest_ns + self._wake_ns, base_ns // MARGIN)
        return self._origin_ns + (moment.tick + 1) * base_ns - margin_ns

    def rested(self, took_ns: int) -> None:
        """A cycle took so long without its tasks."""
        self._rest_ns = self._usual(self._rest_ns, took_ns)

    def _usual(self, known_ns: int, seen_ns: int) -> int:
        """An estimate that follows upwards in some cycles and falls slowly.

        A single stall of the machine moves it a little only.
        """
        if seen_ns > known_ns:
            return known_ns + min(seen_ns - known_ns, max(known_ns // 4, self._base_ns // 100))
        return known_ns - (known_ns - seen_ns) // 64

    def omit(self, index: int) -> Failure | None:
        """The slack was too short for a freewheeling task."""
        self._statistics.omitted(index)
        return self._miss(index, 1)

    def took_turns(self, ran: Collection[int]) -> None:
        """These freewheeling tasks ran; the others come first in the next cycle."""
        for index in ran:
            self._missed.pop(index, None)
        if len(ran) < len(self.turns):
            self.turns = self.schedule.take_turns(self.turns, ran)

    def carry_on(self, carried: dict[str, Any]) -> None:
        """Go on from what the calls of another scan with the same plan carried."""
        # Recordings of former versions know no margin.
        super().carry_on({"_rest_ns": 0, "_wake_ns": 0, **carried})
