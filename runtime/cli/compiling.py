"""Commands that read a cell's file compile it here; only theirs bring the compiler."""

from __future__ import annotations

from pathlib import Path

import typer

from cellwright.io.files.problems import Problem
from cellwright.io.plan import Plan
from cellwright.runtime.cli.common import cell_file, counted
from cellwright.runtime.config import check_file


def compiled(path: Path, data: Path | None = None) -> Plan:
    """The plan of a file, its warnings on stderr; or all its problems and exit code 2."""
    report = check_file(cell_file(path), data=data)
    show_problems(report.problems)
    if report.plan is None:
        typer.echo(counted(len(report.problems), "problem"), err=True)
        raise typer.Exit(2)
    return report.plan


def show_problems(problems: list[Problem]) -> None:
    """Each problem on a line of stderr."""
    for problem in problems:
        typer.echo(str(problem), err=True)
