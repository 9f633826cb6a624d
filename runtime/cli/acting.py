"""How a command acts on a running cell: it reads the value that was typed and asks the scan."""

from __future__ import annotations

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.messages import AnyCommand
from cellwright.io.plan import Tag, Value
from cellwright.runtime.cell.tag_lookup import parse_value
from cellwright.runtime.cli.common import fail


def send(image: Image, command: AnyCommand) -> None:
    """Send a command and wait for the scan; its refusal ends with exit code 1."""
    try:
        CommandClient(image).send(command)
    except CommandFailed as error:
        fail(str(error))


def typed_value(tag: Tag, text: str) -> Value:
    """The value as the tag's type holds it; exit code 2 for what the type does not take."""
    try:
        return parse_value(tag, text)
    except ValueError as error:
        fail(f"{tag.name}: {error}", 2)
