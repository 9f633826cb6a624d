"""Text that both databases can hold.

Requests with other text are refused; facts from the journal are mended instead, because a fact
that cannot be stored would stop the consumption of everything behind it.
"""

from __future__ import annotations

import hashlib
from typing import Final

MAX_KEY: Final = 200
"""Longest text in an indexed column, in characters; PostgreSQL refuses index rows over 2.7 kB."""


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
