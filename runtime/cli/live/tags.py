"""``cellwright tags``: list, read and write tags of a running cell; those of a file as a list."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cellwright.io.messages import WriteTag
from cellwright.io.plan import CellState, Direction, Tag
from cellwright.runtime.cli.common import (
    NUMBERS_MAY_BE_NEGATIVE,
    CellOption,
    JsonOption,
    ReasonOption,
    TagArgument,
    ValueArgument,
    actor,
)
from cellwright.runtime.cli.offline.tag_list import tags_export, tags_import
from cellwright.runtime.cli.running import attached, known_tag, warn_if_old
from cellwright.runtime.cli.views.tag_rows import tag_rows

if TYPE_CHECKING:
    from cellwright.runtime.cli.acting import Target


def register(app: typer.Typer) -> None:
    """Add the group."""
    tags = typer.Typer(
        help="List, read and write tags of a running cell; a cell file's tags as a list.",
        no_args_is_help=True,
    )
    tags.command("list")(tags_list)
    tags.command("get")(tags_get)
    tags.command("set", context_settings=NUMBERS_MAY_BE_NEGATIVE)(tags_set)
    tags.command("export")(tags_export)
    tags.command("import")(tags_import)
    app.add_typer(tags, name="tags")


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
        # They bring rich, which costs more than all the rest.
        from cellwright.runtime.cli.console import out  # noqa: PLC0415
        from cellwright.runtime.cli.views.tags import tag_table  # noqa: PLC0415

        out.print(tag_table(rows))


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
            typer.echo(f"quality {row['quality']}", err=True)
    raise typer.Exit(1 if old or str(row["quality"]).startswith("BAD") else 0)


def tags_set(
    name: TagArgument, value: ValueArgument, cell: CellOption = None, reason: ReasonOption = ""
) -> None:
    """Write a tag once (memory tags, and outputs that no task writes)."""
    # Nobody who reads a tag sends anything.
    from cellwright.runtime.cli.acting import acting, typed_value  # noqa: PLC0415

    with acting(cell) as target:
        tag = known_tag(target.plan, name)
        typed = typed_value(tag, value)
        target.send(WriteTag(tag=name, value=typed, actor=actor(), reason=reason))
        target.say(f"{name} = {typed}{_not_driven(target, tag)}")


def _not_driven(target: Target, tag: Tag) -> str:
    """Where the outputs are in their safe state a written output stays in the image."""
    state = CellState(target.image.scan.state)
    if tag.direction is not Direction.OUTPUT or state in (CellState.RUN, CellState.PAUSE):
        return ""
    return f" in the image; in {state.name} the device has its safe value"
