"""The scan's side of the worker processes: jobs out, results in, and what a worker's death means.

A job is done at most once. When the worker process that was asked is gone, or does not answer
before the deadline that the program declares, the program gets a result that says so instead of
waiting for ever. Deadlines count cycles in which tasks run, so that a replay finds them again.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar, Final

from cellwright.io.image import Image, RingFull
from cellwright.io.messages import Job, MessageError, Result, decode_result, encode
from cellwright.io.plan import Plan, Task
from cellwright.runtime.scan.cycle_state import CarriesState
from cellwright.runtime.scan.observer import CycleObserver

RESULTS_PER_CYCLE: Final = 8


class TaskJobs(CarriesState):
    """Jobs of one task."""

    CARRIED: ClassVar = (
        "_number",
        "_incarnation",
        "_outstanding",
        "_expires",
        "_expired",
        "_cycles",
        "arrived",
    )

    def __init__(self, image: Image, task: Task, epoch: int, observer: CycleObserver) -> None:
        self._index = task.index
        self._deadlines = task.deadlines
        self._observer = observer
        self._statistics = image.statistics
        self._jobs = image.job_ring(task.index)
        self._results = image.result_ring(task.index)
        self._slot = image.processes[f"worker:{task.name}"]
        self._epoch = epoch
        self._number = 0
        self._incarnation = self._slot.restarts
        self._outstanding: dict[int, str] = {}
        self._expires: dict[int, int] = {}
        # Their answers may still come; the worker's queue bounds how many there can be.
        self._expired: set[int] = set()
        self._cycles = 0
        self.arrived: list[Result] = []

    def submit(self, kind: str, body: dict[str, Any]) -> int:
        self._number += 1
        job = Job(
            number=self._number,
            epoch=self._epoch,
            incarnation=self._incarnation,
            kind=kind,
            body=body,
        )
        self._outstanding[job.number] = kind
        deadline = self._deadlines.get(kind)
        if deadline is not None:
            self._expires[job.number] = self._cycles + deadline.cycles
        data = encode(job)
        self._observer.emitted(data)
        try:
            self._jobs.put(data)
        except RingFull:
            self._observer.job_refused(self._index, job.number)
            self._fail(job.number, "the worker takes no jobs (its queue is full)")
        return job.number

    def latch(self) -> None:
        for sequence, data in self._results.peek(RESULTS_PER_CYCLE):
            self._results.acknowledge(sequence)
            self._observer.result(self._index, data)
            try:
                result = decode_result(data)
            except MessageError:
                continue  # a result nobody can read leaves its job outstanding: it times out
            if result.epoch == self._epoch:
                self._take(result)
        incarnation = self._slot.restarts
        if incarnation != self._incarnation:
            self._incarnation = incarnation
            self._observer.restarted(self._index, incarnation)
            self._expired.clear()
            for number in list(self._outstanding):
                self._fail(number, "the worker process died during the job")

    def _take(self, result: Result) -> None:
        if self._outstanding.pop(result.number, ""):
            self._expires.pop(result.number, None)
            self.arrived.append(result)
        elif result.number in self._expired:
            self._expired.remove(result.number)
            self._statistics.answered_late(self._index)

    def forget(self) -> None:
        self._expired.update(self._outstanding)
        self._outstanding.clear()
        self._expires.clear()
        self.arrived.clear()

    def age(self) -> None:
        self._cycles += 1
        if not self._expires:
            return
        for number in [n for n, cycle in self._expires.items() if cycle <= self._cycles]:
            self._expire(number)

    def _expire(self, number: int) -> None:
        kind = self._outstanding[number]
        deadline = self._deadlines[kind]
        self._fail(
            number,
            f"the worker did not answer job '{kind}' within {deadline.cycles} cycles; the declared "
            f"value stands for its answer",
            timed_out=True,
        )
        self._expired.add(number)
        self._statistics.timed_out(self._index)

    def _fail(self, number: int, error: str, *, timed_out: bool = False) -> None:
        kind = self._outstanding.pop(number)
        self._expires.pop(number, None)
        # A copy that the program may change.
        body = deepcopy(self._deadlines[kind].value) if timed_out else {}
        self.arrived.append(
            Result(
                number=number,
                epoch=self._epoch,
                kind=kind,
                body=body,
                error=error,
                timed_out=timed_out,
            )
        )


class WorkerJobs(CarriesState):
    """All tasks' jobs; one `TaskJobs` for each task that has a worker."""

    def __init__(self, plan: Plan, image: Image, epoch: int, observer: CycleObserver) -> None:
        self._of_task = {
            task.index: TaskJobs(image, task, epoch, observer)
            for task in plan.tasks
            if task.worker is not None
        }
        self.dated = [
            self._of_task[task.index] for task in plan.tasks if task.deadlines and task.worker
        ]
        """Those whose jobs have deadlines."""

    def submitter(self, index: int) -> Callable[[str, dict[str, Any]], int]:
        """What `ScanContext.submit` of that task calls."""
        jobs = self._of_task.get(index)
        if jobs is not None:
            return jobs.submit

        def no_worker(kind: str, body: dict[str, Any]) -> int:
            raise RuntimeError(f"job '{kind}': this program names no worker")

        return no_worker

    def latch(self) -> None:
        """Take in what the workers have left since the last cycle."""
        for jobs in self._of_task.values():
            jobs.latch()

    def forget(self) -> None:
        """Programs are made anew: what their predecessors asked for is answered to nobody.

        A worker still does what it was given; its answer is dropped and counted as late.
        """
        for jobs in self._of_task.values():
            jobs.forget()

    def age(self) -> None:
        """One more cycle in which tasks run: deadlines pass. To be called before they run."""
        for jobs in self.dated:
            jobs.age()

    def carried(self) -> dict[int, Any]:
        """What the next cycle goes on from, by task."""
        return {index: jobs.carried() for index, jobs in self._of_task.items()}

    def carry_on(self, carried: Any) -> None:
        """Go on from what those of another scan with this plan carried."""
        for index, jobs in self._of_task.items():
            jobs.carry_on(carried[index])

    def take_results(self, index: int) -> tuple[Result, ...]:
        """Results for a task since its last execution."""
        jobs = self._of_task.get(index)
        if jobs is None or not jobs.arrived:
            return ()
        results = tuple(jobs.arrived)
        jobs.arrived.clear()
        return results
