"""Keys in files of mode 0600: made at first use, replaced with overlap, never opened by a name from
outside.

Several processes use one folder. A file appears whole or not at all, and under a number that only
one process can take: who comes second loads what the first has made.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from cellwright.mes.kernel.errors import MesError

_DIGITS: Final = 6


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of a key file."""

    created_utc_s: int
    """Seconds since 1970."""
    key: str
    """PEM (PKCS 8), or hexadecimal for a symmetric key."""

    def __repr__(self) -> str:
        return f"KeyFile(created_utc_s={self.created_utc_s})"


class KeyFolder:
    """The keys of one purpose: ``PURPOSE-000001.json``, ``PURPOSE-000002.json``, ..."""

    def __init__(self, folder: Path, purpose: str, make: Callable[[], str]) -> None:
        """``make`` gives the text of a new key."""
        self._folder = folder
        self._purpose = purpose
        self._make = make

    def load(self) -> list[KeyFile]:
        """All keys, oldest first. Raises MesError ``no_keys``."""
        try:
            return [_read(path) for path in self._paths()]
        except OSError as error:
            raise _trouble(self._folder, error) from error

    def ensure(self, utc_s: int) -> list[KeyFile]:
        """All keys, oldest first; makes the first one. Raises MesError ``no_keys``."""
        found = self.load()
        if found:
            return found
        self._add(1, utc_s)
        return self.load()

    def rotate(self, utc_s: int) -> None:
        """Put a new key behind the others; one that another process puts there at that moment
        serves as well. Raises MesError ``no_keys``."""
        self._add(self._last_number() + 1, utc_s)

    def drop_before(self, count: int) -> None:
        """Remove the ``count`` oldest keys. Raises MesError ``no_keys``."""
        try:
            for path in self._paths()[:count]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise _trouble(self._folder, error) from error

    def changed(self) -> int:
        """A number that changes when a key comes or goes; 0 when there is no folder."""
        try:
            return self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _trouble(self._folder, error) from error

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._purpose}-{'[0-9]' * _DIGITS}.json"))

    def _last_number(self) -> int:
        paths = self._paths()
        return int(paths[-1].stem[-_DIGITS:]) if paths else 0

    def _add(self, number: int, utc_s: int) -> None:
        path = self._folder / f"{self._purpose}-{number:0{_DIGITS}}.json"
        temporary = self._folder / f".{self._purpose}-{secrets.token_hex(8)}.new"
        content = msgspec.json.encode(KeyFile(utc_s, self._make()))
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                # A link fails when the name is taken, a rename would replace the other's key.
                os.link(temporary, path)
            except FileExistsError:
                return
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(self._folder)
        except OSError as error:
            raise _trouble(self._folder, error) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> KeyFile:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        if mode & 0o077:
            raise MesError(
                "no_keys",
                f"others may read the key {path} (mode {mode:04o}); run `chmod 600 {path}`, and "
                "replace the key when somebody could have taken it",
            )
        data = stream.read(1 << 16)
    try:
        return msgspec.json.decode(data, type=KeyFile)
    except msgspec.DecodeError as error:
        raise MesError(
            "no_keys", f"the key file {path} is damaged: restore it from the backup"
        ) from error


def _trouble(folder: Path, error: OSError) -> MesError:
    return MesError(
        "no_keys",
        f"cannot use the keys in {folder}: {error.strerror}; give this user the folder and its "
        "files, and free space on its disk",
    )
