"""The marking station: the handshake, its table, and that no serial is ever marked twice."""

from __future__ import annotations

from typing import Any

import pytest

from cellwright.io.messages import (
    MarkAuthorised,
    MarkCompleted,
    SerialAssigned,
    SerialRefused,
    SerialRequested,
)
from cellwright.tasks.marking.station import MarkingStep
from tasks.marking_steps import begin, grant, prepared, station, to_marking, to_preparing


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
