"""A misspelled variable is found by ``check``, and refused by the scan where no source tells."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.messages import FaultRaised
from cellwright.runtime.config import check_file
from cellwright.tasks.api import ScanContext
from support.plans import make_tag
from support.scan_bench import Bench, program

CELL = """
cell: {name: Lamp}
scan: {base: 10ms}
tags:
  go: {type: BOOL, memory: true}
  lamp: {type: BOOL, memory: true}
tasks:
  light: {program: "light:Light", interval: 10ms, bind: {go: go, lamp: lamp}}
"""
HEAD = """from cellwright.tasks.api import BOOL, Input, Output, Program, Retained, UDINT


class Base(Program):
    total = Retained(UDINT)

    def __init__(self, image, binding, options):
        super().__init__(image, binding, options)
        self.reset()

    def reset(self):
        self.since = 0


class Light(Base):
    go = Input(BOOL)
    lamp = Output(BOOL)
    limit = 5
    last: int

    def scan(self, ctx):
"""


def complaints(folder: Path, body: str) -> list[str]:
    """What ``check`` says of a program with that body."""
    (folder / "cell.yaml").write_text(CELL)
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    (folder / "light.py").write_text(HEAD + lines)
    return [str(problem) for problem in check_file(folder / "cell.yaml").problems]


@pytest.mark.parametrize(
    ("body", "name", "remedy"),
    [
        ("self.lammp = self.go", "lammp", "did you mean 'lamp'?"),
        ("self.totl += 1", "totl", "did you mean 'total'?"),
        ("self.lamp = self.goo", "goo", "did you mean 'go'?"),
        ("if self.go:\n    self.sinc = 1", "sinc", "did you mean 'since'?"),
        ("self.lamp, self.limt = True, 3", "limt", "did you mean 'limit'?"),
        ("(lambda: self.lampe)()", "lampe", "did you mean 'lamp'?"),
        ("self.rset()", "rset", "did you mean 'reset'?"),
    ],
)
def test_check_names_the_attribute_the_place_and_what_may_be_meant(
    tmp_path: Path, body: str, name: str, remedy: str
) -> None:
    (found,) = complaints(tmp_path, body)
    line = 22 + body.splitlines().index(next(one for one in body.splitlines() if name in one))
    assert f"Light has no attribute '{name}' (light.py:{line})" in found
    assert remedy in found


@pytest.mark.parametrize(
    "body",
    [
        "self.lamp = self.go and self.limit > self.since",
        "self.last = self.total",
        "self.reset()",
        "self.give_quality('lamp', 0)",
        "setattr(self, 'what', 1)",
        "self.__dict__['what'] = 1\nself.what += 1",
        "other = ctx\nother.lammp",
    ],
)
def test_what_is_declared_or_made_at_run_time_is_left_alone(tmp_path: Path, body: str) -> None:
    assert complaints(tmp_path, body) == []


def faulted(tmp_path: Path, scan: Any, **attributes: Any) -> str:
    """Why the cell is in FAULT after some cycles with that program; empty when it is not."""
    bench = Bench(tmp_path, [make_tag("level", "REAL")], {"control": program(scan, **attributes)})
    bench.run()
    bench.cycle(5)
    return next((event.text for event in bench.events(FaultRaised)), "")


def test_the_scan_refuses_an_attribute_that_nobody_declared_and_names_its_line(
    tmp_path: Path,
) -> None:
    def scan(self: Any, ctx: ScanContext) -> None:
        self.totl = 1

    text = faulted(tmp_path, scan)
    assert "made an attribute that" in text
    assert f"'totl' ({__file__}:{scan.__code__.co_firstlineno + 1})" in text


def test_attributes_with_a_place_in_the_class_may_come_later(tmp_path: Path) -> None:
    def scan(self: Any, ctx: ScanContext) -> None:
        self.seen = self.seen + self.costly

    assert faulted(tmp_path, scan, seen=0, costly=cached_property(lambda self: 3)) == ""
