"""Encodes data change notifications: scalars straight to bytes, everything else by the library.

Called when a subscription publishes. Gives an ExtensionObject with a finished body
(DataChangeNotification, OPC 10000-4, 7.25.2), which the library sends as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from cellwright.opcua_model.address_space.ids import standard

_TYPE_ID: Final = standard(ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary)
_MASK: Final = 0x01 | 0x02 | 0x04 | 0x08
"""Value, status, source and server timestamp are there (OPC 10000-6, 5.2.2.17)."""
_NO_DIAGNOSTICS: Final = struct.pack("<i", -1)
_COUNT: Final = struct.Struct("<i")
_TAIL: Final = struct.Struct("<Iqq")
_HANDLE: Final = struct.Struct("<I")
_EPOCH_TICKS: Final = 116_444_736_000_000_000
"""1970-01-01 in 100 ns since 1601-01-01."""

_SCALARS: Final[dict[ua.VariantType, Callable[..., bytes]]] = {
    ua.VariantType(number): struct.Struct("<IBB" + letter).pack
    for number, letter in zip(range(1, 12), "?bBhHiIqQfd", strict=True)
}
"""Client handle, mask, variant type and value of the built-in types Boolean to Double."""


def finished(body: bytes) -> ua.ExtensionObject:
    """A DataChangeNotification whose body is written already."""
    return ua.ExtensionObject(TypeId=_TYPE_ID, Body=ua.ByteString(body))


def size(message: ua.NotificationMessage) -> int:
    """About how many bytes the message holds."""
    total = 0
    for data in message.NotificationData:
        body = getattr(data, "Body", None)
        total += len(body) if body is not None else 200 * len(getattr(data, "Events", ()) or (1,))
    return total


def encode(items: Sequence[ua.MonitoredItemNotification]) -> ua.ExtensionObject:
    """One DataChangeNotification with all these items, in their order."""
    parts = [_COUNT.pack(len(items))]
    tails: dict[tuple[int, int, int], bytes] = {}
    for item in items:
        value = item.Value
        variant, source, server = value.Value, value.SourceTimestamp, value.ServerTimestamp
        pack = None
        if variant is not None and not variant.is_array:
            pack = _SCALARS.get(variant.VariantType)
        if pack is None or source is None or server is None or value.StatusCode is None:
            parts.append(_HANDLE.pack(item.ClientHandle))
            parts.append(struct_to_binary(value))
            continue
        # The publisher shares the moments of a pass, so most tails are made once.
        key = (value.StatusCode.value, id(source), id(server))
        tail = tails.get(key)
        if tail is None:
            tail = tails[key] = _TAIL.pack(key[0], _ticks(source), _ticks(server))
        parts.append(pack(item.ClientHandle, _MASK, variant.VariantType, variant.Value))
        parts.append(tail)
    parts.append(_NO_DIAGNOSTICS)
    return finished(b"".join(parts))


def _ticks(moment: datetime) -> int:
    seconds = int(moment.timestamp() // 1)
    return _EPOCH_TICKS + seconds * 10_000_000 + moment.microsecond * 10
