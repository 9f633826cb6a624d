"""Writes the index of the decision records, by room; ``make docs`` calls it.

It reads the records' titles and the line below, and refuses a record that lacks either.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from reference.markdown import page, table

_FLOORS: Final = (
    "runtime",
    "opcua_model",
    "web",
    "mes",
    "tasks",
    "io",
    "native",
    "examples",
    "tests",
)
"""Order of the rooms in the index, after the repository as a whole and before other folders."""

_STANDING: Final = re.compile(
    r"Room: (?:the repository|`(?P<room>[\w/]+)/`)\. "
    r"Status: (?P<status>holds|(?:holds, )?replaced(?: in part)? by (?P<successor>\d{4}))\."
)


def decisions_page(folder: Path) -> str:
    """The index of the decision records in ``folder``, by room.

    Raises ValueError for a record without title, or without a line that says its room and whether
    it holds.
    """
    files = {file.name.partition("-")[0]: file for file in sorted(folder.glob("[0-9]*.md"))}
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for number, file in files.items():
        title, _, room_line, *_ = [*file.read_text(encoding="utf-8").split("\n", 3), "", ""]
        if not title.startswith(f"# {number} "):
            raise ValueError(f"{file} begins with '{title}'; write '# {number} Title' there")
        standing = _STANDING.fullmatch(room_line)
        if standing is None:
            raise ValueError(
                f"{file} has '{room_line}' below its title; write 'Room: `io/plan/`. Status: "
                "holds.' there, or 'Room: the repository.', or 'Status: replaced by 0161.'"
            )
        room, successor = standing["room"] or "", standing["successor"]
        if not (folder.parents[1] / room).is_dir():
            raise ValueError(f"{file} names the room {room}/, which is not there")
        if successor and successor not in files:
            raise ValueError(f"{file} is replaced by {successor}, which is not there")
        status = standing["status"]
        if successor:
            status = status.replace(successor, f"[{successor}]({files[successor].name})")
        link = f"[{number}]({file.name})"
        rows.setdefault(room, []).append((link, title.removeprefix(f"# {number} "), status))
    parts = []
    for room in sorted(rows, key=_floor):
        parts.append(f"## `{room}/`" if room else "## The repository")
        parts.append(table(("number", "decision", "status"), rows[room]))
    return page(
        "Decisions",
        "Each design choice that a newcomer would question, with its context and what follows "
        "from it, by the room that it is about. A record is not rewritten when things change: a "
        "later one takes its place, and the line below the title says which.",
        *parts,
    )


def _floor(room: str) -> tuple[int, str]:
    top = room.partition("/")[0]
    if not top:
        return -1, room
    return _FLOORS.index(top) if top in _FLOORS else len(_FLOORS), room
