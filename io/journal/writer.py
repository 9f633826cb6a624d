"""Writes the journal: takes events from the image's rings and commits them in groups.

Run by the journal process, the only writer of the file and of the image's journal status. A ring
is acknowledged only after the commit, so nothing that is acknowledged can be lost, and a record
that is delivered twice is stored once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from cellwright.io.journal.journal import (
    AGES,
    APPLICATION_ID,
    FORMAT_VERSION,
    INDEX,
    LAST_OF_KIND,
    SCHEMA,
    JournalError,
    Record,
    check_format,
    database_error,
)
from cellwright.io.messages import PartDeparted, ProgramChanged

KEEP_NS: Final = 7 * 24 * 3600 * 1_000_000_000
"""Rows that every consumer has taken are kept this long; time in which the cell runs."""

DEPARTED: Final = str(PartDeparted.__struct_config__.tag)

CHANGED: Final = str(ProgramChanged.__struct_config__.tag)

LOOKED_AT: Final = 20_000
"""Oldest rows among which one call of `JournalWriter.purge` looks for them: a whole week of a fast
cell would be looked through for seconds."""

PURGE_ROWS: Final = 2000
"""Most rows that one call of `JournalWriter.purge` deletes, so that events do not wait for it."""

BUSY_S: Final = 0.2
"""Longest wait for another process's lock."""


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

    def check(self) -> None:
        """JournalError when the file is gone or another one; what is closed is opened again."""
        try:
            self._open()
        except sqlite3.Error as error:
            self._abandon()
            raise database_error(self.path, "open", error) from error
        except JournalError:
            self._abandon()
            raise

    def note_running(self, passed_ns: int) -> None:
        """Note how far the journal has come, ``passed_ns`` of running time after the last note.

        All rows so far are at least as old as this note. Time in which no cell runs is not counted,
        and neither is what the wall clock says: a clock that jumps makes no row older.
        """

        def note(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO ages SELECT "
                "coalesce((SELECT max(running_ns) FROM ages), 0) + ?, "
                "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)",
                (max(passed_ns, 0),),
            )

        self._use("note the running time in", note)

    def purge(self, consumed_up_to: int, keep_ns: int) -> int:
        """Delete rows that are consumed and ``keep_ns`` old by the notes; how many, at most 2000.

        Of what happened to parts everything from the last departure on stays whatever its age:
        recovery needs it, as it needs to know which change of programs was told last.
        """
        deleted = 0

        def delete(connection: sqlite3.Connection) -> None:
            nonlocal deleted
            noted_ns, aged = connection.execute(
                "SELECT running_ns, sequence FROM ages "
                "WHERE running_ns <= (SELECT max(running_ns) FROM ages) - ? "
                "ORDER BY running_ns DESC LIMIT 1",
                (keep_ns,),
            ).fetchone() or (0, 0)
            connection.execute("DELETE FROM ages WHERE running_ns < ?", (noted_ns,))
            deleted = connection.execute(
                "DELETE FROM events WHERE sequence IN (SELECT sequence FROM "
                "(SELECT sequence, kind, part_id FROM events WHERE sequence <= ? "
                "ORDER BY sequence LIMIT ?) WHERE kind <> ? "
                f"AND (part_id IS NULL OR sequence < {LAST_OF_KIND}) LIMIT ?)",
                (min(consumed_up_to, aged), LOOKED_AT, CHANGED, DEPARTED, PURGE_ROWS),
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
            connection.execute(AGES)
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
