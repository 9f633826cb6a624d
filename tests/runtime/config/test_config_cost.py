"""What it costs to check a cell: twice the tags and variables, twice the work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from cellwright.runtime.config import check_file

ROOT = str(Path(__file__).resolve().parents[3])
ROOMS = tuple(f"{ROOT}/{room}/" for room in ("io", "native", "runtime", "tasks"))
FEW = 200
MORE_THAN_LINEAR = 2.2


class Statements:
    """Lines of the product's own code that were run; not those of libraries."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._files = (*ROOMS, f"{folder}/")

    def __call__(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(self._files):
            return None
        self.count += event == "line"
        return self

    @contextmanager
    def counting(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)


def write_cell(folder: Path, many: int) -> Path:
    """A cell with so many tags, each bound to a variable of its one program."""
    folder.mkdir()
    tags = [f"  t{i}: {{type: DINT, memory: true, unit: bar, range: [0, 8]}}" for i in range(many)]
    bound = [f"      v{i}: t{i}" for i in range(many)]
    file = folder / "cell.yaml"
    file.write_text(
        "cell: {name: Large}\nscan: {base: 100ms}\ntags:\n" + "\n".join(tags) + "\n"
        f"tasks:\n  t:\n    program: program_of_{many}:Large\n    interval: 100ms\n    bind:\n"
        + "\n".join(bound)
        + "\n"
    )
    kinds = ("Input(DINT, unit='bar')", "Output(DINT, unit='bar', quality_from='v0')")
    (folder / f"program_of_{many}.py").write_text(
        "from cellwright.tasks.api import *\n\nclass Large(Program):\n"
        + "".join(f"    v{i} = {kinds[i % 2]}\n" for i in range(many))
        + "    def scan(self, ctx): pass\n"
    )
    return file


def statements_of_a_check(folder: Path, many: int) -> int:
    file = write_cell(folder, many)
    statements = Statements(folder)
    with statements.counting():
        report = check_file(file)
    assert report.plan is not None, report.problems
    return statements.count


@pytest.mark.timeout(120)
def test_twice_the_tags_and_variables_are_twice_the_work_to_check(tmp_path: Path) -> None:
    statements_of_a_check(tmp_path / "warm", 10)
    few = statements_of_a_check(tmp_path / "few", FEW)
    twice = statements_of_a_check(tmp_path / "twice", 2 * FEW)
    assert few > 10 * FEW, "the product's statements are counted"
    assert twice / few <= MORE_THAN_LINEAR, (few, twice)
