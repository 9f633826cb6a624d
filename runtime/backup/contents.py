"""Which files make up a cell: its folder, its data folder, and files elsewhere that it names.

Walks and decides; copies nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cellwright.io.files.located_yaml import Node
from cellwright.io.journal.consumed import FILE as POSITION
from cellwright.io.journal.journal import JOURNAL_FILE
from cellwright.io.journal.retain import FILES as RETAINED
from cellwright.runtime.backup.archive import SUFFIX
from cellwright.runtime.backup.manifest import BackupError, Edit
from cellwright.runtime.supervision.crash_loops import FILE as CRASH_LOOP

OUTSIDE: Final = "outside"
"""Folder of a restored cell for files that lay elsewhere."""
RECORDINGS: Final = "recordings"
_MADE_AGAIN: Final = frozenset({"__pycache__", "node_modules"})
_OF_THIS_PC: Final = frozenset({"lock", "running", "log", POSITION, CRASH_LOOP})
"""In the data folder: what says how this PC's processes are."""
_TAKEN_APART: Final = frozenset({JOURNAL_FILE, *RETAINED})
"""In the data folder: what is taken in its order, and not by copying the file."""
_PASSING: Final = ("-wal", "-shm", "-journal", ".new", ".part", ".pyc", SUFFIX)
_NOT_DISKS: Final = ("/dev/", "/proc/", "/sys/")


class Found(NamedTuple):
    """A file or folder of a cell."""

    path: Path
    name: str
    """Relative to where the walk began, with slashes."""
    folder: bool


def cell_files(folder: Path, without: frozenset[Path]) -> Iterator[Found]:
    """All that lies in the cell's folder, but for what is made again from it.

    ``without`` are real paths that are passed over with all that is in them. A link is followed:
    the archive holds what it leads to.
    """
    yield from _walk(folder, "", without, {os.path.realpath(folder)}, hidden=False)


def data_files(data: Path, without: frozenset[Path], *, recordings: bool) -> Iterator[Found]:
    """What lies in the data folder and belongs to the cell, not to this PC."""
    real = kept_apart(data) - ({Path(os.path.realpath(data / RECORDINGS))} if recordings else set())
    yield from _walk(data, "", without | real, {os.path.realpath(data)}, hidden=True)


def kept_apart(data: Path) -> frozenset[Path]:
    """In a data folder: what is not taken as a file like any other, or not at all."""
    names = _OF_THIS_PC | _TAKEN_APART | {RECORDINGS}
    return frozenset(Path(os.path.realpath(data / name)) for name in names)


def _walk(
    folder: Path, prefix: str, without: frozenset[Path], seen: set[str], *, hidden: bool
) -> Iterator[Found]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise BackupError(
            f"the folder {folder} cannot be read: {error.strerror}; give this user the right to "
            "read it"
        ) from error
    for name in names:
        path = folder / name
        real = os.path.realpath(path)
        if name in _MADE_AGAIN or name.endswith(_PASSING) or Path(real) in without:
            continue
        try:
            name.encode()
            kind = os.stat(path).st_mode
        except UnicodeEncodeError as error:
            raise BackupError(
                f"the name of {os.fsencode(path)!r} is not UTF-8; give the file another name"
            ) from error
        except OSError:
            continue  # a link to nothing, or a file that is gone by now
        if stat.S_ISDIR(kind):
            environment = (path / "pyvenv.cfg").exists()
            if real in seen or environment or (name.startswith(".") and not hidden):
                continue
            seen.add(real)
            yield Found(path, prefix + name, folder=True)
            yield from _walk(path, f"{prefix}{name}/", without, seen, hidden=hidden)
        elif stat.S_ISREG(kind):
            yield Found(path, prefix + name, folder=False)


def named_elsewhere(root: Node, folder: Path, data: Path) -> list[tuple[Path, str, Edit]]:
    """Files outside the cell's folder that its file names: path, name in the restored folder, edit.

    They are those of the keys for users and master data, and any option whose text is the path of a
    file. A file inside that is named by its whole path is not copied twice, only its name changes.
    """
    found: list[tuple[Path, str, Edit]] = []
    taken: set[str] = set()
    home = Path(os.path.realpath(folder))
    for key, text in _paths(root):
        path = Path(os.path.realpath(folder / text))
        if (
            text.startswith(_NOT_DISKS)
            or not path.is_file()
            or path.is_relative_to(os.path.realpath(data))
        ):
            continue
        if path.is_relative_to(home):
            if os.path.isabs(text):
                inside = str(path.relative_to(home))
                found.append((path, "", Edit(key, inside, f"was {text}")))
            continue
        lexical = Path(os.path.normpath(folder / text))
        if lexical.is_relative_to(folder):
            continue  # a link inside, whose content is copied in its place
        name = path.name
        while name in taken:
            name = f"{len(taken)}-{path.name}"
        taken.add(name)
        found.append((path, name, Edit(key, f"{OUTSIDE}/{name}", f"was {text}")))
    return found


def _paths(root: Node) -> Iterator[tuple[tuple[str, ...], str]]:
    for section, key in (("opcua", "users"), ("mes", "master_data")):
        entry = root.section(section).get(key)
        if entry is not None and isinstance(entry.node.value, str):
            yield (section, key), entry.node.value
    for section, inner in (("tasks", "options"), ("devices", "")):
        for name, entry in root.section(section).items():
            options = entry.node.section(inner) if inner else entry.node.entries
            for key, option in options.items():
                value = option.node.value
                if isinstance(value, str) and value and len(value) < 1024 and "\0" not in value:
                    path = (section, name, inner, key) if inner else (section, name, key)
                    yield path, value
