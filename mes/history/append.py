"""Writes what was recorded: the tags once, and each second's values as one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from cellwright.mes.history.batch import Batch, Kind, merged
from cellwright.mes.history.codec import encode
from cellwright.mes.history.tables import ALL_BLOCKS, HistoryChunk, HistoryTag, Level
from cellwright.mes.kernel.scope import scope_of


def register(
    session: Session, cell: str, tags: Iterable[tuple[str, str, Kind]]
) -> Mapping[tuple[str, str], int]:
    """Keys of tags by name and type; those that were never recorded get one.

    ``tags``: name, type as `cell.yaml` spells it, kind.
    """
    found = select(HistoryTag.name, HistoryTag.type, HistoryTag.id).where(HistoryTag.cell == cell)
    known = {(name, type_): key for name, type_, key in session.execute(found)}
    new = [
        HistoryTag(cell=cell, name=name, type=type_, kind=int(kind))
        for name, type_, kind in tags
        if (name, type_) not in known
    ]
    session.add_all(new)
    session.flush()
    return known | {(tag.name, tag.type): tag.id for tag in new}


def append(session: Session, cell: str, batches: Iterable[Batch]) -> int:
    """Store values of any tags and times, in any order; how many are stored.

    A later value of a tag for the same time takes the place of an earlier one.
    """
    batch = merged(batches)
    if len(batch):
        start, end = int(batch.time.min()), int(batch.time.max()) + 1
        part = Chunk(Level.PART, ALL_BLOCKS, start, end, len(batch), encode(batch))
        store_chunk(session, cell, part)
    return len(batch)


class Chunk(NamedTuple):
    """A chunk to be written; see `tables.HistoryChunk`."""

    level: Level
    block: int
    start_ns: int
    end_ns: int
    rows: int
    data: bytes


def store_chunk(session: Session, cell: str, chunk: Chunk) -> None:
    """Write one chunk."""
    scope = scope_of(session)
    session.execute(
        insert(HistoryChunk).values(
            tenant_id=scope.tenant_id, site_id=scope.site_id, cell=cell, **chunk._asdict()
        )
    )
