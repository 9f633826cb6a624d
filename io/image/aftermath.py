"""What becomes of a running cell in the first cycles after a command that was obeyed.

The scan answers a command before it has executed anything, and a program may fail in its first
execution. Whoever tells a person that it is done looks here first: the command line and the OPC UA
methods. It only looks at the image.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cellwright.io.image.image import Image
from cellwright.io.plan import CellState, Plan, Task

RUNS: Final = 3
"""Executions of each task that are awaited; more when its watchdog tolerates more."""
CYCLES: Final = 3
"""Cycles of the scan that are awaited in any case."""
WAIT_S: Final = 2.0
"""Longest wait for tasks that something else calls: an event, or what other tasks leave."""
LONGEST_S: Final = 20.0
"""Longest wait for tasks with an interval, which is awaited as well as what watchdogs allow."""
QUICK_S: Final = 0.5
"""After a change of mode, tasks whose first executions take longer than this are not awaited."""
POLL_S: Final = 0.005


@dataclass(frozen=True)
class Outcome:
    """How a cell fares after a command."""

    state: CellState
    fault: str = ""
    """Why it is in FAULT."""
    restarted: bool = False
    """The scan process that obeyed the command is no more."""
    waiting: tuple[str, ...] = ()
    """Tasks that were not executed often enough to tell."""


class Aftermath:
    """Watches the first executions of ``tasks`` and the first ``cycles``, from now on."""

    def __init__(self, image: Image, tasks: Iterable[Task], *, cycles: int = 0) -> None:
        self._image = image
        statistics = image.statistics
        self._due = {
            task.name: (
                task.index,
                statistics.read(task.index).runs + _needed(task.watchdog_sensitivity),
                _longest_s(task),
            )
            for task in tasks
        }
        self._scan_process_ns = image.scan.started_ns
        self._last_cycle = image.scan.cycle + cycles
        self._begun_s = time.monotonic()

    def wait(self) -> Outcome:
        """The outcome; at once when the cell is in FAULT."""
        while (outcome := self._look()) is None:
            time.sleep(POLL_S)
        return outcome

    async def wait_async(self) -> Outcome:
        """The same without blocking the event loop."""
        # Whoever has a loop has loaded it, and who types a command waits for no more than he needs.
        import asyncio  # noqa: PLC0415

        while (outcome := self._look()) is None:
            await asyncio.sleep(POLL_S)
        return outcome

    def _look(self) -> Outcome | None:
        """None while it cannot be told yet."""
        scan, statistics = self._image.scan, self._image.statistics
        if scan.started_ns != self._scan_process_ns:
            return Outcome(CellState(scan.state), restarted=True)
        waiting = tuple(
            name
            for name, (index, runs, _) in self._due.items()
            if statistics.read(index).runs < runs
        )
        state = CellState(scan.state)
        if state is CellState.FAULT:
            return Outcome(state, fault=scan.fault_text)
        passed_s = time.monotonic() - self._begun_s
        if scan.cycle < self._last_cycle and passed_s < WAIT_S:
            return None
        if state is CellState.RUN and any(passed_s <= self._due[name][2] for name in waiting):
            return None
        return Outcome(state, waiting=waiting)


def after_request(plan: Plan, image: Image) -> Aftermath:
    """For a change of mode: some cycles, and the first executions of tasks that come soon."""
    quick = (task for task in plan.tasks if _first_runs_s(task) <= QUICK_S and task.event is None)
    return Aftermath(image, quick, cycles=CYCLES)


def _first_runs_s(task: Task) -> float:
    return (task.phase_ns + _needed(task.watchdog_sensitivity) * task.interval_ns) / 1e9


def _longest_s(task: Task) -> float:
    if not task.interval_ns:
        return WAIT_S
    one_ns = task.interval_ns + task.watchdog_ns
    return min(LONGEST_S, WAIT_S + _needed(task.watchdog_sensitivity) * one_ns / 1e9)


def _needed(sensitivity: int) -> int:
    return max(RUNS, sensitivity + 1)
