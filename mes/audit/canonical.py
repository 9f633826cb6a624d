"""Canonical JSON (RFC 8785): one text for one content, so that its hash can be computed again.

Numbers are those of ECMAScript, keys are sorted by their UTF-16 code units. What JSON numbers
cannot hold exactly (decimals, integers beyond 2^53, what is not finite) becomes text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec
import rfc8785

_SAFE: Final = 2**53 - 1
"""Largest integer that every JSON reader holds exactly (RFC 8785, 3.2.2.3 and appendix D)."""

_fast = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> str:
    """The canonical JSON of plain data, decimals, dates and enumerations."""
    if value is None:
        return "null"
    plain, simple = _plain(value)
    # The fast encoder sorts by code points and writes floats in its own way; without floats and
    # with keys below U+D800 both orders and both texts are the same.
    return (_fast.encode(plain) if simple else rfc8785.dumps(plain)).decode()


def _plain(value: Any) -> tuple[Any, bool]:
    """The value as JSON knows it, and whether the fast encoder writes it canonically."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value, True
    if kind is int:
        return (value, True) if -_SAFE <= value <= _SAFE else (str(value), True)
    if kind is float:
        return (value, False) if math.isfinite(value) else (str(value), True)
    if kind is dict or isinstance(value, Mapping):
        return _plain_mapping(value)
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return [item for item, _ in items], all(simple for _, simple in items)
    return _plain_rare(value)


def _plain_mapping(value: Mapping[Any, Any]) -> tuple[Any, bool]:
    found: dict[str, Any] = {}
    simple = True
    for key, item in value.items():
        name = str(key)
        if type(item) is str or item is None:  # most are
            found[name] = item
        else:
            found[name], plainly = _plain(item)
            simple = simple and plainly
        simple = simple and (name.isascii() or max(name) < "\ud800")
    return found, simple


def _plain_rare(value: Any) -> tuple[Any, bool]:
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() else str(value), True
    if isinstance(value, datetime | date):
        return value.isoformat(), True
    if isinstance(value, str | int | float):  # subclasses of them
        return _plain(next(base(value) for base in (str, int, float) if isinstance(value, base)))
    raise TypeError(f"{type(value).__name__} cannot be put into the audit")
