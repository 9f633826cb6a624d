"""Before and after a command: streams that cannot take its words, and Ctrl-C at any time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cellwright.runtime.cli.templates.first_cell import write_template

COMMAND = f"{sys.executable} -m cellwright.runtime.cli"
BEGIN = """
import signal
import cellwright.runtime.cli.entry as entry
signal.signal(signal.SIGINT, signal.default_int_handler)
put = signal.signal

def told(*given):
    before = put(*given)
    signal.signal = put
    print('begun', flush=True)  # an earlier interrupt finds Python's own handler
    return before

signal.signal = told
entry.main()
"""
"""The command as a terminal starts it; what runs in the background ignores Ctrl-C by itself."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cells") / "Zelle ü"
    write_template(made)
    return made


def typed(words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", f"exec {COMMAND} {words}"], cwd=folder, text=True,
                          capture_output=True, timeout=60, check=False,
                          env={**os.environ, **environment})  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1", "cp437"])
def test_what_a_terminal_cannot_show_is_shown_in_other_characters(
    folder: Path, encoding: str
) -> None:
    done = subprocess.run([*COMMAND.split(), "check"], cwd=folder, capture_output=True,
                          timeout=60, check=False,
                          env={**os.environ, "PYTHONIOENCODING": encoding})  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"cell.yaml: correct" in done.stdout


@pytest.mark.parametrize("command", ["check", "xref", "--help"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_error(folder: Path, command: str, closed: str) -> None:
    done = typed(f"{command} {closed}", folder)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["check", "xref", "--version"])
def test_a_full_disk_under_the_output_is_told(folder: Path, command: str) -> None:
    done = typed(f"{command} > /dev/full", folder)
    assert (done.returncode, done.stderr) == (
        1,
        "error: cannot write the output: No space left on device\n",
    )


def test_a_reader_that_has_read_enough_is_no_error(folder: Path) -> None:
    done = typed("xref | head -1", folder)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_while_the_command_is_imported_says_nothing(folder: Path) -> None:
    for wait_s in (0.0, 0.05, 0.1, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, "watch", "--help"],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(wait_s)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert "Traceback" not in said
        assert process.returncode in (0, 1, 130, -signal.SIGINT)
