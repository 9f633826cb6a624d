"""Programs are found beside the cell file; what an author's code raises becomes a complaint."""

from __future__ import annotations

import sys
import textwrap

import pytest

from cellwright.runtime.config import check_file

CELL = """\
cell: {name: Bench}
scan: {base: 10ms}
tasks:
  task: {program: "%s", interval: 10ms}
"""
PROGRAM = """\
from cellwright.tasks.api import BOOL, INT, Input, Output, Program, ProgramOptions

class One(Program[ProgramOptions]):
    %s = Output(BOOL)

    def scan(self, ctx):
        pass
"""


@pytest.fixture
def check(tmp_path):
    before = set(sys.modules)

    def check(modules, program, folder="cell"):
        home = tmp_path / folder
        home.mkdir(exist_ok=True)
        for name, text in modules.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(textwrap.dedent(text))
        (home / "cell.yaml").write_text(CELL % program)
        return check_file(home / "cell.yaml")

    yield check
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_two_cells_may_have_modules_of_the_same_name(check):
    first = check({"twin_module.py": PROGRAM % "left"}, "twin_module:One", "first")
    second = check({"twin_module.py": PROGRAM % "right"}, "twin_module:One", "second")
    assert first.plan is not None
    assert second.plan is not None
    assert list(first.plan.tasks[0].binding) == ["left"]
    assert list(second.plan.tasks[0].binding) == ["right"]


def test_a_program_may_lie_in_a_package_of_the_folder(check):
    report = check(
        {"some_package/__init__.py": "", "some_package/inner.py": PROGRAM % "a"},
        "some_package.inner:One",
    )
    assert report.problems == []


def test_the_folder_does_not_stay_on_the_path(check, tmp_path):
    check({"lonely_module.py": PROGRAM % "a"}, "lonely_module:One")
    assert not any(str(tmp_path) in entry for entry in sys.path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name' (faulty.py:1)"),
        ("x = 1\nraise SystemExit(3)", "SystemExit: 3 (faulty.py:2)"),
        ("def f():\n    return 1 / 0\nf()", "ZeroDivisionError: division by zero (faulty.py:2)"),
        ("def f(:", "SyntaxError: invalid syntax (faulty.py:1)"),
        (
            "from cellwright.tasks.api import *\nx = INT.check('a')",
            "ValueError: INT does not take 'a' (str) (faulty.py:2)",
        ),
    ],
)
def test_what_an_import_raises_is_told_with_file_and_line(check, text, why):
    (problem,) = check({"faulty.py": text}, "faulty:One").problems
    assert problem.what == "module 'faulty' cannot be imported"
    assert why in problem.why
    assert (problem.line, problem.column) == (4, 19)


def test_a_validate_that_fails_is_a_complaint(check):
    body = PROGRAM % "a" + (
        "    @classmethod\n"
        "    def validate(cls, options, plan_folder, devices):\n"
        "        return devices['none']\n"
    )
    (problem,) = check({"careless.py": body}, "careless:One").problems
    assert problem.what == "One.validate failed: KeyError: 'none'"
    assert "(careless.py:10)" in problem.why


def test_a_complaint_without_an_option_is_told_at_the_program(check):
    body = PROGRAM % "a" + (
        "    @classmethod\n"
        "    def validate(cls, options, plan_folder, devices):\n"
        "        return ['needs: a newer marker']\n"
    )
    (problem,) = check({"choosy.py": body}, "choosy:One").problems
    assert problem.what == "needs: a newer marker"
    assert (problem.line, problem.column) == (4, 19)


def test_a_variable_with_an_unknown_unit_is_told_at_the_program(check):
    body = (PROGRAM % "a").replace("BOOL)", "INT, unit='florin')")
    (problem,) = check({"florin.py": body}, "florin:One").problems
    assert problem.what == "the variable 'a' of task 'task' has the unknown unit 'florin'"


def test_a_module_named_like_one_of_python_is_refused(check):
    (problem,) = check({"json.py": PROGRAM % "a"}, "json:One").problems
    assert problem.what == "the module name 'json' is taken"
