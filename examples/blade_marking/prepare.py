"""Makes a cell folder of its own from this example: copied, with other ports and paths.

The demo and the integration tests use it, so that several cells can run beside each other and the
example itself stays as it is.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

EXAMPLE = Path(__file__).resolve().parent
PARTS = ("cell.yaml", "blade.lua", "master_data.yaml", "blade_marking")


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def prepare(
    folder: Path,
    *,
    modbus_port: int,
    marker_port: int,
    camera: str,
    opcua_port: int,
    edit: Callable[[Any], None] | None = None,
) -> Path:
    """Copy the example into ``folder`` and return its cell file.

    ``edit`` may change the loaded configuration further before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        source, target = EXAMPLE / name, folder / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    yaml = YAML()
    yaml.width = 200
    file = folder / "cell.yaml"
    cell = yaml.load(file)
    cell["devices"]["remote_io"]["port"] = modbus_port
    cell["devices"]["peen"]["port"] = marker_port
    cell["devices"]["camera"]["path"] = camera
    cell["opcua"]["endpoint"] = f"opc.tcp://127.0.0.1:{opcua_port}"
    if edit is not None:
        edit(cell)
    yaml.dump(cell, file)
    users = folder / "users.yaml"
    if not users.exists():
        users.write_text("users: {}\n", encoding="utf-8")
    return file
