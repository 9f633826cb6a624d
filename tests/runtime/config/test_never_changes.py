"""Settings that can never come or never go: what is told, and above all what is not."""

from __future__ import annotations

import itertools

import pytest

from cellwright.io.plan import TagType
from cellwright.runtime.config import check_file
from cellwright.runtime.config.alarms.conditions import parse_condition
from cellwright.runtime.config.alarms.constant import constant, span_of

TYPES = {
    "ok": "BOOL",
    "run": "BOOL",
    "small": "USINT",
    "level": "INT",
    "lv": "REAL",
    "other": "LREAL",
    "wait": "TIME",
    "text": "STRING(4)",
    "label": "STRING(8)",
}
KINDS = {name: TagType.parse(kind) for name, kind in TYPES.items()}
INDEX = {name: number for number, name in enumerate(KINDS)}
BY_INDEX = {INDEX[name]: kind for name, kind in KINDS.items()}

CELL = """\
cell: {name: Bench}
scan: {base: 10ms}
tags:
  start: {type: BOOL, memory: true}
  level: {type: REAL, memory: true}
  beat: {type: UINT, memory: true}
  button: {type: BOOL, memory: true, write: [Operator]}
  pct: {type: REAL, memory: true, write: [Operator], range: [0, 100]}
tasks:
  idle: {program: "p:Idle", interval: 10ms}
"""
PROGRAMS = """\
from cellwright.tasks.api import REAL, Output, Program, ProgramOptions

class Idle(Program[ProgramOptions]):
    def scan(self, ctx):
        pass

class Writer(Idle):
    level = Output(REAL)
"""


def always(text, spans=None):
    found = parse_condition(text, KINDS.get, KINDS, INDEX.__getitem__)
    return constant(found.steps, BY_INDEX, spans or {})


@pytest.mark.parametrize(
    "text",
    [
        "ok",
        "ok == run",
        "small >= 255",
        "small > 253 and small < 255",
        "level > 3 and level < 5",
        "lv > 5 and lv < 5.0000001",
        "lv > other",
        "lv > other and other > 5 and lv < 6",
        "small > level",
        "level == small and level > 5",
        "small == 1.0",
        "text == label",
        "text == 'abcd'",
        "wait > 5",
        "good(lv) or bad(lv)",
        "lv > 5 or lv < 3",
        "ok and (lv < 5 and other > lv or run)",
        "lv > other and other > small and small > level and lv < 6 and level > 5",
    ],
)
def test_a_condition_that_can_change_is_left_alone(text):
    assert always(text) is None


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("ok and not ok", False),
        ("lv >= 3 or lv < 5", True),
        ("level > 3 and level < 4", False),
        ("level == small and level < 0", False),
        ("small > 5 or small <= 5", True),
        ("text == 'a' and text == 'b'", False),
        ("good(lv) and bad(lv)", False),
        ("not good(lv) or not bad(lv)", True),
        ("ok or true", True),
    ],
)
def test_a_condition_that_never_changes_is_found(text, holds):
    assert always(text) is holds


def test_what_is_called_constant_is_constant_for_every_value_of_a_small_type():
    signs = ("<", "<=", ">", ">=", "==", "!=")
    numbers = (0, 1, 1.5, 254, 255)
    low, high = map(int, span_of(KINDS["small"]))
    for one, other, first, second, word in itertools.product(
        signs, signs, numbers, numbers, ("and", "or")
    ):
        text = f"small {one} {first} {word} small {other} {second}"
        found = {eval(text, {"small": value}) for value in range(low, high + 1)}
        assert always(text) == (found.pop() if len(found) == 1 else None), text


def test_ends_of_declared_ranges_are_tried_against_other_tags():
    spans = {INDEX["lv"]: (0.0, 100.0), INDEX["other"]: (50.0, 60.0)}
    assert always("lv == other", spans) is None
    assert always("lv > 100 and other > lv", spans) is False


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        ("  t: {program: 'p:Idle', event: start}", "the task 't' would never run"),
        ("alarms: {a: {tag: level, high: 5, text: High}}", "nobody writes the tag 'level'"),
        ("alarms: {a: {when: not start, text: Off}}", "nobody writes the tag 'start'"),
        ("heartbeats: {h: {expect: beat, timeout: 1s}}", "nobody writes the tag 'beat'"),
        (
            "alarms: {a: {tag: pct, high: 100, text: Only out of range}}",
            "'pct' does not pass high 100 while it is in its range",
        ),
        (
            "alarms: {a: {tag: pct, high: 90, deadband: 91, text: Goes out of range}}",
            "the alarm high of 'a' does not go while 'pct' is in its range",
        ),
        (
            "alarms: {a: {when: pct > 150, text: Only out of range}}",
            "the condition of the alarm 'a' never changes while its tags are in their ranges",
        ),
    ],
)
def test_what_can_hardly_ever_happen_is_warned_of_and_compiles(tmp_path, rest, what):
    (tmp_path / "p.py").write_text(PROGRAMS)
    (tmp_path / "cell.yaml").write_text(CELL + rest + "\n")
    report = check_file(tmp_path / "cell.yaml")
    assert [problem.what for problem in report.problems] == [what]
    assert report.plan is not None


@pytest.mark.parametrize(
    "rest",
    [
        "alarms: {a: {when: start and button, text: One of them changes}}",
        "alarms: {a: {when: not button, text: By command}}",
        "alarms: {a: {tag: pct, high: 90, low: 10, deadband: 5, text: Inside}}",
        "heartbeats: {h: {send: beat}}",
        "  t: {program: 'p:Writer', interval: 10ms, bind: {level: level}}\n"
        "alarms: {a: {tag: level, high: 6, low: 5, deadband: 1, text: Just}}",
    ],
)
def test_what_changes_by_command_or_by_a_task_is_not_warned_of(tmp_path, rest):
    (tmp_path / "p.py").write_text(PROGRAMS)
    (tmp_path / "cell.yaml").write_text(CELL + rest + "\n")
    assert check_file(tmp_path / "cell.yaml").problems == []
