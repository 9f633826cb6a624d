"""Both workers against the simulated plant: what is marked is read back and judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.plan import Device, Plan
from cellwright.tasks.api import WorkerContext
from cellwright.tasks.marking.worker import MarkingWorker
from cellwright.tasks.vision.worker import VisionWorker
from plant import PlantProcess
from plant.hand import Hand
from tasks.test_marking_worker import TEMPLATE, plan_for

FAULTS = ["wrong_dot@2", "missing_pin@3", "lost_ack@4", "wrong_content@5"]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[PlantProcess]:
    with PlantProcess(speed=20, faults=FAULTS, folder=tmp_path) as plant:
        yield plant


def compile_cell(folder: Path, plant: PlantProcess) -> Plan:
    (folder / "blade.lua").write_text(TEMPLATE)
    peen = Device(
        name="peen",
        kind="marker",
        driver="telesis",
        options={
            "host": "127.0.0.1",
            "port": plant.marker_port,
            "answer_timeout_s": 20.0,
            "poll_s": 0.01,
        },
    )
    camera = Device(
        name="camera",
        kind="camera",
        driver="shared-memory-camera",
        options={"path": plant.camera, "size": [1280, 1024], "timeout_s": 20},
    )
    return plan_for(folder, peen, camera)


def test_five_blades_are_marked_once_and_only_the_good_marks_pass(
    tmp_path: Path, plant: PlantProcess
) -> None:
    plan = compile_cell(tmp_path, plant)
    options: dict[str, Any] = {
        "marker": "peen",
        "template": "blade.lua",
        "pattern": "BLADE",
        "lua_timeout_ms": 20_000.0,
    }
    marking = MarkingWorker(WorkerContext("mark", options, plan))
    vision = VisionWorker(
        WorkerContext("inspect", {"camera": "camera", "capture_timeout_s": 20.0}, plan)
    )
    outcomes, verdicts = [], []
    with Hand(plant) as hand:
        marking.open()
        vision.open()
        for number in range(1, 6):
            hand.clamp_next()
            serial = f"S{number:04d}"
            body = {"serial": serial, "part_number": "B-17", "fields": {"cage": "1AB23"}}
            content = marking.handle("prepare", body)["content"]
            fired = marking.handle("fire", {"serial": serial, "content": content})
            outcomes.append(fired["outcome"])
            found = vision.handle("inspect", {"serial": serial, "expected": content})
            verdicts.append(found["verdict"])
            hand.release(good=found["verdict"] == "ok")
        marking.close()
        vision.close()
    assert outcomes == ["acknowledged"] * 5
    assert verdicts[0] == verdicts[3] == "ok"
    assert verdicts[1] == verdicts[4] == "not_ok"
    assert verdicts[2] in {"not_ok", "not_decidable"}
    assert plant.events("double_mark") == []
    assert len(plant.events("marked")) == 5
