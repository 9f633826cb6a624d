"""Takes jobs, lets an author's worker do them and leaves the results."""

from __future__ import annotations

import structlog

from cellwright.io.messages import Job, MessageError, Result, decode_job, encode
from cellwright.runtime.cell.membership import Membership
from cellwright.tasks.api import JobError, Worker

WAIT_S = 0.05


class WorkerLoop:
    """Waits for jobs and does them one by one."""

    def __init__(self, member: Membership, worker: Worker, task: int, incarnation: int) -> None:
        self._member = member
        self._worker = worker
        self._jobs = member.image.job_ring(task)
        self._results = member.image.result_ring(task)
        self._incarnation = incarnation
        self._open = False
        self._log = structlog.get_logger(__name__)

    def run(self) -> None:
        """Serve until the process is to stop."""
        self.open()
        try:
            while not self._member.should_stop():
                self._member.beat()
                self.serve()
                self._jobs.wait(WAIT_S)
        finally:
            self._worker.close()

    def open(self) -> str:
        """Acquire the devices; what went wrong, or an empty string."""
        try:
            self._worker.open()
        except JobError as error:
            self._log.warning("worker cannot acquire its devices", error=str(error))
            return str(error)
        self._open = True
        return ""

    def serve(self) -> bool:
        """Do the oldest job; False when there is none."""
        for sequence, data in self._jobs.peek(1):
            self._jobs.acknowledge(sequence)
            self._serve(data)
            return True
        return False

    def _serve(self, data: bytes) -> None:
        try:
            job = decode_job(data)
        except MessageError as error:
            self._log.error("unreadable job dropped", error=str(error))
            return
        if job.epoch != self._member.image.scan.started_ns or job.incarnation != self._incarnation:
            self._log.warning("job of another life dropped", job=job.number, kind=job.kind)
            return
        self._results.put(self._encoded(self._do(job)))

    def _encoded(self, result: Result) -> bytes:
        """The result's bytes; an error in its place when no message can carry it."""
        try:
            data = encode(result)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            why = f"{type(error).__name__}: {error}"
        else:
            if len(data) <= self._results.longest:
                return data
            why = f"it has {len(data)} bytes and may have {self._results.longest}"
        self._log.error("result cannot be told", job=result.number, kind=result.kind, why=why)
        return encode(
            Result(
                number=result.number,
                epoch=result.epoch,
                kind=result.kind,
                error=f"the worker's answer to job '{result.kind}' cannot be sent: {why}; return "
                "plain numbers, texts, lists and dictionaries, and not too many",
                duration_ms=result.duration_ms,
            )
        )

    def _do(self, job: Job) -> Result:
        begin_ns = self._member.clock.now_ns()
        body = {}
        error = "" if self._open else self.open()
        if not error:
            try:
                body = self._worker.handle(job.kind, job.body)
            except JobError as problem:
                error = str(problem)
            except Exception as problem:  # noqa: BLE001 - the worker's outermost edge
                self._log.exception("job failed", job=job.number, kind=job.kind)
                error = f"{type(problem).__name__}: {problem}"
        return Result(
            number=job.number,
            epoch=job.epoch,
            kind=job.kind,
            body=body,
            error=error,
            duration_ms=(self._member.clock.now_ns() - begin_ns) / 1e6,
        )
