"""``cellwright check``, ``xref`` and ``schema``: what a cell's file says and may say.

Thin adapters over the compiler; no cell needs to run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from cellwright.runtime.cli import referenced_files
from cellwright.runtime.cli.common import FileArgument, counted
from cellwright.runtime.cli.compiling import compiled
from cellwright.runtime.cli.console import columns
from cellwright.runtime.cli.views.tags import cross_reference_lines
from cellwright.runtime.config import cross_reference, json_schema


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(check)
    app.command()(xref)
    app.command()(schema)


def check(file: FileArgument = Path()) -> None:
    """Validate a cell file and the files it refers to."""
    plan = compiled(file)
    wrong = referenced_files.complaints(plan)
    for sentence in wrong:
        typer.echo(sentence, err=True)
    if wrong:
        typer.echo(counted(len(wrong), "problem"), err=True)
        raise typer.Exit(2)
    typer.echo(
        f"{plan.source}: correct; {counted(len(plan.tags), 'tag')}, "
        f"{counted(len(plan.devices), 'device')}, {counted(len(plan.tasks), 'task')}, "
        f"layout {plan.layout_hash.hex()[:12]}"
    )


def xref(file: FileArgument = Path()) -> None:
    """Print who reads and who writes each tag."""
    for line in cross_reference_lines(cross_reference(compiled(file)), columns()):
        typer.echo(line)


def schema() -> None:
    """Print the JSON Schema of the cell file, for editors."""
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
