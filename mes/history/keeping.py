"""Turns parts into minutes, minutes into sealed hours with their summaries, and deletes in time.

Each step is one short transaction that takes rows away and puts others in their place, so it may be
killed at any instant and goes on from what the database says. The arithmetic is done before
the transaction begins, because on SQLite others wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, CursorResult, Select, delete, func, or_, select
from sqlalchemy.orm import Session

from cellwright.io.plan import HistorySettings
from cellwright.mes.history import chunks
from cellwright.mes.history.append import Chunk, store_chunk
from cellwright.mes.history.batch import divided, merged
from cellwright.mes.history.chunks import Place
from cellwright.mes.history.codec import decode, encode
from cellwright.mes.history.summary import (
    Summary,
    decode_summary,
    each,
    encode_summary,
    rolled,
    together,
)
from cellwright.mes.history.tables import (
    BLOCK,
    HOUR_NS,
    MINUTE_NS,
    SPAN_NS,
    STEP_NS,
    HistoryChunk,
    HistoryThinned,
    Level,
)
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import scope_of

PARTS: Final = 60
"""So many are made into minutes together: what has come in a minute."""
GRACE_NS: Final = MINUTE_NS
"""An hour is sealed so long after its end; what comes later is merged into it."""
TIERS: Final = (Level.BY_SECOND, Level.BY_MINUTE, Level.BY_HOUR)


class Source(Protocol):
    """What has sessions: a `Store`, or one that opens in the background."""

    def session(self) -> AbstractContextManager[Session]:
        """A transaction that may write."""

    def reading(self) -> AbstractContextManager[Session]:
        """A snapshot."""


class Keeper:
    """The work on one cell's history that is not urgent, step by step."""

    def __init__(self, source: Source, cell: str, settings: HistorySettings) -> None:
        self._source = source
        self._cell = cell
        self._kept_ns = {
            Level.HOUR: settings.raw_ns,
            Level.BY_SECOND: settings.seconds_ns,
            Level.BY_MINUTE: settings.minutes_ns,
            Level.BY_HOUR: settings.hours_ns,
        }

    def step(self, now_ns: int) -> bool:
        """Do the next small thing; False when there was none. Raises MesError."""
        return self.divide() or self.seal(now_ns) or self.thin(now_ns)

    def divide(self, least: int = PARTS) -> bool:
        """Make parts into minutes, when there are ``least`` of them."""
        with self._source.reading() as session:
            found = chunks.parts(session, self._cell, PARTS)
            if not found or len(found) < least:
                return False
            whole = merged(decode(data)[0] for data in chunks.data(session, found))
        new = [
            _chunk(Level.MINUTE, block, start, len(part), encode(merged([part])))
            for start, block, part in divided(whole, MINUTE_NS, BLOCK)
        ]
        self._replace(found, new)
        return True

    def seal(self, now_ns: int) -> bool:
        """Make the minutes of one block's hour into a sealed hour and its summaries.

        The hour is over, or lies in a future that a clock set back has left behind.
        """
        with self._source.reading() as session:
            hour, block = self._due(session, now_ns)
            if hour is None:
                return False
            until = chunks.thinned(session, self._cell)
            levels, span = [Level.HOUR, Level.MINUTE], (hour, hour + HOUR_NS)
            found = chunks.places(session, self._cell, levels, block, span)
            raw = merged(decode(data)[0] for data in chunks.data(session, found))
            old = [chunks.places(session, self._cell, [level], block, span) for level in TIERS]
            before = [
                together(decode_summary(data) for data in chunks.data(session, places))
                for places in old
            ]
        gone = hour < until[Level.HOUR]
        new = [] if gone else [_chunk(Level.HOUR, block, hour, len(raw), encode(raw))]
        fresh = each(raw)
        for level, places, known in zip(TIERS, old, before, strict=True):
            fresh = rolled([fresh], STEP_NS[level])
            start = hour // SPAN_NS[level] * SPAN_NS[level]
            if start + SPAN_NS[level] <= until[level]:
                continue
            summary = _with(known, fresh, hour, STEP_NS[level], add=gone)
            new.append(_chunk(level, block, start, len(summary), encode_summary(summary)))
            found += places
        self._replace(found, new)
        return True

    def thin(self, now_ns: int) -> bool:
        """Delete the oldest chunks of one level and span that are kept no longer."""
        for level, kept_ns in self._kept_ns.items():
            latest = now_ns - kept_ns - SPAN_NS[level]
            with self._source.reading() as session:
                wanted: Select[Any] = select(func.min(HistoryChunk.start_ns))
                oldest = session.scalar(
                    wanted.where(*self._mine(session, level), HistoryChunk.start_ns <= latest)
                )
            if oldest is None:
                continue
            with self._source.session() as session:
                session.execute(
                    delete(HistoryChunk).where(
                        *self._mine(session, level), HistoryChunk.start_ns <= oldest
                    )
                )
                self._note(session, level, oldest + SPAN_NS[level])
            return True
        return False

    def _mine(self, session: Session, level: Level) -> tuple[ColumnElement[bool], ...]:
        return (
            HistoryChunk.cell == self._cell,
            HistoryChunk.site_id == scope_of(session).site_id,
            HistoryChunk.level == int(level),
        )

    def _due(self, session: Session, now_ns: int) -> tuple[int | None, int]:
        over = (now_ns - GRACE_NS) // HOUR_NS * HOUR_NS
        found = session.execute(
            select(HistoryChunk.start_ns, HistoryChunk.block)
            .where(
                *self._mine(session, Level.MINUTE),
                or_(HistoryChunk.start_ns < over, HistoryChunk.start_ns > now_ns + HOUR_NS),
            )
            .order_by(HistoryChunk.start_ns, HistoryChunk.block)
            .limit(1)
        ).first()
        if found is None:
            return None, 0
        return found.start_ns // HOUR_NS * HOUR_NS, found.block

    def _note(self, session: Session, level: Level, until_ns: int) -> None:
        row = session.scalars(
            select(HistoryThinned).where(
                HistoryThinned.cell == self._cell,
                HistoryThinned.site_id == scope_of(session).site_id,
                HistoryThinned.level == int(level),
            )
        ).one_or_none()
        if row is None:
            session.add(HistoryThinned(cell=self._cell, level=int(level), until_ns=until_ns))
        else:
            row.until_ns = max(row.until_ns, until_ns)

    def _replace(self, taken: Sequence[Place], new: Iterable[Chunk]) -> None:
        """Put chunks in the place of others, or nothing at all when another was faster."""
        ids = [place.id for place in taken]
        with self._source.session() as session:
            for chunk in new:
                store_chunk(session, self._cell, chunk)
            gone = session.execute(delete(HistoryChunk).where(HistoryChunk.id.in_(ids)))
            assert isinstance(gone, CursorResult)
            if gone.rowcount != len(ids):
                raise MesError(
                    "history_busy",
                    f"another program works on the history of cell {self._cell}, which was left as "
                    "it is; end the other one, or try again",
                )


def _chunk(level: Level, block: int, start_ns: int, rows: int, data: bytes) -> Chunk:
    return Chunk(level, block, start_ns, start_ns + SPAN_NS[level], rows, data)


def _with(known: Summary, fresh: Summary, hour: int, step_ns: int, *, add: bool) -> Summary:
    """What is known with an hour summed up anew, or with what came too late for that added."""
    if not add:
        time = known.last.time
        known = known.take((time < hour) | (time >= hour + HOUR_NS))
    return rolled([known, fresh], step_ns)
