"""``cellwright change`` beside a running cell: real processes, real files."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.journal.journal import JournalReader
from cellwright.io.messages import ProgramChanged
from cellwright.runtime.cell.run_folder import find
from support.small_cell import COMMAND, SmallCell


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCell]:
    """One running cell for all tests of this file."""
    base = tmp_path_factory.mktemp("change")
    small = SmallCell(base / "cell", base / "run")
    with small.running():
        yield small


@pytest.fixture
def cell(started: SmallCell) -> Iterator[SmallCell]:
    """The cell in RUN with the files that it was made with, and the programs of those."""
    kept = {name: (started.folder / name).read_bytes() for name in ("cell.yaml", "clamp.py")}
    yield started
    for name, content in kept.items():
        (started.folder / name).write_bytes(content)
    assert said(started, "change", "--yes")
    assert status(started)["state"] == "RUN"


def said(cell: SmallCell, *words: str) -> str:
    done = cell.type(*words)
    assert done.returncode == 0, done
    return done.stdout


def status(cell: SmallCell) -> Any:
    return json.loads(said(cell, "status", "--json"))


def edit(cell: SmallCell, name: str, old: str, new: str) -> None:
    text = (cell.folder / name).read_text()
    assert old in text
    (cell.folder / name).write_text(text.replace(old, new))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def changes(cell: SmallCell) -> list[Any]:
    with JournalReader(cell.folder / "data" / "journal.db") as journal:
        return [e for _, e in journal.read(0, 10_000) if isinstance(e, ProgramChanged)]


DIES = """

def _die(_):
    import os, pathlib, sys
    scan = "cellwright.runtime.processes.scan" in sys.orig_argv
    if scan and (pathlib.Path(__file__).parent / "die").exists():
        os.kill(os.getpid(), 9)


Clamp.__del__ = _die
"""
CLOSED = "closed = self.close and self.pressure >= self.setpoint"


def closed(cell: SmallCell) -> bool:
    return said(cell, "tags", "get", "clamp.closed") == "True\n"


@pytest.mark.behaviour(22)
def test_a_changed_program_is_loaded_between_two_cycles_audited_and_rolled_back_by_command(
    cell: SmallCell,
) -> None:
    assert said(cell, "change") == f"FirstCell: nothing to change ({cell.file})\n"
    said(cell, "tags", "set", "close_request", "true")
    until(lambda: closed(cell))
    pid, restarts = (status(cell)["processes"]["scan"][name] for name in ("pid", "restarts"))
    strokes = said(cell, "tags", "get", "clamp.strokes")
    edit(cell, "clamp.py", CLOSED, "closed = False")
    dry = said(cell, "change", "--dry-run")
    assert dry.startswith("clamp.py: ")
    assert "FirstCell: can be changed; nothing was done (--dry-run)" in dry
    assert closed(cell)
    assert cell.type("change").returncode == 1, "nobody answered the question"
    assert closed(cell)
    known = len(changes(cell))
    done = said(cell, "change", "--yes", "--reason", "never closed")
    assert "FirstCell: now runs programs " in done
    until(lambda: not closed(cell))
    assert said(cell, "tags", "get", "clamp.strokes") == strokes
    back = said(cell, "change", "--rollback", "--yes", "--reason", "as before")
    assert "FirstCell: rolled back to programs " in back
    assert "the files in " in back
    until(lambda: closed(cell))
    until(lambda: len(changes(cell)) == known + 2)
    there, again = changes(cell)[known:]
    assert [(e.tasks, e.files, e.reason) for e in (there, again)] == [
        (["clamp"], ["clamp.py"], "never closed"),
        (["clamp"], ["clamp.py"], "as before"),
    ]
    assert (there.old, there.new) == (again.new, again.old)
    assert (there.rolled_back, again.rolled_back) == (False, True)
    assert there.actor.endswith("@console")
    now = status(cell)
    assert (now["state"], now["processes"]["scan"]["pid"]) == ("RUN", pid)
    assert now["processes"]["scan"]["restarts"] == restarts


def test_status_names_the_programs_that_run_and_who_changed_them(cell: SmallCell) -> None:
    source = hashlib.sha256((cell.folder / "clamp.py").read_bytes()).hexdigest()
    digest = hashlib.sha256(f"clamp\0{source}\n".encode()).hexdigest()
    before = status(cell)["programs"]
    assert (before["sha256"], before["files"], before["error"]) == (digest, 1, "")
    assert before["differ_on_disk"] == []
    edit(cell, "clamp.py", CLOSED, "closed = False")
    now = status(cell)["programs"]
    assert now == {**before, "differ_on_disk": ["clamp.py"]}
    text = said(cell, "status")
    assert f"programs: {digest[:12]} (1 file) since {before['since']}" in text
    assert "clamp.py in the cell's folder differs from the running programs" in text
    said(cell, "change", "--yes", "--reason", "never closed")
    now = status(cell)["programs"]
    assert now["sha256"] != digest
    assert (now["reason"], now["rolled_back"], now["differ_on_disk"]) == ("never closed", False, [])
    assert now["changed_by"].endswith("@console")
    assert now["since"] >= before["since"]
    text = said(cell, "status")
    assert f"programs: {now['sha256'][:12]} (1 file) since {now['since']}, changed by " in text
    assert ": never closed" in text
    said(cell, "change", "--rollback", "--yes")
    assert ", rolled back by " in said(cell, "status")
    assert status(cell)["programs"]["sha256"] == digest


@pytest.mark.parametrize(
    ("name", "old", "new", "code", "says"),
    [
        ("clamp.py", CLOSED, "closed = =", 2, "SyntaxError: invalid syntax (clamp.py:"),
        ("clamp.py", "from pydantic", "import nowhere\nfrom pydantic", 2, "No module named 'nowh"),
        ("clamp.py", "class Clamp(", "class Clump(", 2, "module clamp has no class Clamp"),
        ("clamp.py", "from pydantic", "1 / 0\nfrom pydantic", 2, "ZeroDivisionError"),
        ("clamp.py", "closed = Output(BOOL", "closed = False\n    shut = Output(BOOL", 1,
         "clamp.closed is gone"),
        ("clamp.py", "strokes = Retained(UDINT", "strokes = Retained(REAL", 1,
         "clamp.strokes has another type"),
        ("clamp.py", "strokes = Retained(UDINT", "strokes = Output(UDINT", 1,
         "clamp.strokes has another retain"),
        ("clamp.py", "pressure = Output(REAL", "pressure = Output(BOOL", 2, "clamp_pressure"),
        ("clamp.py", "    _last_ns = 0", "    _last_ns = 0\n    def __init__(self, *a):\n"
         "        raise OSError('no')", 1, "program of task 'clamp' cannot be made: OSError: no"),
        ("cell.yaml", "interval: 10ms", "interval: 20ms", 1, "'clamp' changes its interval_ns"),
        ("cell.yaml", "base: 10ms", "base: 5ms", 1, "the cell's file changes 'scan'"),
        ("cell.yaml", "  clamp_pressure:", "  more: {type: BOOL, memory: true}\n  clamp_pressure:",
         1, "this change moves tags; stop the cell and start it again (more is new)"),
        ("cell.yaml", "initial: 5.0", "initial: 6.0", 1, "clamp_setpoint has another initial"),
        ("cell.yaml", "rise_bar_s: 4.0", "rise_bar_s: -4.0", 2, "greater than 0"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else str(value),
)  # fmt: skip
def test_a_change_that_does_not_fit_is_refused_with_the_reason_and_the_cell_goes_on(  # noqa: PLR0917
    cell: SmallCell, name: str, old: str, new: str, code: int, says: str
) -> None:
    before = status(cell)["processes"]["scan"]["pid"]
    known = len(changes(cell))
    edit(cell, name, old, new)
    done = cell.type("change", "--yes")
    assert done.returncode == code, done
    assert says in done.stderr
    assert "the running programs continue" in done.stderr
    assert "Traceback" not in done.stderr
    now = status(cell)
    assert (now["state"], now["processes"]["scan"]["pid"]) == ("RUN", before)
    assert len(changes(cell)) == known
    assert not list(cell.run.glob("*/change-*"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("from pydantic", "X = sum(range(10**7))\nfrom pydantic",
         ": one call here computes for "),
        ("from pydantic", "import ctypes\nctypes.PyDLL(None).usleep(500_000)\nfrom pydantic",
         "clamp.py:8: one call here waits for 5"),
        ("from pydantic", "import threading\nthreading.Thread(target=len).start()\nfrom pydantic",
         "clamp.py:8: starts a thread"),
        ("from pydantic", "import os\nos.fork()\nfrom pydantic", "clamp.py:8: forks the scan"),
        ("from pydantic", "import os\nos.system('true')\nfrom pydantic", "py:8: starts a proc"),
        ("from pydantic", "import os\nos._exit(3)\nfrom pydantic", "ended by itself"),
        ("from pydantic", "import sys\nsys.settrace(None)\nfrom pydantic",
         "clamp.py:8: calls sys.settrace"),
        ("from pydantic", "raise KeyboardInterrupt\nfrom pydantic",
         "clamp.py:7: raises KeyboardInterrupt"),
        ("from pydantic", "while True: pass\nfrom pydantic",
         "clamp.py:7: does not end within 20 s"),
        ("    _last_ns = 0", "    _last_ns = 0\n    def __init__(self, *a):\n"
         "        super().__init__(*a)\n        sum(range(10**7))", ": one call here computes"),
        ("    _last_ns = 0", "    _last_ns = 0\n    def carry_over(self, state):\n"
         "        import time\n        time.sleep(0.05)",
         "handing over the programs' state takes 5"),
        ("    _last_ns = 0", "    _last_ns = sum(range(10**7))", ": one call here computes"),
    ],
    ids=["computes", "waits", "thread", "fork", "process", "exit", "settrace", "interrupt",
         "endless", "init", "carry_over", "class body"],
)  # fmt: skip
def test_what_would_make_the_beat_late_is_refused_before_the_scan_loads_anything(
    cell: SmallCell, old: str, new: str, says: str
) -> None:
    edit(cell, "clamp.py", old, new)
    before = status(cell)["processes"]["scan"]["pid"]
    done = cell.type("change", "--yes")
    assert done.returncode == 1, done
    assert says in done.stderr
    assert "the running programs continue" in done.stderr
    now = status(cell)
    assert (now["state"], now["processes"]["scan"]["pid"]) == ("RUN", before)


@contextmanager
def beating(cell: SmallCell) -> Iterator[list[float]]:
    """The seconds between two beats of the scan while the block lasts; filled at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLWRIGHT_RUN", str(cell.run))
        _, image = find(None, cell.folder).attach()
    beats: list[int] = [image.scan.beat_ns]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            if image.scan.beat_ns != beats[-1]:
                beats.append(image.scan.beat_ns)

    watcher = threading.Thread(target=watch)
    watcher.start()
    gaps: list[float] = []
    try:
        yield gaps
    finally:
        over.set()
        watcher.join()
        image.close()
    gaps += [(after - before) / 1e9 for before, after in pairwise(beats)]


WITH_A_MODE = (
    ("class Clamp(", "class Mode(IntEnum):\n    IDLE = 0\n\n\nclass Clamp("),
    ("from pydantic", "from enum import IntEnum\n\nfrom pydantic"),
    ("    _last_ns = 0", "    _last_ns = 0\n\n    def __init__(self, *a):\n"
     "        super().__init__(*a)\n        self.mode = Mode.IDLE\n"),
)  # fmt: skip


def test_a_module_that_sleeps_while_it_is_loaded_costs_the_cell_no_beat(tmp_path: Path) -> None:
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    for old, new in WITH_A_MODE:
        edit(cell, "clamp.py", old, new)
    with cell.running():
        # Longer than from one keyframe to the next, which looks up the classes of what runs.
        edit(cell, "clamp.py", "from enum", "import time\ntime.sleep(6)\nfrom enum")
        with beating(cell) as gaps:
            assert "now runs programs" in said(cell, "change", "--yes")
        assert sum(gaps) > 6
        assert max(gaps) < 0.5
        now = status(cell)
        assert (now["state"], now["processes"]["scan"]["restarts"]) == ("RUN", 0)


def test_a_change_that_faults_in_its_first_executions_says_so_and_how_to_go_back(
    cell: SmallCell,
) -> None:
    edit(cell, "clamp.py", CLOSED, "closed = 1 / 0")
    done = cell.type("change", "--yes")
    assert done.returncode == 3
    assert "went to FAULT with programs " in done.stderr
    assert "right after its change online: task 'clamp' raised ZeroDivisionError" in done.stderr
    assert "'cellwright reset', 'cellwright change --rollback' and 'cellwright start'" in (
        done.stderr
    )
    edit(cell, "clamp.py", "closed = 1 / 0", "closed = False")
    for words in (("--dry-run",), ("--yes",)):
        dry = cell.type("change", *words)
        assert dry.returncode == 1
        assert "cannot be changed now: it is in FAULT (right after its change" in dry.stderr
        assert "'cellwright reset' first" in dry.stderr
    said(cell, "reset")
    dry = said(cell, "change", "--dry-run")
    assert "can be changed; it is in STOP, the programs are made anew at the next start" in dry
    back = said(cell, "change", "--rollback", "--yes")
    assert "rolled back to programs" in back
    assert "it is in STOP, the programs are made anew at the next start" in back
    said(cell, "start")


def test_a_changed_program_that_is_too_slow_is_told_before_the_command_ends(
    cell: SmallCell,
) -> None:
    edit(cell, "clamp.py", CLOSED, "closed = __import__('time').sleep(6) is not None")
    done = cell.type("change", "--yes")
    assert done.returncode == 3, done
    assert status(cell)["state"] != "RUN"
    until(lambda: cell.type("status", "--json").returncode == 0)
    until(lambda: cell.type("reset").returncode == 0 or status(cell)["state"] == "STOP")
    said(cell, "change", "--rollback", "--yes")
    said(cell, "start")


def test_a_scan_that_is_killed_after_a_change_comes_back_with_what_ran(tmp_path: Path) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    with small.running():
        assert "there is nothing to roll back" in small.type("change", "--rollback").stderr
        said(small, "tags", "set", "close_request", "true")
        until(lambda: closed(small))
        original = (small.folder / "clamp.py").read_text()
        edit(small, "clamp.py", CLOSED, "closed = False")
        said(small, "change", "--yes")
        until(lambda: not closed(small))
        (small.folder / "clamp.py").write_text("this is no Python\n")
        pid = status(small)["processes"]["scan"]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: status(small)["processes"]["scan"]["restarts"] == 1)
        until(lambda: small.type("start").returncode == 0)
        said(small, "tags", "set", "close_request", "true")
        until(lambda: said(small, "tags", "get", "clamp_pressure") == "5.0\n")
        assert not closed(small)
        until(lambda: len(changes(small)) > 0)
        (event,) = changes(small)
        assert (event.files, event.after_restart) == (["clamp.py"], False), "told before the kill"
        assert "the running programs continue" in small.type("change", "--yes").stderr
        said(small, "change", "--rollback", "--yes")
        until(lambda: closed(small))
        # A program that ends its process when it is let go: right after a change is permanent.
        (small.folder / "clamp.py").write_text(original + DIES)
        said(small, "change", "--yes")
        until(lambda: len(changes(small)) == 3)
        (small.folder / "die").touch()
        (small.folder / "clamp.py").write_text(original + "\n# the last\n")
        command = subprocess.Popen(
            [*COMMAND, "change", "--yes", "--reason", "never told"],
            cwd=small.folder,
            env=small.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: status(small)["processes"]["scan"]["restarts"] == 2)
        finally:
            command.kill()
            command.wait()
        (small.folder / "die").unlink()
        until(lambda: len(changes(small)) > 3)
        until(lambda: small.type("start").returncode == 0)
        (event,) = changes(small)[3:]
        assert (event.reason, event.after_restart, event.cycle) == ("never told", True, 1)
        assert event.actor.endswith("@console")
        assert event.new == status(small)["programs"]["sha256"]
        pid = status(small)["processes"]["scan"]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: status(small)["processes"]["scan"]["restarts"] == 3)
        until(lambda: small.type("start").returncode == 0)
        assert len(changes(small)) == 4, "it is not told again"
