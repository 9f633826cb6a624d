"""The scan's side of the worker processes: jobs out, results in, and what a worker's death means.

A job is done at most once. When the worker process that was asked is gone, the program gets a
result that says so instead of waiting for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cellwright.io.image import Image
from cellwright.io.messages import Job, MessageError, Result, decode_result, encode
from cellwright.io.plan import Plan
from cellwright.io.rings import RingFull
from cellwright.runtime.carried import Part
from cellwright.runtime.recorder import Tape

RESULTS_PER_CYCLE: Final = 8


class _Desk:
    """Jobs of one task."""

    def __init__(self, image: Image, index: int, name: str, epoch: int, tape: Tape) -> None:
        self._index = index
        self._tape = tape
        self._jobs = image.job_ring(index)
        self._results = image.result_ring(index)
        self._slot = image.processes[f"worker:{name}"]
        self._epoch = epoch
        self._number = 0
        self._incarnation = self._slot.restarts
        self._outstanding: dict[int, str] = {}
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
        data = encode(job)
        self._tape.said(data)
        try:
            self._jobs.put(data)
        except RingFull:
            self._tape.job_refused(self._index, job.number)
            self._fail(job.number, "the worker takes no jobs (its queue is full)")
        return job.number

    def latch(self) -> None:
        for sequence, data in self._results.peek(RESULTS_PER_CYCLE):
            self._results.acknowledge(sequence)
            self._tape.result(self._index, data)
            try:
                result = decode_result(data)
            except MessageError:
                continue  # a result nobody can read leaves its job outstanding: it times out
            if result.epoch == self._epoch and self._outstanding.pop(result.number, ""):
                self.arrived.append(result)
        incarnation = self._slot.restarts
        if incarnation != self._incarnation:
            self._incarnation = incarnation
            self._tape.restarted(self._index, incarnation)
            for number in list(self._outstanding):
                self._fail(number, "the worker process died during the job")

    def _fail(self, number: int, error: str) -> None:
        kind = self._outstanding.pop(number)
        self.arrived.append(Result(number=number, epoch=self._epoch, kind=kind, error=error))

    def carried(self) -> tuple[int, int, dict[int, str], list[Result]]:
        """What the next cycle goes on from."""
        return self._number, self._incarnation, self._outstanding, self.arrived

    def carry_on(self, carried: tuple[int, int, dict[int, str], list[Result]]) -> None:
        """Go on from what another desk carried."""
        self._number, self._incarnation, self._outstanding, self.arrived = carried


class JobDesk(Part):
    """All tasks' jobs; one `_Desk` for each task that has a worker."""

    def __init__(self, plan: Plan, image: Image, epoch: int, tape: Tape) -> None:
        self._desks = {
            task.index: _Desk(image, task.index, task.name, epoch, tape)
            for task in plan.tasks
            if task.worker is not None
        }

    def submitter(self, index: int) -> Callable[[str, dict[str, Any]], int]:
        """What `ScanContext.submit` of that task calls."""
        desk = self._desks.get(index)
        if desk is not None:
            return desk.submit

        def no_worker(kind: str, body: dict[str, Any]) -> int:
            raise RuntimeError(f"job '{kind}': this program names no worker")

        return no_worker

    def latch(self) -> None:
        """Take in what the workers have left since the last cycle."""
        for desk in self._desks.values():
            desk.latch()

    def carried(self) -> dict[int, Any]:
        """What the next cycle goes on from, by task."""
        return {index: desk.carried() for index, desk in self._desks.items()}

    def carry_on(self, carried: Any) -> None:
        """Go on from what the desk of another scan with this plan carried."""
        for index, desk in self._desks.items():
            desk.carry_on(carried[index])

    def take_results(self, index: int) -> tuple[Result, ...]:
        """Results for a task since its last execution."""
        desk = self._desks.get(index)
        if desk is None or not desk.arrived:
            return ()
        results = tuple(desk.arrived)
        desk.arrived.clear()
        return results
