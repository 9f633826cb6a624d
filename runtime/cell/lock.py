"""One owner of a folder at a time, told by a lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class RunError(Exception):
    """The running cell cannot be found, made or joined; the sentence says what to do."""


def _lives(pid: int) -> bool:
    """True for a process that runs; one that is dead and not yet reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return not stat.rpartition(") ")[2].startswith("Z")


class CellLock:
    """Exclusive ownership of a cell's data or run folder for the life of the supervisor."""

    def __init__(self, data: Path) -> None:
        self._path = data / "lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock or raise RunError that names the owner's pid."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RunError(
                f"folder {self._path.parent}: {error.strerror}; give the cell a writable data "
                f"folder (cell: {{data: ...}} or --data)"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise RunError(
                f"the cell that uses {self._path.parent} already runs (pid {owner}); "
                f"stop it first, or give this one another data folder"
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self.release()  # of a file that is gone: the folder was deleted and made anew
        self._file = file

    def in_place(self) -> bool:
        """True while the file that this process has locked is the one in the folder."""
        if self._file is None:
            return False
        own = os.fstat(self._file)
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)

    def owner_lives(self) -> bool:
        """True while the process that took the lock last is there; takes nothing itself."""
        try:
            owner = int(self._path.read_text())
        except (OSError, ValueError):
            return False
        return _lives(owner)

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
