"""A figure that stands once in the list is found by every name that it has, at every face."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from prometheus_client import generate_latest
from rich.console import Console

from cellwright.io.image import figures
from cellwright.io.image.figures import Figure, Kind
from cellwright.io.timing.clock import MonotonicClock
from cellwright.opcua_model.server import CellServer
from cellwright.runtime.cli.views.status import status_view
from cellwright.runtime.cli.views.status_report import status_report
from cellwright.runtime.diagnosis.metrics import CellCollector
from reference import opcua_model as opcua_reference
from reference.pages import with_metrics
from support.opcua_support import FakeScan, ImageBench, cell_plan

TASKS = "BladeMarking.Controller.Resources.PLC1.Tasks.mark"
DEVICES = "BladeMarking.Controller.Devices.remote_io"


class Faces:
    """The four of them, of one image."""

    def __init__(self, bench: ImageBench, server: CellServer) -> None:
        plan = bench.image.plan
        self._server = server
        self.page = generate_latest(CellCollector(bench.image, lambda: 1)).decode()  # type: ignore[arg-type] - it is all that is asked of a registry
        self.status = status_report(plan, bench.image)
        shown = io.StringIO()
        Console(width=200, file=shown).print(status_view(self.status))
        self.shown = shown.getvalue()
        self.reference = opcua_reference.text()
        self.table = with_metrics("| metric | type | labels | meaning |\n|---|---|---|---|")

    def opcua(self, path: str) -> Any:
        """Value of a variable of the cell."""
        node, value = ua.NodeId(path, 3), ua.AttributeIds.Value
        return self._server._internal.aspace.read_attribute_value(node, value).Value.Value


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter of tasks, added to the list as a newcomer would."""
    counter: Figure[Any] = Figure(
        "task_strokes",
        Kind.COUNTER,
        "Strokes of a press",
        lambda task: 42,
        opcua="Strokes",
        status="strokes",
    )
    monkeypatch.setattr(figures, "TASK", (*figures.TASK, counter))


@pytest_asyncio.fixture
async def faces(tmp_path: Path) -> AsyncIterator[Faces]:
    (tmp_path / "users.yaml").write_text("users: {}\n")
    bench = ImageBench(cell_plan(tmp_path))
    for slot in bench.image.processes.values():
        slot.pid = 4711
    server = CellServer(
        bench.image, FakeScan(bench), None, pki=tmp_path / "pki", clock=MonotonicClock()
    )
    await server.start()
    await server.publish()
    yield Faces(bench, server)
    await server.stop()
    bench.image.close()


@pytest.mark.usefixtures("added")
async def test_a_figure_that_is_added_to_the_list_is_shown_everywhere(faces: Faces) -> None:
    assert faces.opcua(f"{TASKS}.Strokes") == 42
    assert '\ncellwright_task_strokes_total{task="mark"} 42.0\n' in faces.page
    assert "# HELP cellwright_task_strokes_total Strokes of a press\n" in faces.page
    assert faces.status["tasks"]["mark"]["strokes"] == 42
    assert " strokes" in faces.shown
    assert "| Strokes | UInt64 | Strokes of a press |" in faces.reference
    assert "| `cellwright_task_strokes_total` | counter | `task` | Strokes of a press |" in (
        faces.table
    )


async def test_every_figure_is_found_by_every_name_that_it_has(faces: Faces) -> None:
    status = faces.status
    for listed, object_path, entry in (
        (figures.CELL, "", status),
        (figures.TASK, TASKS, status["tasks"]["mark"]),
        (figures.TASK, "", status["scan"]),
        (figures.DEVICE, DEVICES, status["devices"]["remote_io"]),
        (figures.PROCESS, "", status["processes"]["scan"]),
        (figures.JOURNAL, "", status["journal"]),
    ):
        for figure in listed:
            assert figure.opcua or figure.metric or figure.status
            if figure.opcua and object_path:
                assert faces.opcua(f"{object_path}.{figure.opcua}") is not None
                assert f"| {figure.opcua} |" in faces.reference
            if figure.metric:
                assert f"# HELP {figure.metric} {figure.sentence}\n" in faces.page
                assert f"| `{figure.metric}` |" in faces.table
            if figure.status:
                assert figure.status in entry
