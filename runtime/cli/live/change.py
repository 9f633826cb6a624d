"""``cellwright change``: a running cell goes on with changed programs, or with those before.

A thin adapter over the check of a change and the command ring; `register` hangs it into the
command line.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.plan import CellState, Plan
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.cli.acting import Target, acting
from cellwright.runtime.cli.common import CellOption, ReasonOption, actor, counted, fail
from cellwright.runtime.cli.compiling import show_problems
from cellwright.runtime.online_change.check import ChangeError, Checked
from cellwright.runtime.online_change.outcome import RUNS, Outcome, first_runs
from cellwright.runtime.online_change.rehearsal import safely_checked
from cellwright.runtime.programs.package import (
    Asked,
    Package,
    PackageError,
    change_file,
    leave_change,
    read_before,
    read_running,
)

PATIENCE_S: Final = 30.0
"""Longest wait for the scan to load a change."""
MOST_FILES: Final = 8
"""Files named in the command and in the audit."""
SHOWN: Final = 12
"""Characters of a SHA-256 that people see."""


def change(
    cell: CellOption = None,
    reason: ReasonOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, change nothing.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Roll back to the programs before the last change.")
    ] = False,
) -> None:
    """Change the programs of a running cell between two cycles (online change).

    The answer comes after the first three executions of each changed task.

    Exit codes: 0 changed or nothing to change, 1 refused or not possible now, 2 the changed cell
    is not correct, 3 changed, and the cell went to FAULT with it.
    """
    with acting(cell) as target:
        plan, image = target.plan, target.image
        folder = RunFolder(image.path.parent)
        try:
            running = read_running(folder)
            before = _before(folder) if rollback else None
            checked = safely_checked(plan, image, folder, running, before)
        except PackageError as error:
            fail(str(error))
        except ChangeError as error:
            if error.problems:
                show_problems(error.problems)
                fail(f"refused: {error}; the running programs continue", 2)
            fail("refused: " + "\n  ".join([*error.reasons, "the running programs continue"]))
        if checked.nothing:
            target.say("nothing to change")
            return
        _show(plan, checked)
        _fail_unless_possible(plan, image)
        if dry_run:
            when = _when(CellState(image.scan.state))
            target.say(f"can be changed{when}; nothing was done (--dry-run)")
            return
        if not yes and not typer.confirm(f"Change {plan.cell} ({plan.source}) while it runs?"):
            fail("nothing was changed")
        _apply(folder, image, checked, reason, rolled_back=rollback)
        _tell(target, first_runs(plan, image, checked.tasks), checked, rolled_back=rollback)
        if rollback:
            typer.echo(
                f"the files in {plan.folder} are still the changed ones; the next "
                "'cellwright run' or 'change' takes those"
            )


def _fail_unless_possible(plan: Plan, image: Image) -> None:
    """Ask the state first what the scan would answer last."""
    state = CellState(image.scan.state)
    if state is CellState.FAULT:
        fail(
            f"{plan.cell} cannot be changed now: it is in FAULT ({image.scan.fault_text}); "
            "'cellwright reset' first"
        )
    if state is CellState.INIT:
        fail(f"{plan.cell} cannot be changed now: it is in INIT; ask again in a moment")


def _when(state: CellState) -> str:
    """From when on changed programs run, in the words that follow 'can be changed'."""
    if state is CellState.STOP:
        return "; it is in STOP, the programs are made anew at the next start"
    if state is CellState.PAUSE:
        return "; it is in PAUSE, the programs go on at 'cellwright resume'"
    return ""


def _tell(target: Target, outcome: Outcome, checked: Checked, *, rolled_back: bool) -> None:
    """How the cell fares with the programs; a FAULT ends with exit code 3."""
    programs = checked.new[:SHOWN]
    if outcome.restarted:
        fail(
            f"{target.plan.cell}: programs {programs} were taken in, then the scan process ended "
            "and was started again; 'cellwright status' says what runs",
            3,
        )
    if outcome.state is CellState.FAULT:
        back = "mend it" if rolled_back else "'cellwright change --rollback'"
        fail(
            f"{target.plan.cell}: went to FAULT with programs {programs}: {outcome.fault}\n"
            f"  go on by 'cellwright reset', {back} and 'cellwright start'",
            3,
        )
    done = "rolled back to" if rolled_back else "now runs"
    waits = ""
    if outcome.state is not CellState.RUN:
        waits = _when(outcome.state) or f"; it is in {outcome.state.name}"
    elif outcome.waiting:
        waits = f"; not yet executed {RUNS} times: {', '.join(outcome.waiting)}"
    target.say(f"{done} programs {programs}{waits}")


def _before(folder: RunFolder) -> Package:
    before = read_before(folder)
    if before is None:
        fail("there is nothing to roll back: the programs have not been changed since the start")
    return before


def _show(plan: Plan, checked: Checked) -> None:
    for file, (old, new) in checked.files.items():
        was, now = old[:SHOWN] or "(none)", new[:SHOWN] or "(gone)"
        typer.echo(f"{file}: {was} -> {now}")
    for task in checked.options:
        typer.echo(f"task {task}: other options")
    for task in checked.tasks:
        taken = checked.taken.get(task)
        notes = []
        if taken is not None:
            notes = [
                f"{what} {', '.join(names)}"
                for what, names in (
                    ("new:", taken.new),
                    ("dropped:", taken.dropped),
                    ("starts anew:", tuple(taken.reset)),
                )
                if names
            ]
            notes.insert(0, f"{counted(len(taken.kept), 'attribute')} carried over")
        text = f"task {task}: loaded anew" + (f" ({'; '.join(notes)})" if notes else "")
        typer.echo(text)


def _apply(
    folder: RunFolder, image: Image, checked: Checked, reason: str, *, rolled_back: bool
) -> None:
    files: list[str] = list(checked.files)
    asked = Asked(
        actor=actor(),
        reason=reason,
        old=checked.old,
        tasks=checked.tasks,
        files=files[:MOST_FILES],
        rolled_back=rolled_back,
        token=secrets.token_hex(8),
    )
    try:
        command = leave_change(folder, checked.package, asked, time.time_ns())
    except OSError as error:
        fail(f"the change cannot be left in {folder.path}: {error.strerror}")
    begun_ns = image.scan.started_ns

    def hopeless() -> str:
        if image.scan.started_ns == begun_ns:
            return ""
        return (
            "the scan process ended while it loaded the change, and was started again; 'cellwright "
            "status' says which programs run"
        )

    try:
        CommandClient(image, PATIENCE_S).send(command, hopeless)
    except CommandFailed as error:
        fail(f"refused: {error}")
    finally:
        Path(change_file(folder, command.sha256)).unlink(missing_ok=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(change)
