"""``cellwright run``: the supervisor in the foreground."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cellwright.runtime.cell import logs
from cellwright.runtime.cell.lock import RunError
from cellwright.runtime.cli.common import DataOption, FileArgument, fail, warn
from cellwright.runtime.cli.compiling import compiled
from cellwright.runtime.cli.console import out
from cellwright.runtime.config import simulate_devices
from cellwright.runtime.supervision.supervisor import Supervisor


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    file: FileArgument = Path(),
    data: DataOption = None,
    log: Annotated[
        bool, typer.Option("--log", help="Write the supervisor's log to stderr.")
    ] = False,
    simulate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DEVICE",
            help="Put a simulated device in the place of this field device, or of `all`; may be "
            "given several times.",
        ),
    ] = None,
) -> None:
    """Run a cell until interrupted."""
    plan = compiled(file, data)
    try:
        plan = simulate_devices(plan, simulate or [])
    except ValueError as error:
        fail(str(error), 2)
    logs.configure("supervisor", None if log else Path(plan.data) / "log")

    def report(sentence: str) -> None:
        out.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {escape(sentence)}", highlight=False)

    if plan.simulated:
        warn(f"{plan.simulated}: do not take this cell for a real one")
    try:
        code = Supervisor(plan, report).run()
    except RunError as error:
        fail(str(error))
    raise typer.Exit(code)
