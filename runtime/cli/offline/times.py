"""Times as people type them for `--since` and `--until`. Loads nothing but the calendar."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from cellwright.runtime.cli.common import fail

_BACK: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(s|min|h|d)", re.ASCII)
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_DAYS: Final = {"today": 0, "yesterday": 1}

MOMENT_HELP: Final = "a date, a time, both, 'yesterday', or how long ago, like 2h"


def span(since: str, until: str) -> tuple[datetime | None, datetime | None]:
    """What ``--since`` and ``--until`` mean now; None where nothing was typed. Exit code 2 for what
    is no time, and for an end before the beginning."""
    now = datetime.now(UTC)
    found = []
    for option, text in (("--since", since), ("--until", until)):
        try:
            found.append(moment(text, now, end=option == "--until") if text else None)
        except ValueError as error:
            fail(f"{option}: {error}", 2)
    begin, end = found
    if begin is not None and end is not None and begin > end:
        fail(f"--since {since} is later than --until {until}; exchange them", 2)
    return begin, end


def moment(text: str, now: datetime, *, end: bool = False) -> datetime:
    """The instant that was typed, with its zone; local time where it names none.

    A bare time is the last such time before ``now``. A bare date is the day's beginning, with
    ``end`` its last instant. Raises ValueError that says what is taken.
    """
    typed = text.strip()
    try:
        found = _moment(typed, now, end)
        if found is not None:
            return found.astimezone()
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"'{typed}' is not a time that this computer counts") from error
    raise ValueError(
        f"'{typed}' is not a time; write a date (2026-11-30, today, yesterday), a time (14:30), "
        "both (2026-11-30T14:30), or how long ago (90s, 30min, 2h, 7d)"
    )


def _moment(text: str, now: datetime, end: bool) -> datetime | None:
    back = _BACK.fullmatch(text)
    if back is not None:
        return now - timedelta(seconds=float(back[1]) * _SECONDS[back[2]])
    day = _day(text, now)
    if day is not None:
        begin = datetime.combine(day, time.min)
        return begin if not end else begin + timedelta(days=1) - timedelta(microseconds=1)
    at = _clock_time(text)
    if at is not None:
        local = now.astimezone(at.tzinfo)
        latest = datetime.combine(local.date(), at)
        if latest.astimezone() > now:
            latest -= timedelta(days=1)
        return latest
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _day(text: str, now: datetime) -> date | None:
    if text in _DAYS:
        return now.astimezone().date() - timedelta(days=_DAYS[text])
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _clock_time(text: str) -> time | None:
    """Hours and minutes at least: a bare number could mean anything."""
    if ":" not in text:
        return None
    try:
        return time.fromisoformat(text)
    except ValueError:
        return None
