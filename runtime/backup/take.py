"""Takes the backup of a cell, running or not: one archive, whole or not there at all.

Called by ``cellwright backup``. What is copied first, and why a restored cell then makes no serial
twice: decision 0173. Nothing of the cell is changed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from cellwright.io.files.located_yaml import Node, read
from cellwright.io.files.problems import Problems
from cellwright.io.files.sqlite_url import sqlite_file
from cellwright.io.image import Image, ImageError
from cellwright.io.journal.consumed import Consumed
from cellwright.io.journal.journal import JOURNAL_FILE, JournalError, JournalReader
from cellwright.io.journal.retain import FILES as RETAINED
from cellwright.io.journal.retain import RetainError
from cellwright.io.plan import Plan
from cellwright.runtime.backup import contents, copies
from cellwright.runtime.backup.archive import SUFFIX, Archive, ArchiveWriter
from cellwright.runtime.backup.manifest import (
    CELL,
    DATA,
    FORMAT,
    TABLES,
    BackupError,
    Dump,
    Edit,
    Manifest,
)
from cellwright.runtime.cell.lock import CellLock, RunError
from cellwright.runtime.cell.run_folder import RunFolder, folder_for
from cellwright.runtime.supervision.unsaved_events import unsaved

TRIES: Final = 3
SECRET: Final = 0o600
_PART: Final = ".part"


@dataclass
class Taken:
    """What came of it."""

    path: Path
    manifest: Manifest
    size: int
    """Bytes of the archive."""

    @property
    def without_records(self) -> bool:
        """There was no journal to be taken."""
        return all(entry.name != DATA + JOURNAL_FILE for entry in self.manifest.entries)


def take(plan: Plan, to: Path, *, recordings: bool = False) -> Taken:
    """An archive of the cell in the folder ``to``, verified. Raises BackupError.

    ``plan`` is that of the running cell, or else of its file.
    """
    if not to.is_dir():
        raise BackupError(f"there is no folder {to} to write into; make it, or name another")
    now = datetime.now(UTC)
    path = to / f"{plan.cell}-{now:%Y%m%dT%H%M%SZ}{SUFFIX}"
    if path.exists():
        raise BackupError(f"{path} is there already; try again in a second")
    try:
        with _staging(path) as stage, _held(plan) as image:
            work = _Work(plan, image, stage, recordings)
            manifest = work.run(now)
            with Archive(work.archive) as written:
                written.verify()
            size = work.archive.stat().st_size
            os.rename(work.archive, path)
            _sync(to)
    except OSError as error:
        raise BackupError(
            f"no backup was made in {to}: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}; check rights and free space"
        ) from error
    except (RetainError, JournalError, ImageError, RunError) as error:
        raise BackupError(f"no backup was made: {error}") from error
    return Taken(path, manifest, size)


@dataclass
class _Work:
    plan: Plan
    image: Image | None
    """Of the running cell."""
    stage: Path
    recordings: bool
    edits: list[Edit] = field(default_factory=list)
    folders: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.archive = self.stage / "archive"
        self.source, self.data = Path(self.plan.source), Path(self.plan.data)
        self.folder = Path(self.plan.folder)
        self.database = sqlite_file(self.plan.database) if self.plan.database else None
        self.writer = ArchiveWriter(self.archive)
        self.archive.chmod(SECRET)

    def run(self, now: datetime) -> Manifest:
        try:
            return self._run(now)
        except BaseException:
            self.writer.abandon()
            raise

    def _run(self, now: datetime) -> Manifest:
        problems = Problems(str(self.source))
        root = read(self.source, problems)
        if root is None:
            raise BackupError(f"no backup was made: {problems.found[0]}")
        data_name = self._data_name(root)
        dump = self._records()
        self._retained()
        self._files(root, data_name)
        manifest = Manifest(
            format=FORMAT,
            cellwright=version("cellwright"),
            made=now.isoformat(timespec="seconds"),
            cell=self.plan.cell,
            file=self.source.name,
            data=data_name,
            running=self.image is not None,
            edits=tuple(self.edits),
            folders=self.folders,
            entries=tuple(self.writer.entries),
            dump=dump,
        )
        self.writer.finish(manifest)
        return manifest

    # --- what must come in this order -----------------------------------------------------------

    def _records(self) -> Dump | None:
        """First the database, then the journal, which may be ahead of it and never behind."""
        journal = self.data / JOURNAL_FILE
        for _ in range(TRIES):
            consumed, first = self._begin(journal)
            dump, staged = self._database()
            copy = self.stage / JOURNAL_FILE
            copy.unlink(missing_ok=True)
            if journal.exists():
                copies.copy_sqlite(journal, copy)
                now_first = copies.first_sequence(copy)
                if now_first != first and now_first > consumed + 1:
                    continue  # rows went that the copied database may not have taken yet
                self._add(copy, DATA + JOURNAL_FILE, SECRET)
            for copied in staged:
                self._add(*copied)
            return dump
        raise BackupError(
            "no backup was made: the journal is being cleared while the MES catches up; try again "
            "in a few minutes"
        )

    def _begin(self, journal: Path) -> tuple[int, int]:
        """How far the MES says it has come, and the journal's oldest row."""
        if not journal.exists():
            return 0, 0
        with JournalReader(journal) as reader:
            identity = reader.identity
        return Consumed(self.data).read(identity), copies.first_sequence(journal)

    def _database(self) -> tuple[Dump | None, list[tuple[Path, str, int]]]:
        """A copy in the staging folder: its files, their names in the archive and their modes."""
        if self.database is not None and self.database.exists():
            copy = self.stage / "database"
            copy.unlink(missing_ok=True)
            copies.copy_sqlite(self.database, copy)
            mode = stat.S_IMODE(self.database.stat().st_mode)
            return None, [(copy, DATA + self._database_name(), mode)]
        if not self.plan.database or self.database is not None:
            return None, []
        # Brings SQLAlchemy, which most cells' backups do not need.
        from cellwright.runtime.backup.postgresql import dump  # noqa: PLC0415

        files: list[tuple[Path, str, int]] = []

        def put(table: str, pieces: Iterator[bytes]) -> None:
            path = self.stage / f"rows-{len(files)}"
            with path.open("wb") as file:
                file.writelines(pieces)
            files.append((path, TABLES + table, SECRET))

        return dump(self.plan.database, put), files

    def _retained(self) -> None:
        """Last, and of a cycle after all events in the copied journal: no number comes again."""
        folder = self.stage / "retained"
        folder.mkdir()
        if self.image is None or not copies.save_retained(self.plan, self.image, folder):
            folder = self.data
        for name in RETAINED:
            if (folder / name).exists():
                self._add(folder / name, DATA + name, SECRET)

    # --- what may come in any order -------------------------------------------------------------

    def _files(self, root: Node, data_name: str) -> None:
        real = Path(os.path.realpath(self.data))
        home = Path(os.path.realpath(self.folder))
        skip = {Path(os.path.realpath(self.stage))}
        if self.database is not None:
            skip.add(Path(os.path.realpath(self.database)))
        # A data folder that the cell's file names is none of its files, even where another is used.
        of_cell = skip | {Path(os.path.realpath(self.folder / data_name)), real}
        if home in of_cell:
            of_cell = of_cell - {home} | contents.kept_apart(home)
        for found in contents.cell_files(self.folder, frozenset(of_cell)):
            self._take(found, CELL)
        if self.data.is_dir() and real != home:
            # The cell's folder may lie in its data folder.
            without = frozenset(skip | {home})
            for found in contents.data_files(self.data, without, recordings=self.recordings):
                self._take(found, DATA)
        for path, name, edit in contents.named_elsewhere(root, self.folder, self.data):
            if name:
                self._add(path, f"{CELL}{contents.OUTSIDE}/{name}")
            self.edits.append(edit)

    def _take(self, found: contents.Found, under: str) -> None:
        try:
            if found.folder:
                self.folders[under + found.name] = stat.S_IMODE(found.path.stat().st_mode)
            elif copies.is_sqlite(found.path):
                copy = self.stage / "other"
                copy.unlink(missing_ok=True)
                copies.copy_sqlite(found.path, copy)
                self._add(copy, under + found.name, stat.S_IMODE(found.path.stat().st_mode))
            else:
                self._add(found.path, under + found.name)
        except FileNotFoundError:
            return  # a recording that was pruned, a picture that was replaced
        except PermissionError as error:
            raise BackupError(
                f"no backup was made: {found.path} cannot be read ({error.strerror}); take the "
                "backup as the user that the cell runs as"
            ) from error

    def _add(self, path: Path, name: str, mode: int | None = None) -> None:
        with path.open("rb") as file:
            kept = stat.S_IMODE(os.fstat(file.fileno()).st_mode) if mode is None else mode
            self.writer.add(name, file, kept & 0o777)

    # --- places ---------------------------------------------------------------------------------

    def _data_name(self, root: Node) -> str:
        """Where the restored data folder lies; the file is changed when it says otherwise."""
        entry = root.section("cell").get("data")
        said = "./data" if entry is None else str(entry.node.value)
        inside = Path(os.path.normpath(self.folder / said))
        name = str(inside.relative_to(self.folder)) if inside.is_relative_to(self.folder) else ""
        if not name or os.path.isabs(said):
            name = "data"
            while (self.folder / name).exists() and (self.folder / name) != self.data:
                name += "-restored"
            self.edits.append(Edit(("cell", "data"), f"./{name}", f"was {said}"))
        return name

    def _database_name(self) -> str:
        """Name of the database in the data folder."""
        assert self.database is not None
        path = Path(os.path.normpath(self.database))
        said = self._said_database()
        if not said.startswith("sqlite:////") and path.is_relative_to(self.data):
            return str(path.relative_to(self.data))
        key, url = ("mes", "database"), f"sqlite:///{path.name}"
        if all(edit.key != key for edit in self.edits):
            self.edits.append(Edit(key, url, f"was {said}"))
        return path.name

    def _said_database(self) -> str:
        root = read(self.source, Problems(str(self.source)))
        entry = None if root is None else root.section("mes").get("database")
        return "" if entry is None else str(entry.node.value)


# --- around it ------------------------------------------------------------------------------------


@contextmanager
def _held(plan: Plan) -> Iterator[Image | None]:
    """The image of the running cell; of a stopped one None, and it cannot be started meanwhile."""
    data, folder = Path(plan.data), RunFolder(folder_for(plan))
    with ExitStack() as stack:
        lock = CellLock(data)
        if data.is_dir() and os.access(data, os.W_OK):
            running = not _acquired(lock, stack) or _runs(CellLock(folder.path), folder)
        else:
            running = _runs(lock, folder) or _runs(CellLock(folder.path), folder)
        if not running:
            _check_left(plan, folder)
            yield None
            return
        if not folder.plan_file.exists():
            raise BackupError(
                f"no backup was made: another program is at work in {data}, a start of the cell or "
                "another backup; try again when it is done"
            )
        _, image = folder.attach()
        stack.callback(image.close)
        yield image


def _acquired(lock: CellLock, stack: ExitStack) -> bool:
    try:
        lock.acquire()
    except RunError:
        return False
    stack.callback(lock.release)
    return True


def _runs(lock: CellLock, folder: RunFolder) -> bool:
    return folder.plan_file.exists() and lock.owner_lives()


def _check_left(plan: Plan, folder: RunFolder) -> None:
    """A run that was killed left what is not on the disk; only a start brings it there."""
    if not folder.image.exists():
        return
    try:
        _, image = folder.attach()
    except (RunError, ImageError):
        return  # of another version, or damaged: the next start cannot use it either
    try:
        left = unsaved(image)
    finally:
        image.close()
    if left:
        raise BackupError(
            f"no backup was made: the cell was killed, and of its last run {left}; start the cell "
            f"once ('cellwright run {plan.source}'), which writes them, then take the backup"
        )


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """A folder beside the archive to be, gone at the end. One that was left by a kill goes too."""
    for old in path.parent.glob(f".*{SUFFIX}{_PART}"):
        _clear(old)
    stage = path.with_name(f".{path.name}{_PART}")
    stage.mkdir(mode=0o700)
    held = os.open(stage / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SECRET)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        os.close(held)


def _clear(old: Path) -> None:
    try:
        held = os.open(old / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(old, ignore_errors=True)
    except BlockingIOError:
        pass  # another backup is at work there
    finally:
        os.close(held)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
