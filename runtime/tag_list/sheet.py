"""A list of tags as a file: comma-separated text, as spreadsheets write and read it.

Every complaint has the line of the file and the number of the list's column. Knows columns by name
and nothing of what they mean.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cellwright.io.files.problems import Mark, Problems, nearest
from cellwright.runtime.tag_list.columns import COLUMNS, NAME, Row

MAX_BYTES: Final = 16 * 1024 * 1024
ENCODINGS: Final = ("utf-8", "cp1252", "latin-1", "utf-16")
_DELIMITERS: Final = (",", ";", "\t")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""Spreadsheets calculate what begins with one of the first, and hide the last."""
_NUMBER: Final = re.compile(r"[+-]?[0-9][0-9.,eE+-]*", re.ASCII)
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_WIDE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the list."""

    number: int
    """Line of the file in which it begins, from 1."""
    cells: Row


@dataclass(frozen=True, slots=True)
class Sheet:
    """A list as it was read."""

    columns: dict[str, int]
    """Column to its number, from 1."""
    lines: list[Line]

    def mark(self, line: Line, column: str) -> Mark:
        """Where a cell stands; that of the name for a column that the list does not have."""
        return Mark(line.number, self.columns.get(column, self.columns[NAME]))


class _Text:
    """Where the writer puts its lines."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, part: str) -> None:
        self.parts.append(part)


def write(rows: Sequence[Row], delimiter: str) -> str:
    """The list as text; a cell that a spreadsheet would calculate begins with an apostrophe.

    It has all columns, so that whoever takes it knows also what a tag does not have.
    """
    text = _Text()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_guarded(row.get(column, "")) for column in COLUMNS] for row in rows)
    return "".join(text.parts)


def read(path: Path, encoding: str, problems: Problems) -> Sheet | None:
    """The list of a file, None when it cannot be read at all; complains either way."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        problems.error(
            Mark(1, 1),
            "the list cannot be read",
            error.strerror or str(error),
            "check the path; `cellwright tags export` writes a list",
        )
        return None
    if len(data) > MAX_BYTES:
        problems.error(
            Mark(1, 1),
            "the list is too large",
            f"at most {MAX_BYTES // 1024 // 1024} MiB are read",
            "check that this is the right file",
        )
        return None
    text = _text(data, encoding, problems)
    return None if text is None else parse(text, problems)


def parse(text: str, problems: Problems) -> Sheet | None:
    """The list that a text is."""
    # Columns of a list are counted, not characters of a line.
    problems.extent = [_WIDE] * (len(re.split("\r\n|\r|\n", text)) + 1)
    text, first = _without_sep(text)
    delimiter = _delimiter(text.lstrip("\r\n").partition("\n")[0])
    rows = _rows(text, delimiter, first, problems)
    header = next(rows, None)
    if header is None:
        if not problems.errors:
            problems.error(
                Mark(1, 1),
                "the list is empty",
                "its first line names the columns",
                f"begin with {NAME},type,in,out",
            )
        return None
    columns = _columns(*header, problems)
    if columns is None:
        return None
    width = len(header[1])
    return Sheet(columns, list(_lines(rows, columns, width, problems)))


def _lines(
    rows: Iterator[tuple[int, list[str]]], columns: dict[str, int], width: int, problems: Problems
) -> Iterator[Line]:
    for number, cells in rows:
        if len(cells) < width or any(cell.strip() for cell in cells[width:]):
            problems.error(
                Mark(number, min(len(cells), width) + 1),
                f"the row has {len(cells)} cells",
                f"the first line names {width} columns",
                "put a cell that has the separator in it in quotes, also a number with a comma"
                if len(cells) > width
                else "give each column its cell, also an empty one",
            )
            continue
        yield Line(number, {name: _plain(cells[at - 1]) for name, at in columns.items()})


def _text(data: bytes, encoding: str, problems: Problems) -> str | None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif data[:3] == b"\xef\xbb\xbf":
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.extent = [_WIDE] * line
        begin = data.rfind(b"\n", 0, error.start) + 1
        problems.error(
            Mark(line, error.start - begin + 1),
            f"byte 0x{data[error.start]:02X} is not {encoding}",
            "the list was saved in another encoding",
            "save it as 'CSV UTF-8', or say which one it is: --encoding cp1252 (Windows)",
        )
        return None


def _without_sep(text: str) -> tuple[str, int]:
    """Without the line ``sep=;`` that some spreadsheets write; and the number of the next one."""
    first, _, rest = text.partition("\n")
    if re.fullmatch(r'"?sep=.[\r"]*', first):
        return rest, 2
    return text, 1


def _delimiter(header: str) -> str:
    def known(delimiter: str) -> int:
        cells = [cell.strip().strip('"').casefold() for cell in header.split(delimiter)]
        return sum(cell in COLUMNS for cell in cells)

    return max(_DELIMITERS, key=lambda one: (known(one), header.count(one)))


def _rows(
    text: str, delimiter: str, first: int, problems: Problems
) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, each with the line in which it begins."""
    reader = csv.reader(_LINE.findall(text), delimiter=delimiter, strict=True)
    line = first
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = first + reader.line_num
    except csv.Error as error:
        problems.error(
            Mark(line, 1),
            "the list cannot be read from here on",
            str(error),
            'close the quotation mark; a mark inside a quoted cell is written twice: ""',
        )


def _columns(number: int, header: list[str], problems: Problems) -> dict[str, int] | None:
    columns: dict[str, int] = {}
    errors = problems.errors
    for at, cell in enumerate(header, 1):
        name = cell.strip().casefold()
        if not name:
            continue
        if name not in COLUMNS:
            problems.error(
                Mark(number, at),
                f"there is no column '{cell.strip()}'",
                "each column is a key of a tag",
                nearest(name, COLUMNS, limit=len(COLUMNS)),
            )
        elif name in columns:
            problems.error(
                Mark(number, at),
                f"the column '{name}' is there twice",
                f"column {columns[name]} has it already",
                "delete one of the two",
            )
        else:
            columns[name] = at
    if NAME not in columns:
        problems.error(
            Mark(number, 1),
            f"the list has no column '{NAME}'",
            "the first line of a list names its columns, and a tag is found by its name",
            f"begin the first line with {NAME}; `cellwright tags export` shows all columns",
        )
    return columns if problems.errors == errors else None


def _guarded(cell: str) -> str:
    if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def _plain(cell: str) -> str:
    if cell.startswith("'") and cell[1:].startswith(_FORMULA):
        return cell[1:]
    # Blanks around a cell are seen by nobody; a text that needs them is in quotes.
    return cell.strip()
