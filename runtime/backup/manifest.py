"""What an archive says of itself: whose it is, of when, and each file with its size and hash.

Written last into an archive and read first out of it. Knows neither zip nor cells.
"""

from __future__ import annotations

from typing import Final

import msgspec

FORMAT: Final = 1
"""Rises when an older Cellwright could not restore what a newer one has written."""
NAME: Final = "manifest.json"
CELL: Final = "cell/"
"""Beginning of the names of what goes into the restored folder itself."""
DATA: Final = "data/"
"""... into its data folder."""
TABLES: Final = "postgresql/"
"""... of rows that go into a PostgreSQL database."""


class BackupError(Exception):
    """No archive, or no cell of it; the sentence says what, why and what to do."""


class Entry(msgspec.Struct, frozen=True):
    """One file of an archive."""

    name: str
    """With slashes, relative, beginning with one of the beginnings above."""
    size: int
    sha256: str
    mode: int
    """Permission bits."""


class Edit(msgspec.Struct, frozen=True):
    """A value of the cell's file that names a place of the former PC, and what it is now."""

    key: tuple[str, ...]
    value: str
    why: str


class Table(msgspec.Struct, frozen=True):
    """Rows of one table in PostgreSQL's text form of COPY."""

    name: str
    columns: tuple[str, ...]
    rows: int


class Dump(msgspec.Struct, frozen=True):
    """A PostgreSQL database at one moment."""

    revisions: tuple[str, ...]
    """Of the store's migrations; they make the tables."""
    tables: tuple[Table, ...]
    sequences: dict[str, int]
    """Name to the last number that was taken."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole."""

    format: int
    cellwright: str
    """Version that wrote it."""
    made: str
    """UTC, ISO 8601: a moment that all of it comes after or is of."""
    cell: str
    file: str
    """Name of the cell's file in its folder."""
    data: str
    """The data folder, relative to the cell's folder."""
    running: bool
    """It was taken of a running cell."""
    edits: tuple[Edit, ...] = ()
    folders: dict[str, int] = {}
    """Folders with their permission bits, names as those of the files."""
    entries: tuple[Entry, ...] = ()
    dump: Dump | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)


class _Head(msgspec.Struct):
    format: int
    cellwright: str = "?"


def decode(data: bytes) -> Manifest:
    """The manifest of an archive; raises BackupError, also for one of a newer format."""
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format > FORMAT:
            raise BackupError(
                f"it has format {head.format}, written by Cellwright {head.cellwright}, and this "
                f"program knows formats up to {FORMAT}; restore it with that version or a newer one"
            )
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupError(f"its {NAME} is not understood ({error}); use another copy") from error


def encode(manifest: Manifest) -> bytes:
    """For people too, who may have nothing but a zip program."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)
