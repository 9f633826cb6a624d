"""What a running cell needs is taken away: it says so, loses nothing silently, and goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cellwright.io.journal.journal import JournalReader
from cellwright.io.journal.retain import RetainStore
from cellwright.io.messages import FaultRaised
from cellwright.opcua_model.security.users import add_user
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
        assert "the journal is not writable" in said
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


DAMAGES = ("deleted", "a folder", "emptied", "garbage")


def damage(file: Path, how: str) -> None:
    file.unlink()
    match how:
        case "a folder":
            file.mkdir()
        case "emptied":
            file.touch()
        case "garbage":
            file.write_bytes(bytes(range(256)) * 16)


def put_back(file: Path, content: bytes) -> None:
    if file.is_dir():
        file.rmdir()
    file.write_bytes(content)


def test_program_and_cell_file_of_a_running_cell_are_not_needed_again(cell: SmallCell) -> None:
    files = [cell.folder / "clamp.py", cell.file]
    contents = [file.read_bytes() for file in files]
    with cell.running():
        for how in DAMAGES:
            for file in files:
                damage(file, how)
            before = status(cell)
            os.kill(before["processes"]["scan"]["pid"], signal.SIGKILL)
            until(
                lambda pid=before["processes"]["scan"]["pid"]: (
                    status(cell)["processes"]["scan"]["pid"] not in {0, pid}
                    and status(cell)["state"] == "STOP"
                ),
                "the scan process is started again with the programs that it had",
            )
            # Its file may be gone, so the cell is named; what is in it was compiled at the start.
            until(
                lambda: cell.type("start", "--cell", "FirstCell").returncode == 0,
                "an operator starts it, once the new scan process listens",
            )
            refused = cell.type("change", "--yes", "--cell", "FirstCell")
            assert refused.returncode in {1, 2}
            assert "Traceback" not in refused.stderr
            assert status(cell)["state"] == "RUN"
            for file, content in zip(files, contents, strict=True):
                put_back(file, content)
            assert "nothing to change" in cell.type("change", "--yes").stdout


@pytest.fixture
def served(tmp_path: Path) -> SmallCell:
    """A cell with a server, its users, and master data for its MES."""
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    yaml = YAML()
    content = yaml.load(small.file)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    content["opcua"] = {"endpoint": f"opc.tcp://127.0.0.1:{port}", "users": "users.yaml"}
    content["mes"] = {"database": "sqlite:///mes.db", "master_data": "parts.yaml"}
    yaml.dump(content, small.file)
    (small.folder / "parts.yaml").write_text(
        "parts:\n- {part_number: A-1, serial_pattern: 'S{n:04d}'}\n"
    )
    add_user(small.folder / "users.yaml", "anna", "correct horse", ["Operator"])
    return small


def test_users_and_master_data_may_be_taken_away_while_the_cell_runs(served: SmallCell) -> None:
    users, parts = served.folder / "users.yaml", served.folder / "parts.yaml"
    contents = {file: file.read_bytes() for file in (users, parts)}
    log = served.folder / "data" / "log" / "gateway.jsonl"
    with served.running():
        until(lambda: log.exists() and "OPC UA server listens" in log.read_text(), "it listens")
        before = status(served)["processes"]
        assert status(served)["users_error"] == ""
        for how in DAMAGES:
            for file in contents:
                damage(file, how)
            error = until(lambda: status(served)["users_error"], "the status names the file")
            assert str(users) in error
            assert str(users) in served.type("status").stdout.replace("\n", "")
            assert status(served)["state"] == "RUN"
            for file, content in contents.items():
                put_back(file, content)
            until(lambda: not status(served)["users_error"], "the file is read again")
        now = status(served)["processes"]
        assert {name: one["pid"] for name, one in now.items()} == {
            name: one["pid"] for name, one in before.items()
        }, "nobody ended"
        told = [json.loads(line)["event"] for line in log.read_text().splitlines()]
        assert told.count("users are read again") == len(DAMAGES)
        assert len([line for line in told if "users cannot be read" in line]) == len(DAMAGES)
        # A gateway that starts while the file is broken lets nobody in and does not fall over it.
        users.write_text("users: [")
        os.kill(now["gateway"]["pid"], signal.SIGKILL)
        until(
            lambda: log.read_text().count("OPC UA server listens") == 2, "the gateway serves again"
        )
        assert "is not YAML" in status(served)["users_error"]
        add = served.command("user", "add", "bert", ".", "--password-env", "PW", PW="new password")
        assert add.returncode == 1
        put_back(users, contents[users])
        until(lambda: not status(served)["users_error"], "the file is read again")
