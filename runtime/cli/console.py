"""Where commands print tables and coloured lines: rich's consoles for stdout and stderr.

Only modules that print such import it; a plain line is printed by `typer.echo`.
"""

from __future__ import annotations

import os

from rich.console import Console

PIPE_WIDTH = 200
"""Columns when nobody's terminal sets them, so that tables in files and pipes stay tables."""

# No names for pictures: ``:warning:`` in a path or a text is what it is.
out = Console(soft_wrap=True, emoji=False)
if not out.is_terminal:
    out.width = PIPE_WIDTH
err = Console(stderr=True, soft_wrap=True, emoji=False)


def columns() -> int:
    """Columns of a line on stdout: as ``COLUMNS`` says, else the terminal's own."""
    said = os.environ.get("COLUMNS", "")
    return int(said) if said.isdecimal() and int(said) else out.width
