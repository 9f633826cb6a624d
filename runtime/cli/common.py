"""What all commands of the command line share: options, and how they refuse and warn.

Exit codes: 0 done, 1 refused or not possible now, 2 the configuration or the command is wrong.
Every command loads this module, so it loads nothing but typer.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

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
    _say_on_stderr("error:", typer.colors.RED, message)
    raise typer.Exit(code)


def warn(message: str) -> None:
    """Say on stderr what is not as it should be; the command goes on."""
    _say_on_stderr("warning:", typer.colors.YELLOW, message)


def _say_on_stderr(word: str, colour: str, message: str) -> None:
    plain = bool(os.environ.get("NO_COLOR"))
    typer.echo(
        f"{typer.style(word, fg=colour)} {message}", err=True, color=False if plain else None
    )


def cell_file(path: Path) -> Path:
    """``cell.yaml`` in a folder, or the file itself."""
    return path / "cell.yaml" if path.is_dir() else path


def counted(number: int, noun: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def actor() -> str:
    """Who sits at the keyboard, for the audit."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"  # a container's user without an entry in passwd
    return f"{user}@console"
