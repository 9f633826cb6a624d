"""A process that dies over and over: it is told, and nothing goes to RUN by itself afterwards."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.journal.journal import JournalReader
from cellwright.io.messages import FaultRaised
from cellwright.runtime.supervision.crash_loops import BACKOFF_LAST_S, FILE, CrashLoops
from support.small_cell import SmallCell


def test_the_fifth_death_within_a_minute_is_a_crash_loop(tmp_path: Path) -> None:
    loops = CrashLoops(tmp_path, 5, 60.0)
    for now in (0.0, 10.0, 20.0, 30.0):
        assert loops.died("scan", now, "SIGSEGV") == ""
        assert not (tmp_path / FILE).exists()
    reason = loops.died("scan", 59.0, "SIGSEGV")
    assert reason == "process 'scan' died 5 times within 60 s, the last time by SIGSEGV"
    assert loops.reason == reason
    assert CrashLoops(tmp_path, 5, 60.0).reason == reason, "a new supervisor knows it"


def test_deaths_of_different_processes_are_counted_apart(tmp_path: Path) -> None:
    loops = CrashLoops(tmp_path, 3, 60.0)
    for now in range(4):
        assert loops.died(f"p{now % 2}", now, "exit code 1") == ""
    assert loops.died("p0", 4.0, "exit code 1")


def test_pauses_grow_to_half_a_minute_and_begin_anew_after_calm(tmp_path: Path) -> None:
    loops = CrashLoops(tmp_path, 2, 60.0)
    loops.died("gateway", 0.0, "x")
    pauses = []
    for now in range(1, 8):
        assert loops.died("gateway", now, "x")
        pauses.append(loops.pause_s("gateway"))
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert loops.died("gateway", 100.0, "x") == "", "it had worked for more than a minute"
    assert loops.died("gateway", 101.0, "x")
    assert loops.pause_s("gateway") == 1


def test_only_the_first_reason_is_kept_until_somebody_has_seen_it(tmp_path: Path) -> None:
    loops = CrashLoops(tmp_path, 2, 60.0)
    for process in ("first", "second"):
        loops.died(process, 0.0, "x")
        loops.died(process, 1.0, "x")
    assert "'first'" in loops.reason
    loops.acknowledge()
    assert loops.reason == ""
    assert CrashLoops(tmp_path, 2, 60.0).reason == ""
    assert loops.died("first", 2.0, "x") == "", "counted from the acknowledgement on"


def test_a_damaged_record_holds_the_cell_back_too(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff{")
    assert "is damaged" in CrashLoops(tmp_path, 5, 60.0).reason


@given(
    times=st.lists(st.floats(0, 1000), max_size=40).map(sorted),
    deaths=st.integers(2, 6),
    within=st.floats(1, 200),
)
def test_a_loop_is_exactly_so_many_deaths_in_that_time(
    tmp_path_factory: Any, times: list[float], deaths: int, within: float
) -> None:
    loops = CrashLoops(tmp_path_factory.mktemp("data"), deaths, within)
    for place, now in enumerate(times):
        recent = [t for t in times[max(0, place + 1 - deaths) : place + 1] if now - t <= within]
        assert bool(loops.died("p", now, "x")) == (len(recent) == deaths)
        assert loops.pause_s("other") <= BACKOFF_LAST_S


def cell_that_counts_two(tmp_path: Path) -> SmallCell:
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    cell.call_it_a_loop_after(2)
    return cell


def until(condition: Any, what: str) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


@pytest.mark.behaviour(1)
def test_after_a_crash_loop_a_new_supervisor_waits_in_stop_until_an_operator_starts(
    tmp_path: Path,
) -> None:
    cell = cell_that_counts_two(tmp_path)
    record = cell.folder / "data" / FILE

    def recorder() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(cell.type("status", "--json").stdout)
        return dict(found["processes"]["recorder"])

    with cell.running():
        for restarts in range(2):
            pid = until(
                lambda count=restarts: recorder()["restarts"] == count and recorder()["pid"],
                "the recorder runs",
            )
            os.kill(pid, signal.SIGKILL)
        until(record.exists, "the crash loop is recorded")
        assert "died 2 times within 600 s" in until(lambda: recorder()["detail"], "a reason")
        assert "died 2 times" in cell.type("status").stdout
        assert json.loads(cell.type("status", "--json").stdout)["state"] == "RUN", "it goes on"
    with JournalReader(cell.folder / "data" / "journal.db") as journal:
        events = [event for _, event in journal.read(0, 10_000)]
    (loop,) = [e for e in events if isinstance(e, FaultRaised) and e.code == "crash_loop"]
    assert "'recorder'" in loop.text

    supervisor = cell.launch()
    try:
        said = cell.until_said(supervisor, "the cell waits in STOP")
        assert "process 'recorder' died 2 times" in said
        until(lambda: cell.type("start").returncode == 0, "an operator starts it")
        until(lambda: not record.exists(), "the record is gone")
    finally:
        supervisor.send_signal(signal.SIGINT)
        try:
            supervisor.communicate(timeout=60)
        finally:
            supervisor.kill()
