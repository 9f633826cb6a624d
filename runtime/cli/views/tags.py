"""Tables of tags: their values, their quality, who reads and writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cellwright.io.image import Image
from cellwright.io.plan import CellState, Plan, Tag, Value, quality
from cellwright.runtime.cell.freshness import staleness
from cellwright.runtime.cell.tag_lookup import matching
from cellwright.runtime.cli.views.folding import FoldedTable
from cellwright.runtime.cli.views.words import shown

STATE_STYLE = {"RUN": "bold green", "STOP": "bold yellow", "FAULT": "bold red"}


def tag_table(rows: Iterable[dict[str, Any]]) -> Table:
    """Tags as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("tag", "type", "value", "unit", "quality", "age", "from", "writer"):
        # Nothing is cut short: a narrow terminal breaks lines, but not the name, which is typed.
        table.add_column(
            column,
            justify="right" if column in ("value", "age") else "left",
            overflow="fold",
            no_wrap=column == "tag",
            min_width=len(column),
        )
    for row in rows:
        age = "" if row["age_ms"] is None else f"{row['age_ms'] / 1000:.1f} s"
        table.add_row(
            row["name"],
            row["type"],
            Text(shown(row["value"])),
            row["unit"],
            quality_text(row["quality"]),
            age,
            row["direction"],
            row["writer"] or "",
        )
    return table


def quality_text(name: str) -> Text:
    """A quality in its colour."""
    style = "green" if name == "GOOD" else "yellow" if not name.startswith("BAD") else "red"
    return Text(name, style=style)


class WatchView:
    """Tags live: the table, with what changed since the last look in bold."""

    def __init__(self, plan: Plan, image: Image, patterns: Sequence[str]) -> None:
        self._plan = plan
        self._image = image
        self._reader = image.snapshot_reader()
        seen: dict[int, Tag] = {}
        for pattern in patterns:
            seen.update({tag.index: tag for tag in matching(plan, pattern)})
        self._tags = list(seen.values())
        self._last: dict[int, Value] = {}

    def table(self) -> RenderableType:
        """The present look."""
        self._reader.read()
        state = CellState(self._image.scan.state).name
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("tag", "value", "unit", "quality"):
            table.add_column(column)
        for tag in self._tags:
            value = self._reader.value(tag.index)
            changed = tag.index in self._last and self._last[tag.index] != value
            self._last[tag.index] = value
            table.add_row(
                tag.name,
                Text(shown(value), style="bold" if changed else ""),
                tag.unit,
                quality_text(quality.name(self._reader.quality(tag.index))),
            )
        head = Text.assemble(
            (f"{self._plan.cell} ", "bold"),
            (state, STATE_STYLE.get(state, "")),
            f"  cycle {self._reader.cycle}",
        )
        old = staleness(self._plan, self._image)
        return Group(head, *([Text(old, style="bold red")] if old else []), table)


def cross_reference_lines(
    rows: Iterable[tuple[str, str, str, Sequence[str]]], width: int
) -> list[str]:
    """Who writes and who reads each tag."""
    return FoldedTable(("tag", "address", "written by", "read by"), width).lines(
        (name, address, writer or "", ", ".join(readers)) for name, address, writer, readers in rows
    )
