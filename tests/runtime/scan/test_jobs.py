"""Jobs for a worker, from both sides: done at most once, and never waited for in vain."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.messages import Job, Result, decode_job, encode
from cellwright.io.plan import CellState
from cellwright.io.timing.clock import MonotonicClock
from cellwright.runtime.cell.membership import Membership
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.programs.worker_loop import WorkerLoop
from cellwright.runtime.scan.cycle_state import CycleTime
from cellwright.runtime.scan.execution.execution import Failure
from cellwright.tasks.api import JobError, ScanContext, Worker, WorkerContext
from support.forked import process
from support.scan_bench import Bench, program


class Desk:
    """A scan whose program hands out what the test asks for and notes what comes back."""

    def __init__(self, folder: Path, worker: str | None = "programs:Eyes") -> None:
        self.submit: list[tuple[str, dict[str, Any]]] = []
        self.numbers: list[int] = []
        self.results: list[Result] = []

        def scan(program: Any, ctx: ScanContext) -> None:
            self.results.extend(ctx.results)
            while self.submit:
                kind, body = self.submit.pop(0)
                self.numbers.append(ctx.submit(kind, **body))

        self.bench = Bench(
            folder, [], {"vision": program(scan)}, timing={"vision": {"worker": worker}}
        )
        self.bench.run()
        if worker is not None:
            self.jobs = self.bench.image.job_ring(0)
            self.answers = self.bench.image.result_ring(0)
            self.slot = self.bench.image.processes["worker:vision"]

    def ask(self, kind: str = "read", **body: Any) -> Job:
        """Let the program submit a job and return it as a worker, not serving yet, will find it."""
        self.submit.append((kind, body))
        self.bench.cycle()
        return decode_job(self.jobs.peek()[-1][1])

    def answer(self, job: Job, **fields: Any) -> None:
        values: dict[str, Any] = {"number": job.number, "epoch": job.epoch, "kind": job.kind}
        self.answers.put(encode(Result(**(values | fields))))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- the scan's side ------------------------------------------------------------------------------


@pytest.mark.behaviour(7)
def test_a_result_reaches_the_program_once_in_a_later_cycle(desk: Desk) -> None:
    job = desk.ask("read", frame=7)
    assert (job.number, job.kind, job.body, job.incarnation) == (1, "read", {"frame": 7}, 0)
    assert desk.results == []
    desk.answer(job, body={"text": "SN1"}, duration_ms=3.5)
    desk.bench.cycle(3)
    (result,) = desk.results
    assert (result.number, result.body, result.error) == (1, {"text": "SN1"}, "")
    desk.answer(job, body={"text": "again"})
    desk.bench.cycle(3)
    assert len(desk.results) == 1, "a second answer to the same job is ignored"


def test_results_of_a_former_scan_or_of_no_job_are_ignored(desk: Desk) -> None:
    job = desk.ask()
    desk.answer(job, epoch=job.epoch - 1)
    desk.answer(job, number=job.number + 1)
    desk.answers.put(b"no result at all")
    desk.bench.cycle(3)
    assert desk.results == []
    desk.answer(job)
    desk.bench.cycle()
    assert [result.number for result in desk.results] == [job.number]


def test_a_worker_that_died_answers_with_an_error_for_each_open_job(desk: Desk) -> None:
    first, second = desk.ask("mark"), desk.ask("mark")
    desk.slot.restarts = 1
    desk.bench.cycle(2)
    assert [(r.number, r.kind, r.error) for r in desk.results] == [
        (first.number, "mark", "the worker process died during the job"),
        (second.number, "mark", "the worker process died during the job"),
    ]
    desk.answer(first, body={"late": True})
    desk.bench.cycle()
    assert len(desk.results) == 2, "what the dead worker had still said comes too late"
    assert desk.ask().incarnation == 1


def test_a_result_left_before_the_worker_died_counts(desk: Desk) -> None:
    job = desk.ask()
    desk.answer(job, body={"text": "SN1"})
    desk.slot.restarts = 1
    desk.bench.cycle()
    assert [(r.body, r.error) for r in desk.results] == [({"text": "SN1"}, "")]


def test_a_program_made_by_a_new_start_hears_nothing_of_its_predecessors_jobs(desk: Desk) -> None:
    answered, waiting = desk.ask("read", frame=1), desk.ask("read", frame=2)
    desk.answer(answered, body={"text": "before the stop"})
    desk.bench.request("stop")
    heard = len(desk.results)
    desk.bench.request("start")
    desk.answer(waiting, body={"text": "after the start"})
    desk.bench.cycle(3)
    desk.slot.restarts = 1
    desk.bench.cycle(3)
    assert desk.results[heard:] == []
    assert desk.bench.image.statistics.read(0).late_answers == 1


def test_a_job_given_to_a_worker_whose_death_is_not_known_yet_fails_too(desk: Desk) -> None:
    desk.submit.append(("mark", {}))
    execution, hidden = desk.bench.scan.execution, desk.slot
    original = execution.run

    def dies_in_between(moment: CycleTime) -> Failure | None:
        hidden.restarts = 1
        return original(moment)

    execution.run = dies_in_between  # type: ignore[method-assign]
    desk.bench.cycle()
    assert decode_job(desk.jobs.peek()[-1][1]).incarnation == 0
    desk.bench.cycle()
    assert [result.error for result in desk.results] == ["the worker process died during the job"]


def test_a_full_queue_is_an_error_result_and_not_a_fault(desk: Desk) -> None:
    body = {"data": "x" * 20_000}
    for _ in range(30):
        desk.submit.append(("read", body))
        desk.bench.cycle()
    desk.bench.cycle()
    assert desk.bench.scan.state is CellState.RUN
    assert desk.results
    assert {result.error for result in desk.results} == {
        "the worker takes no jobs (its queue is full)"
    }
    waiting = [decode_job(data).number for _, data in desk.jobs.peek()]
    assert sorted(waiting + [result.number for result in desk.results]) == desk.numbers


def test_many_results_are_spread_over_cycles_and_none_is_lost(desk: Desk) -> None:
    jobs = [desk.ask() for _ in range(20)]
    for job in jobs:
        desk.answer(job)
    desk.bench.cycle()
    assert 0 < len(desk.results) < 20
    desk.bench.cycle(5)
    assert [result.number for result in desk.results] == [job.number for job in jobs]


def test_a_job_without_a_worker_is_a_fault_that_names_the_job(tmp_path: Path) -> None:
    desk = Desk(tmp_path, worker=None)
    desk.submit.append(("read", {}))
    desk.bench.cycle()
    assert desk.bench.scan.state is CellState.FAULT
    assert "job 'read': this program names no worker" in desk.bench.scan.first_fault


def test_numbers_go_on_after_stop_and_start_so_that_old_results_are_not_new_ones(
    desk: Desk,
) -> None:
    old = desk.ask()
    desk.bench.request("stop")
    desk.bench.request("start")
    new = desk.ask()
    assert (new.number, new.epoch) == (old.number + 1, old.epoch)


# --- the worker's side ----------------------------------------------------------------------------

UNTELLABLE: dict[str, dict[str, Any]] = {
    "object": {"score": object()},
    "number": {"score": 2**70},
    "surrogate": {"text": "\udcff"},
    "length": {"text": "x" * 200_000},
}
"""By kind of job: results that no message can carry."""


class Eyes(Worker):
    """Does what the job's kind says; notes what it was given."""

    def __init__(self, context: WorkerContext) -> None:
        super().__init__(context)
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.opened = self.closed = 0
        self.fail_open = 0

    def open(self) -> None:
        self.opened += 1
        if self.opened <= self.fail_open:
            raise JobError("the camera is not there")

    def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        self.done.append((kind, body))
        if kind == "fail":
            raise JobError("no symbol in sight")
        if kind == "break":
            raise ZeroDivisionError("by zero")
        if kind in UNTELLABLE:
            return UNTELLABLE[kind]
        return {"text": body.get("say", "")}

    def close(self) -> None:
        self.closed += 1


def member(desk: Desk, folder: Path, stop: threading.Event) -> Membership:
    return Membership(
        "worker:vision",
        RunFolder(folder),
        desk.bench.plan,
        desk.bench.image,
        desk.slot,
        MonotonicClock(),
        stop,
        os.getppid(),
    )


@contextmanager
def serving(
    desk: Desk, folder: Path, *, incarnation: int = 0, fail_open: int = 0
) -> Iterator[Eyes]:
    """A worker loop in a thread, ended as the supervisor's signal ends it."""
    stop = threading.Event()
    eyes = Eyes(WorkerContext("vision", {}, desk.bench.plan))
    eyes.fail_open = fail_open
    loop = WorkerLoop(member(desk, folder, stop), eyes, 0, incarnation)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield eyes
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert eyes.closed == 1


def cycle_until(desk: Desk, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"not in time; results: {desk.results}"
        desk.bench.cycle()
        time.sleep(0.001)


def test_a_worker_does_jobs_in_order_and_beats(desk: Desk, tmp_path: Path) -> None:
    for number in range(3):
        desk.ask("read", say=f"SN{number}")
    before = desk.slot.beat_ns
    with serving(desk, tmp_path) as eyes:
        cycle_until(desk, lambda: len(desk.results) == 3)
    assert [result.body["text"] for result in desk.results] == ["SN0", "SN1", "SN2"]
    assert all(result.duration_ms >= 0 for result in desk.results)
    assert eyes.opened == 1
    assert desk.slot.beat_ns > before


@pytest.mark.parametrize(
    ("kind", "error"),
    [("fail", "no symbol in sight"), ("break", "ZeroDivisionError: by zero")],
)
def test_a_job_that_fails_is_a_result_and_the_worker_lives(
    desk: Desk, tmp_path: Path, kind: str, error: str
) -> None:
    with serving(desk, tmp_path):
        desk.submit.append((kind, {}))
        cycle_until(desk, lambda: len(desk.results) == 1)
        desk.submit.append(("read", {"say": "well"}))
        cycle_until(desk, lambda: len(desk.results) == 2)
    assert [(r.error, r.body) for r in desk.results] == [(error, {}), ("", {"text": "well"})]


def test_a_device_that_is_not_there_fails_the_job_and_is_tried_again_for_the_next(
    desk: Desk, tmp_path: Path
) -> None:
    with serving(desk, tmp_path, fail_open=2) as eyes:
        desk.submit.append(("read", {"say": "one"}))
        cycle_until(desk, lambda: len(desk.results) == 1)
        desk.submit.append(("read", {"say": "two"}))
        cycle_until(desk, lambda: len(desk.results) == 2)
    assert [result.error for result in desk.results] == ["the camera is not there", ""]
    assert eyes.done == [("read", {"say": "two"})]


def test_jobs_of_another_life_and_unreadable_ones_are_dropped_unread(
    desk: Desk, tmp_path: Path
) -> None:
    job = desk.ask("read", say="for incarnation 0")
    desk.jobs.put(b"no job")
    desk.jobs.put(encode(Job(number=9, epoch=job.epoch - 1, incarnation=1, kind="read")))
    desk.slot.restarts = 1
    with serving(desk, tmp_path, incarnation=1) as eyes:
        cycle_until(desk, lambda: len(desk.results) == 1)
        desk.submit.append(("read", {"say": "mine"}))
        cycle_until(desk, lambda: len(desk.results) == 2)
    assert eyes.done == [("read", {"say": "mine"})]
    assert desk.results[0].error == "the worker process died during the job"


def test_a_job_in_which_the_worker_was_killed_is_not_done_again(desk: Desk, tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    class Marker(Eyes):
        def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
            with marks.open("a") as file:
                file.write(body["say"] + "\n")
            time.sleep(60)
            return {}

    def serve() -> None:
        marker = Marker(WorkerContext("vision", {}, desk.bench.plan))
        WorkerLoop(member(desk, tmp_path, threading.Event()), marker, 0, 0).run()

    desk.ask("mark", say="SN1")
    with process(serve):
        cycle_until(desk, lambda: marks.exists() and marks.read_text() == "SN1\n")
    desk.slot.restarts = 1
    with serving(desk, tmp_path, incarnation=1) as eyes:
        cycle_until(desk, lambda: len(desk.results) == 1)
        time.sleep(0.1)
    assert desk.results[0].error == "the worker process died during the job"
    assert eyes.done == []
    assert marks.read_text() == "SN1\n"


@pytest.mark.parametrize("kind", UNTELLABLE)
def test_a_result_that_no_message_can_carry_is_an_error_and_not_the_workers_death(
    desk: Desk, tmp_path: Path, kind: str
) -> None:
    with serving(desk, tmp_path) as eyes:
        desk.submit += [(kind, {}), ("read", {"say": "on"})]
        cycle_until(desk, lambda: len(desk.results) == 2)
        assert [done for done, _ in eyes.done] == [kind, "read"]
    broken, following = desk.results
    assert (broken.number, broken.kind, broken.body) == (desk.numbers[0], kind, {})
    assert f"the worker's answer to job '{kind}' cannot be sent" in broken.error
    assert following.body == {"text": "on"}
