"""The compiler's safe payload is what the commit would write, and the latch finds every address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.drivers.base import AddressArea
from cellwright.io.image import ValueViews, store_initial
from cellwright.io.plan import (
    INTEGERS,
    REALS,
    SIZE,
    Address,
    Code,
    Direction,
    PollGroup,
    SafeAction,
    Scale,
    Tag,
    TagType,
    WireOrder,
    integer_range,
)
from cellwright.io.process_image import wire
from cellwright.native import ffi, lib
from cellwright.runtime.config import compile_file
from cellwright.runtime.config.tags.addresses import encode, scale_of, width
from cellwright.runtime.config.tags.groups import Point, pack
from support.config_corpus import copy_bench

WORDS = AddressArea("words", bits=False, writable=True, size=65536, per_request=1000)
NUMBERS = sorted(INTEGERS | REALS)
WIRES = [code for code in NUMBERS if SIZE[code] > 1]


def committed(tag: Tag, group: PollGroup, value: object) -> bytes:
    """The group's payload as the C commit encodes it from the image."""
    values = bytearray(-(-(tag.offset + tag.type.size) // 8) * 8)
    store_initial(ValueViews(memoryview(values)), tag, value)
    operation = wire.new_operations(1)
    wire.fill(operation[0], tag, group)
    payload = bytearray(group.offset + group.size)
    result = lib.cw_encode(
        operation, ffi.from_buffer(payload), len(payload), ffi.from_buffer(values), len(values)
    )
    assert result >= 0
    return bytes(payload[group.offset :])


def output(kind: TagType, address: Address, scale: Scale | None) -> tuple[Tag, PollGroup]:
    count = width(address.wire, WORDS)
    tag = Tag(
        index=0,
        name="tag",
        type=kind,
        direction=Direction.OUTPUT,
        offset=0,
        initial=kind.initial,
        address=address,
        scale=scale,
    )
    group = PollGroup(
        index=0, area="words", start=7, count=count, output=True, offset=0, size=2 * count
    )
    return tag, group


@given(st.sampled_from(WIRES), st.sampled_from(WireOrder), st.data())
def test_a_number_is_encoded_as_the_commit_encodes_it(code, order, data):
    kind = TagType(code)
    if code in INTEGERS:
        value = data.draw(st.integers(*integer_range(code)))
    else:
        value = data.draw(st.floats(width=32, allow_nan=False, allow_infinity=False))
    address = Address("io", "words", 7, kind, order=order)
    tag, group = output(kind, address, None)
    assert encode(value, address, None) == committed(tag, group, value)


@given(
    st.sampled_from([Code.INT, Code.UINT, Code.DINT, Code.UDINT]),
    st.sampled_from(WireOrder),
    st.integers(0, 30000),
    st.integers(1, 2000),
    st.integers(-4000, 4000),
)
def test_a_scaled_number_is_encoded_as_the_commit_encodes_it(code, order, low, span, tenths):
    kind, on_wire = TagType(Code.LREAL), TagType(code)
    # Spans that a double divides exactly: a tie is then a tie in both.
    scale = scale_of(kind, on_wire, [low, low + 2 * span], [0.0, float(span)])
    address = Address("io", "words", 7, on_wire, order=order)
    tag, group = output(kind, address, scale)
    assert encode(tenths / 4, address, scale) == committed(tag, group, tenths / 4)


@given(st.text(max_size=12), st.integers(1, 20), st.sampled_from(WireOrder))
def test_a_text_is_encoded_as_the_commit_encodes_it(text, length, order):
    text = text.encode()[:length].decode(errors="ignore")
    kind = TagType(Code.STRING, length)
    address = Address("io", "words", 7, kind, order=order)
    tag, group = output(kind, address, None)
    assert encode(text, address, None) == committed(tag, group, text)


@given(st.integers(0, 15), st.sampled_from(WireOrder))
def test_a_bit_of_a_word_is_encoded_as_the_commit_encodes_it(bit, order):
    kind = TagType(Code.BOOL)
    address = Address("io", "words", 7, kind, bit=bit, order=order)
    tag, group = output(kind, address, None)
    assert encode(True, address, None) == committed(tag, group, True)


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=10), st.sampled_from(WireOrder))
def test_an_array_is_encoded_as_the_commit_encodes_it(values, order):
    kind = TagType(Code.INT, 0, len(values), is_array=True)
    address = Address("io", "words", 7, kind, order=order)
    tag, group = output(kind, address, None)
    assert encode(values, address, None) == committed(tag, group, values)


@pytest.fixture
def plan(tmp_path):
    return compile_file(copy_bench(tmp_path))


def test_every_address_of_a_plan_is_found_in_a_group(plan):
    placed = wire.placed_tags(plan)
    assert len(placed) == sum(tag.address is not None for tag in plan.tags)
    operations = wire.new_operations(len(placed))
    for number, one in enumerate(placed):
        wire.fill(operations[number], one.tag, one.group)


def test_safe_outputs_are_the_safe_values_as_committed(plan):
    device = plan.device("io")
    expected = bytearray(device.output_size)
    for one in wire.placed_tags(plan):
        if one.group.output and one.tag.safe_action is SafeAction.VALUE:
            payload = committed(one.tag, one.group, one.tag.safe)
            for place, byte in enumerate(payload):
                expected[one.group.offset + place] |= byte
    assert bytes(expected) == device.safe_outputs
    assert any(expected)


def test_the_hold_mask_covers_exactly_the_bits_of_held_outputs(plan):
    device = plan.device("io")
    expected = bytearray(device.output_size)
    for one in wire.placed_tags(plan):
        if one.group.output and one.tag.safe_action is SafeAction.HOLD:
            ones = True if one.tag.type.code is Code.BOOL else None
            if ones:
                for place, byte in enumerate(committed(one.tag, one.group, True)):
                    expected[one.group.offset + place] |= byte
            else:
                first = one.group.offset + 2 * (one.tag.address.index - one.group.start)
                for place in range(one.tag.address.wire.size):
                    expected[first + place] = 0xFF
    assert bytes(expected) == device.hold_mask


@given(
    st.one_of(
        st.sampled_from(WIRES).map(TagType),
        st.integers(1, 30).map(lambda length: TagType(Code.STRING, length)),
        st.tuples(st.sampled_from(WIRES), st.integers(1, 5)).map(
            lambda array: TagType(array[0], 0, array[1], is_array=True)
        ),
    ),
    st.integers(0, 20),
)
def test_an_output_that_holds_keeps_its_own_words_and_no_word_beside_them(kind, start):
    count = width(kind, WORDS)
    held = Point(Address("io", "words", start, kind), output=True, safe_action=SafeAction.HOLD)
    neighbours = [
        Point(
            Address("io", "words", place, TagType(Code.UINT)),
            output=True,
            safe_action=SafeAction.VALUE,
            safe=0,
        )
        for place in (start - 1, start + count)
        if place >= 0
    ]
    packed = pack([WORDS], [held, *neighbours])
    (group,) = packed.groups
    first = group.offset + 2 * (start - group.start)
    expected = bytearray(packed.output_size)
    expected[first : first + 2 * count] = b"\xff" * (2 * count)
    assert packed.hold_mask == bytes(expected)
