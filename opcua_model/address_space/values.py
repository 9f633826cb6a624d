"""IEC 61131-3 values as OPC UA variants, and back. Pure functions over the tag's type.

Called by the tree, the publisher and the write path. TIME, nanoseconds in the image, is a
Duration (Double, milliseconds) for clients (OPC 10000-3, 8.13).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from asyncua import ua

from cellwright.io.plan import Code, TagType, Value
from cellwright.opcua_model.address_space.ids import status_code

_VARIANT: Final[dict[Code, ua.VariantType]] = {
    Code.BOOL: ua.VariantType.Boolean,
    Code.SINT: ua.VariantType.SByte,
    Code.INT: ua.VariantType.Int16,
    Code.DINT: ua.VariantType.Int32,
    Code.LINT: ua.VariantType.Int64,
    Code.USINT: ua.VariantType.Byte,
    Code.UINT: ua.VariantType.UInt16,
    Code.UDINT: ua.VariantType.UInt32,
    Code.ULINT: ua.VariantType.UInt64,
    Code.REAL: ua.VariantType.Float,
    Code.LREAL: ua.VariantType.Double,
    Code.TIME: ua.VariantType.Double,
    Code.STRING: ua.VariantType.String,
}

_EPOCH: Final = ua.DateTime(1970, 1, 1, tzinfo=UTC)
NS_PER_MS: Final = 1_000_000
NO_TIME: Final = ua.DateTime(1601, 1, 1, tzinfo=UTC)
"""What a DateTime without a value is on the wire (OPC 10000-6, 5.2.2.5); it cannot be null."""

GOOD: Final = status_code(ua.StatusCodes.Good)


@dataclass(frozen=True, slots=True)
class WireType:
    """How a tag's type looks to a client."""

    variant: ua.VariantType
    data_type: ua.NodeId
    value_rank: int
    """-1 scalar, 1 one-dimensional array (OPC 10000-3, 5.6.2)."""
    dimensions: tuple[int, ...]
    encode: Callable[[Value], Any]
    """From the image's value to the variant's."""


def _same(value: Value) -> Any:
    return value


def _milliseconds(value: Value) -> Any:
    if isinstance(value, list):
        return [int(item) / NS_PER_MS for item in value]
    return int(value) / NS_PER_MS


def wire_type(type_: TagType) -> WireType:
    """The OPC UA face of an IEC type."""
    variant = _VARIANT[type_.code]
    is_time = type_.code is Code.TIME
    identifier = ua.ObjectIds.Duration if is_time else variant.value
    return WireType(
        variant=variant,
        data_type=ua.NodeId(ua.Int32(identifier)),
        value_rank=1 if type_.is_array else -1,
        dimensions=(type_.count,) if type_.is_array else (),
        encode=_milliseconds if is_time else _same,
    )


def from_client(type_: TagType, variant: ua.Variant) -> Value:
    """The image's value for what a client wrote.

    Raises TypeError when the variant's type or shape is not the tag's (OPC 10000-4, 5.10.4:
    Bad_TypeMismatch), ValueError when the type is right and the value does not fit.
    """
    wire = wire_type(type_)
    variant = _equivalent(type_, variant)
    if variant.VariantType is not wire.variant or bool(variant.is_array) is not type_.is_array:
        shape = "array of " if variant.is_array else ""
        raise TypeError(f"{type_} takes {wire.variant.name}, not {shape}{variant.VariantType.name}")
    value = variant.Value
    if value is None:
        raise TypeError(f"{type_} takes {wire.variant.name}, not null")
    if type_.code is Code.TIME:
        try:
            value = (
                [round(item * NS_PER_MS) for item in value]
                if type_.is_array
                else round(value * NS_PER_MS)
            )
        except OverflowError as error:
            raise ValueError(f"{type_} does not hold {value} ms") from error
    return type_.check(value)


def _equivalent(type_: TagType, variant: ua.Variant) -> ua.Variant:
    """What OPC 10000-4, 5.10.4 and 7.27 call the same: a ByteString is an array of Byte, a null
    String an empty one."""
    value, kind = variant.Value, variant.VariantType
    if type_.code is Code.USINT and type_.is_array and kind is ua.VariantType.ByteString:
        return ua.Variant(list(value or b""), ua.VariantType.Byte, is_array=True)
    if type_.code is Code.STRING and kind is ua.VariantType.String:
        if value is None and not variant.is_array:
            return ua.Variant("", kind)
        if isinstance(value, list):
            return ua.Variant(["" if item is None else item for item in value], kind, is_array=True)
    return variant


def utc_datetime(utc_ns: int) -> ua.DateTime:
    """Nanoseconds since 1970 as the library's DateTime; resolution one microsecond."""
    stamp = _EPOCH + timedelta(microseconds=utc_ns // 1000)
    assert isinstance(stamp, ua.DateTime)  # arithmetic keeps the class
    return stamp


def date_time(stamp: datetime | None) -> ua.DateTime | None:
    """A moment of another part of the program as the library's DateTime; null stays null."""
    return None if stamp is None else ua.DateTime.fromtimestamp(stamp.timestamp(), UTC)


def utc_now() -> ua.DateTime:
    """Wall-clock time for stamps that people read; decides nothing."""
    return ua.DateTime.now(UTC)
