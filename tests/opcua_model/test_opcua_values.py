"""Values keep their meaning on the way to a client and back."""

from __future__ import annotations

import struct

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import variant_from_binary, variant_to_binary
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.plan import REALS, Code, TagType, Value, integer_range
from cellwright.opcua_model.address_space import ranges
from cellwright.opcua_model.address_space.values import from_client, utc_datetime, wire_type


def scalars(code: Code) -> st.SearchStrategy[Value]:
    if code is Code.BOOL:
        return st.booleans()
    if code is Code.STRING:
        return st.text(max_size=20)
    if code in REALS:
        return st.floats(width=32, allow_nan=False)
    if code is Code.TIME:
        # A Double holds milliseconds to the nanosecond for about a hundred days.
        return st.integers(-(2**52), 2**52)
    return st.integers(*integer_range(code))


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[TagType, Value]:
    code = draw(st.sampled_from(list(Code)))
    length = 100 if code is Code.STRING else 0
    if draw(st.booleans()):
        count = draw(st.integers(1, 5))
        value = draw(st.lists(scalars(code), min_size=count, max_size=count))
        return TagType(code, length, count, is_array=True), value  # type: ignore[return-value]
    return TagType(code, length), draw(scalars(code))


@given(typed_values())
def test_a_value_survives_the_way_over_the_wire_and_back(pair: tuple[TagType, Value]) -> None:
    type_, value = pair
    wire = wire_type(type_)
    variant = ua.Variant(wire.encode(value), wire.variant, is_array=type_.is_array)
    received = variant_from_binary(Buffer(variant_to_binary(variant)))
    assert received.VariantType is wire.variant
    assert from_client(type_, received) == value


@given(typed_values(), typed_values())
def test_a_variant_of_another_type_is_a_type_mismatch(
    one: tuple[TagType, Value], other: tuple[TagType, Value]
) -> None:
    wire, foreign = wire_type(one[0]), wire_type(other[0])
    if (wire.variant, one[0].is_array) == (foreign.variant, other[0].is_array):
        return
    variant = ua.Variant(foreign.encode(other[1]), foreign.variant, is_array=other[0].is_array)
    with pytest.raises(TypeError):
        from_client(one[0], variant)


def test_every_type_has_the_data_type_that_part_3_gives_it() -> None:
    expected = {
        "BOOL": 1, "SINT": 2, "USINT": 3, "INT": 4, "UINT": 5, "DINT": 6, "UDINT": 7,
        "LINT": 8, "ULINT": 9, "REAL": 10, "LREAL": 11, "STRING": 12, "TIME": 290,
    }  # fmt: skip
    found = {code.name: wire_type(TagType(code, 10)).data_type.Identifier for code in Code}
    assert found == expected


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_a_timestamp_keeps_its_microseconds(utc_ns: int) -> None:
    stamp = utc_datetime(utc_ns)
    assert abs(stamp.timestamp() * 1e9 - utc_ns) < 2_000


@given(st.lists(st.integers(0, 255), max_size=8), st.integers(0, 9), st.integers(0, 9))
def test_a_range_is_a_slice_or_an_error(items: list[int], low: int, high: int) -> None:
    variant = ua.Variant(items, ua.VariantType.Byte, is_array=True)
    if low >= high:
        with pytest.raises(ranges.RangeError):
            ranges.cut(variant, f"{low}:{high}")
    elif low >= len(items):
        with pytest.raises(ranges.RangeError) as caught:
            ranges.cut(variant, f"{low}:{high}")
        assert caught.value.code == ua.StatusCodes.BadIndexRangeNoData
    else:
        assert ranges.cut(variant, f"{low}:{high}").Value == items[low : high + 1]


@given(st.text(max_size=12))
def test_any_text_is_a_range_or_a_range_error(text: str) -> None:
    variant = ua.Variant(list(range(100)), ua.VariantType.Int32, is_array=True)
    try:
        found = ranges.cut(variant, text).Value
    except ranges.RangeError as error:
        found = error.code
    invalid = (ua.StatusCodes.BadIndexRangeInvalid, ua.StatusCodes.BadIndexRangeNoData)
    assert found in invalid or isinstance(found, list)


def test_a_float_is_sent_as_the_image_holds_it() -> None:
    wire = wire_type(TagType(Code.REAL))
    value = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    assert wire.encode(value) == value
