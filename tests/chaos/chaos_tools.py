"""What a fault campaign needs beside a cell: machine monitor, shifted clock, the plant's log.

The two small C programs are built by the test set-up. Nothing here decides whether a test passes.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from plant.points import COILS

HERE = Path(__file__).resolve().parent
HOUR_S = 3600


def build(source: str, target: Path, *flags: str) -> Path:
    """Compile one C file of this folder."""
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    subprocess.run(
        [
            *(compiler, "-O2", "-Wall", "-Wextra", "-Werror", *flags, str(HERE / source)),
            *("-o", str(target), "-lpthread"),
        ],
        check=True,
    )
    return target


@dataclass(frozen=True, slots=True)
class Stall:
    """The machine itself stood still on one core, CLOCK_MONOTONIC ns."""

    core: int
    begin_ns: int
    end_ns: int


class StallMonitor:
    """The monitor process and what it has seen."""

    def __init__(self, folder: Path) -> None:
        self._program = build("stall_monitor.c", folder / "stall_monitor")
        self._path = folder / "stalls.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._output = self._path.open("wb")
        self._process = subprocess.Popen([str(self._program)], stdout=self._output)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._output is not None
        self._process.kill()
        self._process.wait()
        self._output.close()

    def _lines(self) -> list[list[str]]:
        text = self._path.read_text()
        return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]

    @property
    def urgent(self) -> bool:
        """It runs in the highest real-time class; without it, it sees others' work as stalls."""
        return ["rt", "1"] in self._lines()

    def stalls(self) -> list[Stall]:
        """All so far."""
        return [Stall(*map(int, words)) for words in self._lines() if words[0] != "rt"]


def within(stalls: list[Stall], begin_ns: int, end_ns: int) -> list[Stall]:
    """Those that overlap a window."""
    return [one for one in stalls if one.begin_ns < end_ns and one.end_ns > begin_ns]


def steal_ms() -> int:
    """Time that the hypervisor gave to others, all cores, since boot (/proc/stat, `steal`)."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[8]) * 1000 // os.sysconf("SC_CLK_TCK")


class ClockShift:
    """The wall clock of processes that are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        self._library = build("clock_shift.c", folder / "clock_shift.so", "-shared", "-fPIC")
        self._path = folder / "clock_shift"
        self._path.write_bytes(bytes(8))
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self.seconds = 0

    @property
    def environment(self) -> dict[str, str]:
        """For the processes whose clock is to shift."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._path)}

    def set(self, seconds: int) -> None:
        """Jump; takes effect at once."""
        self._map[:8] = struct.pack("=q", seconds)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Beat:
    """A change of the heartbeat's register and what it took since the one before."""

    mono_ns: int
    gap_ns: int


class PlantTail:
    """The plant's log, read on from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""
        self.coils: dict[str, bool] = dict.fromkeys(COILS, False)
        self.changes: deque[tuple[int, str, Any]] = deque(maxlen=4000)
        """Time of arrival, output, value."""
        self.beats: deque[Beat] = deque(maxlen=4000)
        self.ran_out: deque[int] = deque(maxlen=100)
        """When the coupler's own watchdog ran out."""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def look(self) -> None:
        """Take in what was written since."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            entry = json.loads(line)
            if entry["event"] == "output":
                self.coils[entry["name"]] = entry["value"]
                self.changes.append((entry["mono_ns"], entry["name"], entry["value"]))
            elif entry["event"] == "heartbeat_gap":
                self.beats.append(Beat(entry["mono_ns"], entry["gap_ns"]))
            elif entry["event"] == "coupler_watchdog":
                self.ran_out.append(entry["mono_ns"])
