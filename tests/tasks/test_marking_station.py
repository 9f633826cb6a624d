"""The marking station: the handshake, its table, and that no serial is ever marked twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cellwright.io.messages import (
    MarkAuthorised,
    MarkCompleted,
    SerialAssigned,
    SerialGranted,
    SerialRefused,
    SerialRequested,
)
from cellwright.tasks.marking.options import MarkingOptions
from cellwright.tasks.marking.station import MarkingStation, MarkingStep
from tasks.harness import Harness, SubmittedJob

OPTIONS = MarkingOptions(marker="peen", template="blade.lua")


def station(**options: Any) -> Harness[MarkingStation]:
    return Harness(MarkingStation, OPTIONS.model_copy(update=options), task="mark")


def grant(part_id: str = "p1", serial: str = "S1", **more: Any) -> SerialGranted:
    return SerialGranted(
        part_id=part_id, serial=serial, order="WO-2026-000001", part_number="B-17", **more
    )


def begin(cell: Harness[MarkingStation], part_id: str = "p1") -> None:
    cell["start"] = True
    cell["part_id"] = part_id
    cell.scan()


def to_preparing(cell: Harness[MarkingStation], part_id: str = "p1", serial: str = "S1") -> None:
    begin(cell, part_id)
    cell.scan(grant(part_id, serial))
    cell.scan()
    assert cell["step"] == MarkingStep.PREPARING


def prepared(cell: Harness[MarkingStation]) -> None:
    cell.scan(results=(cell.result(cell.jobs[-1], {"content": "S1|B-17"}),))


def to_marking(cell: Harness[MarkingStation]) -> SubmittedJob:
    to_preparing(cell)
    prepared(cell)
    cell.scan()
    assert cell["step"] == MarkingStep.MARKING
    return cell.jobs[-1]


def test_a_part_goes_from_start_to_done_with_every_event_in_order() -> None:
    cell = station()
    fire = to_marking(cell)
    assert fire.kind == "fire"
    assert fire.body == {"serial": "S1", "content": "S1|B-17"}
    cell.scan(results=(cell.result(fire, {"outcome": "acknowledged", "detail": "ok"}),))
    cell.scan()
    assert (cell["done"], cell["error"], cell["busy"]) == (True, False, False)
    assert (cell["serial"], cell["order"], cell["content"]) == ("S1", "WO-2026-000001", "S1|B-17")
    assert cell["marked"] == 1
    kinds = [type(event) for event in cell.journal]
    assert kinds == [SerialRequested, SerialAssigned, MarkAuthorised, MarkCompleted]
    assert cell.of_kind(MarkCompleted)[0].duration_ms == 1.0
    cell["start"] = False
    cell.scan()
    assert cell["step"] == MarkingStep.IDLE
    assert cell["serial"] == ""


def test_nothing_starts_without_a_part_id() -> None:
    cell = station()
    begin(cell, "")
    assert cell["step"] == MarkingStep.IDLE
    assert cell.events == []


def test_the_request_is_repeated_every_two_seconds_with_the_same_part() -> None:
    cell = station()
    begin(cell)
    for _ in range(3):
        cell.advance(2.0)
        cell.scan()
        cell.scan()
    requests = cell.of_kind(SerialRequested)
    assert [request.part_id for request in requests] == ["p1"] * 4
    assert {request.station for request in requests} == {"mark"}


def test_a_refused_serial_is_an_error_with_the_reason_and_can_be_retried_by_reset() -> None:
    cell = station()
    begin(cell)
    cell.scan(SerialRefused(part_id="p1", reason="no running order"))
    assert cell["error"]
    assert "no running order" in cell["error_text"]
    cell["reset"] = True
    cell.scan()
    assert cell["step"] == MarkingStep.REQUESTING
    assert not cell["error"]


def test_an_unanswered_request_ends_in_an_error() -> None:
    cell = station(serial_timeout_s=5.0)
    begin(cell)
    cell.advance(5.0)
    cell.scan()
    assert cell["error"]
    assert "MES" in cell["error_text"]


def test_a_grant_for_another_part_is_ignored() -> None:
    cell = station()
    begin(cell)
    cell.scan(grant("p2", "S9"), SerialRefused(part_id="p3", reason="x"))
    assert cell["step"] == MarkingStep.REQUESTING


@pytest.mark.parametrize("serial", ["", "S" * 41, "ü" * 21])
def test_a_serial_that_does_not_fit_is_refused(serial: str) -> None:
    cell = station()
    begin(cell)
    cell.scan(grant(serial=serial))
    assert cell["error"]
    assert "unusable" in cell["error_text"]
    assert cell.of_kind(SerialAssigned) == []


def test_a_serial_of_another_part_is_refused() -> None:
    cell = station()
    fire = to_marking(cell)
    cell.scan(results=(cell.result(fire, {"outcome": "acknowledged"}),))
    cell.scan()
    cell["start"] = False
    cell.scan()
    begin(cell, "p2")
    cell.scan(grant("p2", "S1"))
    assert "belongs to part p1" in cell["error_text"]


def test_the_content_is_not_prepared_before_the_assignment_is_durable() -> None:
    cell = station()
    cell.auto_durable = False
    begin(cell)
    cell.scan(grant())
    for _ in range(5):
        cell.scan()
    assert cell.jobs == []
    cell.make_durable()
    cell.scan()
    assert [job.kind for job in cell.jobs] == ["prepare"]


def test_the_marker_is_not_started_before_the_authorisation_is_durable() -> None:
    cell = station()
    to_preparing(cell)
    cell.auto_durable = False
    prepared(cell)
    for _ in range(5):
        cell.scan()
    assert [job.kind for job in cell.jobs] == ["prepare"]
    cell.make_durable()
    cell.scan()
    assert [job.kind for job in cell.jobs] == ["prepare", "fire"]


def test_the_prepare_job_carries_what_a_template_needs() -> None:
    cell = station()
    begin(cell)
    cell.scan(grant(revision="C", fields={"cage": "1AB23"}))
    cell.scan()
    body = cell.jobs[0].body
    assert body["fields"] == {"cage": "1AB23"}
    assert (body["serial"], body["order"], body["part_number"], body["revision"]) == (
        "S1",
        "WO-2026-000001",
        "B-17",
        "C",
    )


def test_a_failed_preparation_keeps_the_serial_for_the_next_attempt() -> None:
    cell = station()
    to_preparing(cell)
    cell.scan(results=(cell.result(cell.jobs[-1], error="template blade.lua: boom"),))
    assert cell["error_text"] == "template blade.lua: boom"
    cell["reset"] = True
    cell.scan()
    assert cell["step"] == MarkingStep.PREPARING
    assert cell.jobs[-1].body["serial"] == "S1"
    assert len(cell.of_kind(SerialRequested)) == 1


def test_a_content_longer_than_the_inspection_can_compare_is_refused() -> None:
    cell = station()
    to_preparing(cell)
    cell.scan(results=(cell.result(cell.jobs[-1], {"content": "x" * 201}),))
    assert "200 bytes" in cell["error_text"]
    assert cell.of_kind(MarkAuthorised) == []


def test_a_silent_worker_ends_preparation_in_an_error() -> None:
    cell = station(prepare_timeout_s=3.0)
    to_preparing(cell)
    cell.advance(3.0)
    cell.scan()
    assert "not prepared within 3 s" in cell["error_text"]


@pytest.mark.parametrize("how", ["abort", "start", "part_id"])
def test_withdrawing_before_authorisation_spends_nothing(how: str) -> None:
    cell = station()
    to_preparing(cell)
    cell[how] = {"abort": True, "start": False, "part_id": "p2"}[how]
    job = cell.jobs[-1]
    cell.scan(results=(cell.result(job, {"content": "c"}),))
    assert cell.of_kind(MarkAuthorised) == []
    assert [job.kind for job in cell.jobs if job.kind == "fire"] == []


def test_withdrawing_after_authorisation_reports_a_serial_spent_without_a_mark() -> None:
    cell = station()
    to_preparing(cell)
    cell.auto_durable = False
    prepared(cell)
    cell["abort"] = True
    cell.scan()
    cell.make_durable()
    cell.scan()
    assert cell.of_kind(MarkCompleted)[0].outcome == "failed"
    assert [job.kind for job in cell.jobs] == ["prepare"]
    assert cell["error"]
    assert cell["failed"] == 1


def test_a_withdrawn_part_is_reported_even_when_another_part_is_there_already() -> None:
    cell = station()
    to_preparing(cell)
    cell.auto_durable = False
    prepared(cell)
    cell["part_id"] = "p2"
    cell.scan()
    cell.make_durable()
    cell.scan()
    [completed] = cell.of_kind(MarkCompleted)
    assert (completed.part_id, completed.outcome) == ("p1", "failed")
    assert cell.of_kind(SerialRequested)[-1].part_id == "p2"


def test_abort_has_no_effect_once_the_marker_was_started() -> None:
    cell = station()
    fire = to_marking(cell)
    cell["abort"] = True
    cell.scan()
    assert cell["step"] == MarkingStep.MARKING
    cell.scan(results=(cell.result(fire, {"outcome": "acknowledged"}),))
    cell.scan()
    assert cell["done"]


@pytest.mark.parametrize(
    ("body", "error", "outcome"),
    [
        ({"outcome": "unknown", "detail": "no answer"}, "", "unknown"),
        ({"outcome": "nonsense"}, "", "unknown"),
        ({}, "worker was killed", "unknown"),
    ],
)
def test_an_uncertain_mark_is_done_with_outcome_unknown(
    body: dict[str, Any], error: str, outcome: str
) -> None:
    cell = station()
    fire = to_marking(cell)
    cell.scan(results=(cell.result(fire, body, error),))
    cell.scan()
    assert cell["done"]
    assert cell["outcome"] == outcome
    assert cell["unknown"] == 1


def test_a_mark_without_an_answer_in_time_is_unknown_and_a_late_answer_changes_nothing() -> None:
    cell = station(mark_timeout_s=4.0)
    fire = to_marking(cell)
    cell.advance(4.0)
    cell.scan()
    cell.scan(results=(cell.result(fire, {"outcome": "acknowledged"}),))
    cell.scan()
    assert [event.outcome for event in cell.of_kind(MarkCompleted)] == ["unknown"]


def test_a_refused_mark_is_an_error_and_its_serial_is_not_used_again() -> None:
    cell = station()
    fire = to_marking(cell)
    cell.scan(results=(cell.result(fire, {"outcome": "failed", "detail": "not ready"}),))
    cell.scan()
    assert cell["error_text"] == "not ready"
    for _ in range(3):
        cell["reset"] = True
        cell.scan()
        cell["reset"] = False
        cell.scan()
    assert [job.kind for job in cell.jobs] == ["prepare", "fire"]
    assert cell["error"]


def test_done_ends_when_another_part_arrives() -> None:
    cell = station()
    fire = to_marking(cell)
    cell.scan(results=(cell.result(fire, {"outcome": "acknowledged"}),))
    cell.scan()
    cell["part_id"] = "p2"
    cell.scan()
    assert not cell["done"]
    assert cell["serial"] == ""
    assert cell.of_kind(SerialRequested)[-1].part_id == "p2"


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


KillsAnywhere.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestKillsAnywhere = KillsAnywhere.TestCase
