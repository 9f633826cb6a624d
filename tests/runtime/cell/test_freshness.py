"""Values of a cell that has died are shown as what they are: old."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient
from cellwright.io.plan import ScanSettings
from cellwright.runtime.cell.freshness import SILENT_NS, has_ended, staleness
from cellwright.runtime.supervision.child import Child
from cellwright.runtime.supervision.supervisor import OWN_STALL_NS, Supervisor
from support.scan_bench import Bench, program
from support.small_cell import COMMAND, SmallCell


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, [], {"idle": program(lambda self, ctx: None)})


def beat(image: Image, scan_s: float, supervisor_s: float) -> None:
    """Heartbeats so many seconds ago."""
    now_ns = time.monotonic_ns()
    image.scan.beat_ns = now_ns - int(scan_s * 1e9)
    image.processes["supervisor"].beat_ns = now_ns - int(supervisor_s * 1e9)


def test_values_of_a_scan_that_beats_are_of_now(bench: Bench) -> None:
    beat(bench.image, -600, 0)  # its beats of the next ten minutes: nothing can be late
    assert staleness(bench.plan, bench.image, 0) == ""


def test_a_silent_scan_under_a_living_supervisor_makes_old_values(bench: Bench) -> None:
    beat(bench.image, 30, -600)
    told = staleness(bench.plan, bench.image, 0)
    assert "does not respond: these values are 3" in told
    assert not has_ended(bench.plan, bench.image)


def test_a_cell_whose_supervisor_is_silent_too_does_not_run_any_more(bench: Bench) -> None:
    beat(bench.image, 30, 30)
    assert has_ended(bench.plan, bench.image)
    assert "is no longer running: these values are 3" in staleness(bench.plan, bench.image, 0)


def test_values_that_no_scan_has_published_yet_are_not_old(bench: Bench) -> None:
    bench.image.scan.beat_ns = 0
    assert staleness(bench.plan, bench.image, 0) == ""


def until_attached(process: subprocess.Popen[str], cell: SmallCell) -> None:
    deadline = time.monotonic() + 60
    while str(cell.run) not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline, "it never attached to the image"
        time.sleep(0.02)


def test_what_is_shown_of_a_dead_cell_is_said_to_be_old_and_watch_ends(tmp_path: Path) -> None:
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    with cell.running() as supervisor:
        pids = [
            process["pid"]
            for process in json.loads(cell.type("status", "--json").stdout)["processes"].values()
        ]
        with subprocess.Popen(
            [*COMMAND, "watch", "clamp_setpoint"],
            cwd=cell.folder,
            env=dict(cell.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watch:
            try:
                until_attached(watch, cell)
                # The supervisor first: so nobody mends what comes then.
                for pid in sorted(pids, key=lambda pid: pid != supervisor.pid):
                    os.kill(pid, signal.SIGSTOP)
                time.sleep(SILENT_NS / 1e9 + 0.1)
                got = cell.type("tags", "get", "clamp_setpoint")
                listed = cell.type("tags", "list")
                status = cell.type("status")
                _, told = watch.communicate(timeout=60)
            finally:
                watch.kill()
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
    assert (got.returncode, got.stdout) == (1, "5.0\n")
    for done in (got, listed, status):
        assert "warning: cell 'FirstCell' is no longer running: these values are" in done.stderr
    assert watch.returncode == 1
    assert "is no longer running" in told


def test_a_supervisor_that_stood_still_itself_blames_nobody_for_the_silence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Supervisor(bench.plan, print)
    keeper._image = bench.image
    child = Child("scan", "", (), silence_ns=60_000_000_000, working_since=1.0)
    now = time.monotonic()
    bench.image.processes["scan"].beat_ns = int((now - 300) * 1e9)
    keeper._awake_since_ns = 0
    assert keeper._hangs(child)
    stalled = OWN_STALL_NS / 1e9 + 0.05
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds + stalled))
    keeper._pause(0.0)
    assert not keeper._hangs(child)


def test_a_slow_beat_or_a_cycle_that_its_watchdog_allows_is_no_silence(tmp_path: Path) -> None:
    second = 1_000_000_000
    slow = ScanSettings(
        base_ns=2 * second,
        watchdog_ns=4 * second,
        watchdog_sensitivity=1,
        priority=0,
        core=-1,
    )
    bench = Bench(tmp_path, [], {}, scan=slow)
    keeper = Supervisor(bench.plan, print)
    keeper._image = bench.image
    keeper._awake_since_ns = 0
    scan = next(child for child in keeper._plan_children() if child.name == "scan")
    scan.working_since = 1.0
    now = time.monotonic()
    bench.image.processes["scan"].beat_ns = int((now - 5) * 1e9)
    assert not keeper._hangs(scan)
    bench.image.processes["scan"].beat_ns = int((now - 60) * 1e9)
    assert keeper._hangs(scan)
    assert CommandClient(bench.image).timeout_s == 6, "nor is it no answer"
