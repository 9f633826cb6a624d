"""HistoryRead on the wire: a request decoded within its limits, and columns as DataValues.

Numbers go from columns to bytes as a whole; texts, arrays and parts of them one by one. All of it
but the request's decoding runs in the thread that read the values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer, ServiceError
from asyncua.ua.ua_binary import (
    extensionobject_from_binary,
    nodeid_from_binary,
    struct_from_binary,
    struct_to_binary,
)

from cellwright.io.plan import Code, TagType
from cellwright.mes.history.batch import Batch, Kind
from cellwright.mes.history.summary import BAD, WIDE
from cellwright.mes.history.values import recorded
from cellwright.opcua_model.address_space import ranges
from cellwright.opcua_model.address_space.ids import standard, status_code
from cellwright.opcua_model.address_space.values import NS_PER_MS, utc_datetime, wire_type
from cellwright.opcua_model.services import limits

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_TICKS: Final = 116_444_736_000_000_000
"""1970-01-01 in 100 ns since 1601-01-01."""
_HISTORY_DATA: Final = standard(ua.ObjectIds.HistoryData_Encoding_DefaultBinary)
_COUNT: Final = struct.Struct("<i")


def _encoding(name: str) -> ua.NodeId:
    return standard(getattr(ua.ObjectIds, f"{name}_Encoding_DefaultBinary"))


_AT_TIME: Final = _encoding("ReadAtTimeDetails")
_MOST_BYTES: Final = {
    _encoding("ReadRawModifiedDetails"): 64,
    _encoding("ReadProcessedDetails"): 64 * limits.MAX_NODES_PER_HISTORY_READ,
    _encoding("ReadEventDetails"): 256 * 1024,
    _AT_TIME: 8 * limits.MAX_HISTORY_VALUES + 16,
}
"""Of the details that are known here; more is not decoded."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A HistoryRead request (OPC 10000-4, 5.11.3)."""

    details: Any
    """None of a kind that is not offered."""
    release: bool
    nodes: list[ua.HistoryReadValueId]


def request(body: Buffer) -> Asked:
    """Decode it, after looking at its lengths. Raises ServiceError."""
    peek = body.copy()
    kind = nodeid_from_binary(peek)
    has_body = bool(ord(peek.read(1)) & 1)
    length = _COUNT.unpack(peek.read(4))[0] if has_body else 0
    most = _MOST_BYTES.get(kind)
    if most is not None and length > most:
        raise ServiceError(ua.StatusCodes.BadTooManyOperations)
    if most is None:
        peek.skip(max(0, length))
        details, body = None, peek
    else:
        details = extensionobject_from_binary(body)
    wanted, release, count = struct.unpack("<i?i", body.read(9))
    if kind.Identifier == 0:
        raise ServiceError(ua.StatusCodes.BadHistoryOperationInvalid)
    _check_timestamps(wanted)
    if count <= 0:
        raise ServiceError(ua.StatusCodes.BadNothingToDo)
    if count > limits.MAX_NODES_PER_HISTORY_READ:
        raise ServiceError(ua.StatusCodes.BadTooManyOperations)
    nodes = [struct_from_binary(ua.HistoryReadValueId, body) for _ in range(count)]
    return Asked(details, release, nodes)


def _check_timestamps(wanted: int) -> None:
    known = ua.TimestampsToReturn
    if wanted == known.Server:  # only source timestamps are recorded (OPC 10000-11, 6.5.2)
        raise ServiceError(ua.StatusCodes.BadTimestampNotSupported)
    if wanted not in (known.Source, known.Both):
        raise ServiceError(ua.StatusCodes.BadTimestampsToReturnInvalid)


def refused_updates(body: Buffer) -> list[ua.HistoryUpdateResult]:
    """The answer to HistoryUpdate: what is recorded is not changed. Raises ServiceError."""
    (count,) = _COUNT.unpack(body.read(4))
    if count <= 0:
        raise ServiceError(ua.StatusCodes.BadNothingToDo)
    if count > limits.MAX_NODES_PER_HISTORY_READ:
        raise ServiceError(ua.StatusCodes.BadTooManyOperations)
    code = status_code(ua.StatusCodes.BadHistoryOperationUnsupported)
    return [ua.HistoryUpdateResult(StatusCode=code) for _ in range(count)]


def nanoseconds(moment: datetime) -> int | None:
    """UTC nanoseconds since 1970; None for the least DateTime, which says that there is none."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.year <= 1601:
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def history_data(parts: Sequence[tuple[int, bytes]]) -> ua.ExtensionObject:
    """A HistoryData of values that are written already: how many, and their bytes."""
    count = sum(number for number, _ in parts)
    body = _COUNT.pack(count) + b"".join(content for _, content in parts)
    return ua.ExtensionObject(TypeId=_HISTORY_DATA, Body=ua.ByteString(body))


def results(found: Iterable[ua.HistoryReadResult]) -> bytes:
    """The list of results and the empty one of diagnostics behind it."""
    written = [struct_to_binary(result) for result in found]
    return _COUNT.pack(len(written)) + b"".join(written) + _COUNT.pack(0)


def value(variant: ua.Variant | None, status: int, time_ns: int) -> tuple[int, bytes]:
    """One DataValue; None for one that has no value."""
    item = ua.DataValue(variant, status_code(status), utc_datetime(time_ns))
    return 1, struct_to_binary(item)


_LETTERS: Final = {
    Code.BOOL: "?", Code.SINT: "i1", Code.INT: "<i2", Code.DINT: "<i4", Code.LINT: "<i8",
    Code.USINT: "u1", Code.UINT: "<u2", Code.UDINT: "<u4", Code.ULINT: "<u8", Code.REAL: "<f4",
    Code.LREAL: "<f8", Code.TIME: "<f8",
}  # fmt: skip


def rows(type_: TagType, batch: Batch, index_range: str) -> tuple[int, bytes]:
    """DataValues of the rows. Raises RangeError for a range that is none."""
    if index_range or type_.is_array or type_.code is Code.STRING:
        if index_range:
            ranges.bounds(index_range)
        each = (_one(type_, batch, row, index_range) for row in range(len(batch)))
        return len(batch), b"".join(each)
    return len(batch), _numbers(type_, batch)


def _numbers(type_: TagType, batch: Batch) -> bytes:
    """Without a value where that is Bad, so that rows have one of two lengths."""
    kind = Kind(int(batch.kind[0])) if len(batch) else Kind.INTEGER
    typed = batch.bits.view(WIDE[kind])
    if type_.code is Code.TIME:
        typed = typed / NS_PER_MS
    ticks = batch.time // 100 + _EPOCH_TICKS
    tail = [("status", "<u4"), ("time", "<i8")]
    letter = _LETTERS[type_.code]
    whole = np.zeros(len(batch), [("mask", "u1"), ("type", "u1"), ("value", letter), *tail])
    whole["mask"], whole["type"] = 0x07, wire_type(type_).variant.value
    whole["value"] = typed.astype(letter)
    bare = np.zeros(len(batch), [("mask", "u1"), *tail])
    bare["mask"] = 0x06
    for made in (whole, bare):
        made["status"], made["time"] = batch.status, ticks
    bad = batch.status >= BAD
    if not bad.any():
        return whole.tobytes()
    sizes = np.where(bad, bare.itemsize, whole.itemsize)
    places = np.cumsum(sizes) - sizes
    out = np.empty(int(sizes.sum()), np.uint8)
    for made, chosen in ((whole, ~bad), (bare, bad)):
        size = made.itemsize
        content = np.frombuffer(made.tobytes(), np.uint8).reshape(-1, size)
        out[places[chosen][:, None] + np.arange(size)] = content[chosen]
    return out.tobytes()


def _one(type_: TagType, batch: Batch, row: int, index_range: str) -> bytes:
    status, time_ns = int(batch.status[row]), int(batch.time[row])
    variant = None
    if status < BAD:
        variant = variant_of(type_, recorded(type_, batch, row))
        if index_range:
            try:
                variant = ranges.cut(variant, index_range)
            except ranges.RangeError as error:
                variant, status = None, error.code
    return value(variant, status, time_ns)[1]


def variant_of(type_: TagType, found: Any) -> ua.Variant:
    """A value as the tag's variable has it."""
    wire = wire_type(type_)
    return ua.Variant(wire.encode(found), wire.variant, is_array=type_.is_array)
