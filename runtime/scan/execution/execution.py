"""Runs the tasks of a cell in a cycle: programs made at a start, called when due, watched.

Called by the scan only. What goes wrong in a program comes back as a `Failure`; the scan decides
what that means for the cell. Nothing here waits or asks any other clock than the scan's.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from cellwright.io.image import Statistics
from cellwright.io.options import from_plan
from cellwright.io.plan import Plan
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.timing.clock import Clock
from cellwright.runtime.scan.commands import CommandHandler
from cellwright.runtime.scan.cycle_state import CarriesState, CycleTime
from cellwright.runtime.scan.execution.calls import DueTasks
from cellwright.runtime.scan.execution.failure import Failure
from cellwright.runtime.scan.execution.jobs import WorkerJobs
from cellwright.runtime.scan.outbox import EventSender
from cellwright.tasks.api import Program, ScanContext, TagAccess
from cellwright.tasks.api.attributes import added


class Execution(CarriesState):
    """The tasks of one cell between a start and its end."""

    CARRIED: ClassVar = ("_late_in_a_row", "_not_run_yet", "_changed")

    def __init__(
        self,
        plan: Plan,
        image: ProcessImage,
        statistics: Statistics,
        *,
        clock: Clock,
        outbox: EventSender,
        jobs: WorkerJobs,
        commands: CommandHandler,
        programs: Sequence[type[Program[Any]]],
        boot_id: str,
    ) -> None:
        self._plan = plan
        self._image = image
        self._statistics = statistics
        self._clock = clock
        self._outbox = outbox
        self._jobs = jobs
        self._commands = commands
        self.classes = programs
        """One class a task."""
        self.calls = DueTasks(plan, image, statistics)
        self.schedule = self.calls.schedule
        self._longest_ns = [task.interval_ns or plan.scan.base_ns for task in plan.tasks]
        """Execution times beyond these are overruns."""
        self.programs: list[Program[Any]] = []
        """One program a task; empty until the first start."""
        self.contexts = [ScanContext(task.name, boot_id=boot_id) for task in plan.tasks]
        for task, context in zip(plan.tasks, self.contexts, strict=True):
            context._emit = outbox.emit
            context._submit = jobs.submitter(task.index)
        self._declared: list[int] = []
        """Attributes of each program before its first execution."""
        self._ended_ns = 0
        self._late_in_a_row = [0] * len(plan.tasks)
        self._not_run_yet = [False] * len(plan.tasks)
        self._changed = [False] * len(plan.tasks)

    def new_program(self, task: int, image: TagAccess | None = None) -> Program[Any]:
        """A program of that task as a start makes it, not yet recovered; ``image`` for another."""
        kind, one = self.classes[task], self._plan.tasks[task]
        options = from_plan(kind.Options, one.options)
        return kind(image or self._image, one.binding, options)

    def replace(
        self, plan: Plan, classes: Sequence[type[Program[Any]]], programs: list[Program[Any]]
    ) -> None:
        """Between two cycles: go on with these. ``plan`` differs in options of tasks only."""
        self._plan = plan
        self.classes = classes
        self.go_on_with(programs)

    def go_on_with(self, programs: list[Program[Any]]) -> None:
        """These run from the next cycle on; what they have now is all that they declare."""
        self.programs = programs
        self._declared = [len(vars(program)) for program in programs]

    def mark_changed(self, tasks: Sequence[str]) -> None:
        """Let these tasks see in their next execution that their programs are others."""
        for task in self._plan.tasks:
            self._changed[task.index] |= task.name in tasks

    def start(self, moment: CycleTime) -> Failure | None:
        """Make fresh programs and hand them what is known of the parts in the cell."""
        self.programs = []
        self.calls.start()
        self._jobs.forget()
        self._not_run_yet = [True] * len(self._plan.tasks)
        self._changed = [False] * len(self._plan.tasks)
        self._late_in_a_row = [0] * len(self._plan.tasks)
        for task, context in zip(self._plan.tasks, self.contexts, strict=True):
            _inform(context, moment, self._outbox.emitted)
            try:
                program = self.new_program(task.index)
                own = [event for event in self._outbox.open_events if event.task == task.name]
                program.recover(own, context)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the program's outermost edge
                return _raised(task.name, error)
            self.programs.append(program)
        self.go_on_with(self.programs)
        return None

    def run(self, moment: CycleTime) -> Failure | None:
        """Run the tasks that this cycle calls; ends at the first failure."""
        if self._jobs.dated:
            self._jobs.age()
        emitted = self._outbox.emitted
        calls = self.calls
        due = calls.due(moment)
        if isinstance(due, Failure):
            return due
        late = calls.late
        for index in due:
            failure = self._run_one(index, moment, emitted)
            if failure is not None:
                return failure
            if late and index in late:
                self._statistics.ran_late(index)
        return self._use_slack(moment, emitted) if calls.turns else None

    def _use_slack(self, moment: CycleTime, emitted: int) -> Failure | None:
        """Run the freewheeling tasks that are sure to end before the next tick."""
        calls = self.calls
        end_ns = calls.end_ns(moment)
        ran = []
        for index in calls.turns:
            self._ended_ns = self._clock.now_ns()
            if self._ended_ns + self._plan.tasks[index].watchdog_ns > end_ns:
                failure = calls.omit(index)
            else:
                ran.append(index)
                failure = self._run_one(index, moment, emitted)
            if failure is not None:
                return failure
        calls.took_turns(ran)
        return None

    def settled(self, end_ns: int, busy_ns: int, *, ran: bool) -> None:
        """A cycle is over: let the freewheeling tasks know what it took without tasks.

        A cycle in which none ran is all rest.
        """
        if self.calls.turns:
            self.calls.rested(end_ns - self._ended_ns if ran else busy_ns)

    def run_last(self, moment: CycleTime) -> Failure | None:
        """Run every task that has run before once more, with ``last_scan``.

        Not event tasks: there is no event. No worker gets a job any more: nothing new is to begin
        in a cell that stops.
        """
        emitted = self._outbox.emitted
        for index in self.schedule.order:
            called_only = self._plan.tasks[index].event is not None
            if called_only or self._not_run_yet[index] or index >= len(self.programs):
                continue
            context = self.contexts[index]
            submit = context._submit
            context.last_scan = True
            context._submit = _submits_nothing
            failure = self._run_one(index, moment, emitted)
            context.last_scan = False
            context._submit = submit
            if failure is not None:
                return failure
        return None

    def _run_one(self, index: int, moment: CycleTime, emitted: int) -> Failure | None:
        clock_now = self._clock.now_ns
        task = self._plan.tasks[index]
        context = self.contexts[index]
        _inform(context, moment, emitted)
        context.first_scan = self._not_run_yet[index]
        context.changed = self._changed[index]
        context.inbox = self._commands.take_inbox(index)
        context.results = self._jobs.take_results(index)
        begin = clock_now()
        try:
            self.programs[index].scan(context)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the task's outermost edge
            return _first_after_change(_raised(task.name, error), context)
        if len(vars(self.programs[index])) > self._declared[index] and (
            failure := self._added(index)
        ):
            return _first_after_change(failure, context)
        self._not_run_yet[index] = self._changed[index] = False
        self._ended_ns = clock_now()
        took = self._ended_ns - begin
        slow = took > task.watchdog_ns
        self._statistics.record(
            index,
            begin - moment.now_ns,
            took,
            overruns=int(took > self._longest_ns[index]),
            watchdog_hits=int(slow),
        )
        failure = self._watched(index, took, slow)
        return failure and _first_after_change(failure, context)

    def _added(self, index: int) -> Failure | None:
        """An attribute that nobody declared is a variable misspelled: its value goes nowhere."""
        program, task = self.programs[index], self._plan.tasks[index].name
        made = added(program, self._declared[index])
        if made:
            return Failure(
                "task_exception",
                task,
                f"task '{task}' made an attribute that {type(program).__name__} does not declare: "
                f"{made}; correct its name, declare a variable or give it a value in __init__, "
                f"then reset",
            )
        self._declared[index] = len(vars(program))
        return None

    def _watched(self, index: int, took_ns: int, slow: bool) -> Failure | None:
        if not slow:
            self._late_in_a_row[index] = 0
            return None
        task = self._plan.tasks[index]
        self._late_in_a_row[index] += 1
        if self._late_in_a_row[index] < task.watchdog_sensitivity:
            return None
        self._late_in_a_row[index] = 0
        return Failure(
            "task_watchdog",
            task.name,
            f"task '{task.name}' ran {took_ns / 1e6:.3f} ms, its watchdog allows "
            f"{task.watchdog_ns / 1e6:.3f} ms; shorten the program or raise the watchdog",
        )


def _inform(context: ScanContext, moment: CycleTime, emitted: int) -> None:
    context.cycle = moment.cycle
    context.now_ns = moment.scan_ns
    context.utc_ns = moment.utc_ns
    context.durable = moment.durable
    context.emitted = emitted


def _submits_nothing(kind: str, body: dict[str, Any]) -> int:
    return 0


def _raised(task: str, error: BaseException) -> Failure:
    # Not `extract_tb`, which reads source files.
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return Failure(
        "task_exception",
        task,
        f"task '{task}' raised {_described(error)} "
        f"({frame.f_code.co_filename}:{line}); correct the program, then reset",
    )


def _first_after_change(failure: Failure, context: ScanContext) -> Failure:
    """Say so when the program had just been changed online: that is where to look."""
    if not context.changed:
        return failure
    return replace(failure, text=f"right after its change online: {failure.text}")


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an author's exception may be broken itself
        return f"{type(error).__name__} (which cannot say why)"
