"""Carries events from the rings to the journal and acknowledges what is durable."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from cellwright.io.image import RingDamaged
from cellwright.io.journal.journal import (
    CORRUPT,
    JournalError,
    Record,
)
from cellwright.io.journal.writer import _INT64, WAIT_S, JournalWriter, _log, _shortened
from cellwright.io.log_once import LogOnce
from cellwright.io.messages import MessageError, decode_event
from cellwright.io.timing.backoff import BackOff, BackOffLimits
from cellwright.io.timing.clock import Clock

PUMP_BUSY_S: Final = 0.015
"""The same in the pump: nobody else has a reason to write, and a cell whose events do not become
durable must know within a few cycles."""


LOOK_NS: Final = 500_000_000
"""Between two looks at the file of a journal to which nothing is written."""


class Ring(Protocol):
    """What the pump needs of an event ring (`cellwright.io.image.rings.EventRing`)."""

    @property
    def acknowledged(self) -> int: ...
    def peek(self, max_records: int = ...) -> list[tuple[int, bytes]]: ...
    def acknowledge(self, sequence: int) -> None: ...
    def abandon(self) -> int: ...
    def wait(self, timeout_s: float) -> bool: ...


class Status(Protocol):
    """The journal's status in the image."""

    ok: bool
    error: str
    committed: int


class EventSource(Protocol):
    """What the pump needs of the image."""

    @property
    def boot_id(self) -> str: ...
    @property
    def events(self) -> Mapping[str, Ring]: ...
    @property
    def journal(self) -> Status: ...


class JournalPump:
    """Moves events from the image's rings to the file at ``path`` and says how that goes.

    On a full disk, a lock or an I/O error everything stays in the rings, the image shows the
    reason, and the pump tries again with growing pauses until it succeeds.
    """

    def __init__(
        self,
        image: EventSource,
        path: Path,
        clock: Clock,
        back_off: BackOffLimits | None = None,
        seed: int | None = None,
    ) -> None:
        self._image = image
        self._path = path
        self._clock = clock
        self._writer: JournalWriter | None = None
        self._back_off = BackOff(back_off or BackOffLimits(longest_ns=2_000_000_000), seed)
        self._retry_ns = self._look_ns = 0
        self._once = LogOnce(_log)
        # `ok` stays as the predecessor left it until the first step knows better: a journal that
        # was only started again must not stop the cell.
        image.journal.committed = 0

    def step(self) -> int:
        """Drain all rings once, in one transaction; how many records were taken.

        Between attempts after a failure it does nothing and gives 0. Never raises JournalError.
        """
        if self._clock.now_ns() < self._retry_ns:
            return 0
        try:
            if self._writer is None:
                self._writer = JournalWriter(self._path, PUMP_BUSY_S)
            taken = self._drain(self._writer)
            if not taken:
                self._look(self._writer)
        except JournalError as error:
            self._failed(error)
            return 0
        self._succeeded()
        return taken

    def run(self, stop: Callable[[], bool], beat: Callable[[], None] = lambda: None) -> None:
        """Pump until ``stop``; one last step is made then. ``beat`` is called every 10 ms or so."""
        first = next(iter(self._image.events.values()))
        while not stop():
            beat()
            if self.step() == 0:
                if "journal" in self._once:
                    time.sleep(WAIT_S)  # the ring would not let us sleep: events wait in it
                else:
                    first.wait(WAIT_S)
        self.step()

    def close(self) -> None:
        """Let go of the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _drain(self, writer: JournalWriter) -> int:
        batch: list[Record] = []
        last: dict[str, int] = {}
        damaged: list[Ring] = []
        for name, ring in self._image.events.items():
            try:
                records = ring.peek()
            except RingDamaged as error:
                # What is left of it cannot be read any more; that it was lost is itself recorded.
                damaged.append(ring)
                batch.append(self._record(name, ring.acknowledged + 1, str(error).encode()))
                continue
            for sequence, data in records:
                batch.append(self._record(name, sequence, data))
                last[name] = sequence
        if not batch:
            return 0
        self._image.journal.committed += writer.append(batch)
        for name, sequence in last.items():
            self._image.events[name].acknowledge(sequence)
        for ring in damaged:
            _log.error("event ring damaged", lost=ring.abandon())
        return len(batch)

    def _look(self, writer: JournalWriter) -> None:
        """A file that is gone is noticed before somebody relies on it, not at the next event."""
        now_ns = self._clock.now_ns()
        if "journal" in self._once or now_ns >= self._look_ns:
            self._look_ns = now_ns + LOOK_NS
            writer.check()

    def _record(self, producer: str, sequence: int, data: bytes) -> Record:
        try:
            event = decode_event(data)
            if not -_INT64 <= event.utc_ns < _INT64:
                raise MessageError(f"time {event.utc_ns} is not a 64-bit number of nanoseconds")
        except (MessageError, RecursionError) as error:
            _log.error("event is damaged", producer=producer, sequence=sequence, error=str(error))
            kind, task, part_id, utc_ns = CORRUPT, "", None, self._clock.utc_ns()
        else:
            kind, task = str(event.__struct_config__.tag), event.task
            part_id, utc_ns = getattr(event, "part_id", None), event.utc_ns
        return Record(
            producer=producer,
            boot_id=self._image.boot_id,
            producer_sequence=sequence,
            utc_ns=utc_ns,
            kind=kind,
            task=task,
            part_id=part_id,
            payload=data,
        )

    def _failed(self, error: JournalError) -> None:
        status = self._image.journal
        pause_ns = self._back_off.next_ns()
        self._retry_ns = self._clock.now_ns() + pause_ns
        status.error = _shortened(str(error), str(self._path))
        status.ok = False
        self._once.trouble(
            "journal", "journal cannot be written, events wait in the rings", error=str(error)
        )

    def _succeeded(self) -> None:
        status = self._image.journal
        if not status.ok:
            status.error = ""
            status.ok = True
        self._once.well("journal", "journal is written again", file=str(self._path))
        self._back_off.reset()
        self._retry_ns = 0
