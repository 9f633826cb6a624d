"""Checks whether the tasks' intervals and watchdogs, and the scan's waiting, can be kept at all.

Called by the compiler after the programs. It knows no execution times, only what the file claims;
a watchdog is a limit and not a budget, so that a sum of limits is refused only where the scan's
own watchdog would trip although every task stays within its limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import lcm
from typing import Final

from cellwright.io.files.located_yaml import Node
from cellwright.io.files.problems import Problems
from cellwright.runtime.config.sections.durations import show_duration as show
from cellwright.runtime.config.sections.model import Scan
from cellwright.runtime.config.tasks.programs import TaskDraft

SHORTEST_BASE_NS: Final = 100_000
MAX_TICKS: Final = 10_000
"""Cycles of the schedule that are looked at; most cells repeat after fewer than a hundred."""


def check_timing(
    tasks: Iterable[TaskDraft], base_ns: int, watchdog_ns: int, root: Node, problems: Problems
) -> None:
    """Intervals and phases against the base interval, watchdogs against the scan's."""
    kept = [task for task in tasks if _check_interval(task, base_ns, root, problems)]
    alone = []
    for task in kept:
        if task.model.watchdog is None:
            continue
        time = task.model.watchdog.time
        if task.model.freewheeling:
            _check_slack(task, time, base_ns, root, problems)
            continue
        if time > watchdog_ns:
            problems.error(
                root.at(("tasks", task.name, "watchdog")),
                f"the watchdog of task '{task.name}' ({show(time)}) can never trip",
                f"the scan's own watchdog trips before it, after {show(watchdog_ns)}",
                f"write at most {show(watchdog_ns)}, or lengthen scan.watchdog",
            )
        else:
            alone.append(task)
    _check_sum(alone, base_ns, watchdog_ns, root, problems)


def check_base(scan: Scan, root: Node, problems: Problems) -> None:
    """Refuse what no PC keeps: an empty cycle takes about 40 us by itself."""
    if scan.base < SHORTEST_BASE_NS:
        problems.error(
            root.at(("scan", "base")),
            f"the base interval {show(scan.base)} is shorter than the runtime can keep",
            "a cycle without tasks takes about 40us by itself",
            f"write {show(SHORTEST_BASE_NS)} or more; 1ms is a fast cell",
        )


def check_spin(scan: Scan, root: Node, problems: Problems) -> None:
    """A scan that waits busily has a core and a class for it, and leaves half the core to others.

    Kernel threads that are bound to the core must get their turn, and at 95 % of a core the kernel
    throttles real-time threads (sched_rt_runtime_us).
    """
    realtime = scan.realtime
    if not realtime.spin:
        return
    mark = root.at(("scan", "realtime", "spin"))
    if 2 * realtime.spin > scan.base:
        problems.error(
            mark,
            f"the scan would wait busily for {show(realtime.spin)} of each {show(scan.base)}",
            "the kernel needs the core, too, and throttles whoever keeps it",
            f"write at most half of scan.base, {show(scan.base // 2)}",
        )
    missing = [key for key in ("priority", "core") if key not in realtime.model_fields_set]
    if missing:
        problems.error(
            mark,
            "the scan would wait busily on a core that it shares",
            f"scan.realtime has no {' and no '.join(missing)}",
            "write `priority` (80 is usual) and `core`, or delete `spin`",
        )


def _check_interval(task: TaskDraft, base_ns: int, root: Node, problems: Problems) -> bool:
    interval, phase = task.model.interval, task.model.phase
    if interval is None:
        return True
    mark = root.at(("tasks", task.name, "interval"))
    if interval < base_ns:
        problems.error(
            mark,
            f"the interval {show(interval)} of task '{task.name}' cannot be reached",
            f"the scan runs only every {show(base_ns)}",
            f"write at least {show(base_ns)}, or shorten scan.base",
        )
        return False
    if interval % base_ns:
        below = interval // base_ns * base_ns
        problems.error(
            mark,
            f"the interval {show(interval)} of task '{task.name}' cannot be reached",
            f"it is not a multiple of the base interval {show(base_ns)}",
            f"write {show(below)} or {show(below + base_ns)}",
        )
        return False
    if phase % base_ns or phase >= interval:
        problems.error(
            root.at(("tasks", task.name, "phase")),
            f"the phase {show(phase)} of task '{task.name}' cannot be kept",
            f"a phase is a multiple of {show(base_ns)} and below the interval {show(interval)}",
            "correct the phase or leave it out",
        )
        return False
    return True


def _check_slack(task: TaskDraft, time: int, base_ns: int, root: Node, problems: Problems) -> None:
    if time < base_ns:
        return
    problems.error(
        root.at(("tasks", task.name, "watchdog")),
        f"the freewheeling task '{task.name}' would never run",
        f"its watchdog of {show(time)} does not fit between two ticks, {show(base_ns)} apart",
        f"write less than {show(base_ns)}, or give the task an interval",
    )


def _falls_due(task: TaskDraft, now_ns: int) -> bool:
    """An event task may be called in any cycle."""
    interval = task.model.interval
    return interval is None or (now_ns - task.model.phase) % interval == 0


def _check_sum(
    tasks: list[TaskDraft], base_ns: int, watchdog_ns: int, root: Node, problems: Problems
) -> None:
    worst, due = 0, list[TaskDraft]()
    intervals = [(task.model.interval or base_ns) // base_ns for task in tasks]
    for tick in range(min(lcm(*intervals), MAX_TICKS)):
        now = [task for task in tasks if _falls_due(task, tick * base_ns)]
        total = sum(task.model.watchdog.time for task in now if task.model.watchdog is not None)
        if total > worst:
            worst, due = total, now
    if len(due) < 2 or worst <= base_ns:
        return
    last = max(due, key=lambda task: task.mark)
    mark = root.at(("tasks", last.name, "watchdog"))
    listed = ", ".join(
        f"{task.name} {show(task.model.watchdog.time)} (line {task.mark.line})"
        for task in due
        if task.model.watchdog is not None
    )
    if worst > watchdog_ns:
        problems.error(
            mark,
            f"tasks that fall due together may take {show(worst)}",
            f"that is longer than the scan's watchdog of {show(watchdog_ns)}: {listed}",
            "shorten watchdogs, shift a task by its phase, or lengthen scan.watchdog",
        )
    else:
        problems.warning(
            mark,
            f"tasks that fall due together may take {show(worst)}",
            f"that is longer than the base interval of {show(base_ns)}: {listed}",
            "shorten watchdogs or shift a task by its phase if cycles are skipped",
        )
