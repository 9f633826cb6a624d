"""The driver seam: what a field device driver owes, and the errors that it may raise.

The poll loop, back-off, quality, statistics and the safe state are written once around it, in
`cellwright.io.drivers.poll_loop`. A driver moves bytes and decides nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

import msgspec

from cellwright.io.options import Options
from cellwright.io.plan import PollGroup


class DriverError(Exception):
    """A request that failed. The sentence says what was tried, on what and what happened.

    ``lost`` is True when the connection must be made anew, False when the device answered with an
    error of its own and the connection is still good. ``divisible`` is True when a request for
    less of it may succeed, because a part of what was asked for does not exist.
    """

    def __init__(self, message: str, *, lost: bool, divisible: bool = False) -> None:
        super().__init__(message)
        self.lost = lost
        self.divisible = divisible


class DriverOptions(Options):
    """Base of a driver's options. The docstring under each field becomes the reference."""


class AddressArea(msgspec.Struct, frozen=True):
    """One addressable area of a kind of device (``coils``, ``input_registers``, ...)."""

    name: str
    bits: bool
    """True when one index is one bit, False when it is one 16-bit word."""
    writable: bool
    size: int
    """Number of addressable bits or words; indexes are 0 to size - 1."""
    per_request: int
    """Most bits or words that one request may carry."""


class SafeOutputs(msgspec.Struct, frozen=True):
    """What one output group is to hold when nobody drives it."""

    group: PollGroup
    payload: bytes
    """``group.size`` bytes in wire form."""
    hold_mask: bytes
    """Bits to be held instead; the same size."""


O = TypeVar("O", bound=DriverOptions)  # noqa: E741 - the options of a driver


class Driver(ABC, Generic[O]):
    """One connection to one device.

    A subclass names its ``Options`` and ``areas`` and owes the four methods. Each method ends
    within the driver's own time-out or raises DriverError; none retries.
    """

    Options: ClassVar[type[DriverOptions]]
    areas: ClassVar[tuple[AddressArea, ...]]

    def __init__(self, name: str, options: O) -> None:
        self.name = name
        self.options = options

    @classmethod
    def areas_of(cls, options: O) -> tuple[AddressArea, ...]:
        """The areas of a device with these options; mostly they do not depend on them."""
        return cls.areas

    @abstractmethod
    async def connect(self) -> None:
        """Open the connection; raises DriverError."""

    @property
    def feed_ns(self) -> int:
        """Longest time between two writes that the device's own watchdog bears; 0: it has none."""
        return 0

    async def arm(self, outputs: Sequence[SafeOutputs]) -> None:
        """Arm the device's own watchdog, if it has one; raises DriverError when it does not keep.

        Called after each `connect` and before the first write.
        """

    @abstractmethod
    async def read(self, group: PollGroup) -> bytes:
        """Payload of an input group, exactly ``group.size`` bytes in wire form."""

    @abstractmethod
    async def write(self, group: PollGroup, payload: bytes) -> None:
        """Write an output group's payload of ``group.size`` bytes."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection; never raises."""
