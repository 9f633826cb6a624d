"""A client that is not ours, node-opcua, uses the server as a SCADA system would.

Installed by npm into a cache folder outside the tracked tree. Without Node.js or npm's registry
these tests cannot be made; the run then says so in a section of its own (``peers missing``).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="session")]

PEER = Path(__file__).parent.parent / "peers" / "node_opcua"


@pytest.fixture(scope="session")
def node_modules(peer_missing: Any) -> Path:
    """The folder whose ``node_modules`` holds node-opcua; installed once for each lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        peer_missing("node-opcua", "there is no node or npm on the PATH; install Node.js 20")
    lock = (PEER / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "cellwright" / f"node-opcua-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PEER / name, folder / name)
        try:
            done = subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=150,
                check=False,
            )
            why = done.stderr[-300:] if done.returncode else ""
        except subprocess.TimeoutExpired:
            why = "npm ci took longer than 150 s"
        if why:
            peer_missing("node-opcua", f"npm ci failed: {why}")
        (folder / "complete").touch()
    return folder


async def run_peer(
    modules: Path, cell: Any, keys: Path, *, command: str, user: str, password: str
) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(PEER / "client.js"),
        str(modules),
        cell.url,
        str(keys),
        user,
        password,
        command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Its own home, so that no certificate store of the machine is used or left behind.
        env={**os.environ, "HOME": str(keys), "XDG_CONFIG_HOME": str(keys)},
    )
    try:
        async with asyncio.timeout(120):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = [line for line in out.decode().splitlines() if line.startswith("{")]
    assert lines, err.decode()[-2000:]
    report: dict[str, Any] = json.loads(lines[-1])
    return report


async def test_a_foreign_client_browses_reads_subscribes_writes_and_orders(
    cell: Any, node_modules: Path, tmp_path: Path
) -> None:
    cell.image.set("air_pressure", 6.5)
    await cell.server.publish()
    report = await run_peer(
        node_modules, cell, tmp_path, command="all", user="foreman", password="foreman-1"
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
        node_modules, cell, tmp_path, command="login", user=user, password=password
    )
    assert "BadUserAccessDenied" in report["error"]
