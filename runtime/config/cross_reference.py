"""Who writes and who reads each tag: the list that a commissioning engineer asks for first."""

from __future__ import annotations

from typing import NamedTuple

from cellwright.io.messages import OWN_TASK
from cellwright.io.plan import Address, Direction, Plan, Tag


class Reference(NamedTuple):
    """One line of the cross-reference."""

    tag: str
    address: str
    """``device.area[index]`` as in the file; empty for memory and system tags."""
    writer: str
    """Task; ``device <name>``, ``command by <roles>`` or ``runtime`` otherwise; empty: nobody."""
    readers: tuple[str, ...]
    """Tasks, and ``device <name>`` for an output."""


def cross_reference(plan: Plan) -> list[Reference]:
    """One line a tag, in the order of the tag table."""
    return [_reference(tag) for tag in plan.tags]


def _reference(tag: Tag) -> Reference:
    readers = tag.readers
    if tag.direction is Direction.OUTPUT and tag.address is not None:
        readers = (*readers, f"device {tag.address.device}")
    return Reference(tag.name, spell(tag.address), _writer(tag), readers)


def _writer(tag: Tag) -> str:
    if tag.direction is Direction.SYSTEM:
        return OWN_TASK
    if tag.direction is Direction.INPUT and tag.address is not None:
        return f"device {tag.address.device}"
    if tag.writer is not None:
        return tag.writer
    return f"command by {', '.join(tag.write)}" if tag.write else ""


def spell(address: Address | None) -> str:
    """The address as a configuration writes it."""
    if address is None:
        return ""
    bit = "" if address.bit is None else f".{address.bit}"
    return f"{address.device}.{address.area}[{address.index}]{bit}"
