"""The cell's own processes stay off the core that the scan is pinned to."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ruamel.yaml import YAML

from cellwright.io.image import Image
from cellwright.runtime.cell.run_folder import RunFolder
from support.small_cell import SmallCell

CORES = sorted(os.sched_getaffinity(0))


def affinities(pid: int) -> set[frozenset[int]]:
    threads = os.listdir(f"/proc/{pid}/task")
    return {frozenset(os.sched_getaffinity(int(thread))) for thread in threads}


def test_once_started_every_other_process_leaves_the_scans_core(tmp_path: Path) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    core = CORES[-1]
    others = frozenset(CORES[:-1]) or {core}  # where there is no other core, nothing is moved
    yaml = YAML()
    cell = yaml.load(small.file)
    cell["scan"]["realtime"] = {"core": core}
    yaml.dump(cell, small.file)
    with small.running():
        (path,) = small.run.iterdir()
        folder = RunFolder(path)
        image = Image.attach(folder.image, folder.plan())
        assert affinities(image.processes["scan"].pid) == {frozenset({core})}
        deadline = time.monotonic() + 60  # the cell does not wait for these two
        for name in ("journal", "recorder"):
            while affinities(image.processes[name].pid) != {frozenset(others)}:
                assert time.monotonic() < deadline, (name, affinities(image.processes[name].pid))
                time.sleep(0.05)
        image.close()
