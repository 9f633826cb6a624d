"""``cellwright latency``: whether this PC is good enough."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cellwright.runtime.cli.common import JsonOption, fail
from cellwright.runtime.cli.compiling import compiled
from cellwright.runtime.cli.console import err, out
from cellwright.runtime.cli.views.latency import latency_view
from cellwright.runtime.diagnosis.latency import MeasureError, measure, measurement


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(latency)


def latency(  # noqa: PLR0917 - a command has the options that it has
    cell: Annotated[
        Path | None,
        typer.Option("--cell", "-c", help="Cell file. Default: a built-in cell of 1,000 tags."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of a block.")] = 5.0,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of each kind.")] = 3,
    priority: Annotated[
        int | None, typer.Option(min=0, max=99, help="Default: the cell's, or 80.")
    ] = None,
    core: Annotated[
        int | None, typer.Option(min=-1, max=1023, help="Default: the cell's, or the last one.")
    ] = None,
    base: Annotated[
        str, typer.Option(help="Base interval of the built-in cell, like 1ms.")
    ] = "1ms",
    as_json: JsonOption = False,
) -> None:
    """Measure scan jitter against a bare wait loop."""
    plan = compiled(cell) if cell is not None else None
    try:
        settings = measurement(
            plan, seconds=seconds, blocks=blocks, priority=priority, core=core, base=base
        )
        report = measure(plan, settings, lambda text: err.print(f"[dim]{text}[/]"))
    except MeasureError as error:
        fail(str(error))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        out.print(latency_view(report))
