"""Deltas and files of recordings: whole, bounded, and clear about every kind of damage."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.recording.cycle import HEAD, CycleRecord, RecordError, Shadow
from cellwright.io.recording.file import (
    Batch,
    Gap,
    Header,
    Keyframe,
    Part,
    Recording,
    RecordingError,
    RecordingWriter,
)
from cellwright.io.recording.listing import kept_recordings
from cellwright.io.recording.store import Policy, RecordingStore
from cellwright.native import ffi, lib
from support.forked import process
from support.recorded_cell import RecordedCell

# --- deltas -----------------------------------------------------------------------------------

WORDS = st.integers(0, 3).map(lambda n: n.to_bytes(8, "little"))
REGIONS = st.integers(0, 200).flatmap(
    lambda count: st.tuples(
        st.lists(WORDS, min_size=count, max_size=count).map(b"".join),
        st.lists(WORDS, min_size=count, max_size=count).map(b"".join),
    )
)


def delta_of(old: bytes, new: bytes) -> bytes:
    shadow = bytearray(old)
    room = bytearray(lib.cw_delta_longest(len(old)))
    size = lib.cw_delta_take(
        ffi.from_buffer("uint8_t[]", shadow), new, len(old), ffi.from_buffer(room), len(room)
    )
    assert size >= 0
    assert bytes(shadow) == new, "the shadow follows"
    return bytes(room[:size])


@given(REGIONS)
def test_a_delta_leads_from_the_old_region_to_the_new_one(regions: tuple[bytes, bytes]) -> None:
    old, new = regions
    delta = delta_of(old, new)
    assert (delta == b"") == (old == new)
    shadow = Shadow(old)
    shadow.apply(delta)
    assert bytes(shadow.region) == new


def test_the_longest_delta_fits_whatever_changes() -> None:
    for size in (0, 8, 16, 1024, 80_000):
        old, every_second = bytes(size), (b"\1" + bytes(7) + bytes(8)) * (size // 16)
        new = every_second + bytes(size - len(every_second))
        assert len(delta_of(old, new)) <= lib.cw_delta_longest(size)
        assert len(delta_of(old, b"\xff" * size)) <= lib.cw_delta_longest(size)


def test_a_delta_without_room_is_refused() -> None:
    old, room = bytearray(64), bytearray(9)
    view = ffi.from_buffer("uint8_t[]", old)
    assert lib.cw_delta_take(view, b"\1" * 64, 64, ffi.from_buffer(room), 9) == -28
    assert lib.cw_delta_take(view, b"\1" * 63, 63, ffi.from_buffer(room), 9) == -22


@given(st.binary(max_size=80), st.integers(0, 12))
def test_any_bytes_are_applied_within_the_region_or_refused(delta: bytes, words: int) -> None:
    fence = b"\xa5" * 32
    memory = bytearray(fence + bytes(8 * words) + fence)
    inside = ffi.cast("uint8_t *", ffi.from_buffer(memory)) + 32
    assert lib.cw_delta_apply(inside, 8 * words, delta, len(delta)) in (0, -74)
    assert (memory[:32], memory[-32:]) == (fence, fence)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_are_refused(data: bytes) -> None:
    try:
        record = CycleRecord(data)
        _ = record.clock_readings, record.notes
    except RecordError:
        return
    assert len(data) >= HEAD.size


# --- files ------------------------------------------------------------------------------------


Make = Callable[..., RecordedCell]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Cells in RUN whose files are closed at the end."""
    made: list[RecordedCell] = []

    def new(**fields: Any) -> RecordedCell:
        made.append(RecordedCell(tmp_path / str(len(made)), **fields))
        made[-1].run()
        return made[-1]

    yield new
    for cell in made:
        cell.close()


@pytest.fixture
def cell(make: Make) -> RecordedCell:
    """Some cycles with inputs, a worker and events."""
    recorded = make()
    for number in range(60):
        recorded.payload = bytes([8 * (number // 10 % 2), 0])
        recorded.cycle()
        recorded.work(number)
        if number % 20 == 0:
            recorded.pump()
    return recorded


def parts_of(path: Path) -> tuple[list[Part], list[str]]:
    with Recording(path) as recording:
        return list(recording.parts()), recording.notes


def read(path: Path) -> tuple[list[Part], list[str]] | None:
    """What a damaged file holds, or None when it is refused, which must name the file."""
    try:
        return parts_of(path)
    except RecordingError as error:
        if str(path) not in str(error):
            raise
        return None


def cycles_of(parts: list[Part]) -> list[int]:
    return [
        CycleRecord(data).cycle
        for part in parts
        if isinstance(part, Batch)
        for data in part.records
    ]


def test_a_file_holds_a_keyframe_and_every_cycle_after_it(cell: RecordedCell) -> None:
    path = cell.kept("asked by a test")
    parts, notes = parts_of(path)
    assert notes == []
    assert isinstance(parts[0], Keyframe)
    assert cycles_of(parts) == list(range(1, 63))
    with Recording(path) as recording:
        assert recording.header.cause == "asked by a test"
        assert recording.header.layout_hash == cell.plan.layout_hash
        assert recording.header.sources["press"].sha256


def test_a_file_cut_off_anywhere_is_read_up_to_the_last_whole_part(cell: RecordedCell) -> None:
    path = cell.kept()
    data = path.read_bytes()
    whole = cycles_of(parts_of(path)[0])
    seen = set()
    for size in range(0, len(data), 97):
        path.write_bytes(data[:size])
        found = read(path)
        if found is None:
            continue
        parts, notes = found
        cycles = cycles_of(parts)
        assert cycles == whole[: len(cycles)]
        assert "without an index" in notes[0]
        seen.add(len(cycles))
    assert len(seen) > 2


def test_every_flipped_bit_is_found(cell: RecordedCell) -> None:
    path = cell.kept()
    data = path.read_bytes()
    whole = cycles_of(parts_of(path)[0])
    for place in range(0, len(data), 61):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = read(path)
        if found is None:
            continue
        parts, notes = found
        # A damaged length may look like a missing end; never like other cycles.
        assert notes
        assert cycles_of(parts) == whole[: len(cycles_of(parts))]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a recording (0 bytes"),
        (b"something else entirely", "is not a recording"),
        (b"CWRECORD" + (9).to_bytes(4, "little") + bytes(20), "has format 9"),
        (b"CWRECORD" + (1).to_bytes(4, "little") + b"\xff" * 8, "header"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "x.cwrec"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        Recording(path)
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.cwrec cannot be read: No such file"):
        Recording(tmp_path / "none.cwrec")


@given(st.binary(max_size=300))
def test_any_bytes_after_a_header_are_parts_or_damage(tail: bytes) -> None:
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.cwrec"
        RecordingWriter(path, Header("c", b"", b"", {}, 0)).abandon()
        path.write_bytes(path.read_bytes() + tail)
        try:
            parts, notes = parts_of(path)
        except RecordingError:
            return
        assert parts == []
        assert notes


# --- the rolling window -----------------------------------------------------------------------


def files(cell: RecordedCell, kind: str) -> list[Path]:
    return sorted(cell.recordings.glob(f"{kind}-*"))


def seconds(cell: RecordedCell, count: float) -> Iterator[None]:
    for _ in range(int(count * 10)):
        cell.cycle(10)
        cell.pump()
        yield


def test_the_window_on_disk_stays_as_long_as_declared(make: Make) -> None:
    cell = make(policy=Policy(window_s=12.0))
    most = 0
    for _ in seconds(cell, 60):
        most = max(most, len(files(cell, "rolling")))
    assert most <= 5
    begin = cycles_of(parts_of(files(cell, "rolling")[0])[0])[0]
    assert 12 <= (cell.scan.cycle_number - begin) / 100 <= 18


def test_the_window_gets_shorter_when_it_would_take_more_bytes_than_allowed(make: Make) -> None:
    cell = make(policy=Policy(rolling_bytes=150_000))
    for _ in seconds(cell, 30):
        assert cell.store is not None
        total = sum(path.stat().st_size for path in files(cell, "rolling"))
        assert total <= 150_000 + 100_000, "one segment may still grow"
    assert cell.store.figures.missed == 0


def test_kept_files_are_bounded_and_those_about_skipped_ticks_go_first(make: Make) -> None:
    cell = make(policy=Policy(kept_files=3, post_s=0.5))
    assert cell.store is not None
    for cause in ("fault 1", "overrun 1", "fault 2", "fault 3", "asked 4", "overrun 5"):
        cell.store.keep(cause)
        for _ in seconds(cell, 0.8):
            pass
    names = [
        path.name.rpartition("-")[0].split("-")[-1] + path.name for path in files(cell, "kept")
    ]
    assert len(names) == 3
    assert not any("overrun" in name for name in names[:-1])
    assert cell.store.figures.kept_files == 3
    assert cell.store.figures.kept_bytes == sum(p.stat().st_size for p in files(cell, "kept"))


@pytest.mark.parametrize("ahead_s", [30 * 24 * 3600, -30 * 24 * 3600])
def test_a_file_that_was_kept_while_the_wall_clock_was_wrong_goes_when_its_turn_comes(
    make: Make, ahead_s: int
) -> None:
    cell = make(policy=Policy(kept_files=3, post_s=0.2))
    assert cell.store is not None
    for _ in seconds(cell, 0.5):
        pass
    came: list[Path] = []
    for number in range(6):
        cell.store.keep(f"asked {number}")
        for _ in seconds(cell, 0.5):
            pass
        (new,) = set(files(cell, "kept")) - set(came)
        came.append(new)
        if number == 1:
            stamp = time.time() + ahead_s
            os.utime(new, (stamp, stamp))
            cell.clock._utc_offset_ns += ahead_s * 1_000_000_000
        if number == 2:
            cell.clock._utc_offset_ns -= ahead_s * 1_000_000_000
    assert set(files(cell, "kept")) == set(came[3:])
    assert [one.path for one in kept_recordings(came[0].parent)] == came[3:]
    assert cell.store.figures.newest == came[-1].name


def test_causes_that_come_together_share_a_file_named_after_the_weightier(make: Make) -> None:
    cell = make(policy=Policy(post_s=1.0))
    for _ in seconds(cell, 1):
        pass
    assert cell.store is not None
    cell.store.keep("overrun 2 ticks were skipped")
    for _ in seconds(cell, 0.5):
        pass
    cell.store.keep("asked by somebody")
    for _ in seconds(cell, 1.5):
        pass
    (path,) = files(cell, "kept")
    assert path.name.endswith("-asked.cwrec")
    with Recording(path) as recording:
        assert recording.header.cause == ("asked by somebody; also overrun 2 ticks were skipped")


def test_kept_files_stay_within_their_bytes(make: Make) -> None:
    cell = make(policy=Policy(kept_bytes=120_000, post_s=0.1, window_s=1))
    assert cell.store is not None
    for number in range(8):
        cell.store.keep(f"asked {number}")
        for _ in seconds(cell, 1):
            pass
    kept = files(cell, "kept")
    assert 1 <= len(kept) < 8
    assert sum(path.stat().st_size for path in kept) <= 120_000


def test_a_kept_file_holds_what_came_before_and_after_its_cause(make: Make) -> None:
    cell = make(policy=Policy(window_s=6.0, post_s=2.0))
    for _ in seconds(cell, 20):
        pass
    asked_at = cell.scan.cycle_number
    assert cell.store is not None
    cell.store.keep("asked")
    for _ in seconds(cell, 1.8):
        assert files(cell, "kept") == []
    for _ in seconds(cell, 0.5):
        pass
    (path,) = files(cell, "kept")
    cycles = cycles_of(parts_of(path)[0])
    assert cycles == list(range(cycles[0], cycles[-1] + 1))
    assert asked_at - cycles[0] >= 400
    assert 200 <= cycles[-1] - asked_at <= 230


def test_the_window_before_a_cause_is_whole_when_the_time_after_is_longer(make: Make) -> None:
    cell = make(policy=Policy(window_s=6.0, post_s=15.0))
    for _ in seconds(cell, 20):
        pass
    asked_at = cell.scan.cycle_number
    assert cell.store is not None
    cell.store.keep("asked")
    for _ in seconds(cell, 16):
        pass
    (path,) = files(cell, "kept")
    cycles = cycles_of(parts_of(path)[0])
    assert 600 <= asked_at - cycles[0] <= 1200
    assert 1500 <= cycles[-1] - asked_at <= 1530


def test_causes_without_end_do_not_keep_a_recording_from_its_end(make: Make) -> None:
    cell = make(policy=Policy(window_s=4.0, post_s=1.0))
    assert cell.store is not None
    for number, _ in enumerate(seconds(cell, 12)):
        cell.store.keep(f"cause{number % 7}: again")
    kept = files(cell, "kept")
    assert 5 <= len(kept) <= 6
    for path in kept:
        assert len(cycles_of(parts_of(path)[0])) <= 1200
        with Recording(path) as recording:
            assert 0 < len(recording.header.cause) <= 2000


def test_a_recording_never_takes_more_than_all_may(make: Make) -> None:
    cell = make(policy=Policy(kept_bytes=60_000, post_s=0.1))
    for _ in seconds(cell, 25):
        pass
    assert cell.store is not None
    assert sum(path.stat().st_size for path in files(cell, "rolling")) > 100_000
    path = cell.kept()
    newest = cycles_of(parts_of(path)[0])[-1]
    assert newest == cell.scan.cycle_number
    assert path.stat().st_size <= 60_000


def test_segments_of_a_killed_recorder_are_replaced_as_new_ones_come(make: Make) -> None:
    cell = make(policy=Policy(window_s=6.0))
    for _ in seconds(cell, 20):
        pass
    assert cell.store is not None
    old = set(files(cell, "rolling"))
    assert len(old) >= 2
    cell.store.close()
    cell.store = cell.new_store()
    for _ in seconds(cell, 40):
        assert len(files(cell, "rolling")) <= len(old) + 4
    assert not old & set(files(cell, "rolling"))


def test_what_did_not_arrive_is_a_gap_and_a_keyframe_ends_it(cell: RecordedCell) -> None:
    cell.pump()
    ring = cell.image.records
    cell.cycle(5)
    ring.acknowledge(ring.written)
    cell.cycle(5)
    cell.pump()
    assert cell.store is not None
    assert cell.store.wants_keyframe
    assert cell.store.figures.missed == 5
    cell.skip(20)
    cell.cycle(5)
    parts, _ = parts_of(cell.kept())
    (gap,) = [part for part in parts if isinstance(part, Gap)]
    assert gap.reason == "cycles 63 to 67 did not arrive"
    after = parts[parts.index(gap) + 1]
    assert isinstance(after, Keyframe)


def test_a_full_disk_is_told_and_recording_goes_on_when_there_is_space(
    make: Make, tmp_path: Path
) -> None:
    cell = make()
    report = tmp_path / "report"

    def with_little_space() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft = 60_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
        for _ in seconds(cell, 8):
            pass
        assert cell.store is not None
        assert cell.scan.cycle_number == 802
        error = cell.store.figures.error
        assert "File too large" in error, error
        assert cell.store.figures.missed > 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        for _ in seconds(cell, 8):
            pass
        assert cell.store.figures.error == ""
        report.write_text(str(cell.kept()))

    with process(with_little_space) as child:
        assert os.waitpid(child, 0)[1] == 0
    cycles = cycles_of(parts_of(Path(report.read_text()))[0])
    assert cycles[-1] > 1500


def test_a_ring_that_nobody_reads_costs_records_and_never_the_scan(make: Make) -> None:
    cell = make()
    while cell.image.recorded.dropped < 100:
        cell.cycle(100)
        assert cell.scan.cycle_number < 100_000
    assert cell.image.recorded.recorded + cell.image.recorded.dropped == cell.scan.cycle_number
    cell.pump()
    cell.skip(200)
    cell.cycle(10)
    cell.pump()
    assert cell.store is not None
    assert not cell.store.wants_keyframe, "a keyframe has made it good"


def test_a_store_in_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = RecordingStore(tmp_path / "file" / "x", Header("c", b"", b"", {}, 0), Policy())
    assert "cannot be written" in store.figures.error
    store.step()
    store.close()
