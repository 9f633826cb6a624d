"""The pump from real rings into the journal, with killed writers, locks and full disks."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import Image
from cellwright.io.journal.journal import JournalReader
from cellwright.io.journal.pump import JournalPump
from cellwright.io.messages import (
    ModeChanged,
    PartArrived,
    encode,
)
from cellwright.io.timing.backoff import BackOffLimits
from cellwright.io.timing.clock import MonotonicClock, SimulatedClock
from support.campaign import times
from support.forked import process
from support.journal_events import BOOT, arrived
from support.plans import make_plan

MS = 1_000_000
QUICK = BackOffLimits(first_ns=5 * MS, longest_ns=20 * MS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """One image for all tests of this file; each test drains it."""
    return Image.create(tmp_path_factory.mktemp("image") / "image", make_plan(), BOOT)


@pytest.fixture
def rings(image: Image) -> Image:
    """The image with empty event rings."""
    for ring in image.events.values():
        ring.acknowledge(ring.written)
    return image


# --- The pump ------------------------------------------------------------------------------------


def pump_for(image: Image, path: Path) -> JournalPump:
    return JournalPump(image, path, MonotonicClock(), QUICK, seed=1)


def test_a_pump_that_was_only_started_again_does_not_call_the_journal_unwell(
    rings: Image, path: Path
) -> None:
    """The scan would stop the cell for it, although everything goes on in a moment."""
    rings.journal.ok = True
    pump = pump_for(rings, path)
    assert rings.journal.ok
    pump.step()
    assert rings.journal.ok


def test_the_pump_commits_all_rings_and_then_acknowledges_them(rings: Image, path: Path) -> None:
    rings.journal.ok = False
    pump = pump_for(rings, path)
    for number in range(5):
        rings.events["scan"].put(encode(arrived(number)))
    mode = ModeChanged(task="", utc_ns=9, old="stop", new="run", actor="test", reason="test")
    rings.events["supervisor"].put(encode(mode))
    assert not rings.journal.ok
    assert pump.step() == 6
    assert rings.journal.ok
    assert rings.journal.committed == 6
    assert all(ring.acknowledged == ring.written for ring in rings.events.values())
    with JournalReader(path) as reader:
        assert [event for _, event in reader.read(0)] == [*map(arrived, range(5)), mode]
    assert pump.step() == 0
    pump.close()


def test_a_damaged_event_is_kept_and_does_not_hold_up_the_others(rings: Image, path: Path) -> None:
    pump = pump_for(rings, path)
    ring = rings.events["scan"]
    ring.put(encode(arrived(1)))
    bad = ring.put(b"\xc1 not an event")
    ring.put(encode(arrived(2)))
    with structlog.testing.capture_logs() as logs:
        pump.step()
    pump.close()
    assert [entry["event"] for entry in logs] == ["event is damaged"]
    with JournalReader(path) as reader:
        assert [event for _, event in reader.read(0)] == [arrived(1), arrived(2)]
        assert reader.read(0, limit=1) == [(1, arrived(1))]
        assert reader.read(1, limit=1) == [(3, arrived(2))]
        (row,) = reader.corrupt()
    assert (row.producer, row.boot_id, row.producer_sequence) == ("scan", BOOT, bad)
    assert row.payload == b"\xc1 not an event"


@given(
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=200),
            st.integers(0, 5000).map(lambda depth: b"\x91" * depth + b"\xc0"),
            st.integers(0, 2**64 - 1).map(
                lambda utc: encode(PartArrived(task="t", utc_ns=utc, part_id="p"))
            ),
        ),
        max_size=20,
    )
)
def test_whatever_lies_in_the_ring_ends_in_the_journal(
    tmp_path_factory: pytest.TempPathFactory, image: Image, payloads: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "journal.db"
    ring = image.events["scan"]
    ring.acknowledge(ring.written)
    pump = pump_for(image, path)
    for payload in payloads:
        ring.put(payload)
    with structlog.testing.capture_logs():
        assert pump.step() == len(payloads)
    pump.close()
    assert ring.acknowledged == ring.written
    assert [payload for _, payload in stored(path)] == payloads


def stored(path: Path) -> list[tuple[int, bytes]]:
    """Producer sequences and payloads, read without the reader."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT producer_sequence, payload FROM events ORDER BY sequence")
    result = rows.fetchall()
    connection.close()
    return result


def test_a_damaged_ring_is_recorded_and_left_behind(rings: Image, path: Path) -> None:
    ring = rings.events["scan"]
    pump = pump_for(rings, path)
    payload = b"damage-me" + os.urandom(16)
    ring.put(payload)
    area = rings.area("events.scan.producer")
    at = bytes(area.view).index(payload)
    area.view[at] ^= 0xFF
    with structlog.testing.capture_logs() as logs:
        pump.step()
    assert logs[-1] == {"event": "event ring damaged", "lost": 1, "log_level": "error"}
    ring.put(encode(arrived(5)))
    pump.step()
    pump.close()
    with JournalReader(path) as reader:
        assert [event for _, event in reader.read(0)] == [arrived(5)]
        assert b"is damaged" in reader.corrupt()[0].payload


def test_a_locked_file_delays_the_events_and_loses_none(rings: Image, path: Path) -> None:
    clock = SimulatedClock()
    pump = JournalPump(rings, path, clock, QUICK, seed=1)
    pump.step()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    rings.events["scan"].put(encode(arrived(1)))
    with structlog.testing.capture_logs() as logs:
        assert pump.step() == 0
        assert not rings.journal.ok
        assert "database is locked" in rings.journal.error
        assert path.name in rings.journal.error
        assert rings.events["scan"].acknowledged < rings.events["scan"].written
        holder.execute("ROLLBACK")
        holder.close()
        assert pump.step() == 0, "it pauses first"
        clock.advance(QUICK.longest_ns)
        assert pump.step() == 1
    assert rings.journal.ok
    assert rings.journal.error == ""
    pump.close()
    events = [entry["event"] for entry in logs]
    assert events == [
        "journal cannot be written, events wait in the rings",
        "journal is written again",
    ]


def test_a_journal_that_is_moved_away_in_use_is_begun_anew_without_loss(
    rings: Image, path: Path
) -> None:
    clock = SimulatedClock()
    pump = JournalPump(rings, path, clock, QUICK, seed=1)
    rings.events["scan"].put(encode(arrived(1)))
    pump.step()
    path.rename(path.with_suffix(".old"))
    rings.events["scan"].put(encode(arrived(2)))
    with structlog.testing.capture_logs():
        assert pump.step() == 0
        assert "vanished" in rings.journal.error
        clock.advance(QUICK.longest_ns)
        assert pump.step() == 1
    pump.close()
    with JournalReader(path) as reader:
        assert [event for _, event in reader.read(0)] == [arrived(2)]


def test_the_pump_recovers_by_itself_when_a_damaged_file_is_moved_away(
    rings: Image, path: Path
) -> None:
    path.write_bytes(b"this is no database" * 500)
    pump = pump_for(rings, path)
    rings.events["scan"].put(encode(arrived(1)))
    with structlog.testing.capture_logs():
        pump.step()
        assert "file is not a database" in rings.journal.error
        path.rename(path.with_suffix(".bad"))
        until(lambda: pump.step() == 1)
    pump.close()
    assert len(stored(path)) == 1


# --- Real processes: killed writers, full disks, read-only folders -------------------------------


def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.002)


def pump_for_ever(image: Image, path: Path) -> None:
    pump_for(image, path).run(lambda: False)


@pytest.mark.campaign
def test_every_acknowledged_event_survives_a_writer_killed_at_any_moment(
    rings: Image, path: Path
) -> None:
    chance = random.Random(7)
    ring = rings.events["scan"]
    first = ring.written + 1
    for _ in range(times(20)):
        with process(lambda: pump_for_ever(rings, path)) as child:
            end = time.monotonic() + chance.uniform(0.001, 0.04)
            while time.monotonic() < end:
                if ring.written - ring.acknowledged < 1000:
                    ring.put(encode(arrived(ring.written + 1)))
                time.sleep(chance.uniform(0, 0.0005))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        acknowledged = ring.acknowledged
        if path.exists() and acknowledged >= first:
            found = [sequence for sequence, _ in stored(path)]
            assert found[: acknowledged - first + 1] == list(range(first, acknowledged + 1))
    with process(lambda: pump_for_ever(rings, path)):
        until(lambda: ring.acknowledged == ring.written)
    assert ring.written > first + 60
    expected = [(n, encode(arrived(n))) for n in range(first, ring.written + 1)]
    assert stored(path) == expected


def can_mount() -> bool:
    """Root in a container often cannot, so it is tried."""
    if os.geteuid() != 0:
        return False
    probe = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return probe.returncode == 0


FULL_DISKS = ["file size limit", *(["tmpfs"] if can_mount() else [])]


@pytest.mark.parametrize("way", FULL_DISKS)
def test_a_full_disk_is_told_and_nothing_is_lost_when_there_is_space_again(
    rings: Image, tmp_path: Path, way: str
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    path = folder / "journal.db"
    ring = rings.events["scan"]
    first = ring.written + 1

    def pump_on_a_small_disk() -> None:
        if way == "file size limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
            wide = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            signal.signal(
                signal.SIGUSR1, lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, wide)
            )
        pump_for_ever(rings, path)

    with contextlib.ExitStack() as stack:
        if way == "tmpfs":
            mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
            subprocess.run(mount, check=True)
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
            (folder / "filler").write_bytes(bytes(600_000))
        child = stack.enter_context(process(pump_on_a_small_disk))
        until(lambda: rings.journal.ok)
        # Closing a file folds its write-ahead log, which frees some space once or twice.
        known, since, told = ring.acknowledged, time.monotonic(), ""
        deadline = time.monotonic() + 60
        while rings.journal.ok or time.monotonic() < since + 0.3:
            assert time.monotonic() < deadline, "the disk never ran full"
            if rings.journal.ok or ring.acknowledged != known:
                known, since = ring.acknowledged, time.monotonic()
            told = rings.journal.error or told
            if ring.written - known < 200:
                ring.put(encode(arrived(ring.written + 1)))
            else:
                time.sleep(0.001)
        assert path.name in told
        assert "SQLITE_FULL" in told or "SQLITE_IOERR" in told
        assert "space" in told
        assert ring.acknowledged < ring.written
        if way == "tmpfs":
            (folder / "filler").unlink()
        else:
            os.kill(child, signal.SIGUSR1)
        until(lambda: ring.acknowledged == ring.written)
        until(lambda: rings.journal.ok)
        assert rings.journal.error == ""
        assert [n for n, _ in stored(path)] == list(range(first, ring.written + 1))
