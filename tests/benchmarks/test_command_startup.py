"""What a command costs before it does anything: processor time beside bare Python's.

Each command is run twenty times in turns with ``python -c pass``; user and system time are added
up, and their medians compared. The processes of a running cell follow: what each has taken from its
start to its first beat. Only the order is checked: nothing here is faster than bare Python.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.cells import CellUnderTest
from support.small_cell import COMMAND, SmallCell

TIMES = int(os.environ.get("CELLWRIGHT_STARTS", "20"))
BARE = (sys.executable, "-c", "pass")
COMMANDS = {
    "--version": ("--version",),
    "--help": ("--help",),
    "tags get": ("tags", "get", "clamp_pressure"),
    "tags list": ("tags", "list"),
    "status --json": ("status", "--json"),
    "status": ("status",),
    "check": ("check",),
}
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCell]:
    """A cell that runs."""
    place = tmp_path_factory.mktemp("startup")
    small = SmallCell(place / "cell", place / "run")
    with small.running():
        yield small


def cpu_s(words: Sequence[str], cell: SmallCell) -> float:
    """User and system time of one process, with what it started."""
    before = os.times()
    done = subprocess.run(
        words, env={**cell.environment}, cwd=cell.folder, capture_output=True, check=False
    )
    after = os.times()
    assert done.returncode == 0, done
    return (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )


def test_commands_beside_bare_python(cell: SmallCell, benchmark: Any) -> None:
    rows: dict[str, list[float]] = {name: [] for name in ("bare Python", *COMMANDS)}
    for _ in range(TIMES):
        rows["bare Python"].append(cpu_s(BARE, cell))
        for name, words in COMMANDS.items():
            rows[name].append(cpu_s((*COMMAND, *words), cell))
    medians = {name: statistics.median(taken) for name, taken in rows.items()}
    bare = medians.pop("bare Python")
    print(f"\nprocessor time of a command, median of {TIMES}; bare Python {bare:.3f} s")
    for name, taken in medians.items():
        print(f"  cellwright {name:14} {taken:.3f} s, {taken / bare:5.1f} times bare Python")
        assert taken > bare
    benchmark(lambda: cpu_s((*COMMAND, "--version"), cell))


def processor_s(pid: int) -> float:
    """User and system time that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def until_first_beat(cell: CellUnderTest) -> dict[str, float]:
    """What each process has taken when its first beat is seen, seconds; the supervisor last.

    Before it starts a process the supervisor writes a beat for it, and its number after.
    """
    image = cell.image
    begun: dict[str, int] = {}
    taken: dict[str, float] = {}
    wanted = [name for name in image.processes if name != "supervisor"]
    deadline = time.monotonic() + 120
    while len(taken) < len(wanted):
        assert time.monotonic() < deadline, taken
        for name in wanted:
            slot = image.processes[name]
            if slot.pid and slot.beat_ns != begun.setdefault(name, slot.beat_ns):
                taken.setdefault(name, processor_s(slot.pid))
        time.sleep(0.002)
    taken["supervisor, until all beat"] = processor_s(cell.supervisor_pid)
    return taken


class AtItsBirth(CellUnderTest):
    """The example's cell, looked at as soon as there is an image."""

    def _beats(self) -> bool:
        super()._beats()
        return self._image is not None


def test_processes_until_their_first_beat(tmp_path: Path, benchmark: Any) -> None:
    def start() -> dict[str, float]:
        with AtItsBirth(tmp_path / "cell") as cell:
            return until_first_beat(cell)

    taken = benchmark.pedantic(start, rounds=1)
    print("\nprocessor time of the example's processes from their start to their first beat")
    for name, seconds in sorted(taken.items(), key=lambda row: row[1]):
        print(f"  {name:28} {seconds:.2f} s")
    print(f"  {'all':28} {sum(taken.values()):.2f} s")
    assert all(seconds > 0 for seconds in taken.values())
