"""Makes a cell of an archive, in an empty folder: all of it or nothing.

Called by ``cellwright restore``. Everything is checked before anything is written, and the folder
appears under its name when it is complete.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any, Final

from cellwright.io.journal.journal import JOURNAL_FILE
from cellwright.runtime.backup import edits, later
from cellwright.runtime.backup.archive import Archive
from cellwright.runtime.backup.manifest import (
    CELL,
    DATA,
    TABLES,
    BackupError,
    Edit,
    Entry,
    Manifest,
    Table,
)
from cellwright.runtime.cell.lock import CellLock
from cellwright.runtime.cell.run_folder import known_cells

ASIDE: Final = "journal-before-restore.db"
"""The restored journal where the database is newer: its events are in that already."""
UNCLEAN: Final = "running"
"""A cell that finds this file waits in STOP until somebody starts it."""
_PART: Final = ".restoring"
SPARE: Final = 16 << 20
"""Bytes that are to be free beside what is restored."""


class Restored:
    """What came of it."""

    def __init__(self, manifest: Manifest, file: Path) -> None:
        self.manifest = manifest
        self.file = file
        self.notes: list[str] = []
        self.gives_serials = False
        """It has an MES, which goes on with the numbers of the archive's database."""


def restore(
    archive: Path,
    target: Path,
    *,
    database: str | None = None,
    keep_database: bool = False,
    newer: Path | None = None,
) -> Restored:
    """The cell in the folder ``target``, which is made or empty. Raises BackupError.

    ``database``: URL of an empty PostgreSQL database, instead of the one in the cell's file.
    ``keep_database``: what is in the PostgreSQL database stays, the archive's rows are not used.
    ``newer``: data folder of the former PC, with what came after the backup.
    """
    with Archive(archive) as opened:
        opened.verify()
        manifest = opened.manifest
        if manifest.dump is None and (database or keep_database):
            raise BackupError(
                f"{archive} has no PostgreSQL database: leave --database and --keep-database out"
            )
        target = Path(os.path.abspath(target))
        _check_target(target)
        if newer is not None:
            _check_stopped(newer)
        done = Restored(manifest, target / manifest.file)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _check_space(target.parent, manifest)
            with _staging(target) as stage:
                _fill(opened, stage)
                data = stage / manifest.data
                if newer is not None:
                    done.notes.append(later.adopt(newer, data, stage))
                elif keep_database and (data / JOURNAL_FILE).exists():
                    (data / JOURNAL_FILE).rename(data / ASIDE)
                    done.notes.append(f"a new journal begins; the archive's is {ASIDE}")
                _edit(done, stage, database)
                done.gives_serials = not keep_database and bool(_url(stage / manifest.file))
                with _database(opened, stage, database, keep_database=keep_database) as notes:
                    done.notes += notes
                # The rows are there for good. A folder without them would begin its numbers anew;
                # rows without the folder are found, and refused, by the next try.
                os.rename(stage, target)
                _sync(target.parent)
        except OSError as error:
            raise BackupError(
                f"nothing was restored into {target}: {error.strerror or error}; check rights and "
                "free space"
            ) from error
    return done


# --- checks ---------------------------------------------------------------------------------------


def _check_target(target: Path) -> None:
    for _, plan in known_cells():
        places = (Path(plan.folder), Path(plan.data))
        if any(place == target or place.is_relative_to(target) for place in places) and (
            CellLock(Path(plan.data)).owner_lives()
        ):
            raise BackupError(
                f"the cell '{plan.cell}' runs in {target}; stop it, and restore into another folder"
            )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BackupError(f"{target} is no folder; name a new or an empty one")
    try:
        present = sorted(entry.name for entry in target.iterdir()) if target.exists() else []
    except OSError as error:
        raise BackupError(f"{target} cannot be read: {error.strerror}; name another") from error
    if present:
        shown = ", ".join(present[:3]) + (", ..." if len(present) > 3 else "")
        raise BackupError(
            f"{target} is not empty (it has {shown}), and nothing is overwritten; name a new or an "
            "empty folder"
        )


def _check_stopped(data: Path) -> None:
    """Not by the lock's number alone: it is that of a process on the former PC."""
    real = data.resolve()
    for _, plan in known_cells():
        if Path(plan.data).resolve() == real and CellLock(data).owner_lives():
            raise BackupError(f"the cell '{plan.cell}' runs on {data}; stop it first")


def _check_space(folder: Path, manifest: Manifest) -> None:
    free = shutil.disk_usage(folder).free
    if free < manifest.size + SPARE:
        raise BackupError(
            f"the cell needs {manifest.size / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB "
            "free; make room, or name a folder on another disk"
        )


# --- files ----------------------------------------------------------------------------------------


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    for old in target.parent.glob(f".{glob.escape(target.name)}.*{_PART}"):
        with _locked(old) as free:
            if free:  # a kill left it
                shutil.rmtree(old, ignore_errors=True)
    stage = target.with_name(f".{target.name}.{os.getpid()}{_PART}")
    stage.mkdir(mode=0o700)
    try:
        with _locked(stage):
            yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """A lock on the folder that dies with this process; False while another one has it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def _fill(archive: Archive, stage: Path) -> None:
    manifest = archive.manifest
    data = stage / manifest.data
    data.mkdir(parents=True, exist_ok=True)
    for name in sorted(manifest.folders):
        _place(stage, data, name).mkdir(parents=True, exist_ok=True)
    for entry in manifest.entries:
        if entry.name.startswith(TABLES):
            continue
        path = _place(stage, data, entry.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(archive, entry, path)
    for name, mode in sorted(manifest.folders.items(), reverse=True):
        # Its owner must be able to work in it.
        _place(stage, data, name).chmod(mode & 0o777 | 0o700)
    (data / UNCLEAN).write_text("restored\n", encoding="utf-8")


def _place(stage: Path, data: Path, name: str) -> Path:
    if name.startswith(DATA):
        return data / PurePosixPath(name.removeprefix(DATA))
    return stage / PurePosixPath(name.removeprefix(CELL))


def _write(archive: Archive, entry: Entry, path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        for chunk in archive.chunks(entry):
            file.write(chunk)
        file.flush()
        os.fchmod(file.fileno(), entry.mode & 0o777)
        os.fsync(file.fileno())


def _edit(done: Restored, stage: Path, database: str | None) -> None:
    wanted = list(done.manifest.edits)
    if database is not None:
        wanted.append(Edit(("mes", "database"), database, "as --database says"))
    file = stage / done.manifest.file
    if not file.is_file():
        raise BackupError(f"the archive has no {done.manifest.file}; use another copy")
    edits.apply(file, wanted)
    done.notes += [
        f"in {file.name}: {'.'.join(edit.key)} is {edit.value} now ({edit.why})"
        for edit in done.manifest.edits
    ]


# --- database -------------------------------------------------------------------------------------


def _database(archive: Archive, stage: Path, database: str | None, *, keep_database: bool) -> Any:
    """What fills the database of a cell that has one on a server, and else does nothing."""
    saved = archive.manifest.dump
    if saved is None or keep_database:
        return nullcontext([])
    from cellwright.runtime.backup.postgresql import loaded  # noqa: PLC0415

    entries = {entry.name: entry for entry in archive.manifest.entries}

    def rows(table: Table) -> Iterator[bytes]:
        return archive.chunks(entries[TABLES + table.name])

    file = stage / archive.manifest.file
    url = database or _url(file)
    if not url:
        raise BackupError(f"{file.name} names no database; name one with --database")
    return loaded(url, saved, rows)


def _url(file: Path) -> str:
    """The database that the cell's file names; empty for a cell without MES."""
    from cellwright.io.files.located_yaml import read  # noqa: PLC0415
    from cellwright.io.files.problems import Problems  # noqa: PLC0415

    root = read(file, Problems(str(file)))
    entry = None if root is None else root.section("mes").get("database")
    return "" if entry is None else str(entry.node.value)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
