"""The flight recorder of a real cell: always on, killed and back, its files replayed and shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from support.small_cell import SmallCell

T = TypeVar("T")

SECTION = """
recorder:
  after: 2s
  triggers:
    pressed: clamp_pressure > 9.0 and not close_request
"""


def said(cell: SmallCell, *words: str) -> str:
    done = cell.type(*words)
    assert done.returncode == 0, done
    return done.stdout


def recorder_pid(cell: SmallCell) -> int:
    process = json.loads(said(cell, "status", "--json"))["processes"]["recorder"]
    return int(process["pid"]) if process["state"] == "RUNNING" else 0


def cycle_of(cell: SmallCell) -> int:
    return int(said(cell, "tags", "get", "sys.cycle"))


def until_cycle(cell: SmallCell, cycle: int) -> None:
    waited_for(lambda: [cycle_of(cell)] if cycle_of(cell) >= cycle else [], 30)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SmallCell, Path]]:
    """One running cell for all tests of this file, and a file of its first seconds at work."""
    base = tmp_path_factory.mktemp("recorded")
    cell = SmallCell(base / "cell", base / "run")
    with cell.file.open("a", encoding="utf-8") as file:
        file.write(SECTION)
    with cell.running():
        for number in range(3):
            said(cell, "tags", "set", "clamp_setpoint", f"{4 + number}.5")
            said(cell, "tags", "set", "close_request", "true")
            time.sleep(0.3)
            said(cell, "force", "clamp_pressure", "3.25")
            until_cycle(cell, 120 + cycle_of(cell) if number == 2 else 0)
            said(cell, "unforce", "clamp_pressure")
            said(cell, "tags", "set", "close_request", "false")
        path = Path(said(cell, "record", "--reason", "to look at it").strip())
        assert path.parent == cell.folder / "data" / "recordings"
        yield cell, path


@pytest.fixture
def cell(worked: tuple[SmallCell, Path]) -> SmallCell:
    return worked[0]


@pytest.fixture
def kept(worked: tuple[SmallCell, Path]) -> Path:
    return worked[1]


@pytest.mark.behaviour(20)
def test_a_running_cell_is_recorded_and_replays_identically(cell: SmallCell, kept: Path) -> None:
    printed = said(cell, "replay", str(kept))
    found = re.search(r"identical: (\d+) cycles \(1 to (\d+), ", printed)
    assert found, printed
    assert found[1] == found[2]
    assert int(found[1]) > 100
    assert re.search(r"^chain [0-9a-f]{64}$", printed, re.MULTILINE)


def test_status_tells_what_is_recorded_and_kept(cell: SmallCell, kept: Path) -> None:
    def told() -> dict[str, Any]:
        report: dict[str, Any] = json.loads(said(cell, "status", "--json"))["recorder"]
        return report

    def kept_now() -> tuple[int, int]:
        sizes = [path.stat().st_size for path in kept.parent.glob("kept-*")]
        return len(sizes), sum(sizes)

    report = told()
    assert report["recorded"] > 100
    assert (report["obstacle"], report["error"]) == ("", "")
    # Ticks skipped by a busy machine make the recorder keep a file of its own accord.
    waited_for(
        lambda: [kept] if kept_now() == (told()["kept_files"], told()["kept_bytes"]) else [], 30
    )
    assert report["rolling_bytes"] > 0


def test_a_changed_program_is_named_with_cycle_task_tag_and_both_values(
    cell: SmallCell, kept: Path, tmp_path: Path
) -> None:
    source = (cell.folder / "clamp.py").read_text()
    changed = tmp_path / "changed"
    changed.mkdir()
    line = "self.pressure = min(self.pressure + step, self.setpoint)"
    assert line in source
    (changed / "clamp.py").write_text(source.replace(line, line.replace("step", "2 * step")))
    # A process of its own, which has not loaded the module yet.
    done = cell.command("replay", str(kept), "--programs", str(changed))
    assert done.returncode == 1, done
    assert f"note: the program of task 'clamp' has changed since: {changed}/clamp.py" in done.stdout
    found = re.search(
        r"DIFFERENT at cycle (\d+) in task 'clamp', tag 'clamp_pressure' \(after (\d+) identical",
        done.stdout,
    )
    assert found, done.stdout
    assert int(found[2]) == int(found[1]) - 1
    assert re.search(
        r"^  clamp_pressure \(clamp\): recorded [\d.e-]+ GOOD, replayed [\d.e-]+ GOOD$",
        done.stdout,
        re.MULTILINE,
    )
    # Up to the cycle before it, the changed program does the same.
    again = cell.command(
        "replay", str(kept), "--programs", str(changed), "--until", str(int(found[1]) - 1)
    )
    assert again.returncode == 0, again


def test_watched_tags_are_printed_when_they_change(cell: SmallCell, kept: Path) -> None:
    printed = said(cell, "replay", str(kept), "--watch", "close_request")
    values = re.findall(r"close_request = (True|False)", printed)
    assert values == ["False"] + ["True", "False"] * 3
    done = cell.type("replay", str(kept), "--watch", "close_reqest")
    assert done.returncode == 2
    assert "did you mean close_request" in done.stderr


def test_steps_show_one_cycle_for_each_enter(cell: SmallCell, kept: Path) -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    done = subprocess.run(
        [sys.executable, "-m", "cellwright.runtime.cli", "replay", str(kept), "--step"],
        input="\n\nq\n",
        capture_output=True,
        text=True,
        env=dict(cell.environment),
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done
    assert re.findall(r"^cycle (\d+)$", done.stdout, re.MULTILINE) == ["1", "2", "3"]
    assert "  sys.cycle = 2\n" in done.stdout


def test_the_scope_shows_a_file_and_the_running_cell(
    cell: SmallCell, kept: Path, tmp_path: Path
) -> None:
    printed = said(cell, "scope", "clamp_pressure", "close_request", "--file", str(kept))
    assert re.search(r"^clamp_pressure  0 to [3-6][\d.]* bar$", printed, re.MULTILINE), printed
    assert any("\u2800" < character <= "\u28ff" for character in printed)
    page = tmp_path / "live.html"
    printed = said(
        cell, "scope", "sys.load", "sys.clock_100ms", "--seconds", "0.5", "--html", str(page)
    )
    assert printed == f"wrote {page}\n"
    text = page.read_text()
    assert "FirstCell" in text
    assert not re.search(r"(src|href)=", text), "nothing comes from a network"
    done = cell.type("scope", "sys.first_fault")
    assert done.returncode == 2
    assert "STRING(200)" in done.stderr


def test_a_condition_on_a_tag_keeps_a_file_when_it_becomes_true(cell: SmallCell) -> None:
    done = cell.type("record", "--when", "clamp_pressure >> 3")
    assert done.returncode == 2, done
    said(cell, "record", "--when", "close_request == true")
    folder = cell.folder / "data" / "recordings"

    def seen() -> list[Path]:
        """Close and open once more: the recorder may have begun to watch in between."""
        for value in ("false", "true"):
            said(cell, "tags", "set", "close_request", value)
            time.sleep(0.1)
        return sorted(folder.glob("kept-*-condition.cwrec"))

    found = waited_for(seen, 30)
    assert "identical" in said(cell, "replay", str(found[0]))
    said(cell, "tags", "set", "close_request", "false")


def test_a_trigger_of_the_cell_s_file_keeps_a_recording_that_is_listed_by_its_name(
    cell: SmallCell, kept: Path
) -> None:
    def listed(name: str) -> list[Path]:
        rows = json.loads(said(cell, "recordings", "--json"))
        return [
            Path(row["file"])
            for row in rows
            if row["name"] == name and "pressed: clamp_pressure > 9.0 and not" in row["cause"]
        ]

    def seen() -> list[Path]:
        """Force it once more, if the recorder has not seen that it was not so before."""
        for value in ("1.5", "9.5"):
            said(cell, "force", "clamp_pressure", value)
            time.sleep(0.1)
        return listed("pressed")

    try:
        found = waited_for(seen, 60)
    finally:
        said(cell, "unforce", "clamp_pressure")
    assert "identical" in said(cell, "replay", str(found[0]))
    printed = said(cell, "recordings")
    assert re.search(r"-pressed\S*\.cwrec .* pressed: clamp_pressure > 9\.0", printed), printed
    # They are listed without a running cell, too, and the recorder's log tells of the file.
    for place in (kept.parent, cell.folder, cell.file):
        assert found[0].name in said(cell, "recordings", str(place), "--json")
    assert "there are no recordings" in said(cell, "recordings", str(cell.folder / "data" / "log"))
    assert cell.type("recordings", str(kept.parent / "nowhere")).returncode == 2
    log = cell.folder / "data" / "log" / "recorder.jsonl"

    def told() -> list[str]:
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [line for line in lines if "recording kept" in line and found[0].name in line]

    assert "pressed: clamp_pressure" in waited_for(told, 30)[0]


def waited_for(look: Callable[[], list[T]], seconds: float) -> list[T]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing within {seconds} s")


def test_a_killed_recorder_leaves_usable_files_and_comes_back(
    cell: SmallCell, tmp_path: Path
) -> None:
    folder = cell.folder / "data" / "recordings"
    cycles = 0
    for _ in range(2):
        while True:
            pid = recorder_pid(cell)
            os.kill(pid, signal.SIGSTOP)  # so that it does not begin another file meanwhile
            begun = set(folder.glob("rolling-*"))
            newest = max(begun, key=lambda path: path.stat().st_mtime_ns)
            left = tmp_path / newest.name
            shutil.copy(newest, left)
            done = cell.type("replay", str(left))
            if "without an index" in done.stdout:
                break
            os.kill(pid, signal.SIGCONT)  # it stood between two files
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        assert "DIFFERENT" not in done.stdout
        found = re.search(r"identical: (\d+) cycles", done.stdout)
        cycles += int(found[1]) if found else 0
        waited_for(lambda pid=pid: [recorder_pid(cell)] if recorder_pid(cell) != pid else [], 30)
        waited_for(lambda begun=begun: set(folder.glob("rolling-*")) - begun, 30)
        time.sleep(0.3)
    assert cycles > 0
    report = json.loads(said(cell, "status", "--json"))
    assert report["state"] == "RUN"
    assert report["processes"]["scan"]["restarts"] == 0


def test_what_is_no_recording_ends_with_a_sentence(cell: SmallCell, tmp_path: Path) -> None:
    for name, content in (("a", b""), ("b", b"nonsense" * 100)):
        path = tmp_path / name
        path.write_bytes(content)
        done = cell.type("replay", str(path))
        assert done.returncode == 2
        assert "is not a recording" in done.stderr
    done = cell.type("replay", str(tmp_path / "missing"))
    assert (done.returncode, "cannot be read" in done.stderr) == (2, True)
