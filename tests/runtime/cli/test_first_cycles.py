"""What a command says is done has held for some cycles: a fault right after it is told with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.small_cell import SmallCell


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[SmallCell]:
    """A cell whose program fails in its second execution in which it is asked to close."""
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    clamp = small.folder / "clamp.py"
    text = clamp.read_text()
    begin = "        passed_s = "
    assert text.count(begin) == 1
    text = text.replace(
        begin,
        "        self._asked = self._asked + 1 if self.close else 0\n"
        '        if self._asked == 2:\n            raise ValueError("jammed")\n' + begin,
    )
    clamp.write_text(text.replace("    _last_ns = 0\n", "    _last_ns = 0\n    _asked = 0\n"))
    with small.running():
        yield small


def test_the_answer_to_a_start_and_a_resume_tells_of_the_fault_that_follows(
    cell: SmallCell,
) -> None:
    assert cell.type("pause").returncode == 0
    assert cell.type("force", "close_request", "true").returncode == 0
    for words in (("resume",), ("start",), ("start", "--cold")):
        done = cell.type(*words)
        assert (done.returncode, done.stdout) == (3, "")
        assert "done, then it went to FAULT: " in done.stderr
        assert "jammed" in done.stderr
        assert "then 'cellwright reset' and 'cellwright start'" in done.stderr
        assert f"(asked of FirstCell, {cell.file})" in done.stderr
        assert json.loads(cell.type("status", "--json").stdout)["state"] == "FAULT"
        done = cell.type("stop")
        assert (done.returncode, "stays in FAULT" in done.stdout) == (0, True)
        done = cell.type("reset")
        assert (done.returncode, "FirstCell: reset done" in done.stdout) == (0, True), done.stderr
    assert cell.type("unforce").returncode == 0
    assert cell.type("start").returncode == 0
