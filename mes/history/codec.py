"""A batch as bytes, and back without loss: one clock for all its tags, differences, zstandard.

Each column is made small in a way of its own, then split into its eight bytes, of which most are
zero or alike, and each of these is compressed. The form is that of docs/decisions/0245.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import zstandard

from cellwright.mes.history.batch import Batch, Bytes, Floats, Kind, Longs, Words, starts
from cellwright.mes.kernel.errors import MesError

FORMAT: Final = 1
LEVEL: Final = 3
"""Of zstandard; higher ones cost several times the work for some per cent."""
_HEAD: Final = struct.Struct("<BIBB")
_COLUMN: Final = struct.Struct("<IBB")
_LENGTH: Final = struct.Struct("<I")
_ONE_FRAME: Final = 2048
"""Up to so many values all bytes of a column are compressed together: a frame costs some bytes."""
_EXACT: Final = 2**53
"""Whole numbers below are exact in binary64."""
_POWERS: Final = tuple(10.0**digits for digits in range(7))
_NO_DECIMALS: Final = 255


@dataclass(slots=True)
class _Out:
    parts: list[bytes] = field(default_factory=list)

    def column(self, values: Words) -> None:
        """Numbers whose upper bytes are mostly zero."""
        count = len(values)
        planes = np.ascontiguousarray(values.astype("<u8", copy=False).view(np.uint8))
        planes = np.ascontiguousarray(planes.reshape(count, 8).T)
        used = [number for number in range(8) if planes[number].any()]
        mask = sum(1 << number for number in used)
        together = count <= _ONE_FRAME
        self.parts.append(_COLUMN.pack(count, mask, together))
        if together and used:
            self.frame(planes[used].tobytes())
        elif not together:
            for number in used:
                self.frame(planes[number].tobytes())

    def frame(self, content: bytes) -> None:
        """Bytes, compressed."""
        packed = zstandard.ZstdCompressor(level=LEVEL).compress(content)
        self.parts += (_LENGTH.pack(len(packed)), packed)


@dataclass(slots=True)
class _In:
    data: bytes
    at: int

    def column(self) -> Words:
        count, mask, together = _COLUMN.unpack_from(self.data, self.at)
        self.at += _COLUMN.size
        used = [number for number in range(8) if mask >> number & 1]
        planes = np.zeros((8, count), np.uint8)
        if together and used:
            planes[used] = np.frombuffer(self.frame(), np.uint8).reshape(len(used), count)
        elif not together:
            for number in used:
                planes[number] = np.frombuffer(self.frame(), np.uint8)
        return np.ascontiguousarray(planes.T).view("<u8").reshape(count).astype(np.uint64)

    def frame(self) -> bytes:
        (length,) = _LENGTH.unpack_from(self.data, self.at)
        begin = self.at + _LENGTH.size
        self.at = begin + length
        return zstandard.ZstdDecompressor().decompress(self.data[begin : self.at])


def encode(batch: Batch, values: Sequence[Words] = (), more: Sequence[Words] = ()) -> bytes:
    """The bytes of a batch, which is sorted by tag and time, and of further columns of it: values
    of the same tags that lie near its own, and small numbers."""
    out = _Out()
    first = starts(batch.tag)
    lengths = np.diff(np.append(first, len(batch)))
    kind = batch.kind[first]
    clock, place = _clock(batch.time, lengths)
    out.column(_differences(batch.tag[first].astype(np.int64)))
    out.column(lengths.astype(np.uint64))
    out.column(_differences(clock, twice=True))
    out.column(_differences(place))
    status = batch.status.astype(np.uint64)
    out.column(_changes(status))
    decimals, scaled = _scaled(batch, values, first, lengths)
    out.frame(kind.tobytes() + decimals.tobytes())
    whole, real = _split(kind, decimals, lengths)
    out.column(_differences(scaled[0][whole]))
    out.column(_changes(batch.bits[real]))
    for bits, numbers in zip(values, scaled[1:], strict=True):
        out.column(_small(numbers[whole] - scaled[0][whole]))
        out.column(bits[real] ^ batch.bits[real])
    _write_texts(out, batch)
    for words in more:
        out.column(words)
    body = b"".join(out.parts)
    return _HEAD.pack(FORMAT, zlib.crc32(body), len(values), len(more)) + body


def decode(data: bytes) -> tuple[Batch, list[Words]]:
    """What was encoded, the further columns in their order. Raises MesError ``history_damaged``."""
    try:
        version, crc, values, more = _HEAD.unpack_from(data)
        if version != FORMAT:
            raise ValueError(f"its format is {version}, this program knows {FORMAT}")
        if zlib.crc32(memoryview(data)[_HEAD.size :]) != crc:
            raise ValueError("its checksum does not fit")
        source = _In(data, _HEAD.size)
        batch, columns = _decode(source, values)
        return batch, [*columns, *(source.column() for _ in range(more))]
    except (ValueError, IndexError, struct.error, zstandard.ZstdError) as error:
        raise MesError(
            "history_damaged",
            f"a chunk of {len(data)} bytes of the history cannot be read: {error}; restore a copy "
            "of the database, or ask for another time",
        ) from error


def _decode(source: _In, values: int) -> tuple[Batch, list[Words]]:
    keys = _sums(source.column()).astype(np.uint32)
    lengths = source.column().astype(np.int64)
    clock = _sums(source.column(), twice=True)
    place = _sums(source.column())
    status = _undo_changes(source.column()).astype(np.uint32)
    of_tags = np.frombuffer(source.frame(), np.uint8)
    kind, decimals = of_tags[: len(keys)], of_tags[len(keys) :]
    whole, real = _split(kind, decimals, lengths)
    scaled, floats = _sums(source.column()), _undo_changes(source.column())
    pairs = [(scaled, floats)]
    pairs += [(scaled + _signed(source.column()), floats ^ source.column()) for _ in range(values)]
    places, texts = _read_texts(source)
    columns = [np.zeros(len(whole), np.uint64) for _ in pairs]
    for column, (numbers, words) in zip(columns, pairs, strict=True):
        column[whole] = numbers.view(np.uint64)
        column[real] = words
        for digits in range(len(_POWERS)):
            rows = np.repeat(decimals == digits, lengths)
            if rows.any():
                column[rows] = (column[rows].view(np.int64) / _POWERS[digits]).view(np.uint64)
    bits, *further = columns
    bits[np.repeat(kind == Kind.TEXT, lengths)] = places
    tag, kinds = np.repeat(keys, lengths), np.repeat(kind, lengths)
    return Batch(tag, kinds, clock[place], status, bits, texts), further


def _clock(time: Longs, lengths: Longs) -> tuple[Longs, Longs]:
    """All times once, and the place of each row's in them."""
    count = len(lengths)
    if count and bool((lengths == lengths[0]).all()):
        each = time.reshape(count, lengths[0])
        if bool((each == each[0]).all()):  # recorded together: nothing to sort
            return each[0], np.tile(np.arange(lengths[0], dtype=np.int64), count)
    clock, place = np.unique(time, return_inverse=True)
    return clock, place.astype(np.int64)


def _split(kind: Bytes, decimals: Bytes, lengths: Longs) -> tuple[Bytes, Bytes]:
    """Which rows are written as whole numbers, and which as the bits of a binary64."""
    real = (kind == Kind.FLOAT) & (decimals == _NO_DECIMALS)
    whole = ~real & (kind != Kind.TEXT)
    return np.repeat(whole, lengths), np.repeat(real, lengths)


def _scaled(
    batch: Batch, values: Sequence[Words], first: Longs, lengths: Longs
) -> tuple[Bytes, list[Longs]]:
    """For each tag how many decimals its values have, at most six; all columns as whole numbers.

    A temperature of 21.37 is no short binary number, but 2137 is; taken only where the division
    gives back each bit.
    """
    decimals = np.full(len(first), _NO_DECIMALS, np.uint8)
    columns = [batch.bits, *values]
    scaled = [column.view(np.int64).copy() for column in columns]
    floats = [column.view(np.float64) for column in columns]
    open_ = batch.kind[first] == Kind.FLOAT
    for digits, power in enumerate(_POWERS):
        # Most tags that have none show it in their first value.
        hopeful = open_ & _fits(floats[0][first], power)[0]
        if not hopeful.any():
            continue
        rows = np.flatnonzero(np.repeat(hopeful, lengths))
        tried = [_fits(column[rows], power) for column in floats]
        fits = np.logical_and.reduce([one for one, _ in tried])
        begins = np.cumsum(np.append(0, lengths[hopeful][:-1]))
        found = np.logical_and.reduceat(fits, begins)
        numbers = np.flatnonzero(hopeful)[found]
        decimals[numbers] = digits
        open_[numbers] = False
        kept = np.repeat(found, lengths[hopeful])
        for numbers, (_, whole) in zip(scaled, tried, strict=True):
            numbers[rows[kept]] = whole[kept]
    return decimals, scaled


def _fits(values: Floats, power: float) -> tuple[Bytes, Longs]:
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.rint(values * power)
        inside = np.abs(rounded) < _EXACT  # neither NaN nor infinite
        whole = np.where(inside, rounded, 0.0).astype(np.int64)
    same = (whole / power).view(np.uint64) == values.view(np.uint64)
    return inside & same, whole


def _differences(values: Longs, *, twice: bool = False) -> Words:
    """Each number less the one before, small ones of both signs as small unsigned ones."""
    step = np.diff(values, prepend=np.int64(0))  # wraps round; so does the sum
    if twice:
        step = np.diff(step, prepend=np.int64(0))
    return _small(step)


def _small(step: Longs) -> Words:
    words: Words = ((step << 1) ^ (step >> 63)).view(np.uint64)
    return words


def _signed(words: Words) -> Longs:
    return (words >> np.uint64(1)).view(np.int64) ^ -(words & np.uint64(1)).view(np.int64)


def _sums(words: Words, *, twice: bool = False) -> Longs:
    step = _signed(words)
    if twice:
        step = np.cumsum(step, dtype=np.int64)
    return np.cumsum(step, dtype=np.int64)


def _changes(words: Words) -> Words:
    """The bits in which each word differs from the one before."""
    found = words.copy()
    found[1:] ^= words[:-1]
    return found


def _undo_changes(words: Words) -> Words:
    found: Words = np.bitwise_xor.accumulate(words) if len(words) else words
    return found


def _write_texts(out: _Out, batch: Batch) -> None:
    """The different texts once each; the rows say which."""
    rows = batch.kind == Kind.TEXT
    known: dict[bytes, int] = {}
    asked = batch.bits[rows].tolist()
    places = [known.setdefault(batch.texts[number], len(known)) for number in asked]
    out.column(np.array(places, np.uint64))
    out.column(np.array([len(text) for text in known], np.uint64))
    out.frame(b"".join(known))


def _read_texts(source: _In) -> tuple[Words, list[bytes]]:
    places, lengths = source.column(), source.column().astype(np.int64)
    content, ends = source.frame(), np.cumsum(lengths)
    return places, [
        content[end - length : end]
        for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
    ]
