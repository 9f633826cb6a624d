"""Cells, bits, checksums, snapshots and changes: exact results, and sizes that are never passed."""

from __future__ import annotations

import ast
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright import native
from cellwright.io.plan import Code, quality
from cellwright.native import ffi, lib
from support.campaign import examples

EINVAL = -22
EAGAIN = -11


# --- cells ----------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(-(2**63), 2**63 - 1))
def test_a_cell_is_stored_whole_or_not_at_all(offset: int, value: int) -> None:
    memory = bytearray(32)
    pointer = ffi.from_buffer(memory)
    fits = offset % 8 == 0 and offset <= 24
    assert lib.cw_store(pointer, 32, offset, value) == (0 if fits else EINVAL)
    assert lib.cw_load(pointer, 32, offset) == (value if fits else 0)
    if not fits:
        assert memory == bytes(32)


def test_adding_gives_the_new_value() -> None:
    pointer = ffi.from_buffer(bytearray(16))
    assert lib.cw_add(pointer, 16, 8, 5) == 5
    assert lib.cw_add(pointer, 16, 8, -7) == -2
    assert lib.cw_add(pointer, 16, 16, 1) == 0


# --- bits -----------------------------------------------------------------------------------------


@given(st.binary(max_size=40), st.integers(0, 330), st.integers(0, 330))
def test_bits_are_unpacked_least_significant_first(packed: bytes, first: int, count: int) -> None:
    loose = bytearray(b"\xee" * 340)
    fits = first + count <= 8 * len(packed)
    result = lib.cw_unpack_bits(packed, len(packed), first, ffi.from_buffer(loose), count)
    assert result == (0 if fits else EINVAL)
    bits = [byte >> bit & 1 for byte in packed for bit in range(8)]
    expected = bits[first : first + count] if fits else []
    assert list(loose) == expected + [0xEE] * (340 - len(expected))


@given(st.binary(max_size=40), st.integers(0, 330), st.lists(st.integers(0, 255), max_size=330))
def test_packing_changes_only_the_bits_that_are_meant(
    packed: bytes, first: int, loose: list[int]
) -> None:
    target = bytearray(packed)
    pointer = ffi.from_buffer(target)
    fits = first + len(loose) <= 8 * len(packed)
    result = lib.cw_pack_bits(pointer, len(packed), first, bytes(loose), len(loose))
    assert result == (0 if fits else EINVAL)
    bits = [byte >> bit & 1 for byte in packed for bit in range(8)]
    if fits:
        bits[first : first + len(loose)] = [int(byte != 0) for byte in loose]
    assert [byte >> bit & 1 for byte in target for bit in range(8)] == bits


# --- checksum -------------------------------------------------------------------------------------


def test_the_checksum_is_the_published_one() -> None:
    # RFC 3720, B.4: the test patterns of iSCSI.
    assert lib.cw_crc32c(0, b"123456789", 9) == 0xE3069283
    assert lib.cw_crc32c(0, bytes(32), 32) == 0x8A9136AA
    assert lib.cw_crc32c(0, b"\xff" * 32, 32) == 0x62A8AB43
    assert lib.cw_crc32c(0, bytes(range(32)), 32) == 0x46DD794E


@given(st.binary(max_size=200), st.integers(0, 200))
def test_both_checksums_agree_and_can_be_continued(data: bytes, cut: int) -> None:
    whole = lib.cw_crc32c(0, data, len(data))
    assert whole == lib.cw_crc32c_portable(0, data, len(data))
    first, second = data[:cut], data[cut:]
    assert whole == lib.cw_crc32c(lib.cw_crc32c(0, first, len(first)), second, len(second))


# --- snapshots ------------------------------------------------------------------------------------


def test_a_block_is_read_once_and_then_nothing_is_new() -> None:
    size = lib.cw_snapshot_size(100)
    area, block = ffi.from_buffer(bytearray(size)), bytearray(100)
    target = ffi.from_buffer(block)
    assert lib.cw_snapshot_read(area, size, target, 100, 0, 3) == 0
    assert lib.cw_snapshot_newest(area, size, 100) == ffi.NULL
    for number in range(1, 6):
        assert lib.cw_snapshot_write(area, size, bytes([number]) * 100, 100) == number
        assert lib.cw_snapshot_sequence(area, size) == number
        assert lib.cw_snapshot_read(area, size, target, 100, number - 1, 3) == number
        assert block == bytes([number]) * 100
        assert lib.cw_snapshot_read(area, size, target, 100, number, 3) == 0


def test_a_block_begun_and_not_ended_leaves_the_last_one_readable() -> None:
    size = lib.cw_snapshot_size(64)
    area, block = ffi.from_buffer(bytearray(size)), bytearray(64)
    lib.cw_snapshot_write(area, size, b"a" * 64, 64)
    half = lib.cw_snapshot_begin(area, size, 64)
    ffi.memmove(half, b"b" * 30, 30)
    assert lib.cw_snapshot_read(area, size, ffi.from_buffer(block), 64, 0, 3) == 1
    assert block == b"a" * 64
    assert lib.cw_snapshot_write(area, size, b"c" * 64, 64) == 2


def test_a_slot_that_is_never_finished_ends_the_attempts() -> None:
    size = lib.cw_snapshot_size(64)
    memory = bytearray(size)
    area = ffi.from_buffer(memory)
    lib.cw_snapshot_write(area, size, b"a" * 64, 64)
    memory[0] = 3  # the newest is said to be one that was never written
    target = ffi.from_buffer(bytearray(64))
    assert lib.cw_snapshot_read(area, size, target, 64, 0, 10) == EAGAIN


@pytest.mark.parametrize("block", [65, 1 << 20, (1 << 64) - 1])
def test_a_block_that_does_not_fit_is_refused(block: int) -> None:
    size = lib.cw_snapshot_size(64)
    area, other = ffi.from_buffer(bytearray(size)), ffi.from_buffer(bytearray(128))
    assert lib.cw_snapshot_write(area, size, other, block) == EINVAL
    assert lib.cw_snapshot_read(area, size, other, block, 0, 1) == EINVAL
    assert lib.cw_snapshot_begin(area, size, block) == ffi.NULL
    assert lib.cw_snapshot_end(area, size, block) == EINVAL
    assert lib.cw_snapshot_sequence(area, 32) == 0


# --- changes --------------------------------------------------------------------------------------

WIDTHS = st.lists(st.sampled_from([1, 2, 4, 8, 22, 400]), min_size=1, max_size=150)


class Tags:
    """Tags of these widths one behind the other, in runs of a few."""

    def __init__(self, widths: list[int], per_run: int) -> None:
        self.widths = widths
        self.places = ffi.new("struct cw_place[]", len(widths))
        position = 0
        for index, width in enumerate(widths):
            place = self.places[index]
            place.tag, place.offset, place.size = index, position, width
            position += width
        self.size = position
        self.run_count = -(-len(widths) // per_run)
        self.runs = ffi.new("struct cw_run[]", self.run_count)
        for number in range(self.run_count):
            first = number * per_run
            last = min(first + per_run, len(widths)) - 1
            run = self.runs[number]
            run.first, run.count = first, last - first + 1
            run.offset = self.places[first].offset
            run.size = self.places[last].offset + widths[last] - run.offset
        self.words = -(-len(widths) // 64)
        self.bitmap = ffi.new("uint64_t[]", self.words)

    def find(self, old: tuple[Any, Any], new: tuple[Any, Any], words: int | None = None) -> int:
        return lib.cw_changes(
            self.runs,
            self.run_count,
            self.places,
            len(self.widths),
            ffi.from_buffer(old[0]),
            ffi.from_buffer(new[0]),
            self.size,
            old[1],
            new[1],
            len(self.widths),
            self.bitmap,
            self.words if words is None else words,
        )


@given(WIDTHS, st.integers(1, 40), st.data())
def test_exactly_the_changed_tags_are_found(
    widths: list[int], per_run: int, data: st.DataObject
) -> None:
    tags = Tags(widths, per_run)
    count = len(widths)
    some = st.sets(st.integers(0, count - 1), max_size=12)
    values, qualities = data.draw(some), data.draw(some)
    old = bytearray(random.Random(count).randbytes(tags.size))
    new = bytearray(old)
    for tag in values:
        place = tags.places[tag].offset + data.draw(st.integers(0, widths[tag] - 1))
        new[place] ^= data.draw(st.integers(1, 255))
    before, after = ffi.new("uint32_t[]", count), ffi.new("uint32_t[]", count)
    for tag in qualities:
        after[tag] = 0x80000000
    assert tags.find((old, before), (new, after)) == len(values | qualities)
    listed = ffi.new("uint32_t[]", count)
    found = lib.cw_take_bits(tags.bitmap, tags.words, listed, count)
    assert list(listed[0:found]) == sorted(values | qualities)
    assert lib.cw_take_bits(tags.bitmap, tags.words, listed, count) == 0


def test_places_and_bitmaps_that_do_not_fit_are_refused() -> None:
    quality = ffi.new("uint32_t[]", 3)
    same, other = (bytearray(6), quality), (bytearray(b"abcdef"), quality)
    for spoil in ("offset", "size", "tag"):
        tags = Tags([2, 2, 2], 3)
        setattr(tags.places[1], spoil, 1000)
        assert tags.find(same, other) == EINVAL
    for spoil in ("offset", "size", "first", "count"):
        tags = Tags([2, 2, 2], 3)
        setattr(tags.runs[0], spoil, 1000)
        assert tags.find(same, other) == EINVAL
    assert Tags([2, 2, 2], 3).find(same, other, words=0) == EINVAL


# --- numbers shared with Python ---


def test_mypy_is_told_of_every_function_and_constant_and_of_no_other() -> None:
    (stub,) = (
        node
        for node in ast.parse(Path(native.__file__).with_name("_native.pyi").read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "_Library"
    )
    known = {getattr(member, "name", None) or member.target.id for member in stub.body}
    assert known == set(dir(lib))


def test_types_and_qualities_have_the_same_numbers_in_c_and_in_python() -> None:
    for code in Code:
        assert getattr(lib, f"CW_{code.name}") == code
    for name in (
        "GOOD",
        "GOOD_LOCAL_OVERRIDE",
        "UNCERTAIN_LAST_USABLE",
        "UNCERTAIN_SUBSTITUTE",
        "UNCERTAIN_UNITS_EXCEEDED",
    ):
        assert getattr(lib, f"CW_{name}") == getattr(quality, name)


# --- operations -----------------------------------------------------------------------------------

FIELDS = {
    "tag": st.integers(0, 12),
    "tags": st.integers(0, 5),
    "value": st.integers(0, 70) | st.integers(0, 2**32 - 1),
    "place": st.integers(0, 70) | st.integers(0, 2**32 - 1),
    "count": st.integers(0, 30) | st.integers(0, 2**32 - 1),
    "length": st.integers(0, 20) | st.integers(0, 2**16 - 1),
    "bit": st.integers(0, 20),
    "form": st.integers(0, 6),
    "wire": st.integers(0, 15),
    "code": st.integers(0, 15),
    "order": st.integers(0, 5),
    "flags": st.integers(0, 3),
    "size": st.sampled_from([0, 1, 2, 3, 4, 8, 16]),
    "wire_size": st.sampled_from([0, 1, 2, 3, 4, 8, 16]),
    "gain": st.floats(),
    "offset": st.floats(),
    "raw_low": st.floats(),
    "raw_high": st.floats(),
    "range_low": st.floats(),
    "range_high": st.floats(),
}


@examples(150)
@given(st.fixed_dictionaries(FIELDS), st.binary(min_size=64, max_size=64), st.randoms())
def test_an_operation_stays_within_its_memory_or_is_refused(
    fields: dict[str, Any], raw: bytes, chance: random.Random
) -> None:
    operation = ffi.new("struct cw_operation *")
    for name, value in fields.items():
        setattr(operation, name, value)
    guard = b"\xa5" * 64
    payload, values = bytearray(raw + guard), bytearray(chance.randbytes(64) + guard)
    before = bytes(values)
    wire, image = ffi.from_buffer(payload), ffi.from_buffer(values)
    decoded = lib.cw_decode(operation, wire, 64, image, 64)
    assert (decoded >= 0) == bool(lib.cw_operation_fits(operation, 64, 64, 2**32 - 1))
    assert payload == raw + guard
    assert values[64:] == guard
    if decoded < 0:
        assert values == before
    before = bytes(values)
    encoded = lib.cw_encode(operation, wire, 64, image, 64)
    assert (encoded >= 0) == (decoded >= 0)
    assert values == before
    assert payload[64:] == guard


def test_a_table_with_an_operation_outside_its_device_is_refused() -> None:
    operations = ffi.new("struct cw_operation[]", 1)
    operations[0].tags = operations[0].count = 1
    operations[0].form = lib.CW_FORM_BITS
    device = ffi.new("struct cw_device[]", 1)
    device[0].block_size, device[0].payload_at, device[0].payload_size = 40, 24, 1
    groups = ffi.new("struct cw_group[]", 1)
    groups[0].count = 1
    device[0].groups, device[0].group_count = groups, 1
    table = ffi.new("struct cw_table *")
    table.operations, table.operation_count = operations, 1
    table.devices, table.device_count = device, 1
    table.block_size, table.value_size, table.tag_count = 64, 8, 1
    table.quality_at, table.timestamps_at, table.monotonic_at = 8, 16, 24
    assert lib.cw_table_check(table) == 0
    for spoil, value in (("place", 1), ("value", 8), ("tag", 1), ("bit", 8), ("tags", 0)):
        good = getattr(operations[0], spoil)
        setattr(operations[0], spoil, value)
        assert lib.cw_table_check(table) == EINVAL, spoil
        setattr(operations[0], spoil, good)
    groups[0].first = 1
    assert lib.cw_table_check(table) == EINVAL
    groups[0].first = 0
    device[0].output_count, device[0].output_size = 1, 0
    assert lib.cw_table_check(table) == EINVAL
    device[0].output_count = 0
    table.block_size = 20
    assert lib.cw_table_check(table) == EINVAL
