"""``cellwright force`` and ``unforce``: tags of a running cell that are held at a value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from cellwright.io.messages import ForceTag, UnforceTag
from cellwright.io.plan import GOOD_LOCAL_OVERRIDE, Tag, Value
from cellwright.runtime.cli.acting import Target, acting, typed_value
from cellwright.runtime.cli.common import (
    NUMBERS_MAY_BE_NEGATIVE,
    CellOption,
    ReasonOption,
    TagArgument,
    ValueArgument,
    actor,
)
from cellwright.runtime.cli.running import known_tag


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(context_settings=NUMBERS_MAY_BE_NEGATIVE)(force)
    app.command()(unforce)


def force(
    name: TagArgument, value: ValueArgument, cell: CellOption = None, reason: ReasonOption = ""
) -> None:
    """Force a tag to a value until it is released."""
    with acting(cell) as target:
        tag = known_tag(target.plan, name)
        typed = typed_value(tag, value)
        target.send(ForceTag(tag=name, value=typed, actor=actor(), reason=reason))
        target.say(f"{name} forced to {typed}{_beyond_range(tag, typed)}")


def _beyond_range(tag: Tag, value: Value) -> str:
    """A force may leave a tag's range: whoever forces a sensor tests what happens then."""
    if tag.range is None:
        return ""
    low, high = tag.range
    items = value if isinstance(value, list) else [value]
    if all(isinstance(item, str) or low <= item <= high for item in items):
        return ""
    unit = f" {tag.unit}" if tag.unit else ""
    return f" (outside its range, {low:g} to {high:g}{unit})"


def unforce(
    name: Annotated[str, typer.Argument(help="Tag to release. Default: all.")] = "",
    cell: CellOption = None,
    reason: ReasonOption = "",
) -> None:
    """Release one force, or all."""
    with acting(cell) as target:
        tags = [known_tag(target.plan, name)] if name else target.plan.tags
        forced = _forced(target, tags)
        target.send(UnforceTag(tag=name, actor=actor(), reason=reason))
        if name:
            target.say(f"{name} released" if forced else f"{name} was not forced")
        elif forced:
            target.say(f"all forces released: {', '.join(forced)}")
        else:
            target.say("no tag was forced")


def _forced(target: Target, tags: Iterable[Tag]) -> list[str]:
    """Names of those that are forced now."""
    reader = target.image.snapshot_reader()
    reader.read()
    return [tag.name for tag in tags if reader.quality(tag.index) == GOOD_LOCAL_OVERRIDE]
