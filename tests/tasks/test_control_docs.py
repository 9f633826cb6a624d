"""The reference page of the function blocks: its program runs, its diagrams are true."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cellwright.tasks.api import ScanContext
from cellwright.tasks.control import blocks
from cellwright.tasks.control.blocks import TOF, TON, TP, Block, Time
from tasks.harness import Harness

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "function_blocks.md").read_text("utf-8")


def fenced(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch) -> Harness[Any]:
    # Options with postponed annotations are resolved through sys.modules.
    module = ModuleType("press_of_the_reference")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(fenced("python"), "function_blocks.md", "exec"), module.__dict__)
    return Harness(module.Press, module.PressOptions())


def test_the_program_of_the_page_clamps_heats_and_counts(press: Harness[Any]):
    press["temperature"] = 20.0
    press["part"] = True
    press.scan_until(lambda: press["close"], limit=5)
    press["closed"] = True
    press.scan()
    began = press.now_ns
    press.scan_until(lambda: press["power"] > 50)
    assert press["boxed_ctu"][0] == 1
    press["part"] = False
    press.scan_until(lambda: not press["close"])
    assert press.now_ns - began >= 2_000_000_000
    assert not press["late"]


def test_the_program_of_the_page_says_when_the_clamp_is_late(press: Harness[Any]):
    press["part"] = True
    press.scan_until(lambda: press["late"])
    assert 3.0 <= (press.now_ns - 1_000_000_000) / 1e9 <= 3.1


def test_the_hand_of_the_page_takes_over_gently(press: Harness[Any]):
    press["part"] = press["closed"] = True
    press["temperature"] = 70.0
    for _ in range(100):
        press.scan()
    press["hand"], press["by_hand"] = 50.0, True
    before = press["power"]
    press.scan()
    assert abs(press["power"] - before) <= 20.0 * press.interval_ns / 1e9 + 1e-6


@pytest.mark.parametrize("kind", [TON, TOF, TP])
def test_the_timing_diagrams_of_the_page_are_true(kind: type[TON | TOF | TP]):
    place = ("TON", "TOF", "TP").index(kind.__name__)
    rows = [re.split(r"\s{4,}", line.strip())[place] for line in fenced("text").splitlines()]
    levels, q, et = (re.findall(r"\b\d\b", row) for row in rows)
    block = kind()
    for n, level in enumerate(levels):
        block(ScanContext("test", now_ns=n), level == "1", Time(3))
        assert (str(int(block.Q)), str(block.ET)) == (q[n], et[n]), f"column {n}"


def test_every_block_is_on_the_page():
    for name in blocks.__all__:
        kind = getattr(blocks, name)
        if isinstance(kind, type) and issubclass(kind, Block) and kind is not Block:
            assert f"`{name}" in PAGE
