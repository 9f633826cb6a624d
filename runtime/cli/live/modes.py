"""``cellwright start``, ``pause``, ``resume``, ``stop``, ``reset`` and ``reset-counters``.

Each asks the scan of a running cell, which decides.
"""

from __future__ import annotations

from typing import Annotated

import typer

from cellwright.io.messages import ResetStatistics, SetMode
from cellwright.runtime.cli.acting import send
from cellwright.runtime.cli.common import CellOption, ReasonOption, actor
from cellwright.runtime.cli.running import attached
from cellwright.runtime.scan.modes.states import Request


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (start, pause, resume, stop, reset, reset_counters):
        app.command()(command)


def start(
    cell: CellOption = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Cold start: reset retained values, too.")
    ] = False,
    reason: ReasonOption = "",
) -> None:
    """Start the cell (warm start: retained values are kept)."""
    _mode(cell, Request.COLD_START if cold else Request.START, reason)


def pause(cell: CellOption = None, reason: ReasonOption = "") -> None:
    """Pause the tasks. Inputs are still read, outputs keep their values."""
    _mode(cell, Request.PAUSE, reason)


def resume(cell: CellOption = None, reason: ReasonOption = "") -> None:
    """Resume after a pause (hot start)."""
    _mode(cell, Request.HOT_START, reason)


def stop(cell: CellOption = None, reason: ReasonOption = "") -> None:
    """Stop the cell. Outputs take their safe values."""
    _mode(cell, Request.STOP, reason)


def reset(cell: CellOption = None, reason: ReasonOption = "") -> None:
    """Reset a fault once its cause is gone (FAULT to STOP)."""
    _mode(cell, Request.RESET, reason)


def reset_counters(
    task: Annotated[
        str, typer.Argument(help="Task whose counters are reset. Default: all tasks and the scan.")
    ] = "",
    cell: CellOption = None,
    reason: ReasonOption = "",
) -> None:
    """Reset the counters and times shown by `status`. Recorded in the audit trail."""
    with attached(cell) as (plan, image):
        send(image, ResetStatistics(task=task, actor=actor(), reason=reason))
        typer.echo(f"{plan.cell}: counters of {task or 'all tasks'} reset")


def _mode(cell: CellOption, request: Request, reason: str) -> None:
    with attached(cell) as (plan, image):
        send(image, SetMode(request=request, actor=actor(), reason=reason))
        typer.echo(f"{plan.cell}: {request} done")
