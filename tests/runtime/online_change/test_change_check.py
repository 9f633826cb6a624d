"""What of a change is found out beside the running cell, before a process of it hears of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellwright.io.messages import ChangeProgram
from cellwright.runtime.online_change.check import ChangeError
from cellwright.runtime.programs.module_set import SetFinder, worker_files
from cellwright.runtime.programs.program_set import ProgramSet
from support.changed_cell import CELL, LAMP, ChangedCell

HEAVY = """
from cellwright.tasks.api import Worker
from line import weights


class Heavy(Worker):
    def handle(self, kind, body):
        return {"weight": weights.of(kind)}
"""
WORKED = LAMP.replace(
    "class Lamp(Program):",
    "class LampOptions(ProgramOptions):\n    watts: int = 5\n\n\n"
    "class Lamp(Program):\n    Options = LampOptions\n    worker = 'line.heavy:Heavy'",
).replace("Output, Program", "Output, Program, ProgramOptions")


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[ChangedCell]:
    """One of its programs has a worker that is made of two files."""
    files = {
        "lamp.py": WORKED,
        "line/heavy.py": HEAVY,
        "line/weights.py": "def of(kind):\n    return 1\n",
    }
    cell = ChangedCell(tmp_path, **files)
    yield cell
    cell.close()


def reasons(cell: ChangedCell) -> list[str]:
    with pytest.raises(ChangeError) as refused:
        cell.check()
    return refused.value.reasons


@pytest.mark.parametrize("file", ["line/heavy.py", "line/weights.py", "line/__init__.py"])
def test_a_file_that_a_worker_is_made_of_cannot_change(cell: ChangedCell, file: str) -> None:
    cell.write(file, (cell.cell / file).read_text() + "\n# the same\n")
    (reason,) = reasons(cell)
    assert reason == (
        f"the worker of task 'lamp' is made of {file}, and a worker cannot be changed online; "
        "stop the cell and start it again"
    )


def test_options_that_a_worker_has_too_cannot_change_and_those_of_other_tasks_can(
    cell: ChangedCell,
) -> None:
    cell.edit("cell.yaml", "options: {step: 1}", "options: {step: 2}")
    assert cell.check().options == ["press"]
    cell.edit("cell.yaml", '"lamp:Lamp"', '"lamp:Lamp", options: {watts: 7}')
    (reason,) = reasons(cell)
    assert "task 'lamp' changes options that its worker process has, too" in reason


def test_all_reasons_are_told_at_once(cell: ChangedCell) -> None:
    text = CELL.replace("base: 10ms", "base: 5ms").replace("site: Here", "site: There")
    text = text.replace("interval: 10ms}", "interval: 20ms, priority: 9}")
    cell.write("cell.yaml", text)
    told = reasons(cell)
    for words in ("'scan'", "'site'", "'lamp' changes its interval_ns", "'lamp' changes its prior"):
        assert any(words in reason for reason in told), told


def test_other_tasks_and_other_bindings_cannot_come_online(cell: ChangedCell) -> None:
    cell.edit("cell.yaml", "bind: {go: go}", "bind: {go: stop}")
    cell.edit("cell.yaml", "  go: {type", "  stop: {type: BOOL, memory: true}\n  go: {type")
    told = reasons(cell)
    assert any("task 'press' changes its bindings" in reason for reason in told)
    assert any("stop is new" in reason for reason in told)
    cell.write("cell.yaml", CELL.replace("  lamp: {", "  light: {"))
    assert any("has other tasks" in reason for reason in reasons(cell))


def test_a_check_leaves_nothing_behind_and_nothing_to_change_is_said(cell: ChangedCell) -> None:
    before = dict(sys.modules), list(sys.meta_path)
    checked = cell.check()
    assert checked.nothing
    assert (checked.old, checked.files, checked.options) == (checked.new, {}, [])
    assert {name: sys.modules[name] for name in ("lamp", "line.press")} == {
        name: before[0][name] for name in ("lamp", "line.press")
    }
    assert list(sys.meta_path) == before[1]


def test_the_files_of_a_worker_are_found_without_importing_them(tmp_path: Path) -> None:
    files = {
        "a/__init__.py": "",
        "a/work.py": "import os\nfrom . import near\nfrom .deep.down import x\nraise OSError",
        "a/near.py": "def f():\n    import far\n",
        "a/deep/__init__.py": "from ..back import y",
        "a/deep/down.py": "x = 1",
        "a/back.py": "import a.work",
        "far.py": "this is no Python",
        "other.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert list(worker_files(tmp_path, "a.work:Work")) == sorted(files.keys() - {"other.py"})
    assert worker_files(tmp_path, "elsewhere:Work") == {}


def test_the_same_programs_have_the_same_hash_wherever_they_lie(tmp_path: Path) -> None:
    sets = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.py").write_text("x = 1\n")
        module = SetFinder(tmp_path / folder)._module("m")
        assert module is not None
        sets.append(ProgramSet((module,)))
    assert sets[0].digest == sets[1].digest != ProgramSet().digest


def test_a_command_to_change_programs_fits_into_the_ring_with_long_names(cell: ChangedCell) -> None:
    command = ChangeProgram(
        actor="someone with a long name@console",
        reason="x" * 100,
        sha256="0" * 64,
        old="0" * 64,
        new="1" * 64,
        tasks=["press", "lamp"],
        files=[f"line/a_rather_long_name_{number}.py" for number in range(8)],
    )
    assert cell.send(command).code == 6
