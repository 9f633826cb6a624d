"""What the history keeps of a cell's tags and how long, as the plan carries it.

The values here are those of a section that says nothing else.
"""

from __future__ import annotations

from typing import Final

import msgspec

DAY_NS: Final = 86_400_000_000_000
YEAR_NS: Final = 365 * DAY_NS + DAY_NS // 4


class HistorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded tags, and how long each level is kept."""

    interval_ns: int = 100_000_000
    """How often the image is looked at."""
    raw_ns: int = 14 * DAY_NS
    seconds_ns: int = 90 * DAY_NS
    minutes_ns: int = 5 * YEAR_NS
    hours_ns: int = 25 * YEAR_NS
    deadbands: dict[str, float] = {}
    """Name of each recorded tag, and the change of its value that is not recorded yet; 0: each
    change is."""
