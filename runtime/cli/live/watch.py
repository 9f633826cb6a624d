"""``cellwright watch``: tags of a running cell, live."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.live import Live

from cellwright.runtime.cell.freshness import has_ended, staleness
from cellwright.runtime.cell.tag_lookup import matching, unknown_tag
from cellwright.runtime.cli.common import CellOption, fail
from cellwright.runtime.cli.console import out
from cellwright.runtime.cli.running import attached
from cellwright.runtime.cli.views.tags import WatchView


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)


def watch(
    pattern: Annotated[list[str] | None, typer.Argument(help="Tags or patterns with *.")] = None,
    cell: CellOption = None,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between samples.")] = 0.2,
    count: Annotated[int, typer.Option(min=0, help="Number of samples; 0: no limit.")] = 0,
) -> None:
    """Show tags live until interrupted or until the cell ends (exit code 1)."""
    with attached(cell) as (plan, image):
        for one in pattern or []:
            if not matching(plan, one):
                fail(unknown_tag(plan, one))
        live_view = WatchView(plan, image, pattern or ["*"])
        try:
            with Live(live_view.table(), console=out, auto_refresh=False) as live:
                looks = 0
                while count == 0 or looks < count:
                    live.update(live_view.table(), refresh=True)
                    looks += 1
                    if staleness(plan, image) and has_ended(plan, image):
                        break
                    time.sleep(interval)
        except KeyboardInterrupt:
            return
        finally:
            if not out.is_terminal:
                out.line()
        if has_ended(plan, image):
            fail(staleness(plan, image))
