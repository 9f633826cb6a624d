"""``cellwright status``: how a running cell does."""

from __future__ import annotations

import json
import sys

import typer

from cellwright.runtime.cli.common import CellOption, JsonOption
from cellwright.runtime.cli.running import attached, warn_if_old
from cellwright.runtime.cli.views.status_report import status_report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(cell: CellOption = None, as_json: JsonOption = False) -> None:
    """Show state, ticks, tasks with their times, processes and devices."""
    with attached(cell) as (plan, image):
        report = status_report(plan, image)
        warn_if_old(plan, image)
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        # They bring rich, which costs as much as all the rest.
        from cellwright.runtime.cli.console import out  # noqa: PLC0415
        from cellwright.runtime.cli.views.status import status_view  # noqa: PLC0415

        out.print(status_view(report))
