"""The peer node-opcua: an OPC UA client that is not ours, installed by npm and run by Node.js.

It goes into a cache folder outside the tracked tree. The fixture `node_modules` is in the root
``conftest``; tests run commands of ``peers/node_opcua/client.js`` with `run_peer`.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

PEER = Path(__file__).parents[1] / "peers" / "node_opcua"


def install(peer_missing: Callable[[str, str], NoReturn]) -> Path:
    """The folder whose ``node_modules`` holds node-opcua; installed once for each lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        peer_missing("node-opcua", "there is no node or npm on the PATH; install Node.js 20")
    lock = (PEER / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "cellwright" / f"node-opcua-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        _install_once(folder, peer_missing)
    return folder


def _install_once(folder: Path, peer_missing: Callable[[str, str], NoReturn]) -> None:
    if not (folder / "complete").exists():
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


async def run_peer(
    modules: Path, url: str, keys: Path, *, command: str, user: str, password: str
) -> dict[str, Any]:
    """Run one command of the client and return its report."""
    arguments = (str(modules), url, str(keys), user, password, command)
    report, _ = await run_script("client.js", arguments, keys)
    return report


async def run_script(
    script: str, arguments: Sequence[str], keys: Path
) -> tuple[dict[str, Any], str]:
    """Run one of the peer's scripts; its report, and all else that it printed."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(PEER / script),
        *arguments,
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
    others = [line for line in out.decode().splitlines() if line != lines[-1]]
    return report, "\n".join([*others, err.decode()]).strip()
