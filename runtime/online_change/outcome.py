"""What became of a change in the first executions of the changed programs.

Called by ``cellwright change`` when the scan has answered. Only looks at the image.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cellwright.io.image import Image
from cellwright.io.plan import CellState, Plan, Task

RUNS: Final = 3
"""Executions of each changed task that are awaited; more when its watchdog tolerates more."""
WAIT_S: Final = 2.0
"""Longest wait for tasks that something else calls: an event, or what other tasks leave."""
LONGEST_S: Final = 20.0
"""Longest wait for tasks with an interval, which is awaited as well as what watchdogs allow."""
POLL_S: Final = 0.005


@dataclass(frozen=True)
class Outcome:
    """How a cell fares with changed programs."""

    state: CellState
    fault: str = ""
    """Why it is in FAULT."""
    restarted: bool = False
    """The scan process that changed them is no more."""
    waiting: tuple[str, ...] = ()
    """Changed tasks that were not executed often enough to tell."""


def first_runs(plan: Plan, image: Image, tasks: Sequence[str]) -> Outcome:
    """Wait for the first executions of these tasks; at once when the cell is not in RUN."""
    scan, statistics = image.scan, image.statistics
    begun_ns = scan.started_ns
    changed = [task for task in plan.tasks if task.name in tasks]
    due = {
        task.name: (
            task.index,
            statistics.read(task.index).runs + _needed(task.watchdog_sensitivity),
        )
        for task in changed
    }
    slow = {task.name: _longest_s(task) for task in changed}
    begun_s = time.monotonic()
    while True:
        if scan.started_ns != begun_ns:
            return Outcome(CellState(scan.state), restarted=True)
        state = CellState(scan.state)
        waiting = tuple(
            name for name, (index, runs) in due.items() if statistics.read(index).runs < runs
        )
        if state is CellState.FAULT:
            return Outcome(state, fault=scan.fault_text)
        passed_s = time.monotonic() - begun_s
        if state is not CellState.RUN or all(passed_s > slow[name] for name in waiting):
            return Outcome(state, waiting=waiting)
        time.sleep(POLL_S)


def _longest_s(task: Task) -> float:
    if not task.interval_ns:
        return WAIT_S
    one_ns = task.interval_ns + task.watchdog_ns
    return min(LONGEST_S, WAIT_S + _needed(task.watchdog_sensitivity) * one_ns / 1e9)


def _needed(sensitivity: int) -> int:
    return max(RUNS, sensitivity + 1)
