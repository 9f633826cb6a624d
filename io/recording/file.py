"""The file of a recording: header, keyframes, batches of cycle records, gaps, an index at the end.

Written by the recorder process, read by replay and scope. Every part carries a CRC-32C, each batch
the SHA-256 chain over the images so far, the end the SHA-256 of the whole. A file without its end
(the writer was killed) is read up to the first part that is not whole.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import msgspec

from cellwright.io.process_image.results import Checkpoint
from cellwright.io.recording.cycle import CycleRecord, PeerStatus, RecordError, Shadow
from cellwright.native import lib

MAGIC: Final = b"CWRECORD"
FORMAT_VERSION: Final = 1
SUFFIX: Final = ".cwrec"
BATCH: Final = 256
"""Most cycles of a batch."""

KEYFRAME_MARK: Final = struct.Struct("<QII")
"""On the ring, before a piece of a keyframe: `NO_CYCLE`, number of the piece from 1, pieces."""
NO_CYCLE: Final = 0xFFFF_FFFF_FFFF_FFFF

_FILE_HEAD: Final = struct.Struct("<8sIII")
_CHUNK: Final = struct.Struct("<III")
"""Kind, bytes of the content, CRC-32C of kind, size and content."""
_BATCH: Final = struct.Struct("<QQQI32s")
"""First and last cycle, UTC of the last, how many; SHA-256 chain after the last."""
_LENGTH: Final = struct.Struct("<I")

HEADER, KEYFRAME, CYCLES, GAP, END = 1, 2, 3, 4, 5
_KINDS: Final = {KEYFRAME: "keyframe", CYCLES: "cycles", GAP: "gap", END: "end"}


class RecordingError(Exception):
    """A recording that cannot be written or read; the sentence names file, reason and remedy."""


class Source(msgspec.Struct, frozen=True):
    """The program of a task as it was recorded."""

    program: str
    file: str
    sha256: str
    """Of the file, empty when it could not be read."""


class Header(msgspec.Struct, frozen=True):
    """What a replay needs beside the records."""

    cell: str
    plan: bytes
    """`cellwright.io.plan.plan.dump`."""
    layout_hash: bytes
    sources: dict[str, Source]
    """By task."""
    created_utc_ns: int
    cause: str = ""
    """Why the file is kept; empty for a part of the rolling window."""


class Keyframe(msgspec.Struct, frozen=True):
    """Everything that the cycle after ``cycle`` goes on from."""

    cycle: int
    now_ns: int
    utc_ns: int
    boot_id: str
    epoch: int
    """Monotonic start of the scan process: jobs carry it."""
    image: Checkpoint
    around: PeerStatus
    restarts: dict[int, int]
    """Task to restarts of its worker process."""
    events_written: int
    scan: bytes
    programs: list[bytes] | None
    """State of each task's program; empty outside RUN. None: see ``obstacle``."""
    obstacle: str
    digest: str = ""
    """SHA-256 over the program files of the cell; empty where it is not known."""
    options: list[dict[str, Any]] | None = None
    """Of each task, when an online change has given it others than the plan."""


class Gap(msgspec.Struct, frozen=True):
    """Cycles that are missing; what follows begins with a keyframe."""

    after: int
    """Last cycle before."""
    reason: str


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A part's place in the index."""

    kind: int
    offset: int
    first: int
    last: int
    utc_ns: int


class End(msgspec.Struct, frozen=True):
    """Last part of a file that was closed in order."""

    entries: list[Entry]
    sha256: bytes
    """Of everything before this part."""


class Batch(msgspec.Struct, frozen=True):
    """Consecutive cycles; ``records`` are bytes for `CycleRecord`."""

    first: int
    last: int
    utc_ns: int
    chain: bytes
    records: list[bytes]


Part = Keyframe | Batch | Gap

_encode = msgspec.msgpack.Encoder().encode


def decode_keyframe(data: bytes | memoryview) -> Keyframe:
    """A keyframe from its bytes; raises RecordError."""
    try:
        return msgspec.msgpack.decode(data, type=Keyframe)
    except msgspec.MsgspecError as error:
        raise RecordError(f"{len(data)} bytes are not a keyframe: {error}") from error


class Chain:
    """SHA-256 over the images of consecutive cycles, from a keyframe on."""

    def __init__(self, keyframe: Keyframe) -> None:
        self._hash = hashlib.sha256(keyframe.image.region)

    def link(self, region: bytes | bytearray | memoryview) -> None:
        """The image after one more cycle."""
        self._hash.update(region)

    def digest(self) -> bytes:
        """Over the keyframe and all cycles so far."""
        return self._hash.copy().digest()


def _crc(kind: int, content: bytes | memoryview) -> int:
    crc = lib.cw_crc32c(0, struct.pack("<II", kind, len(content)), 8)
    return lib.cw_crc32c(crc, bytes(content), len(content))


class RecordingWriter:
    """One file. The first part after the header must be a keyframe; a context manager.

    Methods raise OSError as the file system does; the file up to then stays readable.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        content = _encode(header)
        self._file: BinaryIO = path.open("wb")
        self._sha = hashlib.sha256()
        self._entries: list[Entry] = []
        self._records: list[bytes] = []
        self._first = self._last = self._utc_ns = 0
        self._chain: Chain | None = None
        self._shadow: Shadow | None = None
        self.size = 0
        """Bytes written so far."""
        try:
            head = _FILE_HEAD.pack(MAGIC, FORMAT_VERSION, len(content), _crc(HEADER, content))
            self._put(head + content)
            self.body = self.size
        except OSError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def keyframe(self, keyframe: Keyframe, data: bytes) -> None:
        """Begin anew from here; ``data`` is the keyframe's encoded form."""
        self.flush()
        self._part(KEYFRAME, data, keyframe.cycle, keyframe.cycle, keyframe.utc_ns)
        self._chain, self._shadow = Chain(keyframe), Shadow(keyframe.image.region)

    def cycle(self, record: CycleRecord, data: bytes) -> Shadow:
        """The next cycle; the image after it. Raises RecordError when it does not follow."""
        if self._chain is None or self._shadow is None:
            raise RecordError("a recording begins with a keyframe")
        self._shadow.apply(record.latched)
        self._shadow.apply(record.settled)
        self._chain.link(self._shadow.region)
        if not self._records:
            self._first = record.cycle
        self._records.append(data)
        self._last, self._utc_ns = record.cycle, record.utc_ns
        if len(self._records) >= BATCH:
            self.flush()
        return self._shadow

    def gap(self, gap: Gap) -> None:
        """Cycles are missing here; only a keyframe may follow."""
        self.flush()
        self._part(GAP, _encode(gap), gap.after, gap.after, self._utc_ns)
        self._chain = self._shadow = None

    def flush(self) -> None:
        """Hand what was recorded to the operating system."""
        if self._records and self._chain is not None:
            head = _BATCH.pack(
                self._first,
                self._last,
                self._utc_ns,
                len(self._records),
                self._chain.digest(),
            )
            body = b"".join(_LENGTH.pack(len(data)) + data for data in self._records)
            self._records = []
            self._part(CYCLES, head + body, self._first, self._last, self._utc_ns)
        self._file.flush()

    def copy(self, entries: list[Entry], source: Path) -> None:
        """Append parts of another recording of the same plan, as they are, as far as they go."""
        with source.open("rb") as file:
            for entry in entries:
                file.seek(entry.offset)
                head = file.read(_CHUNK.size)
                content = file.read(_CHUNK.unpack(head)[1]) if len(head) == _CHUNK.size else b""
                if not content or len(content) != _CHUNK.unpack(head)[1]:
                    return  # a full disk cut it off
                self._entries.append(msgspec.structs.replace(entry, offset=self.size))
                self._put(head + content)

    @property
    def entries(self) -> list[Entry]:
        """The parts so far; those of `flush` included, nothing that waits for it."""
        return list(self._entries)

    def close(self) -> None:
        """Write the index and close; 'abandon' closes without."""
        try:
            self.flush()
            self._part(END, _encode(End(self._entries, self._sha.digest())), 0, 0, 0)
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close without an index, after an error."""
        try:
            self._file.close()
        except OSError:
            # What is still buffered cannot be written; the descriptor is free all the same.
            return

    def _part(self, kind: int, content: bytes, first: int, last: int, utc_ns: int) -> None:
        offset = self.size
        self._put(_CHUNK.pack(kind, len(content), _crc(kind, content)) + content)
        if kind != END:
            self._entries.append(Entry(kind, offset, first, last, utc_ns))

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._sha.update(data)
        self.size += len(data)


class Recording:
    """A recording's file, open for reading; a context manager. Raises RecordingError.

    ``notes`` are sentences on what is missing; known in full once `parts` has come to its end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        except OSError as error:
            raise RecordingError(
                f"the recording {path} cannot be read: {error.strerror}; give the path of a "
                f"{SUFFIX} file, see the folder 'recordings' in the cell's data folder"
            ) from error
        try:
            self.header, self._begin = self._read_header()
        except RecordingError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    def _read_header(self) -> tuple[Header, int]:
        data = self._data
        if len(data) < _FILE_HEAD.size or data[: len(MAGIC)] != MAGIC:
            raise RecordingError(
                f"{self.path} is not a recording ({len(data)} bytes, begins with "
                f"{bytes(data[:8])!r}); give a {SUFFIX} file"
            )
        _, version, size, crc = _FILE_HEAD.unpack_from(data)
        if version != FORMAT_VERSION:
            raise RecordingError(
                f"{self.path} has format {version}, this program reads {FORMAT_VERSION}; replay "
                f"it with the version of the program that recorded it"
            )
        content = bytes(data[_FILE_HEAD.size : _FILE_HEAD.size + size])
        if len(content) != size or _crc(HEADER, content) != crc:
            raise RecordingError(
                f"the header of {self.path} is damaged or cut off; nothing in it can be used"
            )
        try:
            return msgspec.msgpack.decode(content, type=Header), _FILE_HEAD.size + size
        except msgspec.MsgspecError as error:
            raise RecordingError(f"the header of {self.path} is not understood: {error}") from error

    def keyframes(self) -> Iterator[Keyframe]:
        """The keyframes alone, as far as the file is whole."""
        at = self._begin
        while len(self._data) - at >= _CHUNK.size:
            kind, size, _ = _CHUNK.unpack_from(self._data, at)
            begin, at = at + _CHUNK.size, at + _CHUNK.size + size
            if kind not in _KINDS or at > len(self._data):
                return
            if kind == KEYFRAME:
                try:
                    yield decode_keyframe(bytes(self._data[begin:at]))
                except RecordError:
                    return  # `parts` says what is wrong with it

    def parts(self) -> Iterator[Part]:
        """All parts in order. Raises RecordingError at damage that is not just a missing end."""
        at = self._begin
        entries = 0
        while True:
            found = self._chunk(at)
            if found is None:
                return
            kind, content, following = found
            if kind == END:
                self._check_end(content, at, following, entries)
                return
            entries += 1
            try:
                yield self._decoded(kind, content)
            except (RecordError, msgspec.MsgspecError, struct.error) as error:
                raise self._damaged(at, f"is not understood: {error}") from error
            at = following

    def _chunk(self, at: int) -> tuple[int, bytes, int] | None:
        """Kind and content of the part at an offset and the next offset; None at a missing end."""
        data = self._data
        left = len(data) - at
        if left < _CHUNK.size:
            self._unfinished(at, left)
            return None
        kind, size, crc = _CHUNK.unpack_from(data, at)
        begin = at + _CHUNK.size
        if kind in _KINDS and size > left - _CHUNK.size:
            self._unfinished(at, left)
            return None
        content = bytes(data[begin : begin + size])
        if kind not in _KINDS or _crc(kind, content) != crc:
            raise self._damaged(at, "is damaged (its checksum is wrong)")
        return kind, content, begin + size

    def _unfinished(self, at: int, left: int) -> None:
        lost = f", {left} bytes of an unfinished part are left out" if left else ""
        self.notes.append(f"{self.path} ends at byte {at} without an index{lost}")

    def _damaged(self, at: int, what: str) -> RecordingError:
        return RecordingError(
            f"the part at byte {at} of {self.path} {what}; what comes before it can be used with "
            f"--until, what comes after it cannot"
        )

    def _decoded(self, kind: int, content: bytes) -> Part:
        if kind == KEYFRAME:
            return decode_keyframe(content)
        if kind == GAP:
            return msgspec.msgpack.decode(content, type=Gap)
        first, last, utc_ns, count, chain = _BATCH.unpack_from(content)
        records = []
        at = _BATCH.size
        for _ in range(count):
            (size,) = _LENGTH.unpack_from(content, at)
            records.append(content[at + _LENGTH.size : at + _LENGTH.size + size])
            at += _LENGTH.size + size
        if at != len(content):
            raise RecordError(f"{count} records do not fill a batch of {len(content)} bytes")
        return Batch(first, last, utc_ns, chain, records)

    def _check_end(self, content: bytes, at: int, following: int, parts: int) -> None:
        try:
            end = msgspec.msgpack.decode(content, type=End)
        except msgspec.MsgspecError as error:
            raise self._damaged(at, f"is not understood: {error}") from error
        whole = hashlib.sha256(memoryview(self._data)[:at]).digest()
        if end.sha256 != whole or len(end.entries) != parts:
            raise self._damaged(at, "does not belong to what comes before it")
        if following != len(self._data):
            self.notes.append(f"{len(self._data) - following} bytes after the end are left out")
