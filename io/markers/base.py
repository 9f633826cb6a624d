"""The marker seam: how a marking station drives any marking device.

Marking metal cannot be undone, so the seam has two steps. `prepare` may be repeated as often as
one likes; `fire` is called at most once for a serial, and when its answer is lost the outcome is
`UNKNOWN`, never a second try.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

from cellwright.io.options import Options


class MarkerError(Exception):
    """The device could not be reached or refused; the sentence says what to do."""


class MarkerOptions(Options):
    """Base of a marker's options. The docstring under each field becomes the reference."""


class MarkOutcome(StrEnum):
    """What is known after `Marker.fire`."""

    ACKNOWLEDGED = "acknowledged"
    """The device says that the mark is made."""
    FAILED = "failed"
    """The device says that it did not mark."""
    UNKNOWN = "unknown"
    """No answer: metal may have been marked."""


@dataclass(frozen=True, slots=True)
class MarkContent:
    """What is to be on the part: ``symbol`` for the 2-D code, ``texts`` for readable lines."""

    pattern: str
    """Name of the layout stored in the device."""
    symbol: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FireResult:
    """Outcome of one mark; ``detail`` is for people."""

    outcome: MarkOutcome
    detail: str = ""


O = TypeVar("O", bound=MarkerOptions)  # noqa: E741 - the options of a marker


class Marker(ABC, Generic[O]):
    """One marking device. Used from one worker thread; methods block within their time-outs."""

    Options: ClassVar[type[MarkerOptions]]

    def __init__(self, name: str, options: O) -> None:
        self.name = name
        self.options = options

    @abstractmethod
    def connect(self) -> None:
        """Open the connection if it is not open; raises MarkerError."""

    @abstractmethod
    def prepare(self, content: MarkContent) -> None:
        """Load the content into the device; idempotent; raises MarkerError."""

    @abstractmethod
    def fire(self) -> FireResult:
        """Mark what was prepared, once. Never raises for a lost answer: that is `UNKNOWN`.

        Raises MarkerError only when it is certain that nothing was sent.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; never raises."""
