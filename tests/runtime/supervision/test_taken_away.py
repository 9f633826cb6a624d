"""What a running cell needs is taken away: it says so, loses nothing silently, and goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.journal.journal import JournalReader
from cellwright.io.journal.retain import RetainStore
from cellwright.io.messages import FaultRaised
from cellwright.runtime.cell.lock import CellLock
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.supervision.places import LOOK_S, Places
from support.small_cell import SmallCell


@pytest.fixture
def cell(tmp_path: Path) -> SmallCell:
    return SmallCell(tmp_path / "cell", tmp_path / "run")


def status(cell: SmallCell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cell.type("status", "--json").stdout)
    return found


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def delete(folder: Path) -> None:
    """At one stroke: who writes into it meanwhile would make a part of it anew."""
    trash = folder.with_name(f"{folder.name}.trash")
    folder.rename(trash)
    shutil.rmtree(trash)


def retained(data: Path) -> Any:
    saved = RetainStore(data).load().values.get("clamp_setpoint")
    return None if saved is None else saved.value


def test_a_cell_whose_data_folder_is_deleted_says_so_goes_to_fault_and_is_found(
    cell: SmallCell,
) -> None:
    data = cell.folder / "data"
    with cell.running() as supervisor:
        assert cell.type("tags", "set", "clamp_setpoint", "7").returncode == 0
        until(lambda: retained(data) == 7.0, "it is saved")
        delete(data)
        said = cell.until_said(supervisor, "FAULT")
        if "is gone" not in said:
            said += cell.until_said(supervisor, "is gone")
        assert f"the data folder {data} is gone" in said
        assert "Bring the folder back, or make an empty one" in said
        assert f"journal {data / 'journal.db'} " in said
        found = status(cell)
        assert (found["state"], found["journal"]["ok"]) == ("FAULT", False)
        until(
            lambda: "does not exist or is read-only" in str(status(cell)["journal"]),
            "the journal names the folder after its next try",
        )
        data.mkdir()
        said = cell.until_said(supervisor, "is used again")
        until(lambda: status(cell)["journal"]["ok"], "the journal is written again")
        until(lambda: retained(data) == 7.0, "retained values are written again")
        assert cell.type("reset").returncode == 0
        assert cell.type("start").returncode == 0
        assert (data / "running").exists()
        # Whoever wants to start a second one on the same folder is still refused.
        assert "already runs" in cell.command("run").stderr
        until((data / "log" / "journal.jsonl").exists, "logs are written again")
    with JournalReader(data / "journal.db") as journal:
        faults = [one for _, one in journal.read(0, 1000) if isinstance(one, FaultRaised)]
    assert any(str(data) in fault.text for fault in faults), "what happened meanwhile is in it"
    assert not (data / "running").exists(), "it was an end in order"
    with cell.running():
        row = json.loads(cell.type("tags", "get", "clamp_setpoint", "--json").stdout)
        assert row["value"] == 7.0


def test_retained_values_and_events_of_a_cell_that_ends_without_its_data_folder_come_back(
    cell: SmallCell,
) -> None:
    data = cell.folder / "data"
    supervisor = cell.launch()
    try:
        cell.until_said(supervisor, "RUN\n")
        assert cell.type("tags", "set", "clamp_setpoint", "7").returncode == 0
        delete(data)
        cell.until_said(supervisor, "FAULT")
        supervisor.send_signal(signal.SIGINT)
        rest, _ = supervisor.communicate(timeout=60)
    finally:
        supervisor.kill()
    assert supervisor.returncode == 1, "it was no end in order"
    assert "keeps them and the retained values for the next start" in rest
    assert f"bring the data folder {data} back" in rest
    again = cell.launch()
    try:
        said = cell.until_said(again, "is up")
        assert "they are there now" in said
        until(lambda: status(cell)["state"] != "INIT", "it runs")
        row = json.loads(cell.type("tags", "get", "clamp_setpoint", "--json").stdout)
        assert row["value"] == 7.0
    finally:
        again.send_signal(signal.SIGINT)
        try:
            rest, _ = again.communicate(timeout=60)
            assert again.returncode == 0, rest
        finally:
            again.kill()


def test_a_data_folder_that_is_deleted_in_stop_is_noticed_without_any_event(
    cell: SmallCell,
) -> None:
    data = cell.folder / "data"
    with cell.running() as supervisor:
        assert cell.type("stop").returncode == 0
        until(lambda: status(cell)["state"] == "STOP", "it stops")
        time.sleep(0.5)
        delete(data)
        cell.until_said(supervisor, "is gone")
        until(lambda: not status(cell)["journal"]["ok"], "the journal notices")
        assert "refused" in cell.type("start").stderr
        data.mkdir()
        cell.until_said(supervisor, "is used again")
        until(lambda: status(cell)["journal"]["ok"], "the journal is written again")


def test_single_files_of_the_data_folder_are_made_again(cell: SmallCell) -> None:
    data = cell.folder / "data"
    with cell.running() as supervisor:
        assert cell.type("tags", "set", "clamp_setpoint", "7").returncode == 0
        until(lambda: retained(data) == 7.0, "it is saved")
        until(lambda: list((data / "recordings").glob("rolling-*")), "it is recorded")
        for name in ("retain-a.bin", "retain-b.bin"):
            (data / name).unlink(missing_ok=True)
        delete(data / "log")
        delete(data / "recordings")
        until(lambda: retained(data) == 7.0, "it is saved again")
        until(lambda: list((data / "recordings").glob("rolling-*")), "it is recorded again")
        (data / "lock").unlink()
        cell.until_said(supervisor, "is used again")
        assert CellLock(data).owner_lives()
        assert status(cell)["state"] == "RUN"


def test_a_run_folder_that_is_deleted_is_told_and_the_cell_ends_in_order(cell: SmallCell) -> None:
    supervisor = cell.launch()
    try:
        cell.until_said(supervisor, "RUN\n")
        (folder,) = cell.run.iterdir()
        delete(folder)
        said = cell.until_said(supervisor, "is gone")
        assert f"the run folder {folder} is gone" in said
        assert "end the cell in order" in said
        time.sleep(0.3)
        assert supervisor.poll() is None, "the cell goes on"
        supervisor.send_signal(signal.SIGINT)
        rest, _ = supervisor.communicate(timeout=60)
        assert supervisor.returncode == 0, rest
    finally:
        supervisor.kill()
    with JournalReader(cell.folder / "data" / "journal.db") as journal:
        codes = [one.code for _, one in journal.read(0, 1000) if isinstance(one, FaultRaised)]
    assert codes == ["run_folder_gone"]


class Heard:
    """The two folders of a cell that is not there, and what is said about them."""

    def __init__(self, folder: Path) -> None:
        self.data, self.run = folder / "data", RunFolder(folder / "run")
        for path in (self.data, self.run.path):
            path.mkdir()
        self.run.image.write_bytes(b"image")
        self.run.plan_file.write_bytes(b"plan")
        locks = CellLock(self.data), CellLock(self.run.path)
        for lock in locks:
            lock.acquire()
        self.said: list[str] = []
        self.codes: list[str] = []
        self.marks = 0
        self.now_s = 0.0
        self.places = Places(
            self.data,
            self.run,
            locks,
            report=self.said.append,
            record=lambda code, _text: self.codes.append(code),
            mark=self.mark,
        )

    def mark(self) -> None:
        self.marks += 1

    def look(self) -> list[str]:
        self.now_s += LOOK_S
        self.places.look(self.now_s)
        return self.codes


def test_a_folder_that_is_gone_is_told_once_and_taken_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    heard = Heard(tmp_path)
    assert heard.look() == []
    away = tmp_path / "away"
    heard.data.rename(away)
    for _ in range(3):
        assert heard.look() == ["data_folder_gone"]
    away.rename(heard.data)
    assert heard.look() == ["data_folder_gone", "data_folder_back"]
    assert heard.marks == 0, "it is the very folder: nothing is made anew"
    shutil.rmtree(heard.data)
    heard.look()
    heard.data.mkdir()
    assert heard.look()[-1] == "data_folder_back"
    assert heard.marks == 1
    assert CellLock(heard.data).owner_lives()
    assert heard.look()[-1] == "data_folder_back", "told once"


@pytest.mark.parametrize("what", ["image", "plan_file", "path"])
def test_whatever_of_the_run_folder_is_gone_is_told_once(tmp_path: Path, what: str) -> None:
    heard = Heard(tmp_path)
    gone: Path = getattr(heard.run, what)
    shutil.rmtree(gone) if gone.is_dir() else os.unlink(gone)
    for _ in range(3):
        assert heard.look() == ["run_folder_gone"]
