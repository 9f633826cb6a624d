"""Tables of records that fit the terminal: what does not fit goes below, by whole columns.

Made for lists whose rows are read one by one (events, parts, the audit). A column that has no room
beside those before it begins a further line of its row, indented, in the header too. Only text that
is wider than a line is wrapped, at its blanks; a word is never broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len

GAP: Final = "  "
INDENT: Final = "    "


class FoldedTable:
    """The lines of a table for people; keeps its widths, so that rows may be added below.

    ``width`` is the terminal's in columns.
    """

    def __init__(self, titles: Sequence[str], width: int) -> None:
        self._titles = tuple(titles)
        self._width = max(width, 1)
        self._widths = [cell_len(title) for title in titles]

    def lines(self, rows: Iterable[Sequence[object]], *, header: bool = True) -> list[str]:
        """The rows as lines without their ends, the titles above them when they are wanted."""
        cells = [
            tuple("" if cell is None else printable(str(cell)) for cell in row) for row in rows
        ]
        for row in cells:
            self._widths = [max(w, cell_len(c)) for w, c in zip(self._widths, row, strict=True)]
        folds = self._folds()
        found: list[str] = []
        for row in [self._titles, *cells] if header else cells:
            for number, columns in enumerate(folds):
                found += self._line(row, columns, INDENT if number else "")
        return found

    def _folds(self) -> list[list[int]]:
        """Numbers of the columns that share a line; each line takes as many as fit."""
        folds: list[list[int]] = [[]]
        used = 0
        for column, width in enumerate(self._widths):
            if folds[-1] and used + len(GAP) + width > self._width:
                folds.append([])
            used = used + len(GAP) + width if folds[-1] else width + len(INDENT) * (len(folds) > 1)
            folds[-1].append(column)
        return folds

    def _line(self, row: Sequence[str], columns: Sequence[int], indent: str) -> list[str]:
        if indent and not any(row[column] for column in columns):
            return []
        *before, last = columns
        text = indent
        for column in before:
            text += row[column] + " " * (self._widths[column] - cell_len(row[column])) + GAP
        wrapped = _wrapped(row[last], self._width - cell_len(text)) if not before else [row[last]]
        beginnings = [text, *(" " * cell_len(text) for _ in wrapped[1:])]
        return [(a + b).rstrip() for a, b in zip(beginnings, wrapped, strict=True)]


def printable(text: str) -> str:
    """The text on one line, with codes instead of what would steer the terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cell_len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
