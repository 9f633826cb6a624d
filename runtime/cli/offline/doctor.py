"""``cellwright doctor``: what this PC grants a scan."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cellwright.io.image import ImageError
from cellwright.runtime.cell.lock import RunError
from cellwright.runtime.cli.common import CellOption, JsonOption, fail
from cellwright.runtime.cli.console import out
from cellwright.runtime.cli.views.status import machine_view
from cellwright.runtime.realtime import machine_check


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    cell: CellOption = None,
    priority: Annotated[
        int, typer.Option(min=0, max=99, help="Priority to try if no cell is running.")
    ] = 80,
    core: Annotated[
        int, typer.Option(min=-1, max=1023, help="Core to try if no cell is running; -1: none.")
    ] = -1,
    as_json: JsonOption = False,
) -> None:
    """Check whether this PC is set up for real time."""
    try:
        subject, items = machine_check.examine(cell, Path.cwd(), priority, core)
    except (RunError, ImageError, machine_check.BootCheckError) as error:
        fail(str(error))
    if as_json:
        sys.stdout.write(json.dumps([item.report() for item in items], indent=2) + "\n")
    else:
        out.print(f"{subject}:", highlight=False)
        out.print(machine_view(items))
