"""What the server needs from the rest of the house: a reader of the image, a sender of commands.

The gateway process provides both; the server knows the image and the command ring only through
these protocols and must never write to either by another way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.orm import Session

from cellwright.io.messages import AnyCommand
from cellwright.io.plan import Value


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """One task since the last reset of its statistics; durations in nanoseconds."""

    runs: int = 0
    cycle_ns: int = 0
    """Execution time of the last run."""
    max_cycle_ns: int = 0
    jitter_ns: int = 0
    """Largest deviation of a start from its ideal time."""
    overruns: int = 0
    skips: int = 0
    watchdog_hits: int = 0
    late_runs: int = 0
    omitted: int = 0
    job_timeouts: int = 0
    late_answers: int = 0
    resets: int = 0


@dataclass(frozen=True, slots=True)
class DeviceStatistics:
    """One device since the start of its driver."""

    connected: bool = False
    polls: int = 0
    errors: int = 0
    reconnects: int = 0


class ImageReader(Protocol):
    """A consistent view of the process image; `read` takes the newest one.

    Between two calls of `read` every method answers from the same snapshot.
    """

    @property
    def cycle(self) -> int:
        """Number of the cycle that wrote the snapshot."""

    @property
    def utc_ns(self) -> int:
        """Wall-clock time of that cycle, nanoseconds since 1970-01-01 UTC."""

    def read(self) -> bool:
        """Take the newest snapshot; False when there is none newer than the last."""

    def changed(self) -> Iterable[int]:
        """Indices of the tags whose value or quality differs from the snapshot before."""

    def value(self, index: int) -> Value:
        """Value of a tag; TIME is an int of nanoseconds, an array a list."""

    def quality(self, index: int) -> int:
        """OPC UA status code of a tag."""

    def timestamp_ns(self, index: int) -> int:
        """Wall-clock time at which the value was acquired, nanoseconds since 1970-01-01 UTC."""

    def task(self, index: int) -> TaskStatistics:
        """Statistics of a task of the plan."""

    def device(self, index: int) -> DeviceStatistics:
        """Statistics of a device of the plan, by its place in ``plan.devices``."""


class MesStore(Protocol):
    """The MES store (`cellwright.mes.store.Store`), or what stands for it until it is open.

    Both give a transaction for a ``with`` and raise MesError when the database is away.
    """

    def session(self) -> AbstractContextManager[Session]:
        """A transaction: committed at the end, rolled back on an error."""

    def reading(self) -> AbstractContextManager[Session]:
        """A snapshot for reading, which waits for nobody."""


class CommandSender(Protocol):
    """The way of a command to the scan."""

    def send(self, command: AnyCommand) -> Awaitable[tuple[int, str]]:
        """Hand the command over and give the scan's answer: `ReplyCode` and a sentence.

        Raises CommandUnavailableError when it cannot be handed over. The server waits a limited
        time and cancels the wait; the implementer must survive that.
        """
