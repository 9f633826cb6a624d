"""Recorded values as columns: what the gateway hands over, what a chunk holds, what is read.

Pure functions over numpy arrays; no row is ever an object. Times are UTC nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Shorts = NDArray[np.uint32]
Bytes = NDArray[np.uint8]


class Kind(IntEnum):
    """What the 64 bits of a value mean; the numbers are in the database."""

    FLOAT = 0
    """A binary64; REAL is widened, which loses nothing."""
    INTEGER = 1
    """Signed; BOOL is 0 or 1, TIME nanoseconds."""
    UNSIGNED = 2
    """ULINT."""
    TEXT = 3
    """Bytes: a STRING in UTF-8, an array as it lies in the image. The bits are an index."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Values of several tags, one a row. Sorted by tag and time where a function says so."""

    tag: Shorts
    """Key of the tag, see `tables`."""
    kind: Bytes
    """One and the same for all rows of a tag."""
    time: Longs
    """Source timestamp."""
    status: Shorts
    """OPC UA status code (OPC 10000-4, 7.39)."""
    bits: Words
    """The value, as `Kind` has it."""
    texts: Sequence[bytes] = field(default=())
    """What the bits of `Kind.TEXT` count."""

    def __len__(self) -> int:
        return len(self.tag)

    def take(self, rows: Any) -> Batch:
        """These rows: indexes, a mask or a slice. The texts stay whole."""
        return Batch(
            self.tag[rows],
            self.kind[rows],
            self.time[rows],
            self.status[rows],
            self.bits[rows],
            self.texts,
        )


EMPTY: Final = Batch(
    np.empty(0, np.uint32),
    np.empty(0, np.uint8),
    np.empty(0, np.int64),
    np.empty(0, np.uint32),
    np.empty(0, np.uint64),
)


def joined(batches: Iterable[Batch]) -> Batch:
    """One behind the other, in the order given."""
    parts = [batch for batch in batches if len(batch)]
    if len(parts) <= 1:
        return parts[0] if parts else EMPTY
    texts: list[bytes] = []
    bits = []
    for part in parts:
        moved = part.bits
        if part.texts:
            if texts:
                moved = moved + np.where(part.kind == Kind.TEXT, len(texts), 0).astype(np.uint64)
            texts.extend(part.texts)
        bits.append(moved)
    return Batch(
        np.concatenate([part.tag for part in parts]),
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.status for part in parts]),
        np.concatenate(bits),
        texts,
    )


def merged(batches: Iterable[Batch]) -> Batch:
    """All of them by tag and time; of two values of a tag for one time the later one given stays.

    Values that come late, or that a clock set back brings into a time that was recorded before,
    find their place by this.
    """
    batch = joined(batches)
    if len(batch) < 2:
        return batch
    tag, time = batch.tag, batch.time
    same = tag[1:] == tag[:-1]
    if not bool(np.all((tag[1:] > tag[:-1]) | (same & (time[1:] > time[:-1])))):
        batch = batch.take(np.lexsort((time, tag)))  # stable: what came first stays first
        tag, time = batch.tag, batch.time
        last = np.ones(len(batch), np.bool_)
        last[:-1] = (tag[1:] != tag[:-1]) | (time[1:] != time[:-1])
        if not last.all():
            batch = batch.take(last)
    return batch


def starts(tag: Shorts) -> Longs:
    """Where each tag begins in a sorted column."""
    if not len(tag):
        return np.empty(0, np.int64)
    return np.flatnonzero(np.concatenate([[True], tag[1:] != tag[:-1]])).astype(np.int64)


def divided(batch: Batch, span_ns: int, tags: int) -> Iterator[tuple[int, int, Batch]]:
    """A batch in parts: beginning of the span, block of ``tags`` neighbouring keys, its rows."""
    span = batch.time // span_ns
    block = (batch.tag // tags).astype(np.int64)
    order = np.lexsort((block, span))
    span, block = span[order], block[order]
    if not len(order):
        return
    new = np.concatenate([[True], (span[1:] != span[:-1]) | (block[1:] != block[:-1])])
    first = [int(place) for place in np.flatnonzero(new)]
    for begin, end in zip(first, [*first[1:], len(order)], strict=True):
        yield int(span[begin]) * span_ns, int(block[begin]), batch.take(order[begin:end])
