"""Writes the tags of a cell's file as a list. Called by ``cellwright tags export``."""

from __future__ import annotations

from pathlib import Path

from cellwright.io.files.located_yaml import read
from cellwright.io.files.problems import Problems
from cellwright.runtime.tag_list import sheet
from cellwright.runtime.tag_list.columns import to_row


def exported(file: Path, delimiter: str) -> tuple[str, int]:
    """The list as text and the number of its tags; the file is one that compiles.

    Tags stand in the order of the file. Those that a program brings along are not declared in it
    and are not in the list.
    """
    root = read(file, Problems(str(file)))
    tags = {} if root is None else root.section("tags")
    rows = [to_row(name, entry.node.plain()) for name, entry in tags.items()]
    return sheet.write(rows, delimiter), len(rows)
