"""``cellwright init``: a first cell."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cellwright.runtime.cli.common import fail
from cellwright.runtime.cli.templates.first_cell import write_template


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(folder: Annotated[Path, typer.Argument(help="Folder to write the cell into.")]) -> None:
    """Create a commented cell that is ready to run."""
    try:
        written = write_template(folder)
    except OSError as error:
        fail(str(error))
    for file in written:
        typer.echo(f"wrote {file}")
    typed = shlex.quote(str(folder))
    typer.echo(f"next: cellwright check {typed} && cellwright run {typed}")
