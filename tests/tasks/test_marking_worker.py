"""The marking worker with a real Lua engine and a real connection to a scripted controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cellwright.io.plan import Device, Plan, ScanSettings
from cellwright.tasks.api import JobError, WorkerContext
from cellwright.tasks.marking.template_file import TemplateFile
from cellwright.tasks.marking.worker import MarkingWorker
from support.telesis_controller import Controller

TEMPLATE = """
local Blade = {}
function Blade:validate_product_data(data)
    if not data.cage then return { "cage is missing" } end
    return {}
end
function Blade:execute_marking(data)
    return true, {
        symbol = data.cage .. "/" .. data.part_number .. "/" .. data.serial,
        texts = { data.serial, data.date },
    }
end
function Blade:get_status() return { ready = true } end
return Blade
"""
BODY: dict[str, Any] = {
    "part_id": "p1",
    "serial": "S1",
    "order": "WO-2026-000001",
    "part_number": "B-17",
    "revision": "C",
    "fields": {"cage": "1AB23", "serial": "a field cannot replace the serial"},
    "utc_ns": 1_750_000_000_000_000_000,
}


def plan_for(folder: Path, *devices: Device) -> Plan:
    return Plan(
        cell="Test",
        site="Here",
        start="stop",
        source=str(folder / "cell.yaml"),
        folder=str(folder),
        data=str(folder / "data"),
        scan=ScanSettings(
            base_ns=10_000_000, watchdog_ns=20_000_000, watchdog_sensitivity=2, priority=0, core=-1
        ),
        devices=devices,
        tags=(),
        tasks=(),
        opcua=None,
        database=None,
        value_size=0,
        layout_hash=b"",
    )


@pytest.fixture
def controller() -> Iterator[Controller]:
    controller = Controller()
    yield controller
    controller.close()


@pytest.fixture
def worker(
    request: pytest.FixtureRequest, tmp_path: Path, controller: Controller
) -> Iterator[MarkingWorker]:
    """Waits long for an answer, unless the test says (indirectly) how long."""
    (tmp_path / "blade.lua").write_text(TEMPLATE)
    peen = Device(
        name="peen",
        kind="marker",
        driver="telesis",
        options={
            "host": "127.0.0.1",
            "port": controller.port,
            "answer_timeout_s": getattr(request, "param", 20.0),
            "poll_s": 0.005,
            "tries": 1,
        },
    )
    options = {
        "marker": "peen",
        "template": "blade.lua",
        "pattern": "BLADE",
        "lua_timeout_ms": 20_000.0,
    }
    worker = MarkingWorker(WorkerContext("mark", options, plan_for(tmp_path, peen)))
    worker.open()
    yield worker
    worker.close()


def test_preparing_renders_the_template_and_loads_the_marker(
    worker: MarkingWorker, controller: Controller
) -> None:
    assert worker.handle("prepare", BODY) == {
        "content": "1AB23/B-17/S1",
        "texts": ["S1", "2025-06-15"],
        "pattern": "BLADE",
        "modules": 16,
    }
    assert controller.fields == {1: "1AB23/B-17/S1", 2: "S1", 3: "2025-06-15"}
    assert controller.marks == []


def test_firing_marks_what_was_prepared(worker: MarkingWorker, controller: Controller) -> None:
    worker.handle("prepare", BODY)
    answer = worker.handle("fire", {"serial": "S1", "content": "1AB23/B-17/S1"})
    assert answer["outcome"] == "acknowledged"
    assert [mark[1] for mark in controller.marks] == ["1AB23/B-17/S1"]


def test_a_serial_is_never_fired_twice_even_when_asked(
    worker: MarkingWorker, controller: Controller
) -> None:
    for _ in range(3):
        worker.handle("prepare", BODY)
        answer = worker.handle("fire", {"serial": "S1"})
    assert answer["outcome"] == "unknown"
    assert len(controller.marks) == 1


@pytest.mark.parametrize("prepared", [None, "S1"])
def test_what_was_not_prepared_is_not_fired(
    worker: MarkingWorker, controller: Controller, prepared: str | None
) -> None:
    if prepared:
        worker.handle("prepare", BODY)
    answer = worker.handle("fire", {"serial": "S2"})
    assert answer["outcome"] == "failed"
    assert "not what was prepared" in answer["detail"]
    assert controller.marks == []


def test_a_marker_that_is_not_ready_has_certainly_not_marked(
    worker: MarkingWorker, controller: Controller
) -> None:
    worker.handle("prepare", BODY)
    controller.fault = True
    answer = worker.handle("fire", {"serial": "S1"})
    assert answer["outcome"] == "failed"
    assert "nothing was sent" in answer["detail"]


@pytest.mark.parametrize("worker", [0.5], indirect=True)
def test_a_lost_answer_is_found_out_by_asking(
    worker: MarkingWorker, controller: Controller
) -> None:
    controller.script["G"] = ["silent"]
    worker.handle("prepare", BODY)
    assert worker.handle("fire", {"serial": "S1"})["outcome"] == "acknowledged"
    assert len(controller.marks) == 1


@pytest.mark.parametrize("damage", ["deleted", "a folder", "emptied", "garbage", "much too long"])
def test_a_template_whose_file_is_taken_away_stays_in_force_and_that_is_told_once(
    worker: MarkingWorker, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "blade.lua"
    file.unlink()
    match damage:
        case "a folder":
            file.mkdir()
        case "emptied":
            file.touch()
        case "garbage":
            file.write_bytes(bytes(range(128, 256)))
        case "much too long":
            file.write_bytes(b"-" * 10_000_000)
    with capture_logs() as logs:
        for _ in range(3):
            assert worker.handle("prepare", BODY)["content"] == "1AB23/B-17/S1"
    told = [line for line in logs if "stays in force" in line["event"]]
    assert [line["path"] for line in told] == [str(file)]
    if file.is_dir():
        file.rmdir()
    file.write_text(TEMPLATE.replace("data.cage ..", "'2CD45' .."))
    with capture_logs() as logs:
        assert worker.handle("prepare", BODY)["content"].startswith("2CD45/")
    assert [line["event"] for line in logs] == ["template is read again"]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("while true do end", "instruction budget"),
        ("return {", "blade.lua:1"),
        (TEMPLATE.replace("data.cage ..", "('ü') .."), "ASCII"),
        (TEMPLATE.replace("return true, {", "return false, 'not today' --[[") + "]]", "blade.lua"),
        (TEMPLATE.replace("if not data.cage", "if true"), "cage is missing"),
    ],
)
def test_a_template_that_fails_says_why_and_loads_nothing(
    worker: MarkingWorker, controller: Controller, tmp_path: Path, source: str, complaint: str
) -> None:
    (tmp_path / "blade.lua").write_text(source)
    with pytest.raises(JobError, match=complaint):
        worker.handle("prepare", BODY)
    assert controller.received == []
    (tmp_path / "blade.lua").write_text(TEMPLATE)
    assert worker.handle("prepare", BODY)["content"] == "1AB23/B-17/S1"


def test_a_missing_template_and_a_missing_pattern_are_named(
    worker: MarkingWorker, tmp_path: Path
) -> None:
    worker.options = worker.options.model_copy(update={"pattern": ""})
    with pytest.raises(JobError, match="names no pattern"):
        worker.handle("prepare", BODY)
    worker._template = TemplateFile(tmp_path / "never_there.lua")
    with pytest.raises(JobError, match="cannot read template"):
        worker.handle("prepare", BODY)


def test_a_marker_that_cannot_be_reached_is_an_error_of_the_job(
    worker: MarkingWorker, controller: Controller
) -> None:
    controller.close()
    with pytest.raises(JobError, match="marker 'peen'"):
        worker.handle("prepare", BODY)


def test_status_and_unknown_jobs(worker: MarkingWorker) -> None:
    worker.handle("prepare", BODY)
    status = worker.handle("status", {})
    assert status == {"template": {"ready": "true"}, "engine_kills": 0, "prepared": "S1"}
    with pytest.raises(JobError, match="no job 'dance'"):
        worker.handle("dance", {})
