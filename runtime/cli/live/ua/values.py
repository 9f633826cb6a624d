"""Values between a person's words and OPC UA's types."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from asyncua import ua

_T = ua.VariantType
_INTEGERS: Final = {
    _T.SByte: (-(2**7), 2**7 - 1),
    _T.Byte: (0, 2**8 - 1),
    _T.Int16: (-(2**15), 2**15 - 1),
    _T.UInt16: (0, 2**16 - 1),
    _T.Int32: (-(2**31), 2**31 - 1),
    _T.UInt32: (0, 2**32 - 1),
    _T.Int64: (-(2**63), 2**63 - 1),
    _T.UInt64: (0, 2**64 - 1),
}
_WORDS: Final = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


def typed(text: str, kind: ua.VariantType, *, is_array: bool) -> ua.Variant:
    """What was typed as a value of a type; raises ValueError that says what is wrong.

    A list is written as JSON, ``[1, 2, 3]``.
    """
    if not is_array:
        return ua.Variant(_scalar(text, kind), kind)
    try:
        items = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.80} is no list; write it like '[1, 2, 3]'") from error
    if not isinstance(items, list):
        raise ValueError(f"{text!r:.80} is no list; write it like '[1, 2, 3]'")
    made = [_scalar(item if isinstance(item, str) else json.dumps(item), kind) for item in items]
    return ua.Variant(made, kind, is_array=True)


def _scalar(text: str, kind: ua.VariantType) -> Any:
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        number = int(text, 0)
        if not low <= number <= high:
            raise ValueError(f"{number} does not fit: {kind.name} is from {low} to {high}")
        return number
    make = _MAKE.get(kind)
    if make is None:
        raise ValueError(f"values of the type {kind.name} cannot be typed here")
    return make(text)


def _boolean(text: str) -> bool:
    try:
        return _WORDS[text.lower()]
    except KeyError as error:
        raise ValueError(f"{text!r:.80} is neither true nor false") from error


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


_MAKE: Final[dict[ua.VariantType, Callable[[str], Any]]] = {
    _T.Boolean: _boolean,
    _T.Float: float,
    _T.Double: float,
    _T.String: str,
    _T.DateTime: _moment,
    _T.Guid: uuid.UUID,
    _T.ByteString: bytes.fromhex,
    _T.NodeId: ua.NodeId.from_string,
    _T.LocalizedText: ua.LocalizedText,
    _T.QualifiedName: ua.QualifiedName,
}


def shown(value: Any) -> str:
    """A value as one line of text."""
    plain_ = plain(value)
    if isinstance(plain_, str):
        return plain_
    if isinstance(plain_, bool) or plain_ is None:
        return {True: "true", False: "false", None: "null"}[plain_]
    if isinstance(plain_, dict | list):
        return json.dumps(plain_, ensure_ascii=False)
    return str(plain_)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    for kind, make in _PLAIN:
        if isinstance(value, kind):
            return make(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name not in ("Encoding", "data_type")
        }
    return value if isinstance(value, bool | int | float) or value is None else str(value)


_PLAIN: Final[tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...]] = (
    (str, str),
    (bytes, bytes.hex),
    (ua.Variant, lambda value: plain(value.Value)),
    ((list, tuple), lambda value: [plain(item) for item in value]),
    (Enum, lambda value: value.name),
    (datetime, lambda value: value.isoformat(timespec="milliseconds").replace("+00:00", "Z")),
    (ua.LocalizedText, lambda value: value.Text or ""),
    (ua.QualifiedName, lambda value: f"{value.NamespaceIndex}:{value.Name}"),
    (ua.NodeId, lambda value: value.to_string()),
    (ua.StatusCode, lambda value: value.name),
)
