"""Durations as a configuration writes them: a number and its unit, ``10ms``."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
}
LONGEST_NS: Final = 24 * NANOSECONDS["h"]

_PATTERN: Final = r"^\s*(\d{1,18}(?:\.\d{1,9})?)\s*(ns|us|µs|ms|s|min|h)\s*$"
_DURATION: Final = re.compile(_PATTERN, re.ASCII)


def problem(what: str, why: str, remedy: str) -> PydanticCustomError:
    """An error of a model's validator that already has the three parts of a complaint."""
    return PydanticCustomError(
        "cellwright", "{what}; {why}; {remedy}", {"what": what, "why": why, "remedy": remedy}
    )


def parse_duration(value: Any) -> int:
    """Nanoseconds of ``10ms``, ``1.5s``, ``500us``, ``2min``; raises PydanticCustomError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise problem("this is not a duration", "a duration is text", "write one like 10ms or 1.5s")
    if isinstance(value, int | float):
        shown = f"{value:g}" if abs(value) < 1e15 else "the number"
        raise problem(
            f"the duration {shown} has no unit",
            "a bare number leaves open whether it means seconds or milliseconds",
            f"write the unit, for example {shown}ms" if shown != "the number" else "write 10ms",
        )
    match = _DURATION.match(value)
    if match is None and _DURATION.match(value.replace(",", ".", 1)):
        raise problem(
            f"'{value}' is not a duration",
            "decimals have a point",
            f"write a decimal point: {value.replace(',', '.', 1)}",
        )
    if match is None:
        raise problem(
            f"'{value}' is not a duration",
            "a duration is a number and one of ns, us, ms, s, min, h",
            "write one like 500us, 10ms, 1.5s or 2min",
        )
    exact = Fraction(match[1]) * NANOSECONDS[match[2]]
    if exact.denominator != 1:
        raise problem(
            f"'{value}' is finer than a nanosecond",
            "time is counted in whole nanoseconds",
            "round it",
        )
    if exact > LONGEST_NS:
        raise problem(
            f"'{value}' is longer than a day", "no time of a cell is", "write a shorter duration"
        )
    return int(exact)


def positive_duration(value: Any) -> int:
    """The same above zero; raises PydanticCustomError."""
    nanoseconds = parse_duration(value)
    if nanoseconds == 0:
        raise problem(
            f"'{value}' is not a duration above zero",
            "this duration must be above zero",
            "write 10ms",
        )
    return nanoseconds


def show_duration(nanoseconds: int) -> str:
    """``10ms`` for 10_000_000: the largest unit that gives a whole number."""
    for unit in ("h", "min", "s", "ms", "us"):
        if nanoseconds and nanoseconds % NANOSECONDS[unit] == 0:
            return f"{nanoseconds // NANOSECONDS[unit]}{unit}"
    return f"{nanoseconds}ns" if nanoseconds else "0s"


_SCHEMA: Final = {"type": "string", "pattern": _PATTERN, "examples": ["10ms", "1.5s"]}

Duration = Annotated[int, BeforeValidator(positive_duration), WithJsonSchema(_SCHEMA)]
"""A time above zero, in nanoseconds after validation."""
DurationOrZero = Annotated[int, BeforeValidator(parse_duration), WithJsonSchema(_SCHEMA)]
