"""The vision station: the verdict, its record, and what happens when something is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cellwright.io.messages import InspectionCompleted
from cellwright.tasks.vision.station import VisionOptions, VisionStation, VisionStep
from support.campaign import examples
from tasks.harness import Harness

OPTIONS = VisionOptions(camera="camera")


def station(**options: Any) -> Harness[VisionStation]:
    return Harness(VisionStation, OPTIONS.model_copy(update=options), task="inspect")


def begin(cell: Harness[VisionStation], part: str = "p1", serial: str = "S1") -> None:
    cell["part_id"], cell["serial"], cell["expected"] = part, serial, f"{serial}|B"
    cell["start"] = True
    cell.scan()


def answer(cell: Harness[VisionStation], **body: Any) -> None:
    cell.scan(results=(cell.result(cell.jobs[-1], body),))


def test_a_good_mark_is_ok_and_recorded_with_its_figures() -> None:
    cell = station()
    begin(cell)
    [job] = cell.jobs
    assert (job.kind, job.body) == (
        "inspect",
        {"part_id": "p1", "serial": "S1", "expected": "S1|B"},
    )
    assert cell["busy"]
    answer(cell, verdict="ok", read="S1|B", unused_error_correction=1.0, module_errors=0, frame=7)
    cell.scan()
    assert (cell["done"], cell["ok"], cell["verdict"], cell["read"]) == (True, True, "ok", "S1|B")
    [event] = cell.of_kind(InspectionCompleted)
    assert (event.station, event.serial, event.expected) == ("inspect", "S1", "S1|B")
    assert (event.unused_error_correction, event.module_errors, event.frame) == (1.0, 0, 7)
    assert event.duration_ms == 1.0
    assert cell["passed"] == 1


def test_done_waits_until_the_verdict_is_durable() -> None:
    cell = station()
    cell.auto_durable = False
    begin(cell)
    answer(cell, verdict="ok", read="S1|B")
    for _ in range(5):
        cell.scan()
        assert not cell["done"]
        assert not cell["ok"]
    cell.make_durable()
    cell.scan()
    assert cell["done"]


@pytest.mark.parametrize(
    ("verdict", "counter", "shown"),
    [
        ("not_ok", "rejected", "not_ok"),
        ("not_decidable", "undecided", "not_decidable"),
        ("nonsense", "undecided", "not_decidable"),
    ],
)
def test_anything_but_ok_is_not_ok(verdict: str, counter: str, shown: str) -> None:
    cell = station()
    begin(cell)
    answer(cell, verdict=verdict, reason="because")
    cell.scan()
    assert (cell["done"], cell["ok"], cell["verdict"]) == (True, False, shown)
    assert (cell["reason"], cell[counter]) == ("because", 1)


def test_a_worker_that_fails_or_is_killed_gives_no_verdict_but_a_record() -> None:
    cell = station()
    begin(cell)
    cell.scan(results=(cell.result(cell.jobs[-1], error="no frame: camera is gone"),))
    cell.scan()
    assert (cell["verdict"], cell["reason"]) == ("not_decidable", "no frame: camera is gone")
    assert cell.of_kind(InspectionCompleted)[0].verdict == "not_decidable"


def test_a_silent_worker_gives_no_verdict_and_its_late_answer_changes_nothing() -> None:
    cell = station(inspect_timeout_s=2.0)
    begin(cell)
    cell.advance(2.0)
    cell.scan()
    answer(cell, verdict="ok", read="S1|B")
    cell.scan()
    assert cell["verdict"] == "not_decidable"
    assert len(cell.of_kind(InspectionCompleted)) == 1


def test_long_texts_are_cut_to_what_the_variables_hold() -> None:
    cell = station()
    begin(cell)
    answer(cell, verdict="not_ok", read="ü" * 300, reason="x" * 300)
    cell.scan()
    assert len(cell["read"].encode()) <= 200
    assert cell["reason"].endswith("...")


@pytest.mark.parametrize(
    ("name", "value"), [("start", False), ("part_id", "p2"), ("serial", "S2"), ("expected", "X")]
)
def test_an_order_that_changes_during_the_inspection_gets_no_verdict(name: str, value: Any) -> None:
    cell = station()
    begin(cell)
    job = cell.jobs[-1]
    cell[name] = value
    cell.scan(results=(cell.result(job, {"verdict": "ok", "read": "S1|B"}),))
    cell.scan()
    assert cell.events == []
    assert not cell["ok"]


def test_a_verdict_stands_after_a_restart_and_is_recorded_once() -> None:
    cell = station()
    begin(cell)
    answer(cell, verdict="not_ok", read="S9", reason="other")
    cell.scan()
    cell.kill()
    cell.scan()
    assert (cell["done"], cell["verdict"], cell["read"]) == (True, "not_ok", "S9")
    assert cell.events == []
    assert cell.jobs == []


def test_a_verdict_that_was_not_durable_is_found_anew_after_a_restart() -> None:
    cell = station()
    cell.auto_durable = False
    begin(cell)
    answer(cell, verdict="ok", read="S1|B")
    cell.kill()
    cell.scan()
    assert [job.kind for job in cell.jobs] == ["inspect"]
    assert not cell["done"]


def test_the_camera_must_exist(tmp_path: Path) -> None:
    devices = {"camera": "camera", "peen": "marker"}
    assert VisionStation.validate(OPTIONS, str(tmp_path), devices) == []
    [found] = VisionStation.validate(VisionOptions(camera="peen"), str(tmp_path), devices)
    assert found == "camera: device 'peen' is a marker, not a camera"
    [found] = VisionStation.validate(VisionOptions(camera="x"), str(tmp_path), devices)
    assert found.startswith("camera: no device is called 'x'")


def test_every_state_is_reached_and_left_and_every_guard_is_documented() -> None:
    assert {row.source for row in VisionStation.table} == set(VisionStep)
    assert {row.target for row in VisionStation.table} == set(VisionStep)
    for row in VisionStation.table:
        assert getattr(VisionStation, row.guard).__doc__


def test_the_reference_prints_the_table_as_it_is() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "vision_station.md"
    assert VisionStation.describe() in page.read_text(encoding="utf-8")


class KillsAnywhere(RuleBasedStateMachine):
    """``ok`` is shown only for what the worker found ok and the journal holds."""

    @initialize()
    def boot(self) -> None:
        self.cell = station()
        self.cell.auto_durable = False
        self.good = {"S1", "S3"}
        self.cell["part_id"] = "p1"

    def step(self, results: tuple[Any, ...] = ()) -> None:
        self.cell.scan(results=results)

    @rule(number=st.integers(1, 3), start=st.booleans())
    def order(self, number: int, start: bool) -> None:
        self.cell["part_id"], self.cell["serial"] = f"p{number}", f"S{number}"
        self.cell["expected"], self.cell["start"] = f"c{number}", start
        self.step()

    @rule(count=st.integers(0, 2))
    def journal_commits(self, count: int) -> None:
        self.cell.make_durable(count)
        self.step()

    @rule(error=st.booleans(), pick=st.integers(0, 3))
    def worker_answers(self, error: bool, pick: int) -> None:
        if self.cell.jobs:
            job = self.cell.jobs[max(-1 - pick, -len(self.cell.jobs))]
            verdict = "ok" if job.body["serial"] in self.good else "not_ok"
            body = {"verdict": verdict, "read": job.body["expected"]}
            self.step((self.cell.result(job, body, "killed" if error else ""),))

    @rule(seconds=st.sampled_from([0.1, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.cell.advance(seconds)
        self.step()

    @rule(hard=st.booleans())
    def restart(self, hard: bool) -> None:
        if hard:
            self.cell.kill()
        else:
            self.cell.run_again()
        self.step()

    @invariant()
    def ok_is_only_what_was_found_ok_and_recorded(self) -> None:
        if self.cell["ok"]:
            assert self.cell["serial"] in self.good
            assert any(
                event.verdict == "ok"
                and (event.part_id, event.serial) == (self.cell["part_id"], self.cell["serial"])
                for event in self.cell.journal
            )

    @invariant()
    def a_part_has_one_record(self) -> None:
        parts = [event.part_id for event in self.cell.journal]
        assert len(parts) == len(set(parts))


KillsAnywhere.TestCase.settings = examples(40, stateful_step_count=40)
TestKillsAnywhere = KillsAnywhere.TestCase
