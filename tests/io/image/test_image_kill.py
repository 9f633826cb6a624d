"""What SIGKILL at a random instant leaves in the image: whole blocks, whole inputs."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from cellwright.io.image import Image
from cellwright.io.plan import Address, Direction, Plan, TagType, quality
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.timing.clock import MonotonicClock
from support.campaign import times
from support.plans import make_device, make_group, make_plan, make_tag
from support.victims import Victim, let_live

KILLS = times(10)
BOOT = "0123abcd"


def many_tags() -> Plan:
    """Big enough that most of a cycle is copying."""
    return make_plan(
        [make_tag(f"wide{n}", "ARRAY[0..511] OF UDINT") for n in range(16)], system=False
    )


def publish_for_ever(path: Path, plan: Plan) -> None:
    """A scan that writes its cycle number everywhere, as fast as it can."""
    image = Image.attach(path, plan)
    process = ProcessImage(image, plan)
    blocks = [(tag.index, tag.type.count) for tag in plan.tags]
    for cycle in itertools.count(image.scan.cycle + 1):
        # Straight into the views: the copying is under test, not the access.
        for index, count in blocks:
            start = plan.tags[index].offset // 4
            view = process._views.typed[plan.tags[index].type.code]
            view[start : start + count] = memoryview(
                (cycle & 0xFFFFFFFF).to_bytes(4, "little") * count
            ).cast("I")
        image.scan.cycle = cycle
        process.publish(cycle, cycle * 10, cycle * 100)


@pytest.mark.campaign
@pytest.mark.behaviour(14)
def test_a_scan_killed_at_any_instant_leaves_the_last_whole_block(tmp_path: Path) -> None:
    plan = many_tags()
    path = tmp_path / "image"
    image = Image.create(path, plan, BOOT)
    reader = image.snapshot_reader()
    chance = random.Random(1)
    last = seen = 0

    def check() -> None:
        nonlocal last, seen
        assert reader.cycle > last
        last = reader.cycle
        seen += 1
        assert (reader.mono_ns, reader.utc_ns) == (last * 10, last * 100)
        for tag in plan.tags:
            assert set(reader.value(tag.index)) == {last & 0xFFFFFFFF}  # type: ignore[arg-type]
            assert reader.timestamp_ns(tag.index) == last * 100
        assert len(reader.changed()) == len(plan.tags)

    for _ in range(KILLS):
        victim = Victim(lambda: publish_for_ever(path, plan))
        before = last
        while last == before:
            # The writer goes on while this copy is taken.
            if reader.read():
                check()
        let_live(chance, 0.003)
        victim.kill()
        if reader.read():
            check()
    assert seen >= KILLS


def coupler() -> Plan:
    group = make_group(0, "words", 0, 4000, bits=False, output=False)
    out = make_group(1, "out", 0, 4000, bits=False, output=True)
    tags = [
        make_tag(
            f"in{n}",
            "ARRAY[0..999] OF UINT",
            Direction.INPUT,
            address=Address("io", "words", 1000 * n, TagType.parse("ARRAY[0..999] OF UINT")),
        )
        for n in range(4)
    ]
    return make_plan(tags, [make_device("io", [group, out])], system=False)


@pytest.mark.campaign
@pytest.mark.behaviour(14)
def test_a_driver_killed_at_any_instant_leaves_the_last_whole_inputs(tmp_path: Path) -> None:
    plan = coupler()
    path = tmp_path / "image"
    image = Image.create(path, plan, BOOT)
    process = ProcessImage(image, plan)
    chance = random.Random(2)

    def drive() -> None:
        port = Image.attach(path, plan).device(0)
        into = bytearray(8000)
        start = port.requests + 1
        for number in itertools.count(start):
            port.requests = number
            payload = (number & 0xFFFF).to_bytes(2, "big") * 4000
            states = [(quality.GOOD, number), (quality.GOOD, number)]
            port.publish_inputs(payload, states, number)
            port.read_outputs(into)
            if len(set(into[0::2])) > 1 or len(set(into[1::2])) > 1:
                port.trip = 1

    last = cycle = 0
    for _ in range(KILLS):
        victim = Victim(drive)
        before = last
        while last == before:
            process.latch(last, 0)
            last = process.timestamp_ns(0)
        let_live(chance, 0.003)
        for _ in range(20):
            cycle += 1
            image.device(0).publish_outputs((cycle & 0xFFFF).to_bytes(2, "big") * 4000, cycle, True)
            result = process.latch(process.timestamp_ns(0), 0)
            assert result.tripped == -1, "the driver read torn outputs"
        victim.kill()
        process.latch(last, 0)
        last = process.timestamp_ns(0)
        values = set()
        for tag in plan.tags:
            values |= set(process.get(tag.index))  # type: ignore[arg-type]
            assert process.timestamp_ns(tag.index) == last
            assert process.quality(tag.index) == quality.GOOD
        assert values == {last & 0xFFFF}


@pytest.mark.campaign
def test_a_driver_that_was_killed_counts_as_lost_after_its_silence(tmp_path: Path) -> None:
    plan = coupler()
    path = tmp_path / "image"
    image = Image.create(path, plan, BOOT)
    process = ProcessImage(image, plan)
    clock = MonotonicClock()

    def drive() -> None:
        port = Image.attach(path, plan).device(0)
        while True:
            port.publish_inputs(bytes(8000), [(0, 1), (0, 1)], clock.now_ns())

    victim = Victim(drive)
    while process.quality(0) != quality.GOOD:
        process.latch(clock.now_ns(), 0)
    victim.kill()
    process.latch(image.device(0).beat_ns + 200_000_000, 0)
    assert process.quality(0) == quality.GOOD
    process.latch(image.device(0).beat_ns + 200_000_001, 0)
    assert process.quality(0) == quality.UNCERTAIN_LAST_USABLE
