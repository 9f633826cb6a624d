"""``cellwright nodeset``: the OPC UA model of a cell's file for tools that import NodeSet2 files.

No cell needs to run; what is written is what a client of that cell would browse.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cellwright.runtime.cli.common import FileArgument, cell_file, counted, fail


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(nodeset)


def nodeset(
    file: FileArgument = Path(),
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write. Default: standard output.")
    ] = None,
) -> None:
    """Write the OPC UA model of a cell file as NodeSet2 (XML).

    For tools that plan with the model while no cell runs. Types, folders, tags and methods are in
    it; of values only those of properties. The model's date is that of the cell file.
    """
    from cellwright.io.files.replace import replace_file
    from cellwright.opcua_model.errors import ModelError
    from cellwright.opcua_model.model import write_nodeset
    from cellwright.runtime.cli.compiling import compiled

    plan = compiled(file)
    changed = datetime.fromtimestamp(cell_file(file).stat().st_mtime, UTC)
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n") as text:
        try:
            count = write_nodeset(plan, changed, text)
        except ModelError as error:
            fail(f"{plan.source}: {error}", 2)
        text.seek(0)
        content = text.read().encode()
    if to is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    try:
        replace_file(to, content)
    except OSError as error:
        fail(f"cannot write {to}: {error.strerror}; name a file in a folder that can be written")
    typer.echo(f"wrote {to}: {counted(count, 'node')}")
