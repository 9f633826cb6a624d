"""Single processes of a cell, started as the supervisor starts them, with the test in its place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient
from cellwright.io.journal.journal import JOURNAL_FILE, JournalReader
from cellwright.io.journal.retain import RetainStore
from cellwright.io.messages import PartArrived, SetMode, encode
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import Plan, ScanSettings
from cellwright.io.plan import plan as plans
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.cell.run_folder import RunFolder
from support.plans import POLL_NS, make_plan, make_tag, make_task

BOOT = "0123abcd"


class Folder:
    """A run folder and a data folder without a supervisor."""

    def __init__(self, base: Path, **fields: Any) -> None:
        self.data = base / "data"
        self.data.mkdir()
        self.run = RunFolder(base / "run")
        self.run.path.mkdir()
        tags = [make_tag("strokes", "UDINT", retain=True)]
        fields.setdefault("tasks", [])
        self.plan: Plan = make_plan(tags, folder=str(base), data=str(self.data), **fields)
        self.run.plan_file.write_bytes(plans.dump(self.plan))
        self.image = Image.create(self.run.image, self.plan, BOOT)

    @contextmanager
    def process(self, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """``cellwright.runtime.processes.<name>``, killed at the end if it still lives."""
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", f"cellwright.runtime.processes.{name}"),
                *("--run", str(self.run.path), *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield child
        finally:
            child.kill()
            child.communicate()

    def log(self, process: str) -> list[dict[str, Any]]:
        lines = (self.data / "log" / f"{process}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def start_file(self, **fields: Any) -> None:
        values: dict[str, Any] = {"retained": {}, "open_events": [], "restarted": False}
        self.run.write_start(ScanStart(boot_id=BOOT + "00", notes=[], **(values | fields)))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def test_the_journal_process_ends_only_when_all_that_lies_on_the_rings_is_durable(
    folder: Folder,
) -> None:
    ring, count = folder.image.events["scan"], 2000
    with folder.process("journal") as journal:
        until(lambda: folder.image.journal.ok, "the journal is ready")
        journal.send_signal(signal.SIGSTOP)
        for number in range(count):
            ring.put(encode(PartArrived(task="t", utc_ns=number, part_id=f"p{number}")))
        journal.terminate()
        journal.send_signal(signal.SIGCONT)
        assert journal.wait(30) == 0
    assert ring.acknowledged == ring.written == count
    with JournalReader(folder.data / JOURNAL_FILE) as reader:
        events = [event for _, event in reader.read(0, 2 * count)]
    assert [event.utc_ns for event in events] == list(range(count))


def test_the_journal_process_saves_what_is_retained_also_at_its_end(folder: Folder) -> None:
    image = ProcessImage(folder.image, folder.plan)
    index = folder.plan.tag("strokes").index

    def publish(strokes: int) -> None:
        image.set(index, strokes)
        image.publish(strokes, strokes, strokes)

    def saved() -> Any:
        values = RetainStore(folder.data).load().values
        return values["strokes"].value if values else None

    publish(41)
    with folder.process("journal") as journal:
        until(lambda: saved() == 41, "the value is saved")
        journal.send_signal(signal.SIGSTOP)
        publish(42)
        journal.terminate()
        journal.send_signal(signal.SIGCONT)
        assert journal.wait(30) == 0
    assert saved() == 42


@pytest.mark.parametrize("name", ["journal", "scan"])
def test_a_process_whose_supervisor_is_gone_ends_by_itself(folder: Folder, name: str) -> None:
    folder.start_file()
    code = (
        "import subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-m', sys.argv[1], '--run', sys.argv[2]]); "
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [
            *(sys.executable, "-c", code),
            *(f"cellwright.runtime.processes.{name}", str(folder.run.path)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    running = {"journal": lambda: folder.image.journal.ok, "scan": lambda: folder.image.scan.cycle}
    until(running[name], "it runs")
    parent.kill()
    parent.communicate()
    until(lambda: not Path(f"/proc/{child}").exists(), "the orphan has ended")


def test_a_process_that_fails_says_why_in_one_line_and_keeps_the_trace_in_its_log(
    tmp_path: Path,
) -> None:
    task = make_task(0, "mark", worker="no_such_module:Marker")
    folder = Folder(tmp_path, tasks=[task])
    with folder.process("worker", "--task", "mark", "--incarnation", "0") as worker:
        assert worker.wait(30) == 1
        assert worker.stderr is not None
        (line,) = worker.stderr.read().splitlines()
    assert line.startswith("worker:mark: RegistryError: cannot import no_such_module")
    (entry,) = folder.log("worker-mark")
    assert (entry["event"], entry["level"]) == ("process fails", "critical")
    assert "Traceback" in entry["exception"]


def test_a_scan_without_a_start_file_says_so_and_what_to_do(folder: Folder) -> None:
    with folder.process("scan") as scan:
        assert scan.wait(30) == 1
        assert scan.stderr is not None
        assert "start.msgpack: [Errno 2] No such file" in scan.stderr.read()


SLOW = """
import time
from cellwright.tasks.api import Program

class Slow(Program):
    def scan(self, ctx):
        if ctx.cycle % 20 == 0:
            time.sleep(0.035)
"""


def test_a_cycle_longer_than_the_base_interval_is_an_overrun_and_costs_whole_ticks(
    tmp_path: Path,
) -> None:
    (tmp_path / "slow_program.py").write_text(SLOW)
    task = make_task(0, "slow", program="slow_program:Slow", watchdog_ns=10**9)
    patient = ScanSettings(
        base_ns=POLL_NS, watchdog_ns=10**9, watchdog_sensitivity=1, priority=0, core=-1
    )
    folder = Folder(tmp_path, tasks=[task], scan=patient)
    folder.start_file()
    image = folder.image
    with folder.process("scan"):
        until(lambda: image.scan.cycle > 2, "it beats")
        image.journal.ok = True
        image.processes["journal"].beat_ns = time.monotonic_ns() + 10**12  # it never goes stale
        CommandClient(image, timeout_s=10).send(SetMode(request="start", actor="test"))
        until(lambda: image.statistics.read(0).overruns >= 3, "three long executions")
        scan, slow = image.statistics.read(-1), image.statistics.read(0)
    assert scan.overruns >= slow.overruns
    assert slow.execution.maximum >= 35_000_000
    assert slow.skips >= 2 * 3, "35 ms from a tick on cost the three ticks that began in them"


@pytest.mark.behaviour(6)
def test_the_scan_process_keeps_run_plus_skipped_equal_to_elapsed_while_it_is_stopped_and_goes_on(
    folder: Folder,
) -> None:
    folder.start_file()
    status = folder.image.scan
    reader = folder.image.snapshot_reader()
    indexes = [folder.plan.tag(f"sys.{n}").index for n in ("cycle", "skipped", "elapsed")]

    def ticks() -> tuple[int, int, int]:
        reader.read()
        cycle, skipped, elapsed = (int(reader.value(index)) for index in indexes)  # type: ignore[arg-type]
        assert cycle + skipped == elapsed
        return cycle, skipped, elapsed

    with folder.process("scan") as scan:
        until(lambda: status.cycle > 20, "it beats")
        before = ticks()
        scan.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        scan.send_signal(signal.SIGCONT)
        until(lambda: status.cycle > before[0] + 20, "it beats again")
        after = ticks()
        assert after[1] - before[1] >= 20, "the ticks in which it stood still are skipped"
        os.kill(scan.pid, signal.SIGTERM)
        assert scan.wait(30) == 0
    assert status.run_ticks + status.skipped_ticks == status.elapsed_ticks
