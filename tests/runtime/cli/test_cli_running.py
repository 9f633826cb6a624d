"""The command line beside a running cell."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.journal.journal import JournalReader
from cellwright.io.messages import ForceChanged, ModeChanged, StatisticsReset, TagWritten
from support.small_cell import SmallCell


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCell]:
    """One running cell for all tests of this file; each leaves it in RUN, without forces."""
    base = tmp_path_factory.mktemp("cli")
    small = SmallCell(base / "cell", base / "run")
    with small.running():
        yield small


def said(cell: SmallCell, *words: str) -> str:
    """What a command prints that must succeed."""
    done = cell.type(*words)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def data(cell: SmallCell, *words: str) -> Any:
    return json.loads(said(cell, *words, "--json"))


def refused(cell: SmallCell, code: int, *words: str) -> str:
    """What a command says that must be refused."""
    done = cell.command(*words) if words[0] == "run" else cell.type(*words)
    assert done.returncode == code, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def events(cell: SmallCell, kind: type, reason: str) -> list[Any]:
    """Events of the journal from the one with that reason on.

    A command is answered before its event is durable, so it is waited for.
    """
    deadline = time.monotonic() + 10
    while True:
        with JournalReader(cell.folder / "data" / "journal.db") as journal:
            found: list[Any] = [e for _, e in journal.read(0, 10_000) if isinstance(e, kind)]
        places = [place for place, event in enumerate(found) if event.reason == reason]
        if places:
            return found[places[0] :]
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_status_is_consistent_in_itself(cell: SmallCell) -> None:
    report = data(cell, "status")
    ticks = report["ticks"]
    assert ticks["run"] + ticks["skipped"] == ticks["elapsed"] > 0
    assert (report["cell"], report["state"], report["base_ms"]) == ("FirstCell", "RUN", 10.0)
    assert report["source"] == str(cell.file)
    assert (report["first_fault"], report["forces_active"]) == ("", False)
    assert report["beat_age_ms"] < 10_000
    for task in (report["scan"], report["tasks"]["clamp"]):
        assert task["runs"] > 0
        assert task["load_percent"] > 0
        for count in ("late_runs", "omitted", "job_timeouts", "late_answers"):
            assert task[count] == 0
        for kind in ("start_jitter_us", "execution_us"):
            times = task[kind]
            assert list(times) == ["last", "min", "mean", "p50", "p99", "p99.9", "max"]
            assert 0 <= times["p50"] <= times["p99"] <= times["p99.9"] <= times["max"]
    assert set(report["processes"]) == {"supervisor", "scan", "journal", "recorder"}
    for process in report["processes"].values():
        assert (process["state"], process["restarts"]) == ("RUNNING", 0)
        assert Path(f"/proc/{process['pid']}").exists()
    assert report["journal"]["ok"] is True
    assert report["journal"]["committed"] > 0
    assert report["devices"] == {}


def test_status_is_the_same_for_a_process_of_its_own(cell: SmallCell) -> None:
    done = cell.command("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["ticks"]["run"] + report["ticks"]["skipped"] == report["ticks"]["elapsed"]


def test_status_for_people_says_the_same(cell: SmallCell) -> None:
    text = said(cell, "status")
    ticks = re.search(r"ticks: (\d+) run \+ (\d+) skipped = (\d+) elapsed, base 10 ms", text)
    assert ticks is not None, text
    run, skipped, elapsed = map(int, ticks.groups())
    assert run + skipped == elapsed
    for words in ("FirstCell", "RUN", "(scan)", "clamp", "p99.9", "journal", "events durable"):
        assert words in text


def test_tags_are_listed_by_part_of_the_name_or_pattern(cell: SmallCell) -> None:
    names = [row["name"] for row in data(cell, "tags", "list")]
    assert {"close_request", "clamp_setpoint", "clamp.strokes", "sys.cycle"} <= set(names)
    assert [row["name"] for row in data(cell, "tags", "list", "setpoint")] == ["clamp_setpoint"]
    assert [row["name"] for row in data(cell, "tags", "list", "clamp.*")] == [
        "clamp.closed",
        "clamp.strokes",
    ]
    (row,) = data(cell, "tags", "list", "clamp_pressure")
    assert (row["type"], row["unit"], row["direction"], row["writer"], row["forced"]) == (
        "REAL",
        "bar",
        "memory",
        "clamp",
        False,
    )
    assert "clamp_pressure" in said(cell, "tags", "list", "clamp_p*")


def test_a_tag_is_read_and_written_and_the_audit_knows_who(cell: SmallCell) -> None:
    assert data(cell, "tags", "get", "clamp_setpoint")["value"] == 5.0
    wrote = said(cell, "tags", "set", "clamp_setpoint", "6.5", "--reason", "thicker blades")
    assert wrote == f"FirstCell: clamp_setpoint = 6.5 ({cell.file})\n"
    assert said(cell, "tags", "get", "clamp_setpoint") == "6.5\n"
    said(cell, "tags", "set", "clamp_setpoint", "5")
    first = events(cell, TagWritten, "thicker blades")[0]
    assert (first.tag, first.old, first.new) == ("clamp_setpoint", 5.0, 6.5)
    assert first.actor.endswith("@console")


def test_a_value_that_nobody_has_written_yet_is_told_with_its_quality(tmp_path: Path) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    with small.running():
        done = small.type("tags", "get", "close_request")
        assert (done.returncode, done.stdout) == (0, "False\n")
        assert done.stderr == "quality UNCERTAIN_INITIAL\n"


def test_the_program_acts_on_what_is_written(cell: SmallCell) -> None:
    said(cell, "tags", "set", "clamp_setpoint", "1")
    said(cell, "tags", "set", "close_request", "on")
    deadline = time.monotonic() + 20
    while data(cell, "tags", "get", "clamp.closed")["value"] is not True:
        assert time.monotonic() < deadline
    assert said(cell, "tags", "get", "clamp_pressure") == "1.0\n"
    said(cell, "tags", "set", "close_request", "off")
    said(cell, "tags", "set", "clamp_setpoint", "5")


@pytest.mark.parametrize(
    ("words", "code", "say"),
    [
        (("tags", "get", "clamp_setpiont"), 1, "did you mean clamp_setpoint?"),
        (("tags", "set", "clamp_setpiont", "1"), 1, "did you mean clamp_setpoint"),
        (("force", "zzzzzzzz", "1"), 1, "see 'cellwright tags list'"),
        (("unforce", "close_requst"), 1, "did you mean close_request"),
        (("watch", "no_such_tag", "--count", "1"), 1, "has no tag 'no_such_tag'"),
        (("tags", "set", "clamp_setpoint", "9"), 1, "takes 0 to 8 bar, not 9"),
        (("tags", "set", "clamp_setpoint", "-1"), 1, "takes 0 to 8 bar, not -1"),
        (("tags", "set", "clamp_setpoint", "much"), 2, "REAL takes a number, not 'much'"),
        (("tags", "set", "close_request", "maybe"), 2, "BOOL takes true or false, not 'maybe'"),
        (("tags", "set", "clamp.strokes", "5"), 1, "is written by task 'clamp'; force it"),
        (
            ("tags", "set", "sys.cycle", "5"),
            1,
            "is a system tag of the runtime and cannot be written",
        ),
        (("force", "sys.cycle", "5"), 1, "is a system tag of the runtime and cannot be forced"),
        (("force", "clamp.strokes", "-5"), 2, "UDINT holds 0 to 4294967295, not -5"),
        (("reset",), 1, "'reset' is not possible in RUN"),
        (("status", "--cell", "Other"), 1, "no running cell matches 'Other'; running: FirstCell ("),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_done_is_refused_with_the_remedy(
    cell: SmallCell, words: tuple[str, ...], code: int, say: str
) -> None:
    assert say in refused(cell, code, *words)


@pytest.mark.behaviour(9)
def test_a_force_holds_a_tag_until_it_is_released(cell: SmallCell) -> None:
    assert said(cell, "force", "clamp.closed", "true", "--reason", "a test") == (
        f"FirstCell: clamp.closed forced to True ({cell.file})\n"
    )
    try:
        row = data(cell, "tags", "get", "clamp.closed")
        assert (row["value"], row["forced"]) == (True, True)
        assert data(cell, "status")["forces_active"] is True
        assert "forces are active" in said(cell, "status")
    finally:
        said(cell, "unforce", "clamp.closed")
    assert data(cell, "tags", "get", "clamp.closed")["forced"] is False
    said(cell, "force", "close_request", "1")
    said(cell, "force", "clamp_pressure", "2.5")
    released = "all forces released: close_request, clamp_pressure"
    assert said(cell, "unforce") == f"FirstCell: {released} ({cell.file})\n"
    assert said(cell, "unforce") == f"FirstCell: no tag was forced ({cell.file})\n"
    assert "close_request was not forced" in said(cell, "unforce", "close_request")
    assert data(cell, "status")["forces_active"] is False
    first, then, *_ = events(cell, ForceChanged, "a test")
    assert (first.tag, first.value) == ("clamp.closed", True)
    assert (then.tag, then.value) == ("clamp.closed", None)


def test_counters_are_reset_by_command_and_the_journal_keeps_who_did_it(cell: SmallCell) -> None:
    before = data(cell, "status")["tasks"]["clamp"]
    assert said(cell, "reset-counters", "clamp", "--reason", "new shift") == (
        f"FirstCell: counters of clamp reset ({cell.file})\n"
    )
    after = data(cell, "status")["tasks"]["clamp"]
    assert after["resets"] == before["resets"] + 1
    (event,) = events(cell, StatisticsReset, "new shift")
    assert event.of == "clamp"
    assert "there is no task 'nobody'" in refused(cell, 1, "reset-counters", "nobody")
    deadline = time.monotonic() + 10
    while data(cell, "status")["tasks"]["clamp"]["runs"] == 0:
        assert time.monotonic() < deadline


def test_a_negative_number_is_a_value_and_not_an_option(cell: SmallCell) -> None:
    assert said(cell, "force", "clamp_pressure", "-1.5") == (
        f"FirstCell: clamp_pressure forced to -1.5 (outside its range, 0 to 8 bar) ({cell.file})\n"
    )
    assert data(cell, "tags", "get", "clamp_pressure")["value"] == -1.5
    said(cell, "unforce")


def test_watch_shows_tags_and_ends_after_its_looks(cell: SmallCell) -> None:
    text = said(cell, "watch", "clamp_setpoint", "sys.s*", "--count", "2", "--interval", "0.05")
    for words in ("FirstCell", "RUN", "cycle", "clamp_setpoint", "sys.state", "bar", "GOOD"):
        assert words in text
    assert "close_request" not in text


@pytest.mark.behaviour(1)
def test_stop_and_start_with_a_reason(cell: SmallCell) -> None:
    assert said(cell, "stop", "--reason", "lunch") == f"FirstCell: stop done ({cell.file})\n"
    assert data(cell, "status")["state"] == "STOP"
    assert said(cell, "start", "--reason", "back") == f"FirstCell: start done ({cell.file})\n"
    assert data(cell, "status")["state"] == "RUN"
    assert events(cell, ModeChanged, "back")[0].new == "RUN"
    stopped, started, *_ = events(cell, ModeChanged, "lunch")
    assert (stopped.new, started.reason) == ("STOP", "back")


def test_a_pause_and_a_hot_start(cell: SmallCell) -> None:
    assert (
        said(cell, "pause", "--reason", "look inside") == f"FirstCell: pause done ({cell.file})\n"
    )
    assert data(cell, "status")["state"] == "PAUSE"
    assert (
        "'start' is not possible in PAUSE; possible: hot_start ('cellwright resume'), stop\n"
        in refused(cell, 1, "start")
    )
    assert said(cell, "resume", "--reason", "go on") == f"FirstCell: hot_start done ({cell.file})\n"
    assert data(cell, "status")["state"] == "RUN"
    assert events(cell, ModeChanged, "go on")[0].request == "hot_start"


def test_a_cold_start_takes_back_what_is_retained(cell: SmallCell) -> None:
    said(cell, "force", "clamp.strokes", "40")
    said(cell, "unforce", "clamp.strokes")
    assert data(cell, "tags", "get", "clamp.strokes")["value"] == 40
    said(cell, "stop")
    said(cell, "start")
    assert data(cell, "tags", "get", "clamp.strokes")["value"] == 40
    said(cell, "stop")
    assert (
        said(cell, "start", "--cold", "--reason", "new line")
        == f"FirstCell: cold_start done ({cell.file})\n"
    )
    assert data(cell, "tags", "get", "clamp.strokes")["value"] == 0


def test_the_cell_is_found_from_anywhere_by_name_folder_or_file(
    cell: SmallCell, tmp_path: Path
) -> None:
    for selector in (None, "FirstCell", str(cell.folder), str(cell.file)):
        words = () if selector is None else ("--cell", selector)
        done = cell.type("tags", "get", "sys.state", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "2\n"), done


def test_a_second_supervisor_on_the_same_data_is_refused(cell: SmallCell) -> None:
    text = refused(cell, 1, "run")
    pid = data(cell, "status")["processes"]["supervisor"]["pid"]
    assert f"already runs (pid {pid}); stop it first" in text
    assert data(cell, "status")["state"] == "RUN"


# --- the life of a cell ---------------------------------------------------------------------------


def test_init_check_run_and_an_orderly_end_leave_nothing_behind(tmp_path: Path) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    with small.running() as supervisor:
        (folder,) = small.run.iterdir()
        assert folder.name.startswith("FirstCell-")
        pids = [p["pid"] for p in data(small, "status")["processes"].values()]
        assert supervisor.pid in pids
    assert list(small.run.iterdir()) == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not (small.folder / "data" / "running").exists()
    assert "is not running" in refused(small, 1, "status")


def test_another_data_folder_can_be_named(tmp_path: Path) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    with small.running("--data", str(tmp_path / "elsewhere")):
        pass
    assert (tmp_path / "elsewhere" / "journal.db").exists()
    assert not (small.folder / "data").exists()


@pytest.mark.parametrize("after", ["up: ", "RUN\n"], ids=["while it starts", "in RUN"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_at_any_time_ends_the_cell_in_order(
    tmp_path: Path, after: str, number: signal.Signals
) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    supervisor = small.launch()
    try:
        said = small.until_said(supervisor, after)
        supervisor.send_signal(number)
        rest, _ = supervisor.communicate(timeout=30)
    finally:
        supervisor.kill()
    assert supervisor.returncode == 0, said + rest
    assert "Traceback" not in rest
    assert rest.endswith("stopping\n"), rest
    assert not (small.folder / "data" / "running").exists()


@pytest.mark.parametrize(
    ("number", "ends"), [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGHUP, False)]
)
def test_a_cell_in_the_background_of_a_script_ends_when_asked_and_not_with_the_terminal(
    number: signal.Signals, ends: bool
) -> None:
    """A shell starts what it puts into its background with SIGINT ignored, nohup with SIGHUP."""
    code = (
        "import os, signal\n"
        "from cellwright.runtime.supervision.signals import end_on_signals\n"
        f"signal.signal({int(number)}, signal.SIG_IGN)\n"
        "seen = []\n"
        "end_on_signals(lambda number, _: seen.append(number))\n"
        f"os.kill(os.getpid(), {int(number)})\n"
        "print(seen)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == f"{[int(number)] if ends else []}\n", done


@pytest.mark.behaviour(1)
def test_a_supervisor_that_was_killed_leaves_a_cell_that_is_said_to_be_dead_and_waits_in_stop(
    tmp_path: Path,
) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    supervisor = small.launch()
    try:
        small.until_said(supervisor, "RUN\n")
        pids = [p["pid"] for p in data(small, "status")["processes"].values()]
        supervisor.kill()
        supervisor.communicate()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            assert time.monotonic() < deadline, "the processes of the cell outlive it"
            time.sleep(0.01)
    finally:
        supervisor.kill()
    text = refused(small, 1, "status")
    assert "cell 'FirstCell' is not running: its supervisor is gone" in text
    assert f"start it again with 'cellwright run {small.file}'" in text
    again = small.launch()
    try:
        said_then = small.until_said(again, "waits in STOP")
        assert "was not shut down in order last time" in said_then
        while (state := data(small, "status")["state"]) != "STOP":
            assert state == "INIT"
            assert time.monotonic() < deadline + 20
            time.sleep(0.02)
        assert said(small, "start") == f"FirstCell: start done ({small.file})\n"
    finally:
        again.send_signal(signal.SIGTERM)
        again.communicate(timeout=30)
    assert again.returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("tags", "set", "clamp_setpoint", "5"),
        ("force", "clamp_pressure", "2"),
        ("unforce", "clamp_pressure"),
        ("reset-counters",),
        ("pause",),
        ("resume",),
        ("stop",),
        ("start", "--cold"),
        ("change", "--dry-run"),
        ("record", "--when", "close_request"),
    ],
    ids="-".join,
)
def test_whoever_acts_is_told_on_which_cell(cell: SmallCell, words: tuple[str, ...]) -> None:
    text = said(cell, *words)
    assert text.startswith("FirstCell: ")
    assert text.endswith(f" ({cell.file})\n")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("tags", "set", "nowhere", "5"),
        ("tags", "set", "clamp_setpoint", "much"),
        ("force", "sys.cycle", "2"),
        ("unforce", "nowhere"),
        ("reset-counters", "nobody"),
        ("reset",),
        ("ack", "nothing"),
        ("shelve", "nothing", "--for", "1h", "--reason", "r"),
        ("unshelve", "nothing"),
        ("change", "--rollback"),
        ("record", "--when", "clamp_pressure >> 3"),
    ],
    ids="-".join,
)
def test_whoever_is_refused_is_told_by_which_cell(cell: SmallCell, words: tuple[str, ...]) -> None:
    done = cell.type(*words)
    assert (done.returncode > 0, done.stdout) == (True, "")
    assert done.stderr.endswith(f"  (asked of FirstCell, {cell.file})\n")
