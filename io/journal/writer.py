"""Writes the journal: takes events from the image's rings and commits them in groups.

Run by the journal process, the only writer of the file and of the image's journal status. A ring
is acknowledged only after the commit, so nothing that is acknowledged can be lost, and a record
that is delivered twice is stored once.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import structlog

from cellwright.io.drivers.poll_schedule import BackOff, BackOffLimits
from cellwright.io.image import RingDamaged
from cellwright.io.journal.journal import (
    APPLICATION_ID,
    CORRUPT,
    FORMAT_VERSION,
    INDEX,
    LAST_OF_KIND,
    SCHEMA,
    JournalError,
    Record,
    check_format,
    database_error,
)
from cellwright.io.messages import MessageError, PartDeparted, ProgramChanged, decode_event
from cellwright.io.timing.clock import Clock

KEEP_NS: Final = 7 * 24 * 3600 * 1_000_000_000
"""Rows that every consumer has taken are kept this long."""

DEPARTED: Final = str(PartDeparted.__struct_config__.tag)

CHANGED: Final = str(ProgramChanged.__struct_config__.tag)

LOOKED_AT: Final = 20_000
"""Oldest rows among which one call of `JournalWriter.purge` looks for them: a whole week of a fast
cell would be looked through for seconds."""

PURGE_ROWS: Final = 2000
"""Most rows that one call of `JournalWriter.purge` deletes, so that events do not wait for it."""

BUSY_S: Final = 0.2
"""Longest wait for another process's lock."""

PUMP_BUSY_S: Final = 0.015
"""The same in the pump: nobody else has a reason to write, and a cell whose events do not become
durable must know within a few cycles."""

WAIT_S: Final = 0.01
"""Longest sleep: the first ring (the scan's) wakes the pump at once, the others wait this long."""

STATUS_BYTES: Final = 200
"""What the image holds of the reason why the journal cannot be written."""

_INT64: Final = 1 << 63

_INSERT: Final = (
    "INSERT INTO events (producer, boot_id, producer_sequence, utc_ns, kind, task, part_id, "
    "payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (producer, boot_id, producer_sequence) DO NOTHING"
)

_log = structlog.get_logger(__name__)


class JournalWriter:
    """Appends records, each exactly once, durable when `append` returns.

    Opens or makes the file; JournalError when the folder cannot be written or the file is no
    journal. One writer per file.
    """

    def __init__(self, path: Path, busy_s: float = BUSY_S) -> None:
        self.path = path
        self._busy_s = busy_s
        self._identity = (0, 0)
        self._connection: sqlite3.Connection | None = None
        self._use("open", lambda _connection: None)

    def close(self) -> None:
        """Let go of the file; the next `append` opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, batch: Sequence[Record]) -> int:
        """Store all of them in one transaction, or none; how many were new.

        Returns after the disk has confirmed. Raises JournalError; the same batch may be given
        again.
        """
        rows = [
            (
                record.producer,
                record.boot_id,
                record.producer_sequence,
                record.utc_ns,
                record.kind,
                record.task,
                record.part_id,
                record.payload,
            )
            for record in batch
        ]
        new = 0

        def insert(connection: sqlite3.Connection) -> None:
            nonlocal new
            new = connection.executemany(_INSERT, rows).rowcount

        self._use(f"append {len(batch)} events to", insert)
        return max(new, 0)

    def purge(self, consumed_up_to: int, older_than_utc_ns: int) -> int:
        """Delete rows that are consumed and older than that time; how many, at most 2000.

        Of what happened to parts everything from the last departure on stays whatever its age:
        recovery needs it, as it needs to know which change of programs was told last.
        """
        deleted = 0

        def delete(connection: sqlite3.Connection) -> None:
            nonlocal deleted
            deleted = connection.execute(
                "DELETE FROM events WHERE sequence IN (SELECT sequence FROM "
                "(SELECT sequence, utc_ns, kind, part_id FROM events WHERE sequence <= ? "
                "ORDER BY sequence LIMIT ?) WHERE utc_ns < ? AND kind <> ? "
                f"AND (part_id IS NULL OR sequence < {LAST_OF_KIND}) LIMIT ?)",
                (consumed_up_to, LOOKED_AT, older_than_utc_ns, CHANGED, DEPARTED, PURGE_ROWS),
            ).rowcount

        self._use("purge", delete)
        return deleted

    def _use(self, tried: str, action: Callable[[sqlite3.Connection], None]) -> None:
        """Run ``action`` in a transaction of its own; after a failure the file is opened anew."""
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            action(connection)
            connection.execute("COMMIT")
            self._still_there()
        except sqlite3.Error as error:
            self._abandon()
            raise database_error(self.path, tried, error) from error
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Close without commit; closing may fail on a broken disk, and the first error counts."""
        try:
            self.close()
        except sqlite3.Error as error:
            _log.debug("closing the journal failed too", error=str(error))

    def _still_there(self) -> None:
        """A file that was moved or deleted takes commits that nobody would ever find."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise JournalError(
                f"the journal {self.path} has vanished while it was in use: {error.strerror}; "
                "its events are written again to a new one"
            ) from error
        if (status.st_dev, status.st_ino) != self._identity:
            raise JournalError(
                f"the journal {self.path} was replaced while it was in use; its last events are "
                "written again to the present file"
            )

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            self._still_there()
            return self._connection
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise JournalError(
                f"cannot write the journal {self.path}: the folder {self.path.parent} does not "
                "exist or is read-only; make it writable for this process"
            )
        # Opening may meet the last reader of a dead predecessor, who tidies up behind it.
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if check_format(connection, self.path) == 0:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
                for statement in SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute("COMMIT")
                _sync_folder(self.path.parent)
            connection.execute(INDEX)
            connection.execute(f"PRAGMA busy_timeout = {int(self._busy_s * 1000)}")
            status = self.path.stat()
        except BaseException:
            connection.close()
            raise
        self._identity = (status.st_dev, status.st_ino)
        self._connection = connection
        return connection


def _sync_folder(folder: Path) -> None:
    """The name of a new file is durable only when its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _shortened(sentence: str, path: str) -> str:
    """The sentence in `STATUS_BYTES`: a long path loses its beginning, so that the remedy stays."""
    too_long = len(sentence.encode()) - STATUS_BYTES
    if too_long <= 0:
        return sentence
    return sentence.replace(path, f"...{path[too_long + 3 :]}")


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
        self._retry_ns = 0
        self._failing = False
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
                if self._failing:
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

    def _record(self, producer: str, sequence: int, data: bytes) -> Record:
        try:
            event = decode_event(data)
            if not -_INT64 <= event.utc_ns < _INT64:
                raise MessageError(f"time {event.utc_ns} is no 64-bit number of nanoseconds")
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
        if not self._failing:
            self._failing = True
            _log.error("journal cannot be written, events wait in the rings", error=str(error))

    def _succeeded(self) -> None:
        status = self._image.journal
        if not status.ok:
            status.error = ""
            status.ok = True
        if self._failing:
            self._failing = False
            _log.info("journal is written again", file=str(self._path))
        self._back_off.reset()
        self._retry_ns = 0
