"""Wall-clock time as the MES keeps it: aware datetimes in UTC with microseconds.

Services ask `now`, which reads the clock that the store was opened with; records of journal
events take the event's own time, so that replaying a journal gives the same content.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from sqlalchemy.orm import Session

CLOCK_KEY: Final = "cellwright_utc_ns"
"""Key of the clock in `Session.info`."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US: Final = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)

UtcClock = Callable[[], int]
"""Returns nanoseconds since 1970-01-01T00:00:00Z."""


def from_ns(utc_ns: int) -> datetime:
    """Nanoseconds since 1970 as a datetime; times outside 1970 to 9999 come back as the limit.

    A device clock that shows nonsense must not stop the consumption of the journal.
    """
    return EPOCH + timedelta(microseconds=min(max(utc_ns // 1000, 0), _LATEST_US))


def to_us(moment: datetime) -> int:
    """Microseconds since 1970; raises ValueError for a datetime without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; give it in UTC")
    return (moment - EPOCH) // timedelta(microseconds=1)


def now(session: Session) -> datetime:
    """The time of the clock that this session's store was opened with."""
    clock = cast(UtcClock, session.info.get(CLOCK_KEY, time.time_ns))
    return from_ns(clock())
