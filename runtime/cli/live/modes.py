"""``cellwright start``, ``pause``, ``resume``, ``stop``, ``reset`` and ``reset-counters``.

Each asks the scan of a running cell, which decides, and tells what became of it in the first
cycles.

Exit codes of those that change the mode: 0 done, 1 refused, 3 done, and in the first cycles after
it the cell went to FAULT or to another state.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cellwright.io.image.aftermath import Outcome, after_request
from cellwright.io.messages import ResetStatistics, SetMode
from cellwright.io.plan import CellState
from cellwright.runtime.cli.acting import Target, acting
from cellwright.runtime.cli.common import CellOption, ReasonOption, actor, fail
from cellwright.runtime.scan.modes.states import Request

WENT_ON: Final = 3
"""Exit code: done, and then something befell the cell."""
LEADS_TO: Final = {
    Request.START: CellState.RUN,
    Request.COLD_START: CellState.RUN,
    Request.HOT_START: CellState.RUN,
    Request.PAUSE: CellState.PAUSE,
    Request.STOP: CellState.STOP,
    Request.RESET: CellState.STOP,
}
"""The state in which the cell is after a request that was obeyed."""


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
    with acting(cell) as target:
        target.send(ResetStatistics(task=task, actor=actor(), reason=reason))
        target.say(f"counters of {task or 'all tasks'} reset")


def _mode(cell: CellOption, request: Request, reason: str) -> None:
    with acting(cell) as target:
        before = CellState(target.image.scan.state)
        target.send(SetMode(request=request, actor=actor(), reason=reason))
        if request is Request.STOP and before is CellState.FAULT:
            target.say(f"{request} done; it stays in FAULT until 'cellwright reset'")
            return
        _tell(target, request, after_request(target.plan, target.image).wait())


def _tell(target: Target, request: Request, outcome: Outcome) -> None:
    """The scan has obeyed, but a program may have failed in its first execution."""
    name = target.plan.cell
    if outcome.restarted:
        fail(
            f"{name}: {request} done, then the scan process ended and was started again; "
            "'cellwright status' says what runs",
            WENT_ON,
        )
    if outcome.state is CellState.FAULT:
        fail(
            f"{name}: {request} done, then it went to FAULT: {outcome.fault}\n"
            "  mend the cause, then 'cellwright reset' and 'cellwright start'",
            WENT_ON,
        )
    if outcome.state is not LEADS_TO[request]:
        fail(
            f"{name}: {request} done, then it went to {outcome.state.name}; "
            "'cellwright status' says why",
            WENT_ON,
        )
    target.say(f"{request} done")
