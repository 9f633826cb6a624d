"""What all commands of the command line share: output, options, errors, the running cell.

Exit codes: 0 done, 1 refused or not possible now, 2 the configuration or the command is wrong.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from cellwright.io.image import Image, ImageError
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.messages import AnyCommand
from cellwright.io.plan import Plan, Tag
from cellwright.runtime.cell.freshness import staleness
from cellwright.runtime.cell.lock import RunError
from cellwright.runtime.cell.run_folder import find
from cellwright.runtime.cell.tag_lookup import unknown_tag
from cellwright.runtime.config import Problem, check_file

PIPE_WIDTH = 200
"""Columns when nobody's terminal sets them, so that tables in files and pipes stay tables."""

out = Console(soft_wrap=True)
if not out.is_terminal:
    out.width = PIPE_WIDTH
err = Console(stderr=True, soft_wrap=True)

FileArgument = Annotated[Path, typer.Argument(help="Cell file, or the folder that holds it.")]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data folder. Default: the configured one.")
]
CellOption = Annotated[
    str | None,
    typer.Option(
        "--cell", "-c", help="Name, file or folder of a running cell, if several are running."
    ),
]
TagArgument = Annotated[str, typer.Argument(help="Name of the tag.")]
ValueArgument = Annotated[
    str, typer.Argument(help="true, 3.5, text, or a list like '[1, 2]' for an array.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Reason, recorded in the audit trail.")]

NUMBERS_MAY_BE_NEGATIVE = {"ignore_unknown_options": True}
"""Else ``-1.5`` would be taken for an option."""


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong on stderr and end with an exit code."""
    err.print(f"[red]error:[/] {escape(message)}", highlight=False)
    raise typer.Exit(code)


def cell_file(path: Path) -> Path:
    """``cell.yaml`` in a folder, or the file itself."""
    return path / "cell.yaml" if path.is_dir() else path


def compiled(path: Path, data: Path | None = None) -> Plan:
    """The plan of a file, its warnings on stderr; or all its problems and exit code 2."""
    report = check_file(cell_file(path), data=data)
    show_problems(report.problems)
    if report.plan is None:
        err.print(counted(len(report.problems), "problem"), highlight=False)
        raise typer.Exit(2)
    return report.plan


def show_problems(problems: list[Problem]) -> None:
    """Each problem on a line of stderr."""
    for problem in problems:
        err.print(escape(str(problem)), highlight=False)


def counted(number: int, noun: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


@contextmanager
def attached(cell: str | None) -> Iterator[tuple[Plan, Image]]:
    """Plan and image of the running cell that is meant."""
    try:
        plan, image = find(cell, Path.cwd()).attach()
    except (RunError, ImageError) as error:
        fail(str(error))
    try:
        yield plan, image
    finally:
        image.close()


def warn_if_old(plan: Plan, image: Image) -> bool:
    """Say on stderr that what is shown is not of now; True when it was said."""
    sentence = staleness(plan, image)
    if sentence:
        err.print(f"[yellow]warning:[/] {escape(sentence)}", highlight=False)
    return bool(sentence)


def actor() -> str:
    """Who sits at the keyboard, for the audit."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"  # a container's user without an entry in passwd
    return f"{user}@console"


def send(image: Image, command: AnyCommand) -> None:
    """Send a command and wait for the scan; its refusal ends with exit code 1."""
    try:
        CommandClient(image).send(command)
    except CommandFailed as error:
        fail(str(error))


def known_tag(plan: Plan, name: str) -> Tag:
    """The tag, or an error that lists the nearest names."""
    try:
        return plan.tag(name)
    except KeyError:
        fail(unknown_tag(plan, name))
