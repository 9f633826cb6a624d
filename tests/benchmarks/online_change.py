"""What online changes cost a running cell: skipped ticks of changes beside those of dry runs.

``make changes`` runs it. A dry run does the same work in the command's process and leaves the
scan alone, so the difference between the two is what loading and swapping costs; both are done in
turns, because another load on the machine skips ticks, too. Prints figures and judges nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cellwright.runtime.cli.main import app

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "cellwright.runtime.cli")
CELLS = {
    "sequence 10 ms": ("10ms", "blade_marking.sequence:Sequence", "blade_marking/sequence.py"),
    "small 1 ms": ("1ms", "clamp:Clamp", "clamp.py"),
}
CELL = """
cell: {{name: Change, site: Here, start: run}}
scan: {{base: {base}, watchdog: 500ms, realtime: {{priority: {priority}, core: {core}}}}}
tags:
  spare: {{type: BOOL, memory: true}}
tasks:
  one: {{program: "{program}", interval: {base}, watchdog: 100ms}}
"""


@contextmanager
def running(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """The cell in RUN."""
    supervisor = subprocess.Popen(
        [*COMMAND, "run"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert supervisor.stdout is not None
        while "RUN\n" not in (line := supervisor.stdout.readline()):
            assert line, "the cell ended"
        yield
    finally:
        supervisor.terminate()
        supervisor.wait(30)


def steal() -> float:
    """Seconds that the hypervisor took away from all cores since the boot."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def measure(name: str, count: int, priority: int, core: int) -> None:
    """Changes and dry runs in turns on one cell."""
    base, program, file = CELLS[name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "cell"
        if file == "clamp.py":
            folder.mkdir()
            shutil.copy(ROOT / "runtime/cli/templates/clamp.py", folder)
        else:
            shutil.copytree(ROOT / "examples/blade_marking/blade_marking", folder / "blade_marking")
        (folder / "cell.yaml").write_text(
            CELL.format(base=base, program=program, priority=priority, core=core)
        )
        memory = tempfile.mkdtemp(prefix="cw-", dir="/dev/shm")
        environment = {**os.environ, "CELLWRIGHT_RUN": memory, "COLUMNS": "200"}

        def said(*words: str) -> str:
            # In this process: another one's start would be the greater load.
            with contextlib.chdir(folder):
                done = CliRunner().invoke(app, list(words), env={"CELLWRIGHT_RUN": memory})
            assert done.exit_code == 0, (done.output, done.exception)
            return done.stdout

        def status() -> Any:
            return json.loads(said("status", "--json"))

        def memory_kb(pid: int) -> int:
            text = Path(f"/proc/{pid}/status").read_text()
            return int(text.split("VmRSS:")[1].split()[0])

        skipped: dict[str, list[int]] = {"dry run": [], "change": []}
        source = (folder / file).read_text()
        try:
            with running(folder, environment):
                first = status()
                pid = first["processes"]["scan"]["pid"]
                before_kb, stolen = memory_kb(pid), steal()
                begin = time.monotonic()
                for number in range(count):
                    (folder / file).write_text(f"{source}\nNUMBER = {number}\n")
                    for kind, words in (("dry run", ("--dry-run",)), ("change", ("--yes",))):
                        ticks = status()["ticks"]["skipped"]
                        said("change", *words)
                        skipped[kind].append(status()["ticks"]["skipped"] - ticks)
                last = status()
                took_s, stolen = time.monotonic() - begin, steal() - stolen
                after_kb = memory_kb(pid)
        finally:
            shutil.rmtree(memory, ignore_errors=True)
    print(f"{name}: {count} changes and {count} dry runs in turns, {took_s:.0f} s")
    for kind, found in skipped.items():
        print(
            f"  {kind:8} skipped ticks {sum(found):4}, median {statistics.median(found):g}, "
            f"most {max(found)}, none in {found.count(0)} of {count}"
        )
    print(
        f"  scan process {before_kb} -> {after_kb} kB, state {last['state']}, "
        f"lacking {last.get('degraded', '')!r}, steal {stolen:.2f} s, "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


def main() -> int:
    """Measure both cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--priority", type=int, default=0)
    parser.add_argument("--core", type=int, default=-1)
    parsed = parser.parse_args()
    for name in CELLS:
        measure(name, parsed.count, parsed.priority, parsed.core)
    return 0


if __name__ == "__main__":
    sys.exit(main())
