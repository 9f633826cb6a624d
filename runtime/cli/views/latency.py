"""Shows a report of ``cellwright latency`` on a terminal. Makes text, measures nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cellwright.runtime.diagnosis.latency import BARE, EMPTY, FULL, PEER, Report

TITLES: Final = {BARE: "bare C loop", FULL: "scan", PEER: "cyclictest", EMPTY: "empty runtime"}
STYLES: Final = {"good": "bold green", "usable": "bold yellow", "not good enough": "bold red"}
BAR: Final = 16


def latency_view(report: Report) -> RenderableType:
    """Figures, differences, histogram and verdict."""
    settings = report.settings
    place = f"core {settings.core}" if settings.core >= 0 else "any core"
    parts: list[RenderableType] = [
        Text(
            f"{report.subject}; base {settings.base_ns / 1e6:g} ms, priority {settings.priority}, "
            f"{place}, {settings.blocks} block(s) of {settings.seconds:g} s each"
        ),
        Text(f"cyclictest: {report.peer}"),
        "",
        _block_table(report),
        "",
        _difference_table(report),
        "",
        _histogram(report.histogram),
        "",
        Text(
            "cycle of the empty runtime: "
            + ", ".join(f"{name} {value:.0f} us" for name, value in report.empty_cost_us.items())
        ),
        "",
    ]
    first, *others = report.verdict.sentences
    parts.append(Text(first, style=STYLES[report.verdict.level]))
    parts += [Text(sentence) for sentence in others]
    parts.append("limits:")
    parts += [Text(f"  {limit}", style="dim") for limit in report.verdict.limits]
    return Group(*parts)


def _block_table(report: Report) -> Table:
    table = _table("start lateness, us", "pair")
    figures = ("p50", "p90", "p99", "p99.9", "max")
    for column in (*figures, "skipped", "stolen ms", "cycle p50", "cycle p99"):
        table.add_column(column, justify="right")
    for block in report.blocks:
        if block.kind == EMPTY:
            continue
        table.add_row(
            TITLES[block.kind],
            str(block.pair + 1),
            *(f"{block.late_us[name]:.0f}" for name in figures),
            str(block.skipped) if block.kind != PEER else "",
            f"{block.stolen_ms:.0f}",
            *(f"{block.cost_us[name]:.0f}" if block.cost_us else "" for name in ("p50", "p99")),
        )
    return table


def _difference_table(report: Report) -> Table:
    table = _table("difference, us", "pair")
    figures = ("p50", "p90", "p99", "p99.9", "max")
    for column in figures:
        table.add_column(column, justify="right")
    for title, rows, median in (
        ("scan - bare", report.difference_us, report.median_difference_us),
        ("scan - cyclictest", report.peer_difference_us, report.median_peer_difference_us),
    ):
        for number, row in enumerate(rows):
            table.add_row(title, str(number + 1), *(f"{row[name]:+.0f}" for name in figures))
        if rows:
            values = (f"{median[name]:+.0f}" for name in figures)
            table.add_row(title, "median", *values, style="bold")
    return table


def _histogram(histogram: Mapping[str, Mapping[str, int]]) -> Table:
    """One row a range, one bar a kind; bars are logarithmic, so that single late starts show."""
    table = _table("us")
    for kind in histogram:
        table.add_column(TITLES[kind], justify="right")
        table.add_column("", width=BAR)
    lows = sorted({int(low) for counts in histogram.values() for low in counts})
    most = max((n for counts in histogram.values() for n in counts.values()), default=1)
    for low in lows:
        cells = []
        for counts in histogram.values():
            count = counts.get(str(low), 0)
            cells += [str(count or ""), bar(count, most)]
        table.add_row(f">= {low}", *cells)
    return table


def bar(count: int, most: int) -> str:
    """A bar as long as the logarithm of the count; one start is one character at least."""
    if count <= 0:
        return ""
    full = math.log10(max(most, 2) + 1)
    return "#" * max(1, round(BAR * math.log10(count + 1) / full))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    return table
