"""The command line: thin adapters over compiler, supervisor and the image of a running cell.

Exit codes: 0 done, 1 refused or not possible now, 2 the configuration or the command is wrong.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.live import Live
from rich.markup import escape

from cellwright.io.image import ImageError
from cellwright.io.messages import ForceTag, ResetStatistics, SetMode, UnforceTag, WriteTag
from cellwright.io.plan import Tag, Value
from cellwright.runtime.cell import logs
from cellwright.runtime.cell.freshness import has_ended, staleness
from cellwright.runtime.cell.lock import RunError
from cellwright.runtime.cell.tag_lookup import matching, parse_value, unknown_tag
from cellwright.runtime.cli import (
    alarms,
    change,
    mes,
    recordings,
    referenced_files,
    simulate,
    users,
)
from cellwright.runtime.cli.common import (
    NUMBERS_MAY_BE_NEGATIVE,
    CellOption,
    DataOption,
    FileArgument,
    JsonOption,
    ReasonOption,
    TagArgument,
    ValueArgument,
    actor,
    attached,
    compiled,
    counted,
    err,
    fail,
    known_tag,
    out,
    send,
    warn_if_old,
)
from cellwright.runtime.cli.help import PanelGroup
from cellwright.runtime.cli.template import write_template
from cellwright.runtime.cli.views import status as views
from cellwright.runtime.cli.views.latency import latency_view
from cellwright.runtime.cli.views.tags import WatchView, cross_reference_table, tag_rows, tag_table
from cellwright.runtime.config import cross_reference, json_schema
from cellwright.runtime.diagnosis.latency import MeasureError, measure, measurement
from cellwright.runtime.realtime import machine_check
from cellwright.runtime.scan.modes.states import Request
from cellwright.runtime.supervision import port_check
from cellwright.runtime.supervision.supervisor import Supervisor

app = typer.Typer(
    cls=PanelGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
tags_app = typer.Typer(help="List, read and write tags of a running cell.", no_args_is_help=True)
app.add_typer(tags_app, name="tags")
app.add_typer(users.app, name="user")
app.add_typer(mes.app, name="mes")
recordings.register(app)
alarms.register(app)
change.register(app)
simulate.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"cellwright {version('cellwright')}", highlight=False)
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


@app.command()
def run(
    file: FileArgument = Path(),
    data: DataOption = None,
    log: Annotated[
        bool, typer.Option("--log", help="Write the supervisor's log to stderr.")
    ] = False,
) -> None:
    """Run a cell until interrupted."""
    plan = compiled(file, data)
    logs.configure("supervisor", None if log else Path(plan.data) / "log")

    def report(sentence: str) -> None:
        out.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {escape(sentence)}", highlight=False)

    for sentence in port_check.taken(plan):
        err.print(f"[yellow]warning:[/] {escape(sentence)}", highlight=False)
    try:
        code = Supervisor(plan, report).run()
    except RunError as error:
        fail(str(error))
    raise typer.Exit(code)


@app.command()
def check(file: FileArgument = Path()) -> None:
    """Validate a cell file and the files it refers to."""
    plan = compiled(file)
    wrong = referenced_files.complaints(plan)
    for sentence in wrong:
        err.print(escape(sentence), highlight=False)
    if wrong:
        err.print(counted(len(wrong), "problem"), highlight=False)
        raise typer.Exit(2)
    out.print(
        f"{plan.source}: correct; {counted(len(plan.tags), 'tag')}, "
        f"{counted(len(plan.devices), 'device')}, {counted(len(plan.tasks), 'task')}, "
        f"layout {plan.layout_hash.hex()[:12]}",
        highlight=False,
    )


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder to write the cell into.")]) -> None:
    """Create a commented cell that is ready to run."""
    try:
        written = write_template(folder)
    except OSError as error:
        fail(str(error))
    for file in written:
        out.print(f"wrote {file}", highlight=False)
    out.print(f"next: cellwright check {folder} && cellwright run {folder}", highlight=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the cell file, for editors."""
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


@app.command()
def xref(file: FileArgument = Path()) -> None:
    """Print who reads and who writes each tag."""
    out.print(cross_reference_table(cross_reference(compiled(file))))


@app.command()
def status(cell: CellOption = None, as_json: JsonOption = False) -> None:
    """Show state, ticks, tasks with their times, processes and devices."""
    with attached(cell) as (plan, image):
        report = views.status_report(plan, image)
        warn_if_old(plan, image)
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        out.print(views.status_view(report))


@app.command()
def doctor(
    cell: CellOption = None,
    priority: Annotated[
        int, typer.Option(min=0, max=99, help="Priority to try if no cell is running.")
    ] = 80,
    core: Annotated[
        int, typer.Option(min=-1, max=1023, help="Core to try if no cell is running; -1: none.")
    ] = -1,
    as_json: JsonOption = False,
) -> None:
    """Check whether this PC is set up for real time."""
    try:
        subject, items = machine_check.examine(cell, Path.cwd(), priority, core)
    except (RunError, ImageError, machine_check.BootCheckError) as error:
        fail(str(error))
    if as_json:
        sys.stdout.write(json.dumps([item.report() for item in items], indent=2) + "\n")
    else:
        out.print(f"{subject}:", highlight=False)
        out.print(views.machine_view(items))


@app.command()
def latency(  # noqa: PLR0917 - a command has the options that it has
    cell: Annotated[
        Path | None,
        typer.Option("--cell", "-c", help="Cell file. Default: a built-in cell of 1,000 tags."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of a block.")] = 5.0,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of each kind.")] = 3,
    priority: Annotated[
        int | None, typer.Option(min=0, max=99, help="Default: the cell's, or 80.")
    ] = None,
    core: Annotated[
        int | None, typer.Option(min=-1, max=1023, help="Default: the cell's, or the last one.")
    ] = None,
    base: Annotated[
        str, typer.Option(help="Base interval of the built-in cell, like 1ms.")
    ] = "1ms",
    as_json: JsonOption = False,
) -> None:
    """Measure scan jitter against a bare wait loop."""
    plan = compiled(cell) if cell is not None else None
    try:
        settings = measurement(
            plan, seconds=seconds, blocks=blocks, priority=priority, core=core, base=base
        )
        report = measure(plan, settings, lambda text: err.print(f"[dim]{text}[/]"))
    except MeasureError as error:
        fail(str(error))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        out.print(latency_view(report))


def _mode(cell: CellOption, request: Request, reason: str) -> None:
    with attached(cell) as (plan, image):
        send(image, SetMode(request=request, actor=actor(), reason=reason))
        out.print(f"{plan.cell}: {request} done", highlight=False)


@app.command()
def start(
    cell: CellOption = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Cold start: reset retained values, too.")
    ] = False,
    reason: ReasonOption = "",
) -> None:
    """Start the cell (warm start: retained values are kept)."""
    _mode(cell, Request.COLD_START if cold else Request.START, reason)


@app.command()
def pause(cell: CellOption = None, reason: ReasonOption = "") -> None:
    """Pause the tasks. Inputs are still read, outputs keep their values."""
    _mode(cell, Request.PAUSE, reason)


@app.command()
def resume(cell: CellOption = None, reason: ReasonOption = "") -> None:
    """Resume after a pause (hot start)."""
    _mode(cell, Request.HOT_START, reason)


@app.command()
def stop(cell: CellOption = None, reason: ReasonOption = "") -> None:
    """Stop the cell. Outputs take their safe values."""
    _mode(cell, Request.STOP, reason)


@app.command()
def reset(cell: CellOption = None, reason: ReasonOption = "") -> None:
    """Reset a fault once its cause is gone (FAULT to STOP)."""
    _mode(cell, Request.RESET, reason)


@tags_app.command("list")
def tags_list(
    pattern: Annotated[str, typer.Argument(help="Part of the name, or a pattern with *.")] = "*",
    cell: CellOption = None,
    as_json: JsonOption = False,
) -> None:
    """List tags with value, quality and age."""
    with attached(cell) as (plan, image):
        rows = tag_rows(plan, image, pattern)
        warn_if_old(plan, image)
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        out.print(tag_table(rows))


@tags_app.command("get")
def tags_get(
    name: TagArgument,
    cell: CellOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also print quality, source timestamp and age.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the value of a tag; exit code 1 if its quality is bad or the value is stale."""
    with attached(cell) as (plan, image):
        tag = known_tag(plan, name)
        row = tag_rows(plan, image, tag.name)[0]
        old = warn_if_old(plan, image)
    if as_json:
        sys.stdout.write(json.dumps(row, indent=2) + "\n")
    else:
        typer.echo(row["value"])
        if full:
            age = "none yet" if row["age_ms"] is None else f"{row['age_ms'] / 1000:.3f} s"
            typer.echo(f"quality     {row['quality']}")
            typer.echo(f"source time {row['source_time'] or 'none yet'}")
            typer.echo(f"age         {age}")
        elif row["quality"] != "GOOD":
            err.print(f"quality {row['quality']}", highlight=False)
    raise typer.Exit(1 if old or str(row["quality"]).startswith("BAD") else 0)


@tags_app.command("set", context_settings=NUMBERS_MAY_BE_NEGATIVE)
def tags_set(
    name: TagArgument, value: ValueArgument, cell: CellOption = None, reason: ReasonOption = ""
) -> None:
    """Write a tag once (memory tags, and outputs that no task writes)."""
    with attached(cell) as (plan, image):
        tag = known_tag(plan, name)
        typed = _parsed(tag, value)
        send(image, WriteTag(tag=name, value=typed, actor=actor(), reason=reason))
        out.print(f"{name} = {typed}", highlight=False)


@app.command(context_settings=NUMBERS_MAY_BE_NEGATIVE)
def force(
    name: TagArgument, value: ValueArgument, cell: CellOption = None, reason: ReasonOption = ""
) -> None:
    """Force a tag to a value until it is released."""
    with attached(cell) as (plan, image):
        typed = _parsed(known_tag(plan, name), value)
        send(image, ForceTag(tag=name, value=typed, actor=actor(), reason=reason))
        out.print(f"{name} forced to {typed}", highlight=False)


@app.command()
def unforce(
    name: Annotated[str, typer.Argument(help="Tag to release. Default: all.")] = "",
    cell: CellOption = None,
    reason: ReasonOption = "",
) -> None:
    """Release one force, or all."""
    with attached(cell) as (plan, image):
        if name:
            known_tag(plan, name)
        send(image, UnforceTag(tag=name, actor=actor(), reason=reason))
        out.print(f"{name or 'all forces'} released", highlight=False)


@app.command("reset-counters")
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
        out.print(f"{plan.cell}: counters of {task or 'all tasks'} reset", highlight=False)


@app.command()
def watch(
    pattern: Annotated[list[str] | None, typer.Argument(help="Tags or patterns with *.")] = None,
    cell: CellOption = None,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between samples.")] = 0.2,
    count: Annotated[int, typer.Option(min=0, help="Number of samples; 0: no limit.")] = 0,
) -> None:
    """Show tags live until interrupted or until the cell ends (exit code 1)."""
    with attached(cell) as (plan, image):
        for one in pattern or []:
            if not matching(plan, one):
                fail(unknown_tag(plan, one))
        live_view = WatchView(plan, image, pattern or ["*"])
        try:
            with Live(live_view.table(), console=out, auto_refresh=False) as live:
                looks = 0
                while count == 0 or looks < count:
                    live.update(live_view.table(), refresh=True)
                    looks += 1
                    if staleness(plan, image) and has_ended(plan, image):
                        break
                    time.sleep(interval)
        except KeyboardInterrupt:
            return
        finally:
            if not out.is_terminal:
                out.line()
        if has_ended(plan, image):
            fail(staleness(plan, image))


@app.command(name="version")
def show_version() -> None:
    """Print the version."""
    _print_version(True)


def _parsed(tag: Tag, text: str) -> Value:
    try:
        return parse_value(tag, text)
    except ValueError as error:
        fail(f"{tag.name}: {error}", 2)


def main() -> None:
    """Entry point of the ``cellwright`` command."""
    app()
