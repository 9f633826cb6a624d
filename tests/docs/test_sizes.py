"""The house stays easy to see: no folder, module or function of the package outgrows a glance."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("native", "io", "tasks", "mes", "opcua_model", "web", "runtime")
MODULES = sorted(
    path for room in (*ROOMS, "tools") for path in (ROOT / room).rglob("*.py") if path.is_file()
)

MOST_IN_A_FOLDER = 14
"""Modules and folders, without ``__init__.py``."""
MOST_LINES = 500
MOST_LINES_OF_A_FUNCTION = 70

CROWDED: set[str] = set()
"""Folders that are to get rooms inside."""


def folders() -> dict[str, set[str]]:
    """What each folder of the package holds: modules, and folders with modules."""
    held: dict[str, set[str]] = {}
    for path in MODULES:
        parts = path.relative_to(ROOT).parts
        for depth in range(1, len(parts)):
            if parts[depth] != "__init__.py":
                held.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
    return held


def long_functions(path: Path) -> Iterator[str]:
    """Functions of a module that are longer than they may be."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines"


@pytest.mark.parametrize("folder", sorted(set(folders()) - CROWDED))
def test_a_folder_holds_no_more_than_one_can_survey(folder: str) -> None:
    held = folders()[folder]
    assert len(held) <= MOST_IN_A_FOLDER, f"give it rooms inside: {sorted(held)}"


def test_no_module_is_longer_than_500_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    long = {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MOST_LINES}
    assert long == {}, "look for the second thing in it"


def test_no_function_is_longer_than_70_lines() -> None:
    """Migrations apart: they tell once what was done, and are never read again."""
    found = [
        text for path in MODULES if "migrations" not in path.parts for text in long_functions(path)
    ]
    assert found == []


def test_the_rooms_that_are_looked_at_are_those_that_are_installed() -> None:
    assert f"ROOMS = {ROOMS!r}".replace("'", '"') in (ROOT / "setup.py").read_text("utf-8")
