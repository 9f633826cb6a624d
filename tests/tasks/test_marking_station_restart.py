"""The marking station after restarts, killed anywhere, and its table as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cellwright.io.messages import (
    MarkAuthorised,
    MarkCompleted,
    SerialRequested,
)
from cellwright.tasks.marking.options import MarkingOptions
from cellwright.tasks.marking.station import MarkingStation, MarkingStep
from support.campaign import examples
from tasks.harness import SubmittedJob
from tasks.marking_steps import OPTIONS, begin, grant, station, to_marking, to_preparing


def test_a_restart_after_the_assignment_goes_on_with_the_same_serial() -> None:
    cell = station()
    to_preparing(cell)
    cell.kill()
    begin(cell)
    assert cell["serial"] == "S1"
    cell.scan()
    assert [job.body["serial"] for job in cell.jobs] == ["S1"]
    assert cell.of_kind(SerialRequested) == []


def test_a_restart_after_the_authorisation_never_starts_the_marker_again() -> None:
    cell = station()
    to_marking(cell)
    cell.kill()
    begin(cell)
    cell.scan()
    assert cell["done"]
    assert (cell["serial"], cell["outcome"], cell["content"]) == ("S1", "unknown", "S1|B-17")
    assert cell.jobs == []
    [completed] = cell.of_kind(MarkCompleted)
    assert (completed.outcome, completed.detail.split(":")[0]) == ("unknown", "recovered")


def test_a_restart_after_the_report_shows_the_same_outcome_without_a_second_report() -> None:
    cell = station()
    fire = to_marking(cell)
    cell.scan(results=(cell.result(fire, {"outcome": "acknowledged"}),))
    cell.scan()
    cell.kill()
    begin(cell)
    assert cell["done"]
    assert cell["outcome"] == "acknowledged"
    assert cell.events == []


def test_every_row_of_the_table_has_documented_guards_and_every_state_is_reached_and_left() -> None:
    sources = {row.source for row in MarkingStation.table}
    targets = {row.target for row in MarkingStation.table}
    assert sources == targets == set(MarkingStep)
    for row in MarkingStation.table:
        assert getattr(MarkingStation, row.guard).__doc__
        assert not row.action or getattr(MarkingStation, row.action).__doc__


def test_only_one_row_starts_the_marker_and_it_waits_for_durability() -> None:
    [row] = [row for row in MarkingStation.table if row.action == "fire"]
    assert (row.source, row.guard) == (MarkingStep.AUTHORISING, "is_durable")
    assert [row.source for row in MarkingStation.table if row.action == "authorise"] == [
        MarkingStep.PREPARING
    ]


def test_the_reference_prints_the_table_as_it_is() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "marking_station.md"
    assert MarkingStation.describe() in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("marker", "template", "complaint"),
    [
        ("nobody", "good.lua", "marker: no device is called 'nobody'"),
        ("camera", "good.lua", "marker: device 'camera' is a camera"),
        ("peen", "absent.lua", "template: absent.lua:1: cannot read"),
        ("peen", "bad.lua", "template: bad.lua:2: "),
    ],
)
def test_wrong_options_are_found_before_anything_moves(
    tmp_path: Path, marker: str, template: str, complaint: str
) -> None:
    good = "MarkingController = {}\nfunction MarkingController:execute_marking(d) end\n"
    (tmp_path / "good.lua").write_text(good)
    (tmp_path / "bad.lua").write_text("MarkingController = {}\nfunction (\n")
    devices = {"peen": "marker", "camera": "camera"}
    options = MarkingOptions(marker=marker, template=template)
    [found] = MarkingStation.validate(options, str(tmp_path), devices)
    assert found.startswith(complaint)
    assert (
        MarkingStation.validate(
            OPTIONS.model_copy(update={"template": "good.lua"}), str(tmp_path), devices
        )
        == []
    )


class KillsAnywhere(RuleBasedStateMachine):
    """A scan, a journal, an MES and a marker; the scan and the worker are killed at any time.

    Metal is marked when the worker takes a fire job, whatever becomes of its answer.
    """

    @initialize()
    def boot(self) -> None:
        self.cell = station()
        self.cell.auto_durable = False
        self.metal: list[str] = []
        self.mes: dict[str, str] = {}
        self.pending: list[SubmittedJob] = []
        self.taken = 0
        self.cell["part_id"] = "p1"

    def step(self, *inbox: Any, results: tuple[Any, ...] = ()) -> None:
        self.cell.scan(*inbox, results=results)
        self.pending += self.cell.jobs[self.taken :]
        self.taken = len(self.cell.jobs)

    @rule(start=st.booleans(), abort=st.booleans(), reset=st.booleans())
    def operate(self, start: bool, abort: bool, reset: bool) -> None:
        self.cell["start"], self.cell["abort"], self.cell["reset"] = start, abort, reset
        self.step()

    @rule()
    def hold_start(self) -> None:
        self.cell["start"], self.cell["abort"], self.cell["reset"] = True, False, False
        self.step()

    @rule(steps=st.integers(1, 9))
    def everybody_does_his_part(self, steps: int) -> None:
        """Without this the machine hardly ever gets as far as metal."""
        for _ in range(steps):
            self.cell["start"], self.cell["abort"], self.cell["reset"] = True, False, False
            match self.cell["step"]:
                case MarkingStep.REQUESTING:
                    self.cell.make_durable()
                    self.mes_answers()
                case MarkingStep.PREPARING | MarkingStep.MARKING if self.pending:
                    self.worker_works("answer", "acknowledged")
                case MarkingStep.RESERVED | MarkingStep.AUTHORISING | MarkingStep.REPORTING:
                    self.cell.make_durable()
                    self.step()
                case _:
                    self.step()

    @rule(part=st.sampled_from(["p1", "p2", "p3"]))
    def another_part(self, part: str) -> None:
        self.cell["part_id"] = part
        self.step()

    @rule(count=st.integers(0, 3))
    def journal_commits(self, count: int) -> None:
        self.cell.make_durable(count)
        self.step()

    @rule()
    def mes_answers(self) -> None:
        """The MES answers durable requests, the same serial for the same part."""
        answers = []
        for event in self.cell.journal:
            if isinstance(event, SerialRequested):
                serial = self.mes.setdefault(event.part_id, f"S{len(self.mes) + 1}")
                answers.append(grant(event.part_id, serial))
        self.step(*answers)

    @precondition(lambda self: self.pending)
    @rule(
        end=st.sampled_from(["answer", "killed", "answer lost"]),
        outcome=st.sampled_from(["acknowledged", "unknown", "failed"]),
    )
    def worker_works(self, end: str, outcome: str) -> None:
        job = self.pending.pop(0)
        if job.kind == "fire" and outcome != "failed":
            self.metal.append(job.body["serial"])
        if end == "answer lost":
            return
        body = (
            {"content": f"c-{job.body['serial']}"}
            if job.kind == "prepare"
            else {"outcome": outcome}
        )
        error = "worker was killed" if end == "killed" else ""
        self.step(results=(self.cell.result(job, body, error),))

    @rule()
    def time_passes(self) -> None:
        self.cell.advance(31.0)
        self.step()

    @rule(worker_goes_on=st.booleans())
    def scan_is_killed(self, worker_goes_on: bool) -> None:
        """The worker may still do a job that it had taken: metal is marked, the answer is lost."""
        for job in self.pending if worker_goes_on else ():
            if job.kind == "fire":
                self.metal.append(job.body["serial"])
        self.pending.clear()
        self.cell.kill()
        self.taken = 0
        self.step()

    @rule()
    def cell_stops_and_runs(self) -> None:
        self.cell.run_again()
        self.step()

    @invariant()
    def no_serial_is_marked_twice(self) -> None:
        assert len(self.metal) == len(set(self.metal))

    @invariant()
    def whatever_is_on_metal_was_durable_as_spent(self) -> None:
        spent = {e.serial for e in self.cell.journal if isinstance(e, MarkAuthorised)}
        assert set(self.metal) <= spent

    @invariant()
    def no_serial_is_authorised_twice(self) -> None:
        serials = [e.serial for e in self.cell.journal if isinstance(e, MarkAuthorised)]
        assert len(serials) == len(set(serials))

    @invariant()
    def done_means_that_the_marker_was_started_or_may_have_been(self) -> None:
        if self.cell["done"]:
            assert self.cell["serial"] in {
                e.serial for e in self.cell.journal if isinstance(e, MarkAuthorised)
            }


KillsAnywhere.TestCase.settings = examples(40, stateful_step_count=50)
TestKillsAnywhere = KillsAnywhere.TestCase
