"""The import rules are rules: each contract breaks when an import is put in against it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("native", "io", "tasks", "mes", "opcua_model", "web", "runtime")
CONFIGURATION = ROOT / "pyproject.toml"

AGAINST = {
    "The repository: a room imports only rooms below it": (
        "tasks/api/program.py",
        "mes.kernel.utc",
    ),
    "Runtime: a room imports only rooms below it": ("runtime/cell/logs.py", "runtime.scan.beat"),
    "Configuration: from the sections of the file up to the plan": (
        "runtime/config/tags/tags.py",
        "runtime.config.compiler",
    ),
    "Scan: from the beat down to what a cycle is made of": (
        "runtime/scan/observer.py",
        "runtime.scan.cycle",
    ),
    "I/O: a room imports only rooms below it": ("io/files/replace.py", "io.journal.journal"),
    "Web: a room imports only rooms below it": ("web/limits/rates.py", "web.api.problems"),
    "OPC UA: a room imports only rooms below it": (
        "opcua_model/security/users.py",
        "opcua_model.nodes.tags",
    ),
    "MES: a room a domain, and each knows only those below it": (
        "mes/orders/order_flow.py",
        "mes.shopfloor.serials",
    ),
    "Tasks: stations and blocks stand on what authors import": (
        "tasks/marking/options.py",
        "tasks.vision.station",
    ),
    "Drivers: protocols and the poll loop know the seam and not each other": (
        "io/drivers/modbus/watchdog.py",
        "io.drivers.poll_loop",
    ),
    "Markers: devices know the seam and not each other": (
        "io/markers/base.py",
        "io.markers.telesis",
    ),
    "Cameras: devices know the seam and not each other": (
        "io/cameras/frames.py",
        "io.cameras.shared_memory",
    ),
    "No circles: siblings never import each other both ways": (
        "io/image/areas.py",
        "io.image.image",
    ),
    "The scan process loads nothing that waits, answers networks or collects numbers": (
        "runtime/scan/garbage.py",
        "numpy",
    ),
    "Nobody imports a process": ("runtime/cli/help.py", "runtime.processes.scan"),
}
"""Contract, and the import that breaks it: from where, of what."""


def copied(folder: Path) -> Path:
    """The package's Python files, laid out as they are installed."""
    for room in ROOMS:
        shutil.copytree(
            ROOT / room,
            folder / "cellwright" / room,
            ignore=lambda _, names: [
                name for name in names if "." in name and not name.endswith(".py")
            ],
        )
    return folder


def contracts(folder: Path) -> dict[str, bool]:
    """Which contracts a tree keeps, by name."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", str(CONFIGURATION)],
        cwd=folder,
        env={"PYTHONPATH": ".", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = re.findall(r"^(.+?) (KEPT|BROKEN)", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return {name: verdict == "KEPT" for name, verdict in found}


def test_every_contract_breaks_when_an_import_is_put_in_against_it(tmp_path: Path) -> None:
    tree = copied(tmp_path)
    for place, target in AGAINST.values():
        name = target if target == "numpy" else f"cellwright.{target}"
        with (tree / "cellwright" / place).open("a", encoding="utf-8") as file:
            file.write(f"\nimport {name}\n")
    declared = tomllib.loads(CONFIGURATION.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    assert set(AGAINST) == {contract["name"] for contract in declared}
    assert contracts(tree) == dict.fromkeys(AGAINST, False)


def test_a_room_that_nobody_placed_breaks_the_contract_of_its_floor(tmp_path: Path) -> None:
    tree = copied(tmp_path)
    declared = tomllib.loads(CONFIGURATION.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    exhaustive = {
        contract["name"]: contract["containers"][0]
        for contract in declared
        if contract.get("exhaustive")
    }
    assert len(exhaustive) == 12
    for container in exhaustive.values():
        (tree / container.replace(".", "/") / "unplaced.py").write_text('"""A new room."""\n')
    kept = contracts(tree)
    assert {name: kept[name] for name in exhaustive} == dict.fromkeys(exhaustive, False)
