"""Worker processes of a simulated cell: the real `Worker` objects and the real loop, in threads.

A thread runs only while the simulation waits for it, so that one thing happens at a time and in the
same order every time. What a worker waits for passes in simulated time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import Any

from cellwright.io.timing.clock import Clock
from cellwright.runtime.cell.membership import Membership
from cellwright.runtime.programs.worker_loop import WorkerLoop
from cellwright.runtime.simulation.errors import SimulationError
from cellwright.runtime.simulation.events import EventQueue, Rank
from cellwright.tasks.api import JobError, Worker, WorkerContext

TAKEN_NS = 200_000
"""From the end of a cycle to a worker that waits on its ring."""
ENDING_S = 10.0
"""Longest wait for a thread that is told to end."""


class _Ended(BaseException):
    """Unwinds a worker that sleeps when the simulation ends."""


class Timed(Worker):
    """A worker whose computing takes simulated time."""

    def __init__(
        self,
        worker: Worker,
        sleep: Callable[[float], None],
        draw: Callable[[str], float],
    ) -> None:
        super().__init__(worker.context)
        self._worker = worker
        self._sleep = sleep
        self._draw = draw

    def open(self) -> None:
        """Acquire devices."""
        self._worker.open()

    def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Wait as long as the job computes, then do it."""
        self._sleep(self._draw(kind))
        return self._worker.handle(kind, body)

    def close(self) -> None:
        """Release devices."""
        self._worker.close()


class Unavailable(Worker):
    """Stands for a worker that could not be made; every job fails with the reason."""

    def __init__(self, context: WorkerContext, why: str) -> None:
        super().__init__(context)
        self._why = why

    def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Fails."""
        raise JobError(self._why)


class WorkerTime:
    """Simulated time as plant and workers see it: `sleep` belongs to the worker that runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.running: SimulatedWorker | None = None

    def now_ns(self) -> int:
        """Simulated monotonic time."""
        return self._clock.now_ns()

    def utc_ns(self) -> int:
        """Simulated wall-clock time."""
        return self._clock.utc_ns()

    def sleep(self, seconds: float) -> None:
        """Wait in simulated time; raises SimulationError outside a worker."""
        if self.running is None:
            raise SimulationError(
                "only markers, cameras and workers can wait; a plant model is advanced instead"
            )
        self.running.sleep(seconds)


class SimulatedWorker:
    """One task's worker in a thread of its own."""

    def __init__(
        self,
        member: Membership,
        worker: Worker,
        task: int,
        *,
        queue: EventQueue,
        time: WorkerTime,
        draw: Callable[[str, Random], float],
        random: Random,
    ) -> None:
        timed = Timed(worker, self.sleep, lambda kind: draw(kind, random))
        self._loop = WorkerLoop(member, timed, task, 0)
        self._worker = timed
        self._ring = member.image.job_ring(task)
        self._slot = member.slot
        self._queue = queue
        self._time = time
        self._busy = True
        self._ending = False
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=member.name, daemon=True)
        self._thread.start()
        self._hand_over()

    def look(self) -> None:
        """After a cycle: is there a job?"""
        if not self._busy and self._ring.written != self._ring.acknowledged:
            self._busy = True
            self._queue.put(self._time.now_ns() + TAKEN_NS, Rank.WORKER, self._hand_over)

    def beat(self, now_ns: int) -> None:
        """The process would live."""
        self._slot.beat_ns = now_ns

    def sleep(self, seconds: float) -> None:
        """Called in the worker's thread: give way until that much simulated time has passed."""
        wake_ns = self._time.now_ns() + max(0, round(seconds * 1e9))
        self._queue.put(wake_ns, Rank.WORKER, self._hand_over)
        self._give_way()

    def close(self) -> None:
        """End the thread, in the middle of a job if it must be."""
        self._ending = True
        self._go.release()
        self._thread.join(ENDING_S)

    def _hand_over(self) -> None:
        """Let the thread run until it waits or has nothing to do."""
        before, self._time.running = self._time.running, self
        self._go.release()
        self._back.acquire()
        self._time.running = before
        if self._trouble is not None:
            raise self._trouble

    def _give_way(self) -> None:
        self._back.release()
        self._go.acquire()
        if self._ending:
            raise _Ended

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._loop.open()
            while True:
                self._busy = False
                self._give_way()
                while self._loop.serve():
                    pass
        except _Ended:
            return
        except BaseException as error:  # noqa: BLE001 - the thread's edge; told to the simulation
            self._trouble = error
        finally:
            self._worker.close()
            self._back.release()
