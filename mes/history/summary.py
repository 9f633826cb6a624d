"""Values of a span of time as one row: minimum, maximum, mean, last, count, bad.

A value by itself is the summary of one. So one function makes seconds of values, minutes of seconds
and hours of minutes, and joins what came late to what was summed up before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cellwright.mes.history.batch import EMPTY, Batch, Floats, Kind, Longs, Words, joined, starts
from cellwright.mes.history.codec import decode, encode

WIDE: Final[dict[Kind, Any]] = {
    Kind.FLOAT: np.float64,
    Kind.INTEGER: np.int64,
    Kind.UNSIGNED: np.uint64,
}
"""The 64 bits of the kinds that are numbers."""
UNCERTAIN: Final = 0x4000_0000
BAD: Final = 0x8000_0000
"""Statuses from here on are Uncertain, and Bad (OPC 10000-4, 7.39.1)."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Spans of several tags, sorted by tag and time."""

    last: Batch
    """The last value of each span and its status; its time is the beginning of the span."""
    low: Words
    high: Words
    """Bits as `Kind` has them; they and the mean mean nothing where the count is 0."""
    mean: Floats
    """Of the values, whatever time each of them lasted."""
    count: Longs
    """Values that are not Bad and are numbers or texts."""
    bad: Longs
    """The others: Bad, or not a number."""

    def __len__(self) -> int:
        return len(self.last)

    def take(self, rows: Any) -> Summary:
        """These rows: indexes, a mask or a slice."""
        return Summary(
            self.last.take(rows),
            self.low[rows],
            self.high[rows],
            self.mean[rows],
            self.count[rows],
            self.bad[rows],
        )


def each(batch: Batch) -> Summary:
    """Each value as a summary of one."""
    mean = numbers(batch.bits, batch.kind)
    good = (batch.status < BAD) & ~np.isnan(mean)
    count = good.astype(np.int64)
    return Summary(batch, batch.bits, batch.bits, mean, count, 1 - count)


def numbers(bits: Words, kind: Any) -> Floats:
    """Values as binary64, 0 for texts; integers above 2**53 lose their last digits."""
    found = bits.view(np.float64).copy()
    for one, type_ in ((Kind.INTEGER, np.int64), (Kind.UNSIGNED, np.uint64)):
        rows = kind == one
        if rows.any():
            found[rows] = bits[rows].view(type_)
    found[kind == Kind.TEXT] = 0.0
    return found


def together(parts: Iterable[Summary]) -> Summary:
    """One behind the other, in the order given."""
    found = [part for part in parts if len(part)]
    if len(found) == 1:
        return found[0]
    if not found:
        return each(EMPTY)
    return Summary(
        joined(part.last for part in found),
        np.concatenate([part.low for part in found]),
        np.concatenate([part.high for part in found]),
        np.concatenate([part.mean for part in found]),
        np.concatenate([part.count for part in found]),
        np.concatenate([part.bad for part in found]),
    )


def rolled(parts: Iterable[Summary], step_ns: int) -> Summary:
    """Summaries of spans of ``step_ns``, of finer ones or of the same.

    Of two parts that have the same span the later one given has the last value.
    """
    whole = together(parts)
    if not len(whole):
        return whole
    order = np.lexsort((whole.last.time, whole.last.tag))
    whole = whole.take(order)
    tag, span = whole.last.tag, whole.last.time // step_ns
    new = np.concatenate([[True], (tag[1:] != tag[:-1]) | (span[1:] != span[:-1])])
    first, group = np.flatnonzero(new), np.cumsum(new) - 1
    final = np.append(first[1:], len(whole)) - 1
    last = whole.last.take(final)
    low, high = np.zeros(len(first), np.uint64), np.zeros(len(first), np.uint64)
    mean = np.zeros(len(first))
    good = whole.count > 0
    for kind, type_ in WIDE.items():
        rows = np.flatnonzero(good & (whole.last.kind == kind))
        if not len(rows):
            continue
        begins = starts(group[rows])
        into = group[rows][begins]
        low[into] = np.minimum.reduceat(whole.low[rows].view(type_), begins).view(np.uint64)
        high[into] = np.maximum.reduceat(whole.high[rows].view(type_), begins).view(np.uint64)
        count = whole.count[rows]
        # Weighed by shares, so that no sum of large values becomes infinite.
        share = count / np.add.reduceat(count, begins)[np.cumsum(_marks(begins, len(rows))) - 1]
        mean[into] = np.add.reduceat(whole.mean[rows] * share, begins)
    stamped = Batch(last.tag, last.kind, span[first] * step_ns, last.status, last.bits, last.texts)
    return Summary(
        stamped,
        low,
        high,
        mean,
        np.add.reduceat(whole.count, first),
        np.add.reduceat(whole.bad, first),
    )


def _marks(begins: Longs, length: int) -> Longs:
    marks = np.zeros(length, np.int64)
    marks[begins] = 1
    return marks


def encode_summary(summary: Summary) -> bytes:
    """The bytes of summaries. The mean is kept as a place between minimum and maximum, to the
    2**32nd part of what lies between them; all else without loss."""
    low, high = _ends(summary.low, summary.high, summary.last.kind)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        share = (summary.mean / 2 - low) / (high - low)
    share = np.where(np.isfinite(share), np.clip(share, 0, 1), 0)
    return encode(
        summary.last,
        (summary.low, summary.high),
        (
            np.rint(share * _SHARES).astype(np.uint64),
            summary.count.view(np.uint64),
            summary.bad.view(np.uint64),
        ),
    )


def decode_summary(data: bytes) -> Summary:
    """What was encoded. Raises MesError ``history_damaged``."""
    batch, (low, high, share, count, bad) = decode(data)
    ends = _ends(low, high, batch.kind)
    with np.errstate(invalid="ignore"):  # of what is infinite there is no mean
        mean = 2 * (ends[0] + (ends[1] - ends[0]) * (share / _SHARES))
    return Summary(batch, low, high, mean, count.view(np.int64), bad.view(np.int64))


_SHARES: Final = 2**32


def _ends(low: Words, high: Words, kind: Any) -> tuple[Floats, Floats]:
    """Half of minimum and maximum, so that their difference is finite."""
    return numbers(low, kind) / 2, numbers(high, kind) / 2
