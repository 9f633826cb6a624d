"""Text that both databases can hold.

Requests with other text are refused; facts from the journal are mended instead, because a fact
that cannot be stored would stop the consumption of everything behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

MAX_KEY: Final = 200
"""Longest text in an indexed column, in characters; PostgreSQL refuses index rows over 2.7 kB."""


MAX_FIELDS: Final = 2_000
"""Most UTF-8 bytes of a part's marking fields, names included. A serial is granted to a station in
one command of the cell, and that holds 4 KiB."""
MAX_REASON: Final = 1_000
"""Most UTF-8 bytes of the reason that a station is told; see `MAX_FIELDS`."""


def fields_complaint(fields: Mapping[str, str]) -> str:
    """What is wrong with marking fields that are too large to reach a station; else empty."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in fields.items())
    if size <= MAX_FIELDS:
        return ""
    return f"the marking fields take {size} bytes, at most {MAX_FIELDS} reach a station"


def shorten(text: str, size: int) -> str:
    """The text, cut to at most ``size`` UTF-8 bytes and ``...`` when it was longer."""
    data = text.encode()
    return text if len(data) <= size else data[: size - 3].decode(errors="ignore") + "..."


def storable(text: str) -> bool:
    """False for NUL characters (PostgreSQL has none) and lone surrogates (UTF-8 has none)."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def mend(text: str) -> str:
    """The text with NUL shown as ␀ and lone surrogates as ?."""
    return text.replace("\0", "␀").encode(errors="replace").decode()


def mend_key(text: str) -> str:
    """`mend`, and cut to `MAX_KEY` characters so that different texts stay different."""
    text = mend(text)
    if len(text) <= MAX_KEY:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{text[: MAX_KEY - 33]}~{digest}"
