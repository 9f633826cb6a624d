"""A job has a deadline in cycles: then the program goes on with the value that it declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cellwright.io.messages import Job, Result, decode_job, encode
from cellwright.io.plan import CellState, Deadline
from cellwright.runtime.recorder.replay import Replay
from cellwright.tasks.api import ScanContext
from support.recorded_cell import every_kind_of_task
from support.scan_bench import Bench, program

UNREAD = {"text": "", "score": 0.0}


class Desk:
    """A scan whose program hands out what the test asks for and notes what comes back, and when."""

    def __init__(self, folder: Path, **timing: Any) -> None:
        self.submit: list[str] = []
        self.results: list[tuple[int, Result]] = []

        def scan(_: Any, ctx: ScanContext) -> None:
            self.results += [(ctx.cycle, result) for result in ctx.results]
            while self.submit:
                ctx.submit(self.submit.pop(0))

        fields = {"worker": "x:Y", "deadlines": {"read": Deadline(5, UNREAD)}, **timing}
        self.bench = Bench(folder, [], {"vision": program(scan)}, timing={"vision": fields})
        self.bench.run()
        self.jobs = self.bench.image.job_ring(0)

    def ask(self, kind: str = "read") -> Job:
        """Submit a job in the next cycle; it is taken off the ring as by a worker."""
        self.submit.append(kind)
        self.bench.cycle()
        ((sequence, data),) = self.jobs.peek()
        self.jobs.acknowledge(sequence)
        return decode_job(data)

    def answer(self, job: Job, text: str = "SN1") -> None:
        result = Result(number=job.number, epoch=job.epoch, kind=job.kind, body={"text": text})
        self.bench.image.result_ring(0).put(encode(result))

    @property
    def figures(self) -> tuple[int, int]:
        """Jobs that timed out, late answers."""
        found = self.bench.image.statistics.read(0)
        return found.job_timeouts, found.late_answers


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.behaviour(7)
def test_a_job_without_an_answer_times_out_after_so_many_cycles_with_the_declared_value(
    desk: Desk,
) -> None:
    desk.ask()
    asked = desk.bench.scan.cycle_number
    desk.bench.cycle(4)
    assert desk.results == []
    desk.bench.cycle()
    ((cycle, result),) = desk.results
    assert cycle == asked + 5
    assert (result.timed_out, result.body, result.kind) == (True, UNREAD, "read")
    assert result.error == (
        "the worker did not answer job 'read' within 5 cycles; the declared value stands for its "
        "answer"
    )
    assert desk.figures == (1, 0)


def test_an_answer_latched_in_the_last_cycle_of_the_deadline_is_in_time(desk: Desk) -> None:
    job = desk.ask()
    desk.bench.cycle(4)
    desk.answer(job)
    desk.bench.cycle(10)
    ((_, result),) = desk.results
    assert (result.timed_out, result.body, result.error) == (False, {"text": "SN1"}, "")
    assert desk.figures == (0, 0)


@pytest.mark.behaviour(7)
def test_an_answer_after_the_deadline_is_dropped_and_counted(desk: Desk) -> None:
    job = desk.ask()
    desk.bench.cycle(5)
    desk.answer(job)
    desk.bench.cycle(3)
    assert [result.timed_out for _, result in desk.results] == [True]
    assert desk.figures == (1, 1)
    desk.answer(job)
    desk.bench.cycle()
    assert desk.figures == (1, 1), "one job has one answer"


def test_a_deadline_counts_cycles_and_not_the_time_that_they_take(desk: Desk) -> None:
    desk.ask()
    asked = desk.bench.scan.cycle_number
    for _ in range(5):
        desk.bench.skip(50)
        desk.bench.cycle()
    assert [cycle for cycle, _ in desk.results] == [asked + 5]


def test_a_deadline_stands_still_while_no_tasks_run(desk: Desk) -> None:
    desk.ask()
    desk.bench.cycle(2)
    assert desk.bench.request("pause").code == 0
    desk.bench.cycle(20)
    assert desk.bench.scan.state is CellState.PAUSE
    assert desk.bench.request("hot_start").code == 0
    assert desk.results == []
    desk.bench.cycle()
    assert desk.results == []
    desk.bench.cycle()
    assert [result.timed_out for _, result in desk.results] == [True]


def test_the_program_gets_the_time_out_when_it_runs_next(tmp_path: Path) -> None:
    desk = Desk(tmp_path, interval_ns=40_000_000)
    desk.submit.append("read")
    desk.bench.cycle(4)
    while not desk.results:
        desk.bench.cycle()
    ((cycle, result),) = desk.results
    assert result.timed_out
    assert desk.figures == (1, 0)
    assert (cycle - 1) % 4 == 0, "in phase"


def test_a_job_of_a_kind_without_a_deadline_waits_for_its_worker(desk: Desk) -> None:
    job = desk.ask("mark")
    desk.bench.cycle(500)
    desk.answer(job)
    desk.bench.cycle()
    assert [(r.timed_out, r.body) for _, r in desk.results] == [(False, {"text": "SN1"})]


def test_each_job_has_a_deadline_of_its_own(desk: Desk) -> None:
    first = desk.ask()
    desk.bench.cycle(2)
    second = desk.ask()
    desk.answer(second)
    desk.bench.cycle(10)
    assert [(r.number, r.timed_out) for _, r in desk.results] == [
        (second.number, False),
        (first.number, True),
    ]


def test_a_worker_that_dies_before_the_deadline_fails_the_job_at_once_and_only_once(
    desk: Desk,
) -> None:
    desk.ask()
    desk.bench.image.processes["worker:vision"].restarts = 1
    desk.bench.cycle(10)
    ((_, result),) = desk.results
    assert (result.timed_out, result.body) == (False, {})
    assert result.error == "the worker process died during the job"
    assert desk.figures == (0, 0)


def test_a_program_may_change_the_value_it_gets_without_changing_the_next_one(desk: Desk) -> None:
    for _ in range(2):
        desk.ask()
        desk.bench.cycle(5)
        assert desk.results[-1][1].body == UNREAD
        desk.results[-1][1].body["text"] = "changed"


@pytest.mark.parametrize("cycles", [0, -1, 1_000_001])
def test_a_deadline_outside_its_bounds_is_refused_where_it_is_declared(cycles: int) -> None:
    with pytest.raises(ValueError, match="write 1 to 1,000,000 cycles"):
        Deadline(cycles)


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {"a": (1,)}, {1: "a"}, {"a": object()}])
def test_a_declared_value_that_no_worker_could_answer_is_refused(value: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match="the value of a deadline"):
        Deadline(5, value)


@pytest.mark.behaviour(20)
def test_every_kind_of_task_late_runs_omissions_and_deadlines_are_replayed_bit_for_bit(
    tmp_path: Path,
) -> None:
    cell = every_kind_of_task(tmp_path)
    cell.run()
    for number in range(200):
        cell.payload = bytes([8 if number % 12 < 6 else 0, 0])
        cell.clock.step_ns = 1700 if number % 5 else 500_000
        if number % 7 == 0:
            cell.skip(3)
        cell.acknowledge()
        if number % 9 == 0:
            cell.work(number)
        cell.cycle()
        cell.pump()
    assert cell.scan.state is CellState.RUN, cell.scan.first_fault
    press, eye, count, idle, rest = cell.image.statistics.read_all()
    assert press.late_runs
    assert eye.job_timeouts
    assert eye.late_answers
    assert 20 < count.runs < 70
    assert idle.omitted
    assert rest.runs > idle.runs > 0
    with Replay(cell.kept(), programs=cell.programs) as replay:
        outcome = replay.run()
    assert outcome.difference is None
    assert outcome.identical
    assert outcome.cycles == cell.scan.cycle_number
