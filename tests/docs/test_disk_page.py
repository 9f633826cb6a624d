"""The page on what grows on the disk names every file of a cell, with the bounds of the code."""

from __future__ import annotations

import re
import time
from pathlib import Path

from ruamel.yaml import YAML

from cellwright.io.journal.writer import KEEP_NS
from cellwright.io.plan import RecorderSettings
from cellwright.runtime.cell import logs
from cellwright.tasks.vision.station import VisionOptions
from support.small_cell import SmallCell

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "disk.md").read_text(encoding="utf-8")


def rows() -> dict[str, str]:
    """Each named place of the first table, with its bound."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3:
            found.update(dict.fromkeys(re.findall(r"`(data/[^`]*)`", cells[0]), cells[2]))
    return found


def test_the_bounds_of_the_page_are_those_of_the_code() -> None:
    bounds, recorder = rows(), RecorderSettings()
    size = logs.MAX_BYTES // 1_000_000
    files = 1 + logs.KEPT_FILES
    assert files == 4
    assert (
        f"{files * size} MB a process: four files of {size} MB"
        in (bounds["data/log/<process>.jsonl"])
    )
    assert f"`.1` to `.{logs.KEPT_FILES}`" in bounds["data/log/<process>.jsonl"]
    assert KEEP_NS == 7 * 24 * 3600 * 1_000_000_000
    assert "seven days of running time" in bounds["data/journal.db"]
    assert f"{recorder.buffer_bytes >> 20} MB" in bounds["data/recordings/rolling-*"]
    kept = bounds["data/recordings/kept-*"]
    assert f"`recorder.files` ({recorder.files})" in kept
    assert f"`recorder.keep` ({recorder.keep_bytes >> 30} GB)" in kept
    rejected = VisionOptions.model_fields["keep_rejected"].default
    assert f"the newest {rejected} " in bounds["data/frames/"]


def test_the_page_names_every_file_that_a_running_cell_leaves(tmp_path: Path) -> None:
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    yaml = YAML()
    content = yaml.load(cell.file)
    content["mes"] = {"database": "sqlite:///mes.db"}
    content["opcua"] = {"endpoint": "opc.tcp://127.0.0.1:48431", "anonymous": "read"}
    yaml.dump(content, cell.file)
    data = cell.folder / "data"
    with cell.running():
        deadline = time.monotonic() + 60
        while not all((data / name).exists() for name in ("mes.db", "pki/own/key.pem")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert cell.type("record", "--reason", "test").returncode == 0
        written = {file for file in data.rglob("*") if file.is_file()}
    written |= {file for file in data.rglob("*") if file.is_file()}
    named = [
        re.compile(re.escape(place).replace(r"\*", ".*").replace("<process>", ".*") + ".*")
        for place in rows()
    ]
    for file in written:
        place = str(file.relative_to(cell.folder)).removesuffix("-wal").removesuffix("-shm")
        assert any(pattern.fullmatch(place) for pattern in named), f"{place} is not on the page"
