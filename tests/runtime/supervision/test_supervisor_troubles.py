"""What goes wrong in the supervisor itself ends the cell in order or does not end it at all."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.journal.journal import JournalReader
from cellwright.io.messages import FaultRaised, ModeChanged
from cellwright.runtime.supervision.crash_loops import FILE, CrashLoops
from support.small_cell import SmallCell

DEFECTIVE = """
from cellwright.io.plan import CellState
from cellwright.runtime.cli.main import app
from cellwright.runtime.supervision.supervisor import Supervisor

watch = Supervisor._watch


def failing(self):
    watch(self)
    if self._image.scan.state == CellState.RUN:
        raise RuntimeError("a defect of the supervisor")


Supervisor._watch = failing
app(["run"])
"""


@pytest.fixture
def cell(tmp_path: Path) -> SmallCell:
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    cell.call_it_a_loop_after(2)
    return cell


def status(cell: SmallCell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cell.type("status", "--json").stdout)
    return found


def until(condition: Any, what: str) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def events(cell: SmallCell, kind: type) -> list[Any]:
    with JournalReader(cell.folder / "data" / "journal.db") as journal:
        return [event for _, event in journal.read(0, 10_000) if isinstance(event, kind)]


def test_a_defect_of_the_supervisor_ends_the_processes_in_order_and_kills_none(
    cell: SmallCell,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEFECTIVE],
        cwd=cell.folder,
        env=dict(cell.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "a defect of the supervisor" in done.stderr
    last = events(cell, ModeChanged)[-1]
    assert (last.old, last.new, last.reason) == ("RUN", "STOP", "the scan process ends")
    assert (cell.folder / "data" / "running").exists(), "it was no orderly end"


def test_the_end_of_the_terminal_stops_the_cell_in_order(cell: SmallCell) -> None:
    with cell.running() as supervisor:
        pids = [one["pid"] for one in status(cell)["processes"].values() if one["pid"]]
        # As the kernel does it: to all of the terminal's foreground, the supervisor among them.
        for pid in pids:
            os.kill(pid, signal.SIGHUP)
        assert supervisor.pid in pids
        said, _ = supervisor.communicate(timeout=60)
        assert supervisor.returncode == 0, said
    assert [event.text for event in events(cell, FaultRaised) if "SIGHUP" in event.text] == []
    assert not (cell.folder / "data" / "running").exists()


def test_a_cell_goes_on_when_nobody_listens_to_its_supervisor_any_more(cell: SmallCell) -> None:
    supervisor = cell.launch()
    try:
        cell.until_said(supervisor, "RUN\n")
        assert supervisor.stdout is not None
        supervisor.stdout.close()
        assert cell.type("stop", "--reason", "test").returncode == 0
        until(lambda: cell.type("start", "--reason", "test").returncode == 0, "it starts again")
        assert status(cell)["state"] == "RUN"
    finally:
        supervisor.send_signal(signal.SIGTERM)
        try:
            assert supervisor.wait(timeout=60) == 0
        finally:
            supervisor.kill()


def test_a_cell_goes_on_while_a_process_cannot_be_started_and_a_crash_loop_not_be_recorded(
    cell: SmallCell,
) -> None:
    record = cell.folder / "data" / FILE
    with cell.running() as supervisor:
        # What is written first cannot be written: there is a folder of that name.
        (record.parent / f"{FILE}.new").mkdir()
        recorder = lambda: status(cell)["processes"]["recorder"]  # noqa: E731
        os.kill(until(lambda: recorder()["pid"], "a recorder"), signal.SIGKILL)
        pid = until(lambda: recorder()["restarts"] == 1 and recorder()["pid"], "a new one")
        open_files = len(list(Path(f"/proc/{supervisor.pid}/fd").iterdir()))
        before = resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, (open_files, before[1]))
        os.kill(pid, signal.SIGKILL)
        cell.until_said(supervisor, "process 'recorder' cannot be started yet")
        assert status(cell)["state"] == "RUN"
        resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, before)
    assert not record.exists()
    (loop,) = [event for event in events(cell, FaultRaised) if event.code == "crash_loop"]
    assert "'recorder'" in loop.text


def test_a_record_that_could_not_be_written_is_written_at_the_next_death(tmp_path: Path) -> None:
    told: list[str] = []
    obstacle = tmp_path / f"{FILE}.new"
    obstacle.mkdir()
    loops = CrashLoops(tmp_path, 2, 60.0, told.append)
    loops.died("scan", 0.0, "SIGSEGV")
    first = loops.died("scan", 1.0, "SIGSEGV")
    assert first
    assert loops.reason == first
    assert len(told) == 1
    assert str(tmp_path / FILE) in told[0]
    obstacle.rmdir()
    loops.died("scan", 2.0, "SIGABRT")
    assert CrashLoops(tmp_path, 2, 60.0).reason == first
    assert len(told) == 1
