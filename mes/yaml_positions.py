"""Reads a YAML file into plain data and remembers where each value stands.

`master_data` uses it so that every complaint can say file, line and column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from cellwright.mes.errors import MasterDataError

Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Positioned:
    """Plain data and the 1-based line and column of every key and item."""

    path: Path
    data: Any
    positions: dict[Location, tuple[int, int]]

    def where(self, location: Sequence[int | str]) -> str:
        """``file:line:column`` of a location, or of the nearest place above it that exists."""
        place = tuple(location)
        while place and place not in self.positions:
            place = place[:-1]
        line, column = self.positions.get(place, (1, 1))
        return f"{self.path}:{line}:{column}"


def read(path: Path) -> Positioned:
    """Raises MasterDataError when the file cannot be read or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise MasterDataError(
            [f"{path}:1:1: cannot read the file: {what}; check its name and its access rights"]
        ) from error
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        problem = " ".join(str(error.problem or error.context).split())
        raise MasterDataError(
            [
                f"{path}:{line}:{column}: not valid YAML: {problem}; correct the line or the one "
                "above"
            ]
        ) from error
    except YAMLError as error:
        problem = " ".join(str(error).split())
        raise MasterDataError([f"{path}:1:1: not valid YAML: {problem}"]) from error
    positions: dict[Location, tuple[int, int]] = {}
    return Positioned(path, _plain(document, (), positions), positions)


def _plain(node: Any, place: Location, positions: dict[Location, tuple[int, int]]) -> Any:
    if isinstance(node, CommentedMap):
        data: dict[Any, Any] = {}
        for key, value in node.items():
            line, column = node.lc.key(key)
            here = (*place, key if isinstance(key, str | int) else str(key))
            positions[here] = (line + 1, column + 1)
            data[key] = _plain(value, here, positions)
        return data
    if isinstance(node, CommentedSeq):
        items: list[Any] = []
        for index, value in enumerate(node):
            line, column = node.lc.item(index)
            positions[*place, index] = (line + 1, column + 1)
            items.append(_plain(value, (*place, index), positions))
        return items
    # Subclasses of int, float and str that remember their spelling.
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
