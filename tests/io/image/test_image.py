"""The image file: making, attaching, refusing; status, processes, device ports."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cellwright.io.image import Image, ImageError
from cellwright.io.plan import Direction, quality
from support.plans import make_device, make_group, make_plan, make_tag, small_plan

BOOT = "0123abcd"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cell.image"


def test_a_second_process_sees_what_the_first_one_made(path: Path) -> None:
    plan = small_plan()
    made = Image.create(path, plan, BOOT)
    attached = Image.attach(path, plan)
    assert attached.boot_id == BOOT
    made.scan.beat_ns = 42
    made.scan.state = 2
    made.scan.fault_text = "Clamp did not close: größer als erlaubt"
    made.scan.degraded = "no real-time class"
    assert (attached.scan.beat_ns, attached.scan.state) == (42, 2)
    assert attached.scan.fault_text == "Clamp did not close: größer als erlaubt"
    assert attached.scan.fault_code == ""
    attached.journal.ok = True
    attached.journal.committed = 7
    assert made.journal.ok
    assert made.journal.committed == 7


def test_the_file_is_for_its_owner_only_and_leaves_no_temporary_behind(path: Path) -> None:
    Image.create(path, small_plan(), BOOT).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_making_it_anew_replaces_the_file_in_one_step(path: Path) -> None:
    plan = small_plan()
    old = Image.create(path, plan, BOOT)
    new = Image.create(path, plan, "ffff0000")
    old.scan.beat_ns = 1
    assert new.scan.beat_ns == 0
    assert Image.attach(path, plan).boot_id == "ffff0000"


@pytest.mark.parametrize("boot_id", ["", "0123ABCD", "0123abc", "0123abcde", "0123abcg"])
def test_a_boot_id_that_is_not_eight_hex_digits_is_refused(path: Path, boot_id: str) -> None:
    with pytest.raises(ValueError, match="8 lower-case hexadecimal digits"):
        Image.create(path, small_plan(), boot_id)


def test_another_layout_is_refused_with_both_hashes_and_a_remedy(path: Path) -> None:
    plan = small_plan()
    Image.create(path, plan, BOOT)
    other = make_plan([make_tag("elsewhere", "LREAL")])
    with pytest.raises(ImageError) as caught:
        Image.attach(path, other)
    text = str(caught.value)
    assert str(path) in text
    assert plan.layout_hash.hex() in text
    assert other.layout_hash.hex() in text
    assert "restart the whole cell" in text


def test_areas_of_another_size_are_refused_although_the_hash_agrees(path: Path) -> None:
    plan = small_plan()
    Image.create(path, plan, BOOT)
    lying = msgspec.structs.replace(plan, tags=plan.tags * 9)
    with pytest.raises(ImageError, match="areas were laid out by another version"):
        Image.attach(path, lying)


def test_a_missing_file_is_named_with_a_hint(path: Path) -> None:
    with pytest.raises(ImageError, match=r"cell\.image cannot be opened.*supervisor"):
        Image.attach(path, small_plan())


@pytest.mark.parametrize("content", [b"", b"CWIM", b"#!/bin/sh\n" * 1000, bytes(100_000)])
def test_a_foreign_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ImageError, match="is not an image file"):
        Image.attach(path, small_plan())


@pytest.mark.parametrize("keep", [200, 4096, 100_000])
def test_a_truncated_file_is_refused(path: Path, keep: int) -> None:
    plan = small_plan()
    Image.create(path, plan, BOOT)
    os.truncate(path, keep)
    with pytest.raises(ImageError, match=f"truncated: {keep} bytes of"):
        Image.attach(path, plan)


def test_another_format_version_is_refused(path: Path) -> None:
    plan = small_plan()
    Image.create(path, plan, BOOT)
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\x63")
    with pytest.raises(ImageError, match="has format 99, this program reads 1"):
        Image.attach(path, plan)


@pytest.mark.parametrize("place", [12, 60, 90, 150, 300])
def test_a_damaged_header_is_refused(path: Path, place: int) -> None:
    plan = small_plan()
    Image.create(path, plan, BOOT)
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 0x40]))
    with pytest.raises(ImageError):
        Image.attach(path, plan)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="check that the folder"):
        Image.create(tmp_path / "missing" / "image", small_plan(), BOOT)


def test_a_closed_image_gives_no_more_areas_but_living_ports_still_work(path: Path) -> None:
    plan = small_plan()
    image = Image.create(path, plan, BOOT)
    port = image.device(0)
    image.close()
    port.beat(5)
    assert Image.attach(path, plan).device(0).beat_ns == 5
    with pytest.raises(ImageError, match="closed"):
        image.snapshot_reader()


def test_every_area_starts_on_a_line_and_none_overlaps_another(path: Path) -> None:
    image = Image.create(path, small_plan(), BOOT)
    spans = sorted((place.offset, place.size) for place in image._places.values())
    end = 0
    for offset, size in spans:
        assert offset % 64 == 0
        assert offset >= end
        end = offset + size
    assert end <= path.stat().st_size


def test_the_process_table_has_one_slot_a_process(path: Path) -> None:
    image = Image.create(path, small_plan(), BOOT)
    expected = {"supervisor", "scan", "journal", "gateway", "device:coupler", "worker:vision"}
    assert expected <= set(image.processes.names)
    assert len(set(image.processes.names)) == len(image.processes)
    slot = Image.attach(path, small_plan()).processes["worker:vision"]
    slot.pid, slot.restarts, slot.state, slot.started_ns = 12, 3, 1, 99
    slot.detail = "x" * 300
    slot.beat_ns = -5
    seen = image.processes["worker:vision"]
    assert (seen.pid, seen.restarts, seen.state, seen.started_ns) == (12, 3, 1, 99)
    assert (seen.beat_ns, seen.detail) == (-5, "x" * 120)
    assert image.processes["scan"].pid == 0


def test_a_text_that_is_too_long_is_cut_at_a_character(path: Path) -> None:
    image = Image.create(path, small_plan(), BOOT)
    image.journal.error = "ä" * 150
    assert image.journal.error == "ä" * 100
    image.journal.error = "a" + "ä" * 150
    assert image.journal.error == "a" + "ä" * 99
    image.journal.error = ""
    assert image.journal.error == ""


def test_markers_and_cameras_have_no_process_of_their_own(path: Path) -> None:
    plan = make_plan([], [make_device("laser", kind="marker"), make_device("io")])
    image = Image.create(path, plan, BOOT)
    assert "device:io" in image.processes
    assert "device:laser" not in image.processes


def test_staged_inputs_arrive_as_one_unit(path: Path) -> None:
    plan = small_plan()
    image = Image.create(path, plan, BOOT)
    driver = Image.attach(path, plan).device(0)
    port = image.device(0)
    assert port.read_inputs() is None
    states = [(quality.GOOD, 10), (quality.BAD_DEVICE_FAILURE, 20), (0, 30), (0, 40)]
    driver.publish_inputs(bytes(range(18)), states, now_ns=77)
    found = port.read_inputs()
    assert found is not None
    assert found.payload == bytes(range(18))
    assert found.statuses == tuple(states)
    assert found.published_ns == port.beat_ns == 77


def test_a_payload_of_the_wrong_size_is_refused(path: Path) -> None:
    port = Image.create(path, small_plan(), BOOT).device(0)
    with pytest.raises(ValueError, match="publishes 18 bytes and 4 group states, not 3 and 0"):
        port.publish_inputs(b"abc", [], 1)
    with pytest.raises(ValueError, match="outputs of coupler are 9 bytes, not 2"):
        port.publish_outputs(b"ab", 1, True)
    with pytest.raises(ValueError, match="outputs of coupler are 9 bytes"):
        port.read_outputs(bytearray(8))


def test_outputs_are_the_safe_ones_until_the_scan_commits(path: Path) -> None:
    group = make_group(0, "coils", 0, 16, bits=True, output=True)
    plan = make_plan([], [make_device("io", [group], safe_outputs=b"\x0f\xf0")])
    image = Image.create(path, plan, BOOT)
    into = bytearray(2)
    header = image.device(0).read_outputs(into)
    assert (header.cycle, header.enabled, bytes(into)) == (0, False, b"\x0f\xf0")
    image.device(0).publish_outputs(b"\x01\x02", 9, True)
    header = Image.attach(path, plan).device(0).read_outputs(into)
    assert (header.cycle, header.enabled, bytes(into)) == (9, True, b"\x01\x02")


def test_the_drivers_counters_are_seen_by_everyone(path: Path) -> None:
    plan = small_plan()
    driver = Image.create(path, plan, BOOT).device(0)
    seen = Image.attach(path, plan).device(0)
    driver.connected = True
    driver.requests += 5
    driver.failures += 1
    driver.trip = 1
    driver.error = "read of input_registers[0] timed out"
    assert (seen.connected, seen.requests, seen.failures, seen.trip) == (True, 5, 1, 1)
    assert seen.error == "read of input_registers[0] timed out"
    assert (seen.reconnects, seen.back_off_ns, seen.last_ns, seen.max_ns) == (0, 0, 0, 0)


def test_what_the_scan_needs_of_the_image_brings_no_heavy_library_with_it() -> None:
    heavy = ("numpy", "asyncio", "sqlalchemy", "asyncua", "pymodbus", "lupa", "pydantic")
    code = (
        "import sys; import cellwright.io.process_image.process_image, cellwright.io.image.rings; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout == "[]\n"


def test_only_tasks_with_a_worker_have_job_rings(path: Path) -> None:
    image = Image.create(path, small_plan(), BOOT)
    assert image.job_ring(1).put(b"job") == 1
    assert image.result_ring(1).written == 0
    with pytest.raises(KeyError):
        image.job_ring(0)


def test_a_command_can_carry_the_largest_tag(path: Path) -> None:
    plan = make_plan([make_tag("wide", "ARRAY[0..4095] OF LREAL", Direction.MEMORY)])
    image = Image.create(path, plan, BOOT)
    data = msgspec.msgpack.encode({"tag": "wide", "value": [1.5] * 4096})
    ticket = image.commands.send(data)
    assert image.commands.receive() == [(ticket, data)]
