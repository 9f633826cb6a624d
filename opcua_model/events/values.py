"""Values in a where clause: how they compare, and how one type becomes another.

Null is neither true nor false (OPC 10000-4, 7.7.3): what is compared with it gives null.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final

from asyncua import ua

_T = ua.VariantType
_BITS: Final[dict[ua.VariantType, tuple[int, int]]] = {
    _T.SByte: (-(2**7), 2**7 - 1),
    _T.Byte: (0, 2**8 - 1),
    _T.Int16: (-(2**15), 2**15 - 1),
    _T.UInt16: (0, 2**16 - 1),
    _T.Int32: (-(2**31), 2**31 - 1),
    _T.UInt32: (0, 2**32 - 1),
    _T.Int64: (-(2**63), 2**63 - 1),
    _T.UInt64: (0, 2**64 - 1),
}
_TRUE: Final = {"true": True, "1": True, "false": False, "0": False}


def plain(value: Any) -> Any:
    """A value as the operators take it: variants unpacked, texts without their language."""
    while isinstance(value, ua.Variant):
        value = value.Value
    for kind, unpacked in _PLAIN:
        if isinstance(value, kind):
            return unpacked(value)
    return value


def _named(node_id: ua.NodeId) -> tuple[int, Any]:
    return node_id.NamespaceIndex, node_id.Identifier


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_PLAIN: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (ua.LocalizedText, lambda text: text.Text or ""),
    (ua.QualifiedName, lambda name: name.Name or ""),
    (ua.StatusCode, lambda code: code.value),
    (ua.NodeId, lambda node_id: None if node_id.is_null() else _named(node_id)),
    (IntEnum, int),
    (datetime, _in_utc),
)


def equal(left: Any, right: Any) -> bool | None:
    """Null when one is null or when the types have nothing in common."""
    if left is None or right is None:
        return None
    pair = _together(left, right)
    return None if pair is None else bool(pair[0] == pair[1])


def order(left: Any, right: Any, test: Callable[[Any, Any], bool]) -> bool | None:
    """A comparison of two values that have an order; null when they have none."""
    if left is None or right is None:
        return None
    pair = _together(left, right)
    if pair is None or isinstance(pair[0], bool | tuple | list):
        return None
    try:
        return bool(test(*pair))
    except TypeError:
        return None


def truth(value: Any) -> bool | None:
    """A value as a condition: null for what is no Boolean."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _TRUE.get(value.lower())
    if isinstance(value, int | float):
        return bool(value)
    return None


def cast(value: Any, target: ua.NodeId) -> Any:
    """A value as another built-in type; null where that is not possible."""
    if value is None or target.NamespaceIndex or not isinstance(target.Identifier, int):
        return None
    try:
        return _cast(value, ua.VariantType(target.Identifier))
    except (ValueError, TypeError, OverflowError):
        return None


def _cast(value: Any, kind: ua.VariantType) -> Any:
    if kind in _BITS:
        low, high = _BITS[kind]
        number = round(float(value)) if isinstance(value, str | float) else int(value)
        return number if low <= number <= high else None
    make = _CASTS.get(kind)
    return None if make is None else make(value)


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | tuple | list):
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        return _in_utc(datetime.fromisoformat(value))
    return value if isinstance(value, datetime) else None


def _guid(value: Any) -> uuid.UUID | None:
    return uuid.UUID(value) if isinstance(value, str) else None


_CASTS: Final[dict[ua.VariantType, Callable[[Any], Any]]] = {
    _T.Boolean: truth,
    _T.Float: float,
    _T.Double: float,
    _T.String: _text,
    _T.DateTime: _moment,
    _T.Guid: _guid,
}


def _together(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Both in the type of the one that is higher in the order of conversions (table 122)."""
    for first, second, turned in ((left, right, False), (right, left, True)):
        if isinstance(first, str) and not isinstance(second, str):
            other = _like(first, second)
            if other is None:
                return None
            return (second, other) if turned else (other, second)
    numbers = (bool, int, float)
    if isinstance(left, numbers) and isinstance(right, numbers):
        if isinstance(left, bool) != isinstance(right, bool):
            return int(left) if isinstance(left, bool) else left, (
                int(right) if isinstance(right, bool) else right
            )
        return left, right
    return (left, right) if type(left) is type(right) else None


def _like(text: str, other: Any) -> Any:
    """A text in the type of another value; null when it is none."""
    for kind, read in _READ:
        if isinstance(other, kind):
            try:
                return read(text)
            except (ValueError, ua.UaStringParsingError):
                return None
    return None


_READ: Final[tuple[tuple[type, Callable[[str], Any]], ...]] = (
    (bool, lambda text: _TRUE.get(text.lower())),
    (int, float),
    (float, float),
    (datetime, _moment),
    (uuid.UUID, uuid.UUID),
    (tuple, lambda text: plain(ua.NodeId.from_string(text))),
)
