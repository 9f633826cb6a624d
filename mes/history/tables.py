"""The history: tags that are recorded, chunks of their values, and what was thinned out."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from sqlalchemy import Index, LargeBinary, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cellwright.mes.kernel.base import Base, Keyed, Retention, Scoped

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS

BLOCK: Final = 16
"""Tags of a chunk: those whose keys are alike but for the last four bits. They share a clock, and
who reads one of them reads them all."""
ALL_BLOCKS: Final = -1
"""Block of what came from the gateway in one second, which is not divided yet."""


class Level(IntEnum):
    """What the rows of a chunk are; the numbers are in the database."""

    PART = 0
    """Values as they came, about a second's."""
    MINUTE = 1
    """Values of a minute and a block."""
    HOUR = 2
    """Values of an hour and a block: sealed."""
    BY_SECOND = 3
    """Summaries of a second each, an hour of them."""
    BY_MINUTE = 4
    """Summaries of a minute each, a day of them."""
    BY_HOUR = 5
    """Summaries of an hour each, 30 days of them."""


SPAN_NS: Final = {
    Level.MINUTE: MINUTE_NS,
    Level.HOUR: HOUR_NS,
    Level.BY_SECOND: HOUR_NS,
    Level.BY_MINUTE: DAY_NS,
    Level.BY_HOUR: 30 * DAY_NS,
}
"""What a chunk of a level spans; it begins at a multiple of this since 1970."""
STEP_NS: Final = {
    Level.BY_SECOND: SECOND_NS,
    Level.BY_MINUTE: MINUTE_NS,
    Level.BY_HOUR: HOUR_NS,
}
"""What a row of a level of summaries spans."""


class HistoryTag(Keyed, Scoped, Base):
    """A tag of a cell that is or was recorded. One that gets another type is another one."""

    __tablename__ = "history_tag"
    __table_args__: Any = (UniqueConstraint("tenant_id", "site_id", "cell", "name", "type"),)
    retention = Retention.HISTORY

    cell: Mapped[str]
    name: Mapped[str]
    type: Mapped[str]
    """As `cell.yaml` spells it: ``LREAL``, ``STRING(20)``, ``ARRAY[0..9] OF INT``."""
    kind: Mapped[int] = mapped_column(SmallInteger)
    """See `batch.Kind`."""


class HistoryChunk(Keyed, Scoped, Base):
    """Values or summaries of a span of time and a block of tags, as `codec` writes them."""

    __tablename__ = "history_chunk"
    __table_args__: Any = (
        Index(None, "tenant_id", "site_id", "cell", "level", "block", "start_ns"),
    )
    retention = Retention.HISTORY

    cell: Mapped[str]
    level: Mapped[int] = mapped_column(SmallInteger)
    block: Mapped[int]
    start_ns: Mapped[int]
    """Beginning of the span; of a part the earliest time in it."""
    end_ns: Mapped[int]
    """First time behind the span; of a part the first one behind its latest."""
    rows: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class HistoryThinned(Keyed, Scoped, Base):
    """How far the chunks of a level are deleted; never goes back, whatever the clock does."""

    __tablename__ = "history_thinned"
    __table_args__: Any = (UniqueConstraint("tenant_id", "site_id", "cell", "level"),)
    retention = Retention.HISTORY

    cell: Mapped[str]
    level: Mapped[int] = mapped_column(SmallInteger)
    until_ns: Mapped[int]
