"""Retained values on disk: two files, written in turn, so that one is always whole.

The scan's saver calls `RetainStore.save` off the cycle path and `load` and `fit` before the first
scan. It must never touch the newer of the two files, and never give a value that was not saved.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from cellwright.io.plan import TagType, Value
from cellwright.native import lib

FILES: Final = ("retain-a.bin", "retain-b.bin")

MAGIC: Final = b"CWRETAIN"
FORMAT_VERSION: Final = 2
WITH_CRC32: Final = 1
"""The format before: the same but for its check, which is CRC-32. It is still read."""

HEADER: Final = struct.Struct("<8sIIQ32sI")
"""Magic, format version, bytes of the payload, generation, layout hash, CRC-32C of the rest."""

_Shape = tuple[int, int, int, bool]
_payload: Final = msgspec.msgpack.Decoder(dict[str, tuple[_Shape, Any]])


class RetainError(Exception):
    """Retained values cannot be written or read; the sentence names file, reason and remedy."""


class RetainedValue(msgspec.Struct, frozen=True):
    """A value and the type that its tag had when it was saved."""

    type: TagType
    value: Value


class Restored(msgspec.Struct, frozen=True):
    """What the files hold. ``generation`` 0 and no values: nothing was saved, or nothing is left.

    ``notes`` are sentences for the log and the operator; empty when all is well.
    """

    values: dict[str, RetainedValue]
    generation: int
    layout_hash: bytes
    notes: tuple[str, ...]


class Fitted(msgspec.Struct, frozen=True):
    """Values that this configuration takes; all other retained tags keep their initial values."""

    values: dict[str, Value]
    notes: tuple[str, ...]


class _Copy(msgspec.Struct, frozen=True):
    place: int
    generation: int
    layout_hash: bytes
    values: dict[str, RetainedValue]


class RetainStore:
    """The two files in ``folder``. One process writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = [folder / name for name in FILES]
        self._newest: tuple[int, int] | None = None
        """Place and generation of the newest whole file; None while that is not known."""

    def save(self, values: Mapping[str, RetainedValue], layout_hash: bytes) -> int:
        """Write over the older file and wait for the disk; the new generation.

        ``layout_hash`` has 32 bytes. On RetainError (full disk, read-only folder) the newer file
        is untouched and the next call writes to the older one again.
        """
        if len(layout_hash) != 32:
            raise ValueError(f"a layout hash has 32 bytes, not {len(layout_hash)}")
        if self._newest is None:
            self.load()
        place, generation = self._newest or (1, 0)
        place, generation = 1 - place, generation + 1
        content = pack(values, layout_hash, generation)
        path = self._paths[place]
        try:
            new = not path.exists()
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                written = 0
                while written < len(content):
                    written += os.pwrite(handle, content[written:], written)
                os.ftruncate(handle, len(content))
                os.fsync(handle)
            finally:
                os.close(handle)
            if new:
                self._sync_folder()
        except OSError as error:
            raise RetainError(
                f"cannot save {len(values)} retained values to {path}: {error.strerror}; check "
                f"that the folder can be written and has space; the values saved before are kept"
            ) from error
        self._newest = place, generation
        return generation

    def is_there(self) -> bool:
        """False when the file that was written last is gone: somebody has deleted it."""
        return self._newest is None or self._paths[self._newest[0]].exists()

    def load(self) -> Restored:
        """The newest whole file's content. Damaged files are passed over and named in the notes.

        Raises RetainError only when a file is there and cannot be read.
        """
        copies: list[_Copy] = []
        notes: list[str] = []
        for place, path in enumerate(self._paths):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise RetainError(
                    f"cannot read the retained values in {path}: {error.strerror}; give this "
                    "process read access to the file"
                ) from error
            try:
                copies.append(_unpack(place, data))
            except ValueError as error:
                notes.append(f"{path} is not used: {error}")
        if not copies:
            self._newest = (1, 0)
            if notes:
                notes.append("no retained values are left; all start with their initial values")
            return Restored({}, 0, bytes(32), tuple(notes))
        newest = max(copies, key=lambda copy: copy.generation)
        self._newest = newest.place, newest.generation
        if notes:
            notes.append(f"the retained values are those of save {newest.generation}")
        return Restored(newest.values, newest.generation, newest.layout_hash, tuple(notes))

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fit(restored: Restored, types: Mapping[str, TagType], layout_hash: bytes) -> Fitted:
    """Choose the values that go into the retained tags ``types`` of the present configuration.

    A value is taken when its tag still exists and has the same type. When the layout has changed,
    the notes say what was kept and what starts with its initial value.
    """
    taken: dict[str, Value] = {}
    reset: list[str] = []
    for name, kind in types.items():
        saved = restored.values.get(name)
        if saved is None:
            reset.append(f"{name} (not saved)")
        elif saved.type != kind:
            reset.append(f"{name} (was {saved.type}, is {kind})")
        else:
            try:
                taken[name] = kind.check(saved.value)
            except ValueError as error:
                reset.append(f"{name} ({error})")
    gone = sorted(set(restored.values) - set(types))
    if restored.generation == 0 or (restored.layout_hash == layout_hash and not reset and not gone):
        return Fitted(taken, ())
    notes = [f"the layout has changed: {len(taken)} of {len(types)} retained values are kept"]
    if reset:
        notes.append("these start with their initial values: " + ", ".join(reset))
    if gone:
        notes.append("these are not retained any more: " + ", ".join(gone))
    return Fitted(taken, tuple(notes))


def pack(values: Mapping[str, RetainedValue], layout_hash: bytes, generation: int) -> bytes:
    """The content of one file."""
    payload = msgspec.msgpack.encode(
        {
            name: (
                (int(saved.type.code), saved.type.length, saved.type.count, saved.type.is_array),
                saved.value,
            )
            for name, saved in values.items()
        }
    )
    head = HEADER.pack(MAGIC, FORMAT_VERSION, len(payload), generation, layout_hash, 0)[:-4]
    return head + _check(FORMAT_VERSION, head, payload).to_bytes(4, "little") + payload


def _check(version: int, head: bytes, payload: bytes) -> int:
    if version == WITH_CRC32:
        return zlib.crc32(payload, zlib.crc32(head))
    return lib.cw_crc32c(lib.cw_crc32c(0, head, len(head)), payload, len(payload))


def _unpack(place: int, data: bytes) -> _Copy:
    """One file's content; ValueError says what is wrong with it."""
    if len(data) < HEADER.size:
        raise ValueError(f"it is cut off after {len(data)} bytes")
    magic, version, size, generation, layout_hash, crc = HEADER.unpack_from(data)
    payload = data[HEADER.size :]
    if magic != MAGIC:
        raise ValueError("it does not begin as a file of retained values")
    if _check(version, data[: HEADER.size - 4], payload) != crc or len(payload) != size:
        raise ValueError("its checksum is wrong (a save was interrupted, or the disk is damaged)")
    if version not in (WITH_CRC32, FORMAT_VERSION):
        raise ValueError(f"it has format {version}, this program knows format {FORMAT_VERSION}")
    try:
        entries = _payload.decode(payload)
        types = {
            shape: msgspec.convert(_as_map(shape), TagType)
            for shape in {shape for shape, _ in entries.values()}
        }
        values = {
            name: RetainedValue(types[shape], value) for name, (shape, value) in entries.items()
        }
    except msgspec.MsgspecError as error:
        raise ValueError(f"its content is not understood ({error})") from error
    return _Copy(place, generation, layout_hash, values)


def _as_map(shape: _Shape) -> dict[str, int | bool]:
    code, length, count, is_array = shape
    return {"code": code, "length": length, "count": count, "is_array": is_array}
