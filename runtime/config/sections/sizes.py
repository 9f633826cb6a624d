"""Sizes as a configuration writes them: a number and its unit, ``512MiB``."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from cellwright.runtime.config.sections.durations import problem

BYTES: Final = {
    "kB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
SMALLEST: Final = 1 << 20
LARGEST: Final = 1 << 40

_PATTERN: Final = r"^\s*(\d{1,15}(?:\.\d{1,9})?)\s*(kB|MB|GB|KiB|MiB|GiB)\s*$"
_SIZE: Final = re.compile(_PATTERN, re.ASCII)


def parse_size(value: Any) -> int:
    """Bytes of ``512MiB``, ``1.5GB``, from 1 MiB to 1 TiB; raises PydanticCustomError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise problem("this is not a size", "a size is text", "write one like 512MiB or 2GB")
    if isinstance(value, int | float):
        raise problem(
            f"the size {value:g} has no unit" if abs(value) < 1e15 else "the size has no unit",
            "a bare number leaves open whether it means bytes or megabytes",
            "write the unit, for example 512MiB",
        )
    match = _SIZE.match(value)
    if match is None:
        with_point = value.strip().replace(",", ".")
        remedy = "write one like 512MiB or 2GB"
        if with_point.count(".") == 1 and "," in value and _SIZE.match(with_point):
            remedy = f"write a decimal point: {with_point}"
        raise problem(
            f"'{value}' is not a size",
            f"a size is a number and one of {', '.join(BYTES)}",
            remedy,
        )
    size = int(Fraction(match[1]) * BYTES[match[2]])
    if not SMALLEST <= size <= LARGEST:
        raise problem(
            f"the size {value.strip()} cannot be kept",
            "sizes go from 1MiB to 1024GiB",
            "write a larger size" if size < SMALLEST else "write a smaller size",
        )
    return size


def show_size(size: int) -> str:
    """``512MiB`` for 536_870_912: the largest unit that gives a whole number."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "kB"):
        if size and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit}"
    return f"{size} bytes"


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["512MiB", "2GB"]}),
]
"""Room on a disk, in bytes after validation."""
