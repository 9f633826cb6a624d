"""A client that is not ours orders parts from the whole cell over OPC UA and sees them made."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cellwright.io.plan import CellState
from cellwright.opcua_model.security.users import add_user
from support.cells import CellUnderTest
from support.evidence import patient
from support.node_peer import run_peer

PASSWORD = "planner-pass-1"


@pytest.mark.peer
@pytest.mark.timeout(240)
async def test_node_opcua_runs_a_job_order_whose_parts_appear_under_it(
    tmp_path: Path, node_modules: Path
) -> None:
    cell = CellUnderTest(tmp_path / "cell", parts=4, speed=10.0, edit=patient)
    add_user(cell.folder / "users.yaml", "planner", PASSWORD, ["Planner", "Operator"])
    with cell:
        await asyncio.to_thread(cell.until_state, CellState.RUN)
        await asyncio.to_thread(cell.until_serving)
        report = await run_peer(
            node_modules,
            f"opc.tcp://127.0.0.1:{cell.opcua_port}",
            tmp_path,
            command="produce",
            user="planner",
            password=PASSWORD,
        )
        assert "error" not in report, report
        assert report["bad"] == {}
        assert report["variables"] > 2500
        assert report["written"] == "Good"
        assert report["seen"][-1] == 42
        assert report["order"]["returnStatus"] == [[0, 1]]
        assert report["parts"]["verdicts"] == ["good"] * 4
        assert len(set(report["parts"]["serials"])) == 4
