"""The page on where things go has the rooms and floors that the import contracts hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "where_things_go.md"

_ROW = re.compile(r"^\| (\d) \| ([^|]+) \|", re.MULTILINE)
_NAME = re.compile(r"`(\w+)(?:/|\.py)`")


def contract(container: str) -> dict[str, int]:
    """Floor of each room of a container, 1 at the bottom."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = next(
        found["layers"]
        for found in project["tool"]["importlinter"]["contracts"]
        if found.get("containers") == [container]
    )
    return {
        room: floor
        for floor, layer in enumerate(reversed(layers), start=1)
        for room in layer.split(" | ")
    }


def table(text: str) -> dict[str, int]:
    return {
        room: int(floor) for floor, rooms in _ROW.findall(text) for room in _NAME.findall(rooms)
    }


@pytest.mark.parametrize(
    ("heading", "container"),
    [
        ("## The repository", "cellwright"),
        ("### `runtime/`", "cellwright.runtime"),
        ("### `io/`", "cellwright.io"),
        ("### `opcua_model/`", "cellwright.opcua_model"),
        ("### `mes/`", "cellwright.mes"),
        ("### `web/`", "cellwright.web"),
        ("### `tasks/`", "cellwright.tasks"),
    ],
)
def test_a_table_of_rooms_has_the_floors_of_the_contract(heading: str, container: str):
    section = PAGE.read_text(encoding="utf-8").split(f"{heading}\n")[1]
    assert table(re.split(r"^##", section, flags=re.MULTILINE)[0]) == contract(container)
