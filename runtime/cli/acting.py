"""How a command acts on a running cell: it says which one, reads what was typed and asks the scan.

Every command that changes something in a running cell goes through `acting`, so that nobody acts
on a cell unawares: with each answer and each refusal stand the cell's name and file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.messages import AnyCommand
from cellwright.io.plan import Plan, Tag, Value
from cellwright.runtime.cell.tag_lookup import parse_value
from cellwright.runtime.cli.common import fail
from cellwright.runtime.cli.running import attached


@dataclass(frozen=True, slots=True)
class Target:
    """The running cell that a command acts on."""

    plan: Plan
    image: Image

    def say(self, sentence: str) -> None:
        """What was done, on stdout, with the cell's name and file."""
        typer.echo(f"{self.plan.cell}: {sentence} ({self.plan.source})")

    def send(self, command: AnyCommand) -> None:
        """Send a command and wait for the scan; its refusal ends with exit code 1."""
        try:
            CommandClient(self.image).send(command)
        except CommandFailed as error:
            fail(str(error))


@contextmanager
def acting(cell: str | None) -> Iterator[Target]:
    """The running cell that is meant. Its name and file follow whatever is refused."""
    with attached(cell) as (plan, image):
        try:
            yield Target(plan, image)
        except typer.Exit as end:
            if end.exit_code:
                typer.echo(f"  (asked of {plan.cell}, {plan.source})", err=True)
            raise


def typed_value(tag: Tag, text: str) -> Value:
    """The value as the tag's type holds it; exit code 2 for what the type does not take."""
    try:
        return parse_value(tag, text)
    except ValueError as error:
        fail(f"{tag.name}: {error}", 2)
