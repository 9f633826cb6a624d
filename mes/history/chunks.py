"""Finds chunks and what was thinned out; below reading and keeping, which decide what they want."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from cellwright.mes.history.tables import ALL_BLOCKS, HistoryChunk, HistoryThinned, Level
from cellwright.mes.kernel.scope import scope_of


class Place(NamedTuple):
    """A chunk without its bytes."""

    id: int
    level: int
    start_ns: int
    end_ns: int
    rows: int


def places(
    session: Session, cell: str, levels: Iterable[Level], block: int, span: tuple[int, int]
) -> list[Place]:
    """Chunks of a block that may have rows in a span (first time, first one behind it), in the
    order in which their values came: sealed ones first, then minutes, then parts."""
    wanted = [int(level) for level in levels]
    of_block = and_(HistoryChunk.level.in_(wanted), HistoryChunk.block == block)
    if Level.PART in wanted:
        undivided = and_(HistoryChunk.level == int(Level.PART), HistoryChunk.block == ALL_BLOCKS)
        of_block = or_(of_block, undivided)
    mine = _mine(session, cell).where(
        HistoryChunk.start_ns < span[1], HistoryChunk.end_ns > span[0], of_block
    )
    found = mine.order_by(HistoryChunk.level.desc(), HistoryChunk.id)
    return [Place(*row) for row in session.execute(found)]


def parts(session: Session, cell: str, most: int) -> list[Place]:
    """What came from the gateway and is not divided yet, the oldest first."""
    mine = _mine(session, cell).where(HistoryChunk.level == int(Level.PART))
    return [Place(*row) for row in session.execute(mine.order_by(HistoryChunk.id).limit(most))]


def data(session: Session, found: Sequence[Place]) -> list[bytes]:
    """The bytes of chunks, in the order given."""
    wanted = select(HistoryChunk.id, HistoryChunk.data)
    loaded: dict[int, bytes] = {}
    ids = [place.id for place in found]
    for first in range(0, len(ids), 500):
        rows = session.execute(wanted.where(HistoryChunk.id.in_(ids[first : first + 500])))
        loaded.update((key, content) for key, content in rows)
    return [loaded[key] for key in ids]


def thinned(session: Session, cell: str) -> dict[Level, int]:
    """Up to which time each level is deleted; 0 for one of which nothing is."""
    rows = session.execute(
        select(HistoryThinned.level, HistoryThinned.until_ns).where(
            HistoryThinned.cell == cell, HistoryThinned.site_id == scope_of(session).site_id
        )
    )
    return dict.fromkeys(Level, 0) | {Level(level): until for level, until in rows}


def _mine(session: Session, cell: str) -> Any:
    return select(
        HistoryChunk.id,
        HistoryChunk.level,
        HistoryChunk.start_ns,
        HistoryChunk.end_ns,
        HistoryChunk.rows,
    ).where(HistoryChunk.cell == cell, HistoryChunk.site_id == scope_of(session).site_id)
