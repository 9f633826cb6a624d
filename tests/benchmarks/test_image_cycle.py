"""Latch, commit, change detection and publication of 10,000 tags beside numpy and memcpy.

numpy gets its best case: one contiguous array a type and no loss policies, forces or stamps; the
memcpy moves as many bytes as come in and go out, and is the floor.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellwright.io.image import Area, Changes, Image
from cellwright.io.plan import Address, Direction, Plan, Scale, TagType, quality
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.native import ffi, lib
from support.peers import compare
from support.plans import make_device, make_group, make_plan, make_tag

BOOLS, INTS, REALS, SCALED = 4000, 3000, 2000, 1000
TAGS = BOOLS + INTS + REALS + SCALED
GAIN, OFFSET = 0.01, -40.0
SCALE = Scale(GAIN, OFFSET, -32768.0, 32767.0)


def big_plan(direction: Direction) -> Plan:
    """10,000 tags: bits, words, 32-bit reals in word order ABCD, scaled words."""
    output = direction is Direction.OUTPUT
    bits = make_group(0, "bits", 0, BOOLS, bits=True, output=output)
    words = make_group(
        1, "words", 0, INTS + 2 * REALS + SCALED, bits=False, output=output, offset=bits.size
    )
    bool_type, int_type, real_type = (TagType.parse(name) for name in ("BOOL", "INT", "REAL"))
    tags = [
        make_tag(f"b{n}", "BOOL", direction, address=Address("io", "bits", n, bool_type))
        for n in range(BOOLS)
    ]
    tags += [
        make_tag(f"i{n}", "INT", direction, address=Address("io", "words", n, int_type))
        for n in range(INTS)
    ]
    tags += [
        make_tag(
            f"r{n}", "REAL", direction, address=Address("io", "words", INTS + 2 * n, real_type)
        )
        for n in range(REALS)
    ]
    tags += [
        make_tag(
            f"s{n}",
            "REAL",
            direction,
            address=Address("io", "words", INTS + 2 * REALS + n, int_type),
            scale=SCALE,
        )
        for n in range(SCALED)
    ]
    return make_plan(tags, [make_device("io", [bits, words])], system=False)


def payload() -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(3)
    reals = generator.normal(size=REALS).astype(">f4").view(np.uint8)
    parts = [
        generator.integers(0, 256, BOOLS // 8, dtype=np.uint8),
        generator.integers(-32768, 32767, INTS, dtype=np.int16).astype(">i2").view(np.uint8),
        reals,
        generator.integers(-32768, 32767, SCALED, dtype=np.int16).astype(">i2").view(np.uint8),
    ]
    return np.concatenate(parts)


class NumpyImage:
    """The same tags as one array a type."""

    def __init__(self) -> None:
        self.bools = np.zeros(BOOLS, np.uint8)
        self.ints = np.zeros(INTS, np.int16)
        self.reals = np.zeros(REALS, np.float32)
        self.scaled = np.zeros(SCALED, np.float32)
        self.quality = np.zeros(TAGS, np.uint32)
        self.timestamps = np.zeros(TAGS, np.int64)
        ends = [0, *itertools.accumulate([BOOLS // 8, 2 * INTS, 4 * REALS, 2 * SCALED])]
        self.parts = [slice(*pair) for pair in itertools.pairwise(ends)]

    def latch(self, raw: np.ndarray[Any, Any], utc_ns: int) -> None:
        bits, ints, reals, scaled = (raw[part] for part in self.parts)
        self.bools[:] = np.unpackbits(bits, bitorder="little")
        self.ints[:] = ints.view(">i2")
        values = reals.view(">f4")
        fine = np.isfinite(values)
        np.copyto(self.reals, values, where=fine)
        np.multiply(scaled.view(">i2"), GAIN, out=self.scaled, casting="unsafe")
        np.add(self.scaled, OFFSET, out=self.scaled)
        self.quality[:] = 0
        self.timestamps[:] = utc_ns

    def commit(self, raw: np.ndarray[Any, Any]) -> None:
        bits, ints, reals, scaled = (raw[part] for part in self.parts)
        bits[:] = np.packbits(self.bools, bitorder="little")
        ints.view(">i2")[:] = self.ints
        fine = np.isfinite(self.reals)
        np.copyto(reals.view(">f4"), self.reals, where=fine)
        back = (self.scaled.astype(np.float64) - OFFSET) / GAIN
        np.clip(back, -32768.0, 32767.0, out=back)
        scaled.view(">i2")[:] = np.where(back < 0, np.ceil(back - 0.5), np.floor(back + 0.5))

    def arrays(self) -> list[np.ndarray[Any, Any]]:
        return [self.bools, self.ints, self.reals, self.scaled, self.quality]


def memcpy(size: int) -> Any:
    """A bare copy of ``size`` bytes."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    return lambda: np.copyto(target, source)


@pytest.mark.benchmark(group="cycle of 10,000 tags")
def test_the_latch_beside_numpy_and_memcpy(benchmark: Any, tmp_path: Path) -> None:
    plan = big_plan(Direction.INPUT)
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    process, port, peer = ProcessImage(image, plan), image.device(0), NumpyImage()
    raw = payload()
    port.publish_inputs(raw.tobytes(), [(quality.GOOD, 5)] * 2, 1000)
    process.latch(1000, 0)
    peer.latch(raw, 5)
    device = process._table.devices[0]

    def ours() -> None:
        device.dirty = 1  # as if everything were new
        lib.cw_latch(process._table, 1000, 0, process._latched)

    assert [process.get(n) for n in range(BOOLS)] == peer.bools.astype(bool).tolist()
    ints = [process.get(BOOLS + n) for n in range(INTS)]
    assert ints == peer.ints.tolist()
    scaled = [process.get(TAGS - SCALED + n) for n in range(SCALED)]
    assert np.allclose(scaled, peer.scaled, rtol=1e-5, atol=1e-4)
    moved = plan.devices[0].input_size + plan.value_size + 12 * TAGS
    compare(benchmark, ours, {"numpy": lambda: peer.latch(raw, 5), "memcpy": memcpy(moved)})


@pytest.mark.benchmark(group="cycle of 10,000 tags")
def test_a_latch_without_news_costs_next_to_nothing(benchmark: Any, tmp_path: Path) -> None:
    plan = big_plan(Direction.INPUT)
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    process = ProcessImage(image, plan)
    image.device(0).publish_inputs(payload().tobytes(), [(quality.GOOD, 5)] * 2, 1000)
    process.latch(1000, 0)
    compare(benchmark, lambda: process.latch(1000, 0), {"one_numpy_call": memcpy(8)}, times=500)


@pytest.mark.benchmark(group="cycle of 10,000 tags")
def test_the_commit_beside_numpy_and_memcpy(benchmark: Any, tmp_path: Path) -> None:
    plan = big_plan(Direction.OUTPUT)
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    process, peer = ProcessImage(image, plan), NumpyImage()
    raw, sent = payload(), np.zeros(plan.devices[0].output_size, np.uint8)
    peer.latch(raw, 5)
    for start, array in (
        (0, peer.bools.astype(bool)),
        (BOOLS, peer.ints),
        (BOOLS + INTS, peer.reals),
        (TAGS - SCALED, peer.scaled),
    ):
        for number, value in enumerate(array.tolist()):
            process.set(start + number, value)

    def ours() -> None:
        lib.cw_commit(process._table, 1, True, process._committed)

    ours()
    peer.commit(sent)
    found = bytearray(len(sent))
    image.device(0).read_outputs(found)
    assert bytes(found) == sent.tobytes()
    moved = plan.value_size + 2 * len(sent)
    compare(benchmark, ours, {"numpy": lambda: peer.commit(sent), "memcpy": memcpy(moved)})


@pytest.mark.parametrize("changed", [0, 100, 5000])
@pytest.mark.benchmark(group="changes between two blocks of 10,000 tags")
def test_the_changed_tags_beside_numpy(benchmark: Any, tmp_path: Path, changed: int) -> None:
    plan = big_plan(Direction.INPUT)
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    process, reader = ProcessImage(image, plan), image.snapshot_reader()
    process.publish(1, 1, 1)
    reader.read()
    ours_changed = np.random.default_rng(1).permutation(TAGS)[:changed]
    for index in ours_changed.tolist():
        process.set(index, index < BOOLS or 77)
    process.publish(2, 2, 2)
    reader.read()
    old, new = NumpyImage(), NumpyImage()
    new.bools[ours_changed[ours_changed < BOOLS]] = 1
    new.quality[ours_changed] = 1

    def ours() -> Any:
        return reader.changed()

    def numpys() -> Any:
        return [np.nonzero(a != b)[0] for a, b in zip(old.arrays(), new.arrays(), strict=True)]

    assert sorted(ours_changed.tolist()) == list(ours())
    size = plan.value_size + 4 * TAGS
    compare(benchmark, ours, {"numpy": numpys, "memcpy": memcpy(size)})


@pytest.mark.benchmark(group="cycle of 10,000 tags")
def test_the_publication_beside_memcpy(benchmark: Any, tmp_path: Path) -> None:
    plan = big_plan(Direction.OUTPUT)
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    process = ProcessImage(image, plan)
    size = process._layout.size
    counter = itertools.count(1)

    def ours() -> None:
        number = next(counter)
        process.set(BOOLS, number & 0x7FFF)
        process.publish(number, number, number)

    compare(benchmark, ours, {"memcpy": memcpy(size)})
    assert Changes(plan).run_count > 1


@pytest.mark.benchmark(group="snapshot")
def test_a_readers_copy_beside_memcpy(benchmark: Any) -> None:
    size = 160_000
    area = Area(memoryview(bytearray(lib.cw_snapshot_size(size))))
    block = bytearray(size)
    lib.cw_snapshot_write(area.pointer, area.size, bytes(size), size)
    pointer = ffi.from_buffer(block)

    def ours() -> int:
        return lib.cw_snapshot_read(area.pointer, area.size, pointer, size, 0, 3)

    assert ours() == 1
    compare(benchmark, ours, {"memcpy": memcpy(size)})


@pytest.mark.parametrize("count", [16, 2000])
@pytest.mark.benchmark(group="bits")
def test_unpacking_bits_beside_numpy(benchmark: Any, count: int) -> None:
    packed = np.random.default_rng(2).integers(0, 256, count // 8, dtype=np.uint8)
    loose = np.zeros(count, np.uint8)
    source, target = ffi.from_buffer(packed), ffi.from_buffer(loose)

    def ours() -> int:
        return lib.cw_unpack_bits(source, len(packed), 0, target, count)

    ours()
    assert (loose == np.unpackbits(packed, bitorder="little")).all()
    peer = {"numpy": lambda: np.unpackbits(packed, bitorder="little")}
    compare(benchmark, ours, peer, times=500)


@pytest.mark.parametrize("count", [16, 2000])
@pytest.mark.benchmark(group="bits")
def test_packing_bits_beside_numpy(benchmark: Any, count: int) -> None:
    loose = np.random.default_rng(2).integers(0, 2, count, dtype=np.uint8)
    packed = np.zeros(count // 8, np.uint8)
    source, target = ffi.from_buffer(loose), ffi.from_buffer(packed)

    def ours() -> int:
        return lib.cw_pack_bits(target, len(packed), 0, source, count)

    ours()
    assert (packed == np.packbits(loose, bitorder="little")).all()
    peer = {"numpy": lambda: np.packbits(loose, bitorder="little")}
    compare(benchmark, ours, peer, times=500)


@pytest.mark.benchmark(group="statistics")
def test_recording_an_execution_beside_plain_python(benchmark: Any, tmp_path: Path) -> None:
    plan = big_plan(Direction.INPUT)
    statistics = Image.create(tmp_path / "image", plan, "0123abcd").statistics
    counters = {"runs": 0, "total": 0, "maximum": 0, "minimum": 0, "last": 0}
    buckets = [0] * 304

    def plain(value: int = 12_345) -> None:
        for _ in range(2):
            counters["runs"] += 1
            counters["total"] += value
            counters["last"] = value
            counters["maximum"] = max(value, counters["maximum"])
            counters["minimum"] = min(value, counters["minimum"])
            octave = value.bit_length() - 1
            buckets[(octave - 2) * 8 + (value >> (octave - 3) & 7)] += 1

    compare(benchmark, lambda: statistics.record(-1, 12_345, 12_345), {"python": plain}, times=500)


@pytest.mark.parametrize("spelling", ["BOOL", "INT", "REAL", "STRING(20)"])
@pytest.mark.benchmark(group="access")
def test_get_and_set_beside_a_dictionary(benchmark: Any, tmp_path: Path, spelling: str) -> None:
    plan = make_plan([make_tag("x", spelling)])
    process = ProcessImage(Image.create(tmp_path / "image", plan, "0123abcd"), plan)
    value = process.get(0)
    table = {0: value}

    def ours() -> None:
        process.set(0, value)
        process.get(0)

    def peer() -> None:
        table[0] = value
        table[0]

    compare(benchmark, ours, {"dictionary": peer}, times=1000)
