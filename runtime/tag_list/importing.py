"""Takes a list of tags into a cell's file: what would change, whether it is right, and the change.

Called by ``cellwright tags import``. The new text is compiled before anything is written, and
complaints about a tag are told at its place in the list. Nothing is written that does not compile,
or that changes anything but tags.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cellwright.io.files.located_yaml import Node, parse, read
from cellwright.io.files.problems import Mark, Problem, Problems
from cellwright.io.files.replace import replace_file
from cellwright.runtime.config import check_file
from cellwright.runtime.tag_list import sheet as sheets
from cellwright.runtime.tag_list.columns import KEY_OF, NAME, PLACES, Keys, stated, to_keys
from cellwright.runtime.tag_list.sheet import Line, Sheet
from cellwright.runtime.tag_list.yaml_edit import Change, EditError, edited, flow

_BY_HAND: Final = "make this change in the file by hand, then import the list again"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a list would make of a cell's file."""

    problems: list[Problem]
    """An error among them: nothing can be written."""
    text: str
    """The new file."""
    told: list[str]
    """A line for each tag that is added, changed or deleted."""
    added: int
    changed: int
    same: int
    deleted: int
    only_in_file: int
    """Tags that the list does not name and that stay."""

    @property
    def right(self) -> bool:
        """The file can be written."""
        return all(problem.severity == "warning" for problem in self.problems)


@dataclass(frozen=True, slots=True)
class _Row:
    line: Line
    keys: Keys


@dataclass(frozen=True, slots=True)
class _List:
    """The list as it is taken: its rows by name, and the tags of the file that go."""

    sheet: Sheet
    rows: dict[str, _Row]
    gone: frozenset[str]


def weigh(file: Path, list_file: Path, *, delete: bool, encoding: str) -> tuple[Outcome, bytes]:
    """What the list would make of the file, and the bytes of the file that it was weighed against.

    ``delete``: tags that the list does not name go.
    """
    in_list = Problems(str(list_file))
    in_file = Problems(str(file))
    root = read(file, in_file)
    before = file.read_bytes() if root is not None else b""
    sheet = sheets.read(list_file, encoding, in_list)
    if root is None or sheet is None or in_file.errors:
        return _refused(in_list, in_file), before
    tags = root.section("tags")
    have = {
        name: entry.node.plain() for name, entry in tags.items() if entry.node.kind == "mapping"
    }
    rows = _rows(sheet, have, in_list)
    if in_list.errors:
        return _refused(in_list, in_file), before
    changes, new = _changes(sheet, rows, have)
    gone = [name for name in have if name not in rows] if delete else []
    listed = _List(sheet, rows, frozenset(gone))
    try:
        text = edited(before.decode(), changes, new, gone)
    except EditError as error:
        in_file.error(error.mark, error.what, error.why, error.remedy)
        return _refused(in_list, in_file), before
    told = [
        *(f"+ {name}: {flow(keys)}" for name, keys in new.items()),
        *(_told(name, change, have[name]) for name, change in changes.items()),
        *(f"- {name}" for name in gone),
    ]
    outcome = Outcome(
        _checked(file, text, root, listed, in_list, in_file) if told else in_list.ordered(),
        text,
        told,
        len(new),
        len(changes),
        len(rows) - len(new) - len(changes),
        len(gone),
        len(have) - len(gone) - (len(rows) - len(new)),
    )
    return outcome, before


def write(file: Path, outcome: Outcome, before: bytes) -> None:
    """Replace the file as a whole; raises OSError, also when it was changed meanwhile."""
    real = file.resolve()
    if real.read_bytes() != before:
        raise OSError(f"{file} was changed in the meantime; import the list again")
    mode = real.stat().st_mode & 0o7777
    replace_file(real, outcome.text.encode(), durable=True)
    real.chmod(mode)


# --- list against file ----------------------------------------------------------------------------


def _rows(sheet: Sheet, have: dict[str, Any], problems: Problems) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    for line in sheet.lines:
        name = line.cells[NAME]
        here = sheet.mark(line, NAME)
        if not name:
            problems.error(here, "the row has no name", "a tag is found by its name", "give it one")
            continue
        if name in rows:
            problems.error(
                here,
                f"the tag '{name}' is there twice",
                f"line {rows[name].line.number} has it already",
                "rename or delete one of the two",
            )
            continue
        type_text = line.cells.get("type", str(have.get(name, {}).get("type", "")))
        keys, wrong = to_keys(line.cells, type_text)
        for column, complaint in wrong.items():
            problems.complain(sheet.mark(line, column), complaint)
        rows[name] = _Row(line, keys)
    return rows


def _changes(
    sheet: Sheet, rows: dict[str, _Row], have: dict[str, Any]
) -> tuple[dict[str, Change], dict[str, Keys]]:
    """Changed tags and new ones. A key whose column the list does not have stays as it is."""
    named = {KEY_OF[column] for column in sheet.columns if column != NAME}
    changes: dict[str, Change] = {}
    new: dict[str, Keys] = {}
    for name, row in rows.items():
        if name not in have:
            new[name] = row.keys
            continue
        now = stated(have[name])
        put = {key: value for key, value in row.keys.items() if not _same(now.get(key), value)}
        here = named | PLACES if PLACES & row.keys.keys() else named
        drop = {key for key in now if key in here and key not in row.keys}
        if put or drop:
            changes[name] = Change(put, frozenset(drop))
    return changes, new


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _told(name: str, change: Change, have: Keys) -> str:
    parts = [
        f"{key} {flow(have[key])} -> {flow(value)}" if key in have else f"{key} {flow(value)}"
        for key, value in change.put.items()
    ]
    parts += [f"without {key}" for key in sorted(change.drop)]
    return f"~ {name}: {', '.join(parts)}"


# --- whether it is right --------------------------------------------------------------------------


def _refused(*problems: Problems) -> Outcome:
    found = [problem for one in problems for problem in one.ordered()]
    return Outcome(found, "", [], 0, 0, 0, 0, 0)


def _checked(  # noqa: PLR0917 - each is what it stands for
    file: Path, text: str, before: Node, listed: _List, in_list: Problems, in_file: Problems
) -> list[Problem]:
    """What is wrong with the new text: about a tag of the list there, else in the file."""
    after = parse(text.encode(), Problems(str(file)))
    if after is None or not _only_tags_changed(before, after, listed):
        in_file.error(
            before.at(("tags",), key=True),
            "the list cannot be taken into this file",
            "anchors, aliases or comments stand where the change would be",
            _BY_HAND,
        )
        return in_file.ordered()
    places = _places(after, listed)
    # Beside the file itself, should it be a link: there are the programs.
    real = file.resolve()
    trial = real.with_name(f".{real.name}.{os.getpid()}.import")
    try:
        trial.write_text(text, encoding="utf-8", newline="")
        report = check_file(trial)
    finally:
        trial.unlink(missing_ok=True)
    told: list[Problem] = []
    for problem in report.problems:
        mark = places.get(Mark(problem.line, problem.column))
        if mark is not None:
            add = in_list.error if problem.severity == "error" else in_list.warning
            add(mark, problem.what, problem.why, problem.remedy)
        else:
            told.append(_in_file(problem, file))
    return [*in_list.ordered(), *told]


def _in_file(problem: Problem, file: Path) -> Problem:
    return Problem(
        str(file),
        problem.line,
        problem.column,
        problem.what,
        problem.why,
        problem.remedy,
        problem.severity,
    )


def _only_tags_changed(before: Node, after: Node, listed: _List) -> bool:
    old, new = before.plain(), after.plain()
    old_tags, new_tags = old.pop("tags", None) or {}, new.pop("tags", None) or {}
    if old != new or list(old) != [key for key in new if key in old]:
        return False
    named = {KEY_OF[column] for column in listed.sheet.columns if column != NAME}
    wanted = {name: keys for name, keys in old_tags.items() if name not in listed.gone}
    for name, row in listed.rows.items():
        here = named | PLACES if PLACES & row.keys.keys() else named
        kept = {k: v for k, v in (wanted.get(name) or {}).items() if k not in here}
        wanted[name] = kept | row.keys
    return list(wanted) == list(new_tags) and all(
        _same(stated(wanted[name]), stated(new_tags[name]))
        for name in wanted
        if isinstance(wanted[name], dict) and isinstance(new_tags[name], dict)
    )


def _places(after: Node, listed: _List) -> dict[Mark, Mark]:
    """Place in the new text to place in the list, for the tags of the list."""
    sheet, rows = listed.sheet, listed.rows
    columns: dict[str, str] = {}
    for column in sheet.columns:
        if column != NAME:
            columns.setdefault(KEY_OF[column], column)
    places: dict[Mark, Mark] = {}
    for name, entry in after.section("tags").items():
        if name not in rows:
            continue
        line = rows[name].line
        for mark in (entry.mark, entry.node.mark):
            places[mark] = sheet.mark(line, NAME)
        for key, inner in entry.node.entries.items():
            if key in columns:
                here = sheet.mark(line, columns[key])
                for mark in (inner.mark, *_marks(inner.node)):
                    places[mark] = here
    return places


def _marks(node: Node) -> list[Mark]:
    """Where a value stands, and where its parts do."""
    inner = [*node.items, *(entry.node for entry in node.entries.values())]
    keys = [entry.mark for entry in node.entries.values()]
    return [node.mark, *keys, *(mark for one in inner for mark in _marks(one))]
