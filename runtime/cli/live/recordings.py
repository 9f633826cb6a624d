"""``cellwright record``, ``recordings``, ``replay`` and ``scope``: recordings and their use.

Thin adapters over replay and scope; `register` hangs them into the command line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from cellwright.io.plan import Plan, Tag, quality
from cellwright.io.recording.cycle import CycleRecord, RecordError
from cellwright.io.recording.file import RecordingError
from cellwright.io.recording.listing import kept_recordings
from cellwright.io.recording.store import RECORDINGS
from cellwright.io.recording.values import ImageView
from cellwright.runtime.cell.lock import RunError
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.cell.tag_lookup import unknown_tag
from cellwright.runtime.cli.acting import acting
from cellwright.runtime.cli.common import (
    CellOption,
    JsonOption,
    ReasonOption,
    actor,
    cell_file,
    fail,
)
from cellwright.runtime.cli.compiling import compiled
from cellwright.runtime.cli.console import columns, out
from cellwright.runtime.cli.running import attached
from cellwright.runtime.cli.views.folding import FoldedTable
from cellwright.runtime.cli.views.words import shown
from cellwright.runtime.diagnosis import scope as scopes
from cellwright.runtime.recorder.provenance import ReplayError
from cellwright.runtime.recorder.pump import RecordRequest, ask
from cellwright.runtime.recorder.replay import Replay, ReplayOutcome
from cellwright.runtime.recorder.triggers import ConditionError, asked_for

MOST_CHANGES: Final = 20
"""Tags shown of one cycle."""
LOOK_S: Final = 10.0
"""How long the scope looks at a cell when nothing else is said."""
PATIENCE_S: Final = 30.0
"""Longest wait for a file that was asked for, beside the time after that it may hold."""

FileArgument = Annotated[Path, typer.Argument(help="A .cwrec file.")]


def record(
    cell: CellOption = None,
    reason: ReasonOption = "",
    when: Annotated[
        str,
        typer.Option(
            help="Condition to wait for, like 'pressure > 6.5 and not air_ok'. Default: now."
        ),
    ] = "",
) -> None:
    """Save the flight recorder's window, and what follows, to a file."""
    with acting(cell) as target:
        plan, image = target.plan, target.image
        if when:
            try:
                asked_for(plan, when)
            except ConditionError as error:
                fail(str(error), 2)
        before = image.recorder.newest
        try:
            ask(RunFolder(image.path.parent), RecordRequest(actor(), reason, when))
        except (OSError, RunError) as error:
            fail(f"cannot send the request to the recorder: {error}")
        if when:
            target.say(f"the recorder waits for {when}")
            return
        patience_s = PATIENCE_S + 2 * plan.recorder.after_ns / 1e9
        deadline = time.monotonic() + patience_s
        while image.recorder.newest == before:
            if time.monotonic() > deadline:
                fail(
                    f"no file within {patience_s:g} s; "
                    f"{image.recorder.error or 'see whether the recorder runs (cellwright status)'}"
                )
            time.sleep(0.1)
        kept = Path(plan.data) / RECORDINGS / image.recorder.newest
        out.print(str(kept), highlight=False, markup=False)


def recordings(
    place: Annotated[
        Path | None,
        typer.Argument(
            help="Cell file or folder, or a folder of recordings. Default: the cell in this "
            "folder, or the running one."
        ),
    ] = None,
    cell: CellOption = None,
    as_json: JsonOption = False,
) -> None:
    """List saved recordings with the trigger or other cause of each."""
    if place is None and cell is None and cell_file(Path.cwd()).is_file():
        place = Path.cwd()  # the recordings of its cell, which need not run
    if place is None:
        with attached(cell) as (plan, _):
            folder = Path(plan.data) / RECORDINGS
    elif cell_file(place).is_file():
        folder = Path(compiled(place).data) / RECORDINGS
    elif place.is_dir():
        folder = place
    else:
        fail(f"there is no cell and no folder {place}; recordings lie in the data folder", 2)
    found = kept_recordings(folder)
    if as_json:
        rows = [
            {
                "file": str(one.path),
                "at": one.at,
                "name": one.name,
                "cause": one.cause,
                "size_bytes": one.size,
            }
            for one in found
        ]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    if not found:
        out.print(f"there are no recordings in {folder}", highlight=False, markup=False)
        return
    table = FoldedTable(("file", "at (UTC)", "MiB", "cause"), columns())
    for line in table.lines(
        (
            one.path.name,
            one.at.replace("T", " ").removesuffix("Z"),
            f"{one.size / (1 << 20):.1f}",
            one.cause,
        )
        for one in found
    ):
        typer.echo(line)


def replay(
    file: FileArgument,
    until: Annotated[int | None, typer.Option(help="Last cycle to replay.")] = None,
    step: Annotated[
        bool, typer.Option("--step", help="Step one cycle per Enter; q quits.")
    ] = False,
    watch: Annotated[
        list[str] | None, typer.Option(help="Print this tag when it changes; may be repeated.")
    ] = None,
    programs: Annotated[
        Path | None, typer.Option(help="Folder of the programs. Default: the recorded one.")
    ] = None,
) -> None:
    """Replay a recording and compare every cycle; exit code 0: identical, 1: different."""
    try:
        with Replay(file, folder=programs) as run:
            watched = [_known(run.plan, name) for name in watch or ()]
            observer = _Observer(run.plan, watched, step=step) if step or watched else None
            begin = time.perf_counter()
            outcome = run.run(until, observer)
            took_s = time.perf_counter() - begin
    except (ReplayError, RecordingError, RecordError) as error:
        fail(str(error), 2)
    _show(outcome, took_s)
    raise typer.Exit(0 if outcome.identical else 1)


def _known(plan: Plan, name: str) -> Tag:
    try:
        return plan.tag(name)
    except KeyError:
        fail(unknown_tag(plan, name), 2)


class _Observer:
    """Prints after each cycle what changed; with ``step`` it waits for Enter."""

    def __init__(self, plan: Plan, watched: list[Tag], *, step: bool) -> None:
        self._tags = watched or list(plan.tags)
        self._everything = not watched
        self._step = step
        self._before: dict[int, tuple[bytes, int]] = {}

    def __call__(self, run: Replay, record: CycleRecord) -> bool:
        view = ImageView(run.plan, run.process_image.region)
        now = {tag.index: (view.bytes_of(tag), view.quality(tag)) for tag in self._tags}
        changed = [tag for tag in self._tags if self._before.get(tag.index) != now[tag.index]]
        if self._everything and not self._before:
            changed = []
        self._before = now
        if changed or self._step:
            out.print(f"cycle {record.cycle}", highlight=False)
        for tag in changed:
            status = quality.name(view.quality(tag))
            note = "" if status == "GOOD" else f"  {status}"
            value = shown(view.value(tag))
            out.print(escape(f"  {tag.name} = {value}{note}"), highlight=False)
        return not self._step or _entered()


def _entered() -> bool:
    """True after Enter; False after q or at the end of the input."""
    try:
        return input().strip().lower() != "q"
    except EOFError:
        return False


def _show(outcome: ReplayOutcome, took_s: float) -> None:
    for note in outcome.notes:
        out.print(f"note: {escape(note)}", highlight=False)
    difference = outcome.difference
    if difference is not None:
        first = difference.changes[0] if difference.changes else None
        where = f" in task '{first.writer}', tag '{first.tag}'" if first else ""
        out.print(
            f"DIFFERENT at cycle {difference.cycle}{escape(where)} "
            f"(after {outcome.cycles} identical cycles)",
            highlight=False,
        )
        for change in difference.changes[:MOST_CHANGES]:
            out.print(
                escape(
                    f"  {change.tag} ({change.writer}): "
                    f"recorded {shown(change.recorded)} "
                    f"{quality.name(change.recorded_quality)}, "
                    f"replayed {shown(change.replayed)} "
                    f"{quality.name(change.replayed_quality)}"
                ),
                highlight=False,
            )
        if len(difference.changes) > MOST_CHANGES:
            out.print(f"  and {len(difference.changes) - MOST_CHANGES} more tags", highlight=False)
        if difference.said:
            out.print("  the events or jobs of the cycle differ", highlight=False)
        return
    if not outcome.cycles:
        out.print("nothing was compared", highlight=False)
        return
    recorded_s = outcome.recorded_ns / 1e9
    out.print(
        f"identical: {outcome.cycles} cycles ({outcome.first} to {outcome.last}, "
        f"{recorded_s:.1f} s) in {took_s:.1f} s, {recorded_s / max(took_s, 1e-9):.0f} times "
        f"real time",
        highlight=False,
    )
    if outcome.chain:
        out.print(f"chain {outcome.chain}", highlight=False)


def scope(  # noqa: PLR0917 - a command has the options that it has
    tags: Annotated[list[str], typer.Argument(help="Tags to show: BOOL and numbers.")],
    cell: CellOption = None,
    file: Annotated[Path | None, typer.Option(help="A .cwrec file instead of a cell.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="How many seconds to plot; of a file, the last ones."),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.001, help="Seconds between samples.")] = 0.02,
    page: Annotated[
        Path | None,
        typer.Option("--html", help="Write an HTML page to this file instead of plotting."),
    ] = None,
) -> None:
    """Plot tags over time, live from a running cell or from a recording."""
    try:
        if file is not None:
            traces = scopes.from_recording(file, tags, seconds)
            title = file.name
        else:
            with attached(cell) as (plan, image):
                traces = scopes.from_cell(
                    plan, image, tags, seconds=seconds or LOOK_S, interval_s=interval
                )
                title = plan.cell
    except (scopes.ScopeError, ReplayError, RecordingError, RecordError) as error:
        fail(str(error), 2)
    if page is None:
        out.print(scopes.plot(traces, width=max(20, out.width - 1)))
        return
    try:
        page.write_text(scopes.page(traces, title), encoding="utf-8")
    except OSError as error:
        fail(f"the page {page} cannot be written: {error.strerror}")
    out.print(f"wrote {page}", highlight=False, markup=False)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(record)
    app.command()(recordings)
    app.command()(replay)
    app.command()(scope)
