"""Consistent copies of what changes while a cell runs: SQLite files, and the retained values.

Called in the order that `take` keeps; why it is that order says decision 0173.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from cellwright.io.image import Image
from cellwright.io.journal.retain import RetainedValue, RetainStore
from cellwright.io.plan import Plan
from cellwright.runtime.backup.manifest import BackupError

MAGIC: Final = b"SQLite format 3\0"
BUSY_S: Final = 10.0
CYCLES: Final = 2
"""An event may be on its ring a moment before the values of its cycle are published."""
WAIT_S: Final = 2.0


def is_sqlite(path: Path) -> bool:
    """The file is an SQLite database, by its first bytes."""
    try:
        with path.open("rb") as file:
            return bool(file.read(len(MAGIC)) == MAGIC)
    except OSError:
        return False


def copy_sqlite(source: Path, target: Path) -> None:
    """One moment of a database that others go on writing; the copy is one whole file.

    Raises BackupError, also when the database is damaged.
    """
    try:
        with closing(_opened(source)) as original, closing(_opened(target, "rwc")) as copy:
            # All pages in one step: a snapshot of one moment, for which no writer waits.
            original.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE")
            (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BackupError(
            f"the database {source} cannot be copied: {error}; check it, its folder and the free "
            f"space of {target.parent}"
        ) from error
    if verdict != "ok":
        raise BackupError(
            f"the database {source} is damaged ({verdict}); move it away for inspection"
        )


def _opened(path: Path, mode: str = "rw") -> sqlite3.Connection:
    # Read-write also for reading: who reads a file that was left behind has to tidy up after it.
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, timeout=BUSY_S, isolation_level=None, uri=True)


def first_sequence(journal: Path) -> int:
    """Sequence of the oldest row of a journal, 0 when it has none. Raises BackupError."""
    try:
        with closing(_opened(journal)) as connection:
            (first,) = connection.execute("SELECT min(sequence) FROM events").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"the journal {journal} cannot be read: {error}") from error
    return int(first or 0)


def save_retained(plan: Plan, image: Image, folder: Path) -> bool:
    """Retained values of a cycle after now, into files in ``folder``; False: none is published.

    A forced tag gives the value beneath its force.
    """
    reader = image.snapshot_reader()
    reader.read()
    wanted = reader.cycle + CYCLES
    deadline = time.monotonic() + WAIT_S + 5 * plan.scan.base_ns / 1e9
    # A scan that is dead publishes nothing new; its successor begins with just these values.
    while reader.cycle < wanted and time.monotonic() < deadline:
        time.sleep(min(0.02, plan.scan.base_ns / 1e9))
        reader.read()
    if not reader.cycle:
        return False
    values = {
        tag.name: RetainedValue(tag.type, reader.kept_value(tag.index))
        for tag in plan.tags
        if tag.retain
    }
    RetainStore(folder).save(values, plan.layout_hash)
    return True
