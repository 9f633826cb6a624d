"""What the process image gives: results of a latch and a commit, a checkpoint, stamps."""

from __future__ import annotations

import msgspec


class LatchResult(msgspec.Struct, frozen=True):
    """What the latch noticed; indexes are those of the plan's devices, -1 for none."""

    lost_fault: int
    """First device whose loss must fault the cell (a tag of it has ``on_loss: fault``)."""
    tripped: int
    """First device whose driver has tripped."""
    fresh: int
    """How many devices had new inputs."""


class CommitResult(msgspec.Struct, frozen=True):
    """What the commit noticed; indexes are those of the plan's tags, -1 for none."""

    refused: int
    """First output that is not a finite number: the device keeps what it had."""
    clamped: int
    """First output outside its declared range or raw span: the limit was sent."""


class Checkpoint(msgspec.Struct, frozen=True):
    """What the image carries from one cycle to the next."""

    region: bytes
    """Values and qualities."""
    unwritten: list[int]
    """Tags that nobody has written yet: the first write makes them Good."""
    known: bytes
    """One byte an operation: it has read a value, or set a quality."""
    forces: dict[int, bytes]
    """Tag to forced value, as it lies in the value area."""


class Stamps(msgspec.Struct, frozen=True, array_like=True):
    """When a tag's value was got: wall clock, and monotonic time; 0 before there is one."""

    tag: int
    utc_ns: int
    monotonic_ns: int
