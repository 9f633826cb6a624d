"""A client that is not ours, node-opcua, uses the server as a SCADA system would.

Without Node.js or npm's registry these tests cannot be made; the run then says so in a section of
its own (``peers missing``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cellwright.io.messages import AcknowledgeAlarm
from support.node_peer import run_peer
from support.opcua_events import change

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="session")]


async def test_a_foreign_client_browses_reads_subscribes_writes_and_orders(
    cell: Any, node_modules: Path, tmp_path: Path
) -> None:
    cell.image.set("air_pressure", 6.5)
    await cell.server.publish()
    report = await run_peer(
        node_modules, cell.url, tmp_path, command="all", user="foreman", password="foreman-1"
    )
    assert "error" not in report, report
    assert report["bad"] == {}
    assert report["variables"] > 2500
    assert report["pressure"] == 6.5
    assert report["unit"]["displayName"]["text"] == "bar"
    assert report["written"] == "Good"
    assert report["refused"] == "BadNotWritable"
    assert report["seen"][-1] == 42
    assert report["order"] == {
        "call": "Good",
        "returnStatus": [[0, 1]],
        "listed": {"part": "BLD-7421", "quantity": "4", "states": ["Running"]},
    }


@pytest.mark.parametrize(
    ("user", "password"), [("foreman", "wrong"), ("nobody", "foreman-1"), ("admin", "admin")]
)
async def test_a_foreign_client_without_the_password_is_refused(
    cell: Any, node_modules: Path, tmp_path: Path, user: str, password: str
) -> None:
    report = await run_peer(
        node_modules, cell.url, tmp_path, command="login", user=user, password=password
    )
    assert "BadUserAccessDenied" in report["error"]


async def test_a_foreign_client_hears_of_alarms_and_acknowledges_one(
    make_cell: Any, node_modules: Path, tmp_path: Path
) -> None:
    came = change("pressure.high", "NORMAL", "UNACKNOWLEDGED", value=6.5)
    async with make_cell(alarms=2, told=[came]) as cell:
        report = await run_peer(
            node_modules, cell.url, tmp_path, command="alarms", user="op", password="operator-1"
        )
        assert "error" not in report, report
        assert report["refresh"] == "Good"
        assert report["types"] == ["ns=0;i=2787", "ns=0;i=9482", "ns=0;i=2788"]
        assert report["first"] == {
            "condition": "ns=3;s=BladeMarking.Alarms.pressure.high",
            "name": "pressure.high",
            "message": "Air pressure too high",
            "severity": 500,
            "active": True,
            "acked": False,
            "retain": True,
        }
        assert report["acknowledged"] == "Good"
        assert {"ActiveState", "AckedState", "ShelvingState", "HighLimit"} <= set(report["below"])
        assert report["active"] is True
        [command] = cell.scan.received
        assert command == AcknowledgeAlarm(
            alarm="pressure.high", actor="op", reason="seen by the peer"
        )
