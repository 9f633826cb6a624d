"""Reads one tag's values over time, piece by piece, from the finest level that is still there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes.history import chunks
from cellwright.mes.history.batch import Batch, Kind, joined, merged
from cellwright.mes.history.codec import decode
from cellwright.mes.history.summary import UNCERTAIN, Summary, decode_summary, each, together
from cellwright.mes.history.tables import BLOCK, HOUR_NS, HistoryTag, Level
from cellwright.mes.kernel.scope import scope_of

_RAW: Final = (Level.HOUR, Level.MINUTE, Level.PART)
FIRST_NS: Final = -(2**63) + HOUR_NS
LAST_NS: Final = 2**63 - 1 - HOUR_NS
"""Ends of what may be asked for."""


class Recorded(NamedTuple):
    """A tag of which there is a history."""

    key: int
    name: str
    type: str
    """As `cell.yaml` spells it."""
    kind: Kind


class Piece(NamedTuple):
    """Values of one tag, ascending in time; none without any."""

    values: Summary
    raw: bool
    """Each row is one value; else each is the summary of a span."""


def tags(session: Session, cell: str) -> list[Recorded]:
    """All tags of a cell that are or were recorded, by name; the newest type of a name last."""
    found = session.execute(
        select(HistoryTag.id, HistoryTag.name, HistoryTag.type, HistoryTag.kind)
        .where(HistoryTag.cell == cell, HistoryTag.site_id == scope_of(session).site_id)
        .order_by(HistoryTag.name, HistoryTag.id)
    )
    return [Recorded(key, name, type_, Kind(kind)) for key, name, type_, kind in found]


def read(
    session: Session,
    cell: str,
    key: int,
    start_ns: int = FIRST_NS,
    end_ns: int = LAST_NS,
    *,
    backward: bool = False,
) -> Iterator[Piece]:
    """The values of ``start_ns <= time < end_ns`` in pieces of an hour or of a chunk of summaries.

    ``backward``: the latest piece first; each is ascending in itself. Raises MesError
    ``history_damaged``.
    """
    until = chunks.thinned(session, cell)
    pieces = []
    last = end_ns
    for level in (Level.HOUR, Level.BY_SECOND, Level.BY_MINUTE, Level.BY_HOUR):
        # What was never thinned out has no beginning.
        first = max(start_ns, until[level]) if until[level] else start_ns
        if first < last:
            pieces.append((level, first, last))
            last = first
    reader = _Reader(session, cell, key, backward)
    for level, first, last in pieces if backward else reversed(pieces):
        if level is Level.HOUR:
            yield from reader.raw((first, last))
        else:
            yield from reader.summaries(level, (first, last))


def at_or_before(session: Session, cell: str, key: int, time_ns: int) -> Summary:
    """The last value that is not later; empty when there is none."""
    for piece in read(session, cell, key, end_ns=time_ns + 1, backward=True):
        return piece.values.take(slice(len(piece.values) - 1, None))
    return together(())


def at_or_after(session: Session, cell: str, key: int, time_ns: int) -> Summary:
    """The first value that is not earlier; empty when there is none."""
    for piece in read(session, cell, key, time_ns):
        return piece.values.take(slice(0, 1))
    return together(())


def around(
    session: Session, cell: str, key: int, span: tuple[int, int], most: int
) -> Summary | None:
    """The values of a span (first time, first one behind it), with those on either side of it as
    far as the next Good one; None when they are more than ``most``."""
    found: list[Summary] = []
    for piece in read(session, cell, key, end_ns=span[0], backward=True):
        good = np.flatnonzero(piece.values.last.status < UNCERTAIN)
        found.insert(0, piece.values.take(slice(int(good[-1]) if len(good) else 0, None)))
        if len(good):
            break
    count = 0
    for piece in read(session, cell, key, *span):
        found.append(piece.values)
        count += len(piece.values)
        if count > most:
            return None
    for piece in read(session, cell, key, span[1]):
        good = np.flatnonzero(piece.values.last.status < UNCERTAIN)
        found.append(piece.values.take(slice(0, int(good[0]) + 1 if len(good) else None)))
        if len(good):
            break
    return together(found)


@dataclass(frozen=True, slots=True)
class _Reader:
    session: Session
    cell: str
    key: int
    backward: bool

    def raw(self, span: tuple[int, int]) -> Iterator[Piece]:
        found = chunks.places(self.session, self.cell, _RAW, self.key // BLOCK, span)
        fresh = self._of([place for place in found if place.level == Level.PART], span)
        divided = [place for place in found if place.level != Level.PART]
        hours = {place.start_ns // HOUR_NS for place in divided}
        hours |= set(np.unique(fresh.time // HOUR_NS).tolist())
        for hour in sorted(hours, reverse=self.backward):
            older = self._of([it for it in divided if it.start_ns // HOUR_NS == hour], span)
            batch = merged([older, fresh.take(fresh.time // HOUR_NS == hour)])
            if len(batch):
                yield Piece(each(batch), True)

    def summaries(self, level: Level, span: tuple[int, int]) -> Iterator[Piece]:
        found = chunks.places(self.session, self.cell, [level], self.key // BLOCK, span)
        for begin in sorted({place.start_ns for place in found}, reverse=self.backward):
            inside = [place for place in found if place.start_ns == begin]
            data = chunks.data(self.session, inside)
            whole = together(decode_summary(content) for content in data)
            rows = self._mine(whole.last, span)
            if rows.any():
                yield Piece(whole.take(rows), False)

    def _of(self, found: list[chunks.Place], span: tuple[int, int]) -> Batch:
        batches = [decode(content)[0] for content in chunks.data(self.session, found)]
        return joined(batch.take(self._mine(batch, span)) for batch in batches)

    def _mine(self, batch: Batch, span: tuple[int, int]) -> NDArray[np.bool_]:
        rows: NDArray[np.bool_] = batch.tag == self.key
        return rows & (batch.time >= span[0]) & (batch.time < span[1])
