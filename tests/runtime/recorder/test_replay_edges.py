"""Cycles at the edge of what a record holds are recorded and replayed as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cellwright.io.image import RingError, RingFull
from cellwright.io.messages import Job, SetMode, encode
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import CellState
from cellwright.io.recording.cycle import Notes
from cellwright.runtime.recorder.replay import Replay
from cellwright.runtime.recorder.replay_image import ReplayImage
from cellwright.runtime.scan.cycle import COMMANDS_PER_CYCLE
from cellwright.tasks.api import Program, ProgramOptions, ScanContext
from support.alarm_bench import HEAD, Quiet, RecordedAlarms
from support.recorded_cell import RecordedCell
from support.scan_bench import program

TASKS = 12
IDLE = """
from cellwright.tasks.api import Program

class Idle(Program):
    def scan(self, ctx):
        pass
"""
MANY = HEAD.replace("{time: 1s", "{time: 60s") + "".join(
    f'  idle{number}: {{program: "idle:Idle", interval: 10ms, watchdog: 1s}}\n'
    for number in range(TASKS)
)


class Idle(Program[ProgramOptions]):
    """Does nothing, as in the file."""

    def scan(self, ctx: ScanContext) -> None:
        """Nothing."""


class ManyTasks(RecordedAlarms):
    """Many tasks that are due in every cycle, and an alarm that stops the cell."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "idle.py").write_text(IDLE, encoding="utf-8")
        alarm = 'alarms:\n  door: {when: "not door_shut", text: Door, consequence: stop}\n'
        super().__init__(folder, alarm, head=MANY)

    def launch(self, start: ScanStart | None = None) -> None:
        """With all of its programs."""
        self.programs = [Quiet, *[Idle] * TASKS]
        super().launch(start)


def replayed(cell: RecordedCell) -> Any:
    with Replay(cell.kept(), programs=cell.programs) as replay:
        return replay.run()


def test_the_cycle_in_which_an_alarm_stops_many_tasks_is_recorded(tmp_path: Path) -> None:
    cell = ManyTasks(tmp_path / "cell")
    cell.run()
    cell.inputs(door_shut=False)
    cell.cycle()
    assert cell.scan.state is CellState.STOP
    assert cell.image.recorded.dropped == 0
    cell.cycle(3)
    outcome = replayed(cell)
    assert outcome.identical, outcome
    assert outcome.cycles == 6


def test_commands_of_the_runtime_beside_a_flood_are_replayed_in_their_cycle(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    cell.run()
    for _ in range(COMMANDS_PER_CYCLE - 1):
        cell.image.commands.send(encode(SetMode(request="start", actor="anna")))
    cell.image.commands.send(encode(SetMode(request="pause", actor="anna")))
    cell.scan.ask(SetMode(request="start", actor="runtime"))
    cell.cycle(4)
    outcome = replayed(cell)
    assert outcome.identical, outcome


def job(number: int, **body: Any) -> bytes:
    return encode(Job(number=number, epoch=1, incarnation=0, kind="read", body=body))


def test_a_job_refused_before_a_restart_of_the_scan_is_not_refused_after_it(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    image = ReplayImage.in_memory(cell.plan)
    task = next(task.index for task in cell.plan.tasks if task.worker)
    ring = image.job_ring(task)
    image.feed(Notes(jobs_refused=[(task, 1)]))
    with pytest.raises(RingFull):
        ring.put(job(1))
    image.begin(cell.recorder.keyframe())
    assert ring.put(job(1)) == 1
    image.close()


def test_a_job_that_is_too_long_faults_the_replayed_cell_as_it_did_the_recorded_one(
    tmp_path: Path,
) -> None:
    def scan(self: Any, ctx: ScanContext) -> None:
        if ctx.cycle == 5:
            ctx.submit("read", picture="x" * 200_000)

    cell = RecordedCell(
        tmp_path, {"eye": program(scan)}, timing={"eye": {"worker": "programs:Eyes"}}
    )
    cell.run()
    cell.cycle(6)
    assert cell.scan.state is CellState.FAULT
    assert "does not fit into ring" in cell.scan.first_fault
    outcome = replayed(cell)
    assert outcome.identical, outcome


def test_the_ring_of_a_replay_takes_no_longer_jobs_than_a_real_one(tmp_path: Path) -> None:
    cell = RecordedCell(tmp_path)
    image = ReplayImage.in_memory(cell.plan)
    task = next(task.index for task in cell.plan.tasks if task.worker)
    longest = cell.image.job_ring(task).longest
    empty = len(job(1, picture="x" * 100_000)) - 100_000
    image.job_ring(task).put(job(1, picture="x" * (longest - empty)))
    with pytest.raises(RingError, match="does not fit"):
        image.job_ring(task).put(job(1, picture="x" * (longest - empty + 1)))
    image.close()
