"""Latch and commit against the plain reference: every type, order, scale, array and bit."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import Image
from cellwright.io.plan import (
    FORMAT,
    INTEGERS,
    REALS,
    SIZE,
    Address,
    Code,
    Direction,
    Encoding,
    Scale,
    Tag,
    TagType,
    WireOrder,
    integer_range,
    quality,
)
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.process_image.wire import group_of
from support.campaign import examples
from support.plans import make_device, make_group, make_plan, make_tag
from support.wire_reference import Reference, words_of

WIDE = [Code.INT, Code.UINT, Code.DINT, Code.UDINT, Code.LINT, Code.ULINT, Code.REAL, Code.LREAL]


@st.composite
def scales(draw: st.DrawFn, wire: Code) -> Scale:
    gain = draw(st.sampled_from([1.0, -1.0, 0.1, 0.001, 2.5, -400.0, 1e-6, 3.0]))
    offset = draw(st.sampled_from([0.0, 0.5, -40.0, 1e6]))
    limits = integer_range(wire) if wire in INTEGERS else (-3e38, 3e38)
    spans = [
        (float(limits[0]), float(limits[1])),
        (0.0, 27648.0),
        (-100.0, 100.0),
        (4000.0, 20000.0),
    ]
    return Scale(gain, offset, *draw(st.sampled_from(spans)))


@st.composite
def word_tags(draw: st.DrawFn, direction: Direction) -> dict[str, Any]:
    """A tag in a word area without its index yet."""
    code = draw(st.sampled_from([*(c for c in Code if c not in (Code.BOOL,)), Code.BOOL]))
    count = draw(st.sampled_from([None, None, None, 1, 3]))
    length = draw(st.integers(1, 9)) if code is Code.STRING else 0
    kind = TagType(code, length, count or 1, is_array=count is not None)
    fields: dict[str, Any] = {"direction": direction, "bit": None, "scale": None, "range": None}
    if code in (Code.BOOL, Code.STRING):
        wire = code
        fields["bit"] = draw(st.integers(0, 15)) if code is Code.BOOL else None
    else:
        same = SIZE[code] >= 2 and draw(st.booleans())
        wire = code if same else draw(st.sampled_from(WIDE))
        if wire is not code or draw(st.booleans()):
            fields["scale"] = draw(scales(wire))
        if draw(st.booleans()):
            fields["range"] = draw(st.sampled_from([(0.0, 100.0), (-5.5, 5.5), (1e3, 1e6)]))
    fields["wire"] = TagType(wire, length, count or 1, is_array=count is not None)
    fields["order"] = draw(st.sampled_from(list(WireOrder)))
    if code is Code.STRING and direction is Direction.INPUT:
        fields["encoding"] = draw(st.sampled_from(list(Encoding)))
    return {"kind": kind, **fields}


def build(specs: list[dict[str, Any]], bit_counts: list[int | None], start: int) -> Any:
    """A plan with one device that has the tags one behind the other, from index ``start``."""
    tags: list[Tag] = []
    width = {"bits": start, "words": start}

    def add(area: str, spec: dict[str, Any], taken: int) -> None:
        kind: TagType = spec["kind"]
        address = Address(
            "coupler",
            area,
            width[area],
            spec["wire"],
            spec["bit"],
            spec["order"],
            spec.get("encoding", Encoding.UTF_8),
        )
        width[area] += taken
        tags.append(
            make_tag(
                f"tag{len(tags)}",
                str(kind),
                spec["direction"],
                address=address,
                scale=spec["scale"],
                range=spec["range"],
            )
        )

    direction = specs[0]["direction"]
    for count in bit_counts:
        kind = TagType(Code.BOOL, 0, count or 1, is_array=count is not None)
        spec = {"kind": kind, "direction": direction, "wire": kind, "bit": None}
        add("bits", spec | {"order": WireOrder.ABCD, "scale": None, "range": None}, kind.count)
    for spec in specs:
        probe = make_tag("probe", str(spec["kind"]), address=Address("", "", 0, spec["wire"]))
        add("words", spec, words_of(probe) * spec["kind"].count)
    output = direction is Direction.OUTPUT
    bits = make_group(0, "bits", start, width["bits"] - start, bits=True, output=output)
    words = make_group(
        1, "words", start, width["words"] - start, bits=False, output=output, offset=bits.size + 3
    )
    return make_plan(tags, [make_device("coupler", [bits, words])])


def references(plan: Any) -> list[Reference]:
    device = plan.devices[0]
    found = []
    for tag in plan.tags:
        if tag.address is not None:
            group = group_of(tag, device)
            found.append(Reference(tag, group, bits=group.area == "bits"))
    return found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


def tag_lists(direction: Direction) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Some kinds of tags, each several times in a row, as couplers have them."""
    several = st.tuples(word_tags(direction), st.sampled_from([1, 1, 2, 5, 70]))
    return st.lists(several, min_size=1, max_size=6).map(
        lambda kinds: [dict(kind) for kind, times in kinds for _ in range(times)]
    )


INPUTS = tag_lists(Direction.INPUT)
OUTPUTS = tag_lists(Direction.OUTPUT)
BITS = st.lists(st.sampled_from([None, None, 1, 5, 8, 19]), min_size=1, max_size=8)


@examples(25)
@given(specs=INPUTS, bits=BITS, start=st.integers(0, 3), data=st.data())
@pytest.mark.behaviour(14)
def test_the_latch_decodes_every_payload_as_the_reference_does(
    tmp_path: Path, specs: list[dict[str, Any]], bits: list[int | None], start: int, data: Any
) -> None:
    plan = build(specs, bits, start)
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    process, port = ProcessImage(image, plan), image.device(0)
    size = plan.devices[0].input_size
    for now_ns in (1_000, 2_000, 3_000):
        payload = data.draw(payloads(size))
        before = {tag.index: process.get(tag.index) for tag in plan.tags}
        port.publish_inputs(payload, [(quality.GOOD, now_ns + 7)] * 2, now_ns)
        process.latch(now_ns, 0)
        for one in references(plan):
            value, status = one.decode(payload, before[one.tag.index])
            index = one.tag.index
            assert same(process.get(index), value), (one.tag, process.get(index), value)
            assert quality.name(process.quality(index)) == quality.name(status), one.tag
            assert process.timestamp_ns(index) == now_ns + 7


def payloads(size: int) -> st.SearchStrategy[bytes]:
    """Random bytes, sprinkled with the words that make special numbers."""
    special = [b"\x7f\xc0", b"\x7f\x80", b"\xff\xff", b"\x80\x00", b"\x00\x00", b"\x7f\xff", b"ab"]
    words = st.one_of(st.sampled_from(special), st.binary(min_size=2, max_size=2))
    # A hundred words of its own, then the same again: enough variety, and quick to draw.
    count = min(size // 2 + 1, 100)
    return st.lists(words, min_size=count, max_size=count).map(
        lambda ws: (b"".join(ws) * (size // (2 * count) + 1))[:size]
    )


def values(kind: TagType) -> st.SearchStrategy[Any]:
    item: st.SearchStrategy[Any]
    if kind.code is Code.BOOL:
        item = st.booleans()
    elif kind.code is Code.STRING:
        alphabet = st.characters(codec="utf-8", exclude_characters="\0")
        item = st.text(alphabet, max_size=kind.length).filter(
            lambda text: len(text.encode()) <= kind.length
        )
    elif kind.code in REALS:
        width = 32 if kind.code is Code.REAL else 64
        item = st.one_of(
            st.floats(width=width),
            st.sampled_from([0.5, 1.5, -0.5, -2.5, 99.95, 27648.0, 100.0]).map(
                lambda x: struct.unpack("f", struct.pack("f", x))[0]
            ),
        )
    else:
        item = st.integers(*integer_range(kind.code)) | st.integers(0, 100)
    return st.lists(item, min_size=kind.count, max_size=kind.count) if kind.is_array else item


class Pools:
    """Values to choose from, drawn once a type, so that many tags are quickly filled."""

    def __init__(self, data: Any, accept: Callable[[Any], bool] = lambda value: True) -> None:
        self._data, self._accept = data, accept
        self._pools: dict[str, list[Any]] = {}
        self._taken = 0

    def take(self, kind: TagType) -> Any:
        pool = self._pools.get(str(kind))
        if pool is None:
            one = values(kind).filter(self._accept)
            pool = self._data.draw(st.lists(one, min_size=3, max_size=7))
            self._pools[str(kind)] = pool
        self._taken += 1
        return pool[self._taken % len(pool)]


@examples(25)
@given(specs=OUTPUTS, bits=BITS, start=st.integers(0, 3), data=st.data())
def test_the_commit_encodes_every_value_as_the_reference_does(
    tmp_path: Path, specs: list[dict[str, Any]], bits: list[int | None], start: int, data: Any
) -> None:
    plan = build(specs, bits, start)
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    process, port = ProcessImage(image, plan), image.device(0)
    expected = bytearray(plan.devices[0].output_size)
    found = bytearray(len(expected))
    for cycle in (1, 2):
        outcomes = {}
        pools = Pools(data)
        for one in references(plan):
            value = pools.take(one.tag.type)
            process.set(one.tag.index, value)
            outcomes[one.tag.index] = one.encode(expected, value)
        result = process.commit(cycle, enabled=True)
        header = port.read_outputs(found)
        assert (header.cycle, header.enabled) == (cycle, True)
        assert found.hex() == expected.hex(), [str(one.tag) for one in references(plan)]
        got = {index: process.quality(index) for index in outcomes}
        assert got == outcomes
        refused = [i for i, q in outcomes.items() if q == quality.BAD_DEVICE_FAILURE]
        assert (result.refused >= 0) == bool(refused)
        assert result.refused in [-1, *refused]


@examples(25)
@given(specs=OUTPUTS, data=st.data())
def test_what_is_committed_without_a_scale_is_latched_again_unchanged(
    tmp_path: Path, specs: list[dict[str, Any]], data: Any
) -> None:
    plain = [
        spec | {"scale": None, "range": None}
        for spec in specs
        if spec["wire"].code is spec["kind"].code
    ] or [
        {
            "kind": TagType(Code.INT),
            "wire": TagType(Code.INT),
            "direction": Direction.OUTPUT,
            "bit": None,
            "order": WireOrder.CDAB,
            "scale": None,
            "range": None,
        }
    ]
    outputs = build(plain, [None], 0)
    inputs = build([spec | {"direction": Direction.INPUT} for spec in plain], [None], 0)
    sender = Image.create(tmp_path / "out", outputs, "0123abcd")
    receiver = Image.create(tmp_path / "in", inputs, "0123abcd")
    sending, receiving = ProcessImage(sender, outputs), ProcessImage(receiver, inputs)
    put = {}
    pools = Pools(data, lambda v: not any(word in str(v) for word in ("nan", "inf")))
    for one in references(outputs):
        put[one.tag.index] = pools.take(one.tag.type)
        sending.set(one.tag.index, put[one.tag.index])
    sending.commit(1, enabled=True)
    wire = bytearray(outputs.devices[0].output_size)
    sender.device(0).read_outputs(wire)
    receiver.device(0).publish_inputs(wire, [(quality.GOOD, 1)] * 2, 5)
    receiving.latch(5, 0)
    for index, value in put.items():
        assert receiving.get(index) == value


def test_neighbours_of_one_kind_become_one_operation(tmp_path: Path) -> None:
    kind = TagType(Code.INT)
    spec = {
        "kind": kind,
        "wire": kind,
        "direction": Direction.INPUT,
        "bit": None,
        "order": WireOrder.ABCD,
        "scale": None,
        "range": None,
    }
    plan = build([spec] * 50 + [spec | {"order": WireOrder.BADC}] * 50, [None] * 50, 3)
    process = ProcessImage(Image.create(tmp_path / "image", plan, "0123abcd"), plan)
    assert process._table.operation_count == 3


def test_the_format_letters_cover_every_type_that_travels() -> None:
    assert set(FORMAT) == set(Code) - {Code.STRING}
