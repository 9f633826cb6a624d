"""The durable journal: every event of the cell, in order, exactly once, in one SQLite file.

Written by the journal process alone (`cellwright.io.journal.writer`), read by the MES and, after a
restart, by the scan's recovery. This module holds the format, the errors and the reader; the
reader never changes anything.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from cellwright.io.messages import AnyEvent, Event, MessageError, decode_event

CORRUPT: Final = "corrupt"
"""Kind of a row whose payload is not an event; it is kept for inspection and never delivered."""

FORMAT_VERSION: Final = 1
APPLICATION_ID: Final = 0x43574A4C
"""``CWJL`` in the header of the file (SQLite file format, 1.3.15)."""

BUSY_S: Final = 2.0
"""Longest wait of a reader for another process's lock on the file."""

SCHEMA: Final = """
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    producer TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    producer_sequence INTEGER NOT NULL,
    utc_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    task TEXT NOT NULL,
    part_id TEXT,
    payload BLOB NOT NULL,
    UNIQUE (producer, boot_id, producer_sequence)
);
CREATE TABLE identity (id TEXT NOT NULL);
INSERT INTO identity VALUES (lower(hex(randomblob(8))))
"""

INDEX: Final = "CREATE INDEX IF NOT EXISTS events_by_kind ON events (kind)"
"""Made whenever a writer opens the file: journals of earlier versions have none."""

AGES: Final = (
    "CREATE TABLE IF NOT EXISTS ages (running_ns INTEGER PRIMARY KEY, sequence INTEGER NOT NULL)"
)
"""How far the journal had come when the cell had run for so long in all: the age of a row, whatever
the wall clock did. Made like the index."""

LAST_OF_KIND: Final = (
    "coalesce((SELECT sequence FROM events WHERE kind = ? ORDER BY sequence DESC LIMIT 1), 0)"
)
"""Found by the index, so that a long journal costs no more than a short one, also when it has
none of that kind."""

_REMEDIES: Final = {
    "SQLITE_FULL": (errno.ENOSPC, "free space on that disk"),
    "SQLITE_READONLY": (errno.EROFS, "give this process write access to the file and its folder"),
    "SQLITE_CANTOPEN": (errno.EACCES, "check that the folder exists and can be written"),
    "SQLITE_PERM": (errno.EACCES, "give this process write access to the file and its folder"),
    "SQLITE_IOERR": (errno.EIO, "check the disk and its free space"),
    "SQLITE_BUSY": (errno.EAGAIN, "end the other program that holds the file locked"),
    "SQLITE_LOCKED": (errno.EAGAIN, "end the other program that holds the file locked"),
    "SQLITE_CORRUPT": (
        errno.EBADMSG,
        "move the file away for inspection; a new one is begun in its place",
    ),
    "SQLITE_NOTADB": (
        errno.EBADMSG,
        "move the file away for inspection; a new one is begun in its place",
    ),
}

T = TypeVar("T")


class JournalError(Exception):
    """The journal cannot be used; the sentence names the file, the reason and the remedy."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One row before it has its sequence. The first three fields identify it for ever."""

    producer: str
    """Ring that it came through (``scan``, ``supervisor``)."""
    boot_id: str
    producer_sequence: int
    utc_ns: int
    kind: str
    """Tag of the event type, or ``corrupt``."""
    task: str
    part_id: str | None
    payload: bytes


class CorruptRow(msgspec.Struct, frozen=True):
    """A row that holds no event: damaged on its way, or of a type that is not known here."""

    sequence: int
    producer: str
    boot_id: str
    producer_sequence: int
    utc_ns: int
    payload: bytes


class StoredRow(msgspec.Struct, frozen=True):
    """A row as it is stored, whether its payload is an event or not."""

    sequence: int
    kind: str
    utc_ns: int
    payload: bytes


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows are wanted; the default wants all."""

    kinds: tuple[str, ...] = ()
    """Empty: every kind."""
    from_ns: int = -(1 << 63)
    """Wall-clock time of the earliest and of the latest row; the clock may have jumped."""
    to_ns: int = (1 << 63) - 1


def database_error(path: Path, tried: str, error: sqlite3.Error) -> JournalError:
    """The error as a sentence: what was tried, on which file, what happened, what to do."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    number, remedy = 0, "check the file and its folder"
    for known, (code, what) in _REMEDIES.items():
        if name.startswith(known):
            number, remedy = code, what
    reason = f"{error} ({name}"
    reason += f", {os.strerror(number)})" if number else ")"
    return JournalError(f"cannot {tried} the journal {path}: {reason}; {remedy}")


def check_format(connection: sqlite3.Connection, path: Path) -> int:
    """The file's format version, 0 for an empty one; JournalError when it is no journal of ours."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables:
        return 0
    if application != APPLICATION_ID or version != FORMAT_VERSION:
        raise JournalError(
            f"{path} is not a journal of this version (application id {application:#x}, format "
            f"{version}; expected {APPLICATION_ID:#x}, {FORMAT_VERSION}); give the right path or "
            "move the file away"
        )
    return version


class JournalReader:
    """Reads while the writer goes on writing; sees whole commits only.

    Raises JournalError when the file is missing, is no journal or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise JournalError(
                f"the journal {path} does not exist; start the journal process, which makes it"
            )
        self._connection = self._guarded("open", self._open)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def identity(self) -> str:
        """Names this file for ever: a consumer's position counts for the journal it was read of."""
        identity: str = self._rows("SELECT id FROM identity", ())[0][0]
        return identity

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest row, 0 in an empty journal. Never goes back, purged or not."""
        return self._guarded("read", lambda: _last_sequence(self._connection))

    def read(self, after: int, limit: int = 500) -> list[tuple[int, AnyEvent]]:
        """Up to ``limit`` events with sequences above ``after``, in order; empty at the end.

        Rows that hold no event are left out (see `corrupt`) and do not count.
        """
        found: list[tuple[int, AnyEvent]] = []
        while len(found) < limit:
            rows = self._rows(
                "SELECT sequence, payload FROM events WHERE sequence > ? AND kind <> ? "
                "ORDER BY sequence LIMIT ?",
                (after, CORRUPT, limit - len(found)),
            )
            if not rows:
                break
            after = rows[-1][0]
            found.extend(self._decoded(rows))
        return found

    def since_last(self, kind: type[Event]) -> list[AnyEvent]:
        """All events after the last one of that kind, in order; all when there was none.

        After the last `PartDeparted` this is what happened to the part that is in the cell now;
        the programs rebuild their state from it when the scan restarts.
        """
        rows = self._rows(
            f"SELECT sequence, payload FROM events WHERE kind <> ? AND sequence > {LAST_OF_KIND} "
            "ORDER BY sequence",
            (CORRUPT, kind.__struct_config__.tag),
        )
        return [event for _, event in self._decoded(rows)]

    def last(self, kind: type[Event]) -> AnyEvent | None:
        """The newest event of that kind; None when there is none that can be read."""
        rows = self._rows(
            f"SELECT sequence, payload FROM events WHERE sequence = {LAST_OF_KIND}",
            (kind.__struct_config__.tag,),
        )
        return next((event for _, event in self._decoded(rows)), None)

    def corrupt(self, after: int = 0, limit: int = 500) -> list[CorruptRow]:
        """Rows that were damaged before they reached the journal, for inspection."""
        rows = self._rows(
            "SELECT sequence, producer, boot_id, producer_sequence, utc_ns, payload FROM events "
            "WHERE kind = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (CORRUPT, after, limit),
        )
        return [CorruptRow(*row) for row in rows]

    def newest(
        self, search: Search, before: int | None = None, limit: int = 500
    ) -> list[StoredRow]:
        """Up to ``limit`` wanted rows with sequences below ``before``, the newest first."""
        end = self.last_sequence + 1 if before is None else before
        return self._searched("sequence < ?", end, search, "DESC", limit)

    def later(self, search: Search, after: int, limit: int = 500) -> list[StoredRow]:
        """Up to ``limit`` wanted rows with sequences above ``after``, in order."""
        return self._searched("sequence > ?", after, search, "ASC", limit)

    def _searched(
        self, bound: str, sequence: int, search: Search, order: str, limit: int
    ) -> list[StoredRow]:
        kinds = f"AND kind IN ({', '.join('?' * len(search.kinds))}) " if search.kinds else ""
        rows = self._rows(
            f"SELECT sequence, kind, utc_ns, payload FROM events WHERE {bound} {kinds}"
            f"AND utc_ns BETWEEN ? AND ? ORDER BY sequence {order} LIMIT ?",
            (sequence, *search.kinds, search.from_ns, search.to_ns, limit),
        )
        return [StoredRow(*row) for row in rows]

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA query_only = ON")
            if check_format(connection, self._path) == 0:
                raise JournalError(
                    f"the journal {self._path} is empty; start the journal process, which fills it"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    def _rows(self, query: str, values: tuple[object, ...]) -> list[Any]:
        return self._guarded("read", lambda: self._connection.execute(query, values).fetchall())

    def _guarded(self, tried: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except sqlite3.Error as error:
            raise database_error(self._path, tried, error) from error

    def _decoded(self, rows: list[tuple[int, bytes]]) -> Iterator[tuple[int, AnyEvent]]:
        for sequence, payload in rows:
            try:
                yield sequence, decode_event(payload)
            except MessageError as error:
                # Commands that look at a cell read a row or two and are not to wait for it.
                import structlog  # noqa: PLC0415

                # The writer decoded it: the disk has changed it, or the reader is older.
                structlog.get_logger(__name__).error(
                    "journal row is not readable", sequence=sequence, error=str(error)
                )


def _last_sequence(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 0 if row is None else int(row[0])


JOURNAL_FILE: Final = "journal.db"
"""Name of the journal in the data folder."""
