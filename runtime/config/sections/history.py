"""The section ``history`` and the key ``history`` of a tag: their models, and what they mean
together."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from cellwright.io.files.located_yaml import Node
from cellwright.io.files.problems import Problems
from cellwright.io.plan import Code, HistorySettings, TagType
from cellwright.io.plan.history import DAY_NS, YEAR_NS
from cellwright.runtime.config.sections.durations import Duration, problem, show_duration
from cellwright.runtime.config.sections.section import Section

_HOUR_NS: Final = 3_600_000_000_000
_UNITS: Final = {"h": _HOUR_NS, "d": DAY_NS, "y": YEAR_NS}
_PATTERN: Final = r"^\s*(\d{1,6})\s*(h|d|y)\s*$"
_LONGEST_NS: Final = 100 * YEAR_NS
_LEAST_NS: Final = 2 * _HOUR_NS
_FASTEST_NS: Final = 10_000_000
_SLOWEST_NS: Final = 60_000_000_000
_USUAL: Final = HistorySettings()


def parse_age(value: Any) -> int:
    """Nanoseconds of ``36h``, ``14d``, ``5y``; raises PydanticCustomError."""
    match = re.match(_PATTERN, value, re.ASCII) if isinstance(value, str) else None
    nanoseconds = int(match[1]) * _UNITS[match[2]] if match is not None else 0
    if match is None:
        raise problem(
            f"'{value}' is not a time for which values are kept",
            "it is a whole number and one of h, d, y",
            "write one like 36h, 14d or 5y",
        )
    if not _LEAST_NS <= nanoseconds <= _LONGEST_NS:
        raise problem(
            f"values cannot be kept for {value.strip()}",
            "an hour is sealed after its end, and a century is the longest",
            "write at least 2h and at most 100y",
        )
    return nanoseconds


def show_age(nanoseconds: int) -> str:
    """``14d`` for that many nanoseconds: the largest unit that gives a whole number."""
    unit = next(unit for unit in ("y", "d", "h") if nanoseconds % _UNITS[unit] == 0)
    return f"{nanoseconds // _UNITS[unit]}{unit}"


def _tag(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    if value is not None and not isinstance(value, dict):
        raise problem(
            f"history is {value!r}",
            "a tag is recorded or not, or recorded with a deadband",
            "write true, or {deadband: 0.1}",
        )
    return value


Age = Annotated[
    int,
    BeforeValidator(parse_age),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["14d", "5y"]}),
]
"""A time in hours, days or years of 365.25 days; nanoseconds after validation."""


class History(Section):
    """How often and how long values of tags are recorded in the database of `mes`. Which tags they
    are, each says by its own key `history`; the section itself may be left out."""

    interval: Duration = _USUAL.interval_ns
    """How often the tags are looked at, 10ms to 60s; what changed is recorded with the time at
    which it changed. A value that came and went in between is not."""
    raw: Age = _USUAL.raw_ns
    """How long each value is kept."""
    seconds: Age = _USUAL.seconds_ns
    """How long minimum, maximum, mean, last, count and bad of each second are kept."""
    minutes: Age = _USUAL.minutes_ns
    """The same of each minute."""
    hours: Age = _USUAL.hours_ns
    """The same of each hour."""


class TagHistory(Section):
    """How a tag is recorded."""

    deadband: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    """A number is recorded when it is further than this from the value recorded last, in the unit
    of the tag. 0: each change is recorded, as is each change of quality."""


RecordedTag = Annotated[
    TagHistory | None,
    BeforeValidator(_tag),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "object"}]}),
]


def compile_history(
    section: History | None, tags: Any, has_mes: bool, root: Node, problems: Problems
) -> HistorySettings | None:
    """The settings; None when no tag is recorded. ``tags``: drafts by name."""
    section = section or History()
    bands: dict[str, float] = {}
    for name, draft in tags.items():
        wanted: TagHistory | None = draft.model.history
        if wanted is None:
            continue
        bands[name] = wanted.deadband
        _check_deadband(name, draft.type, wanted, root, problems)
    if bands and not has_mes:
        problems.error(
            root.at(("tags", next(iter(bands)), "history"), key=True),
            "a tag is recorded, but the cell has no database",
            "the history lies in the database of the MES",
            "add the section `mes`, or delete `history`",
        )
    _check_section(section, root, problems)
    if not bands:
        return None
    return HistorySettings(
        interval_ns=section.interval,
        raw_ns=section.raw,
        seconds_ns=section.seconds,
        minutes_ns=section.minutes,
        hours_ns=section.hours,
        deadbands=bands,
    )


def _check_deadband(
    name: str, type_: TagType, wanted: TagHistory, root: Node, problems: Problems
) -> None:
    if wanted.deadband and (type_.is_array or type_.code in (Code.BOOL, Code.STRING)):
        problems.error(
            root.at(("tags", name, "history", "deadband"), key=True),
            f"the tag '{name}' of type {type_} has a deadband",
            "only of a single number it can be told how far it has moved",
            "write `history: true`",
        )


def _check_section(section: History, root: Node, problems: Problems) -> None:
    if not _FASTEST_NS <= section.interval <= _SLOWEST_NS:
        problems.error(
            root.at(("history", "interval")),
            f"the tags cannot be looked at every {show_duration(section.interval)}",
            "it goes from 10ms to 60s",
            "write a duration between the two",
        )
    levels = ("raw", "seconds", "minutes", "hours")
    for finer, coarser in pairwise(levels):
        short, long = getattr(section, coarser), getattr(section, finer)
        if short < long:
            key = coarser if coarser in section.model_fields_set else finer
            problems.error(
                root.at(("history", key)),
                f"`{coarser}` is kept for {show_age(short)}, and `{finer}` for {show_age(long)}",
                "what is coarser takes the place of what is finer",
                f"write at least {show_age(long)} for `{coarser}`, or less for `{finer}`",
            )
