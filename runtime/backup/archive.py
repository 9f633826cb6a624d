"""Archives as zip files: written with a hash a file, checked as a whole before anybody trusts one.

An archive may come from anywhere: nothing of it is believed that was not checked. Knows no cells.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from cellwright.runtime.backup.manifest import (
    CELL,
    DATA,
    NAME,
    TABLES,
    BackupError,
    Entry,
    Manifest,
    decode,
    encode,
)

SUFFIX: Final = ".cellwright.zip"
CHUNK: Final = 1 << 20
AT_ONCE: Final = 8 << 20
"""Bytes after which the disk is waited for."""
MAX_MANIFEST: Final = 64 << 20
MAX_FILES: Final = 500_000
MOST_TIMES: Final = 300
"""So many times larger than its archive may a content be that is larger than `HARMLESS`: databases
shrink to a twentieth, a bomb to a thousandth."""
HARMLESS: Final = 100 << 20


class ArchiveWriter:
    """Writes one archive. Raises OSError, like any file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=3)
        self.entries: list[Entry] = []
        self._names: set[str] = set()
        self._waiting = 0

    def add(self, name: str, source: IO[bytes], mode: int) -> None:
        """A file as it can be read from ``source`` now."""
        with self.stream(name, mode) as write:
            while chunk := source.read(CHUNK):
                write(chunk)

    @contextmanager
    def stream(self, name: str, mode: int) -> Iterator[Callable[[bytes], None]]:
        """A file that is written piece by piece."""
        if name in self._names:
            raise BackupError(f"two files would be called {name} in the archive; rename one")
        self._names.add(name)
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = (stat.S_IFREG | mode) << 16
        digest, size = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=True) as file:

            def write(data: bytes) -> None:
                nonlocal size
                digest.update(data)
                size += len(data)
                file.write(data)
                self._drain(len(data))

            yield write
        self.entries.append(Entry(name, size, digest.hexdigest(), mode))

    def _drain(self, size: int) -> None:
        """Let the disk have it bit by bit: a great flush would keep the cell's journal waiting."""
        self._waiting += size
        if self._waiting > AT_ONCE:
            self._waiting = 0
            self._file.flush()
            os.fdatasync(self._file.fileno())

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and wait for the disk."""
        self._zip.writestr(NAME, encode(manifest))
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file, whatever state it is in."""
        self._zip.fp = None  # else it would write its directory into a file that nobody wants
        self._file.close()


class Archive:
    """An archive that is read. Raises BackupError whose sentence names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._size = path.stat().st_size
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise BackupError(f"{path}: {error.strerror}; check the path") from error
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BackupError(
                f"{path} is not an archive of Cellwright, or is cut off ({error}); use another copy"
            ) from error
        try:
            with self._told():
                self.manifest = self._read_manifest()
                self._check_names()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def verify(self) -> None:
        """Read every file and compare it with its hash."""
        for entry in self.manifest.entries:
            for _ in self.chunks(entry):
                pass

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """The content, which is whole and right when the last piece has come."""
        digest, left = hashlib.sha256(), entry.size
        with self._told(), self._zip.open(entry.name) as file:
            while chunk := file.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                digest.update(chunk)
                yield chunk
        if left or digest.hexdigest() != entry.sha256:
            raise BackupError(
                f"{self._path}: {entry.name} is not what was saved (its hash is another); "
                "use another copy"
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BackupError as error:
            if str(error).startswith(str(self._path)):
                raise
            raise BackupError(f"{self._path}: {error}") from error
        except (
            zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError, NotImplementedError,
        ) as error:  # fmt: skip
            raise BackupError(f"{self._path} is damaged ({error}); use another copy") from error
        except OSError as error:
            raise BackupError(
                f"{self._path} cannot be read: {error.strerror or error}; use another copy"
            ) from error

    def _read_manifest(self) -> Manifest:
        if NAME not in self._zip.namelist():
            raise BackupError(f"it has no {NAME}, so it is not an archive of Cellwright")
        with self._zip.open(NAME) as file:
            data = file.read(MAX_MANIFEST + 1)
        if len(data) > MAX_MANIFEST:
            raise BackupError(f"its {NAME} is too large; use another copy")
        return decode(data)

    def _check_names(self) -> None:
        """What the zip holds is what the manifest names, and none of it leads elsewhere."""
        infos = [info for info in self._zip.infolist() if info.filename != NAME]
        entries = {entry.name: entry for entry in self.manifest.entries}
        if len(infos) > MAX_FILES or len(infos) != len(self._zip.infolist()) - 1:
            raise BackupError("it has too many files, or two manifests; use another copy")
        if len(entries) != len(self.manifest.entries) or sorted(entries) != sorted(
            info.filename for info in infos
        ):
            raise BackupError("it does not hold the files that its manifest names")
        for name in (*entries, *self.manifest.folders):
            check_name(name)
        check_relative(self.manifest.file, "cell's file")
        if self.manifest.data != ".":
            check_relative(self.manifest.data, "data folder")
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise BackupError(f"{info.filename} is a link or a device, which no archive holds")
            if info.file_size != entries[info.filename].size or entries[info.filename].size < 0:
                raise BackupError(f"{info.filename} has another size than its manifest says")
        packed = sum(info.compress_size for info in infos)
        if packed > self._size or (
            self.manifest.size > HARMLESS and self.manifest.size > MOST_TIMES * self._size
        ):
            raise BackupError(
                f"its {self._size} bytes would become {self.manifest.size}: no archive of a cell "
                "does that"
            )


def check_name(name: str) -> None:
    """A name stays below the restored folder; raises BackupError."""
    if not name.startswith((CELL, DATA, TABLES)):
        raise BackupError(f"'{name}' belongs to no part of a cell")
    check_relative(name, "file")


def check_relative(name: str, what: str) -> None:
    """A relative path without ways out; raises BackupError."""
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith("/")
        or "\\" in name
        or "\0" in name
        or any(part in ("..", ".") for part in name.split("/"))
    ):
        raise BackupError(f"the {what} '{name}' would lie outside the restored folder")
