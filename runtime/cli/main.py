"""The command line: thin adapters over compiler, supervisor and the image of a running cell.

Exit codes: 0 done, 1 refused or not possible now, 2 the configuration or the command is wrong.
"""

from __future__ import annotations

from typing import Annotated

import typer

from cellwright.runtime.cli.help import PanelGroup
from cellwright.runtime.cli.offline.version import show_version

app = typer.Typer(
    cls=PanelGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        show_version()
        raise typer.Exit


@app.callback()
def program(
    _: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Soft PLC for part-marking and inspection cells. To begin: docs/tutorial/first_cell.md."""
