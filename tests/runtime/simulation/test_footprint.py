"""What processes and folders take, and how the soaks judge it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soak import compressed, realtime

from cellwright.runtime.simulation.footprint import Contents, Footprint, slope

MIB = 1 << 20


def test_an_open_file_and_a_thread_show_in_the_footprint_of_a_process(tmp_path: Path):
    before, over = Footprint.of(), threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    with (tmp_path / "file").open("wb"):
        during = Footprint.of(os.getpid())
    over.set()
    thread.join()
    assert (during.handles - before.handles, during.threads - before.threads) == (1, 1)
    assert during.rss_bytes > MIB


def test_a_process_that_is_gone_is_an_error():
    with pytest.raises(OSError, match="No such file"):
        Footprint.of(2**22 + 1)


def test_a_folder_is_counted_with_what_lies_below(tmp_path: Path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "one").write_bytes(b"12345")
    (tmp_path / "inner" / "two").write_bytes(b"123")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert Contents.of(tmp_path) == Contents(2, 8)


@given(
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.lists(st.integers(0, 1000), min_size=2, max_size=30),
)
def test_the_slope_of_points_on_a_line_is_the_lines(rise: float, start: float, xs: list[int]):
    expected = rise if len(set(xs)) > 1 else 0.0
    assert slope([(x, start + rise * x) for x in xs]) == pytest.approx(expected, abs=1e-6)


def test_no_points_have_no_slope():
    assert slope([]) == 0.0


STEADY = [
    compressed.Sample(hours / 2, 110 * MIB, 15, 4, 6 * MIB, 15 * MIB, hours * MIB, 130)
    for hours in range(1, 49)
]


def broken(samples: list[compressed.Sample]) -> list[str]:
    """Bounds that do not hold."""
    return [name for name, right, _ in compressed.judge(samples) if not right]


def test_a_steady_day_holds_every_bound():
    assert broken(STEADY) == []


@pytest.mark.parametrize(
    ("change", "bound"),
    [
        (lambda one: replace(one, rss=int((100 + 2 * one.hours) * MIB)), "memory after warm-up"),
        (lambda one: replace(one, handles=15 + int(one.hours)), "file handles"),
        (lambda one: replace(one, threads=4 + int(one.hours)), "threads"),
        (lambda one: replace(one, recordings=int(one.hours * 4 * MIB)), "recordings"),
        (lambda one: replace(one, journal=int(one.hours * 4 * MIB)), "journal"),
        (lambda one: replace(one, files=int(one.hours * 100)), "files"),
    ],
)
def test_a_day_in_which_something_grows_breaks_its_bound_and_no_other(
    change: Callable[[compressed.Sample], compressed.Sample], bound: str
):
    assert broken([change(one) for one in STEADY]) == [bound]


def test_what_grows_before_the_warm_up_is_over_does_not_count():
    early = [replace(one, rss=one.rss - 80 * MIB) if one.hours < 2 else one for one in STEADY]
    assert broken(early) == []


def minutes(rise: float, handles: int = 0) -> list[tuple[float, Footprint]]:
    """Figures of a process for 20 minutes, ``rise`` in MiB a minute."""
    return [
        (at / 6, Footprint(int((50 + rise * at / 6) * MIB), 9 + handles * at // 60, 2))
        for at in range(1, 121)
    ]


def sizes(recordings: int, run: int) -> list[tuple[float, Contents, Contents, Contents]]:
    """Of the folders, in MiB a minute."""
    return [
        (
            at / 6,
            Contents(9, at * MIB),
            Contents(9, recordings * at // 6 * MIB),
            Contents(3, run * at),
        )
        for at in range(1, 121)
    ]


@pytest.mark.parametrize(
    ("points", "folders", "wrong"),
    [
        (minutes(0.1), sizes(1, 0), []),
        (minutes(1.0), sizes(1, 0), ["scan"]),
        (minutes(0.0, handles=9), sizes(1, 0), ["scan"]),
        (minutes(0.0), sizes(100, 0), ["recordings"]),
        (minutes(0.0), sizes(1, MIB), ["run folder"]),
    ],
)
def test_a_process_or_a_folder_that_grows_in_real_time_is_told(
    points: list[tuple[float, Footprint]],
    folders: list[tuple[float, Contents, Contents, Contents]],
    wrong: list[str],
):
    judged = realtime.judge({"scan": points}, folders, warm_up=5.0)
    assert [name for name, right, _ in judged if not right] == wrong
