"""What a cell did after its backup, from the data folder of the former PC where that can be read.

Its journal goes on where the archive's ends: every mark is in it before a marker starts, so the
restored cell knows the serials that were used. Called by `restore`; the folder is only read.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from cellwright.io.journal.journal import JOURNAL_FILE, JournalError, JournalReader
from cellwright.io.journal.retain import FILES as RETAINED
from cellwright.io.journal.retain import RetainError, RetainStore
from cellwright.runtime.backup.copies import copy_sqlite, first_sequence
from cellwright.runtime.backup.manifest import BackupError

_BESIDE: Final = ("", "-wal")


def adopt(former: Path, data: Path, stage: Path) -> str:
    """Put journal and retained values of ``former`` in the place of those in ``data``.

    Gives a sentence about it. Raises BackupError when it is not the same cell's, or has a gap.
    """
    source = former / JOURNAL_FILE
    if not source.is_file():
        raise BackupError(
            f"there is no {source}; --newer names the data folder of the former PC's cell"
        )
    # In a place of ours: the disk may be mounted read-only, and SQLite tidies up when it opens.
    folder = stage / ".newer"
    folder.mkdir()
    try:
        for end in _BESIDE:
            beside = former / f"{JOURNAL_FILE}{end}"
            if beside.is_file():
                shutil.copyfile(beside, folder / beside.name)
        newer = folder / JOURNAL_FILE
        count = _later(newer, data / JOURNAL_FILE, source)
        (data / JOURNAL_FILE).unlink()
        copy_sqlite(newer, data / JOURNAL_FILE)
        (data / JOURNAL_FILE).chmod(0o600)
        _adopt_retained(former, data)
    except (JournalError, RetainError) as error:
        raise BackupError(f"{former} cannot be used: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return f"{count} events came after the backup and were taken from {source}"


def _later(newer: Path, restored: Path, source: Path) -> int:
    """How many events came after those of the restored journal."""
    with JournalReader(newer) as ahead, JournalReader(restored) as behind:
        if ahead.identity != behind.identity:
            raise BackupError(
                f"{source} is not the journal that the archive's went on as; it is another cell's, "
                "or one that was begun anew"
            )
        last, end = behind.last_sequence, ahead.last_sequence
    if end < last:
        raise BackupError(f"{source} is older than the archive; leave --newer out")
    first = first_sequence(newer)
    if first > last + 1:
        raise BackupError(
            f"{source} begins with event {first} and the archive ends with {last}: what came "
            "between is in neither; use a newer archive"
        )
    return end - last


def _adopt_retained(former: Path, data: Path) -> None:
    if not RetainStore(former).load().generation:
        return
    for name in RETAINED:
        (data / name).unlink(missing_ok=True)
        if (former / name).is_file():
            shutil.copyfile(former / name, data / name)
            (data / name).chmod(0o600)
