"""Addresses, their form on the wire and the requests that carry them."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from cellwright.io.drivers.base import AddressArea
from cellwright.io.files.problems import Complaint
from cellwright.io.plan import (
    FORMAT,
    INTEGERS,
    Address,
    Code,
    SafeAction,
    Scale,
    TagType,
    WireOrder,
    integer_range,
)
from cellwright.runtime.config import check_file
from cellwright.runtime.config.sections.durations import NANOSECONDS, parse_duration, show_duration
from cellwright.runtime.config.tags.addresses import (
    check_place,
    encode,
    parse,
    reorder,
    scale_of,
    to_raw,
    width,
    wire_type,
)
from cellwright.runtime.config.tags.groups import GAP_BITS, GAP_WORDS, Point, knots, merge, pack

COILS = AddressArea("coils", bits=True, writable=True, size=65536, per_request=1968)
WORDS = AddressArea("words", bits=False, writable=True, size=65536, per_request=123)


@given(st.integers(0, 65535), st.one_of(st.none(), st.integers(0, 15)))
def test_an_address_is_taken_apart_as_it_was_put_together(index, bit):
    text = f"io.words[{index}]" + ("" if bit is None else f".{bit}")
    spelled = parse(text)
    assert (spelled.device, spelled.area, spelled.index, spelled.bit) == ("io", "words", index, bit)


@given(st.text(max_size=30).filter(lambda text: "[" not in text or "]" not in text))
def test_any_other_text_is_refused_with_an_example(text):
    with pytest.raises(Complaint, match=r"remote_io\.coils\[0\]"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["io.x[-1]", "io.x[1].-1", "io.x[1]]", "io.x[١]", "io..x[1]", "x[1]"]
)
def test_a_slip_in_the_spelling_is_refused(text):
    with pytest.raises(Complaint):
        parse(text)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (WireOrder.ABCD, "0102030405060708"),
        (WireOrder.CDAB, "0708050603040102"),
        (WireOrder.BADC, "0201040306050807"),
        (WireOrder.DCBA, "0807060504030201"),
    ],
)
@pytest.mark.behaviour(14)
def test_the_orders_of_bytes_are_those_of_their_letters(order, expected):
    assert reorder(bytes.fromhex("0102030405060708"), order).hex() == expected


@given(
    st.binary(min_size=2, max_size=8).filter(lambda data: len(data) % 2 == 0),
    st.sampled_from(WireOrder),
)
def test_an_order_applied_twice_gives_the_bytes_back(data, order):
    assert reorder(reorder(data, order), order) == data


@given(
    st.sampled_from(sorted(code for code in INTEGERS if struct.calcsize(FORMAT[code]) > 1)),
    st.sampled_from(WireOrder),
    st.data(),
)
def test_an_integer_comes_back_from_the_wire(code, order, data):
    value = data.draw(st.integers(*integer_range(code)))
    address = Address("io", "words", 0, TagType(code), order=order)
    wire = encode(value, address, None)
    assert struct.unpack(">" + FORMAT[code], reorder(wire, order)) == (value,)


@given(
    st.floats(-1e6, 1e6),
    st.tuples(st.integers(-32768, 32767), st.integers(-32768, 32767)).filter(
        lambda r: r[0] != r[1]
    ),
    st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)).filter(lambda e: abs(e[0] - e[1]) > 1e-3),
)
def test_a_scaled_value_is_rounded_and_stays_within_the_raw_span(value, raw, eng):
    wire = TagType(Code.INT)
    scale = scale_of(TagType(Code.REAL), wire, raw, eng)
    assert scale is not None
    (found,) = struct.unpack(">h", encode(value, Address("io", "words", 0, wire), scale))
    assert min(raw) <= found <= max(raw)
    if min(eng) <= value <= max(eng):
        assert abs(found - to_raw(value, scale)) <= 0.5 + 1e-6
    for raw_end, eng_end in zip(raw, eng, strict=True):
        assert scale.gain * raw_end + scale.offset == pytest.approx(eng_end, abs=1e-6, rel=1e-6)


def test_values_at_the_edge_of_64_bits_do_not_overflow():
    scale = Scale(1.0, 0.0, 0.0, float((1 << 64) - 1))
    address = Address("io", "words", 0, TagType(Code.ULINT))
    assert encode((1 << 64) - 1, address, scale) == b"\xff" * 8


@pytest.mark.parametrize(
    ("tag", "raw", "declared", "expected"),
    [
        ("INT", None, None, Code.INT),
        ("SINT", None, None, Code.INT),
        ("USINT", None, None, Code.UINT),
        ("REAL", None, None, Code.REAL),
        ("REAL", [0, 65535], None, Code.UINT),
        ("REAL", [-100, 100], None, Code.INT),
        ("REAL", [0, 100000], "UDINT", Code.UDINT),
        ("DINT", None, "INT", Code.INT),
    ],
)
def test_the_type_in_the_device_follows_from_tag_scale_and_wire(tag, raw, declared, expected):
    assert wire_type(TagType.parse(tag), WORDS, None, raw, declared).code is expected


def test_a_value_takes_as_many_words_as_its_bytes_need():
    assert width(TagType.parse("INT"), WORDS) == 1
    assert width(TagType.parse("LREAL"), WORDS) == 4
    assert width(TagType.parse("ARRAY[0..9] OF DINT"), WORDS) == 20
    assert width(TagType.parse("ARRAY[0..9] OF BOOL"), COILS) == 10
    assert width(TagType.parse("STRING(5)"), WORDS) == 3
    assert width(TagType.parse("ARRAY[0..2] OF STRING(6)"), WORDS) == 9
    with pytest.raises(Complaint, match="outside the area"):
        check_place(parse("io.words[65533]"), TagType.parse("LREAL"), WORDS)


spans = st.lists(
    st.tuples(st.integers(0, 600), st.integers(1, 20)).map(lambda s: (s[0], s[0] + s[1])),
    max_size=30,
).map(sorted)


@given(spans, st.booleans(), st.sampled_from([COILS, WORDS]))
@pytest.mark.behaviour(14)
def test_every_value_lies_whole_in_the_one_request_that_covers_its_start(spans, output, area):
    # Overlaps wider than a request are refused before anything is merged.
    assume(all(end - start <= area.per_request for start, end in knots(spans)))
    groups = merge(spans, area, output)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(groups))
    for start, end in spans:
        assert any(low <= start and end <= high for low, high in groups)
    assert all(high - low <= area.per_request for low, high in groups)


@given(spans, st.sampled_from([COILS, WORDS]))
def test_output_requests_touch_exactly_the_addresses_of_tags(spans, area):
    owned = {place for start, end in spans for place in range(start, end)}
    touched = {place for low, high in merge(spans, area, True) for place in range(low, high)}
    assert touched == owned


@given(spans, st.sampled_from([COILS, WORDS]))
def test_input_requests_never_read_a_larger_gap_than_allowed(spans, area):
    owned = {place for start, end in spans for place in range(start, end)}
    gap = GAP_BITS if area.bits else GAP_WORDS
    for low, high in merge(spans, area, False):
        missing = 0
        for place in range(low, high):
            missing = 0 if place in owned else missing + 1
            assert missing <= gap


@given(st.sets(st.integers(0, 300), max_size=40), st.sets(st.integers(0, 300), max_size=40))
def test_the_safe_payload_has_exactly_the_bits_that_are_safe_on_or_held(on, held):
    points = [
        Point(
            Address("io", "coils", index, TagType(Code.BOOL)),
            True,
            None,
            SafeAction.HOLD if index in held else SafeAction.VALUE,
            None if index in held else index in on,
        )
        for index in sorted(on | held)
    ]
    packed = pack([COILS], points)

    def bits(payload):
        return {
            group.start + number
            for group in packed.groups
            for number in range(group.count)
            if payload[group.offset + number // 8] >> number % 8 & 1
        }

    assert bits(packed.safe_outputs) == on - held
    assert bits(packed.hold_mask) == held


@given(st.integers(1, 10**6), st.sampled_from(["ns", "us", "ms", "s"]))
def test_a_duration_means_its_number_of_nanoseconds_and_is_shown_as_one(number, unit):
    exact = number * NANOSECONDS[unit]
    if exact <= 24 * NANOSECONDS["h"]:
        assert parse_duration(f"{number}{unit}") == exact
        assert parse_duration(show_duration(exact)) == exact


@pytest.mark.parametrize("value", ["1.5s", " 1500 ms ", "1500000us"])
def test_a_duration_may_have_a_fraction_and_blanks(value):
    assert parse_duration(value) == 1_500_000_000


@pytest.mark.parametrize(
    "value", [10, 0.5, True, None, "10", "ms", "1.5ns", "25h", "-1s", "١s", []]
)
def test_anything_else_is_no_duration(value):
    with pytest.raises(PydanticCustomError):
        parse_duration(value)


def test_an_index_that_looks_like_a_register_number_is_warned_of_and_kept(tmp_path):
    (tmp_path / "cell.yaml").write_text(
        "cell: {name: Bench}\nscan: {base: 10ms}\n"
        "devices: {io: {driver: modbus-tcp, host: 127.0.0.1}}\n"
        "tags:\n"
        '  a: {type: INT, in: "io.holding_registers[40001]"}\n'
        '  b: {type: INT, in: "io.input_registers[40001]"}\n'
        '  c: {type: INT, in: "io.holding_registers[4001]"}\n'
        'tasks: {t: {program: "p:Idle", interval: 10ms}}\n'
    )
    (tmp_path / "p.py").write_text(
        "from cellwright.tasks.api import Program, ProgramOptions\n"
        "class Idle(Program[ProgramOptions]):\n    def scan(self, ctx):\n        pass\n"
    )
    report = check_file(tmp_path / "cell.yaml")
    assert [(problem.line, problem.what) for problem in report.problems] == [
        (5, "the index 40001 looks like a register number")
    ]
    assert "io.holding_registers[0]" in report.problems[0].remedy
    assert report.plan is not None
