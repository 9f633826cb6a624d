"""What the flight recorder costs a scan, and how fast a recording runs again.

The cost: the same cell of 64 channels that all change in every cycle, with and without recorder, in
turns; the recorder's keyframes are part of it. Processor time is told beside elapsed time, because
a shared machine interrupts both. ``CELLWRIGHT_SCANS`` sets the length of the replay,
``CELLWRIGHT_SECONDS`` that of the measurement at 1 kHz.
"""

from __future__ import annotations

import ctypes
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.timing.clock import SimulatedClock
from cellwright.native import lib
from cellwright.runtime.recorder.recorder import ScanRecorder
from cellwright.runtime.recorder.replay import Replay
from support.peers import percentiles_us
from support.recorder_load import LoadedCell, Sum, TimedRecorder, load_plan

BLOCK, BLOCKS = 500, 60
SCANS = int(os.environ.get("CELLWRIGHT_SCANS", "20000"))
SECONDS = int(os.environ.get("CELLWRIGHT_SECONDS", "3"))
KILOHERTZ_NS = 1_000_000


@pytest.fixture
def shm_path() -> Iterator[Path]:
    """A folder where images lie: the pages of a file on a disk are written out now and then."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="cw-recorder-") as name:
        yield Path(name)


@contextmanager
def urgent() -> Iterator[str]:
    """The scan's usual place: a real-time class on the last core, memory locked; what was granted.

    Without the lock the first turn of the ring would be a page fault every twenty records.
    """
    cores, core = os.sched_getaffinity(0), max(os.sched_getaffinity(0))
    granted = "without real-time class"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(80))
        os.sched_setaffinity(0, {core})
        granted = f"SCHED_FIFO 80 on core {core}"
    except PermissionError:
        pass
    granted += ", memory not locked" if lib.cw_lock_memory() else ", memory locked"
    try:
        yield granted
    finally:
        ctypes.CDLL(None).munlockall()
        os.sched_setaffinity(0, cores)
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.mark.benchmark(group="flight recorder")
def test_the_cost_of_recording_a_scan_at_one_kilohertz(benchmark: Any, shm_path: Path) -> None:
    plan = load_plan(KILOHERTZ_NS)
    cells = {
        "plain": LoadedCell(shm_path / "plain", plan, recorded=None),
        "recorded": LoadedCell(shm_path / "recorded", plan, recorded=TimedRecorder),
    }
    took: dict[str, list[int]] = {name: [] for name in cells}
    gc.collect()
    gc.disable()
    try:
        with urgent() as granted:
            for _ in range(SECONDS):
                for name, cell in cells.items():
                    due_ns = lib.cw_now()
                    for _ in range(1_000_000_000 // KILOHERTZ_NS):
                        due_ns = max(due_ns + KILOHERTZ_NS, lib.cw_now())
                        lib.cw_wait_until(due_ns, 0)
                        took[name].append(cell.step()[0])
                        cell.drain(keep=False)
    finally:
        gc.enable()
    plain, recorded = (percentiles_us(took[name]) for name in ("plain", "recorded"))
    recorder = cells["recorded"].recorder
    assert isinstance(recorder, TimedRecorder)
    own = percentiles_us(recorder.spent)
    benchmark.extra_info.update(plain=plain, recorded=recorded, own=own, granted=granted)
    print(f"\n1 kHz for {SECONDS} s each, {granted}:")
    for name in ("p50", "p99"):
        print(
            f"{name}: {plain[name]} us without, {recorded[name]} us with recorder, "
            f"difference {recorded[name] - plain[name]:.1f} us; the recorder's calls {own[name]} us"
        )
    assert cells["recorded"].image.recorded.dropped == 0
    benchmark.pedantic(cells["recorded"].step, rounds=20, iterations=10)
    for cell in cells.values():
        cell.store.close()


@pytest.mark.benchmark(group="flight recorder")
@pytest.mark.parametrize("more_tags", [0, 900])
def test_the_cost_of_recording_a_scan(benchmark: Any, tmp_path: Path, more_tags: int) -> None:
    plan = load_plan(1_000_000, more_tags)
    cells = {
        "plain": LoadedCell(tmp_path / "plain", plan, recorded=None),
        "recorded": LoadedCell(tmp_path / "recorded", plan, recorded=ScanRecorder),
    }
    took: dict[str, list[int]] = {name: [] for name in cells}
    worked: dict[str, list[int]] = {name: [] for name in cells}
    gc.collect()
    gc.disable()
    try:
        for block in range(BLOCKS + 1):
            for name, cell in cells.items():
                for _ in range(BLOCK):
                    elapsed, busy = cell.step()
                    if block:  # the first block warms up
                        took[name].append(elapsed)
                        worked[name].append(busy)
                cell.drain(keep=False)
    finally:
        gc.enable()
    for what, times in (("elapsed", took), ("processor", worked)):
        figures = {name: percentiles_us(values) for name, values in times.items()}
        for name in ("p50", "p99"):
            plain, recorded = figures["plain"][name], figures["recorded"][name]
            benchmark.extra_info[f"{what}_{name}_us"] = [plain, recorded]
            print(
                f"\n{more_tags + 65} tags, {what} {name}: {plain} us without, {recorded} us "
                f"with recorder, difference {recorded - plain:.1f} us"
            )
    counters = cells["recorded"].image.recorded
    assert counters.dropped == 0
    assert counters.recorded == cells["recorded"].scan.cycle_number
    benchmark.pedantic(cells["recorded"].step, rounds=20, iterations=10)
    for cell in cells.values():
        cell.store.close()


@pytest.mark.benchmark(group="flight recorder")
def test_the_recorders_own_part_of_a_scan(benchmark: Any, tmp_path: Path) -> None:
    cell = LoadedCell(tmp_path, load_plan(1_000_000), recorded=TimedRecorder)
    recorder = cell.recorder
    assert isinstance(recorder, TimedRecorder)
    gc.collect()
    gc.disable()
    try:
        for _ in range(BLOCKS):
            for _ in range(BLOCK):
                cell.step()
            cell.drain(keep=False)
    finally:
        gc.enable()
    figures = percentiles_us(recorder.spent[BLOCK:])
    benchmark.extra_info.update(figures)
    print(f"\nthe recorder's calls in one scan (64 channels change): {figures} us elapsed")
    assert cell.image.recorded.dropped == 0
    benchmark.pedantic(cell.step, rounds=20, iterations=10)
    cell.store.close()


@pytest.mark.benchmark(group="flight recorder")
@pytest.mark.parametrize("base_ms", [10, 1])
def test_the_speed_of_a_replay(benchmark: Any, tmp_path: Path, base_ms: int) -> None:
    clock = SimulatedClock(start_ns=10_000_000_000)
    cell = LoadedCell(
        tmp_path, load_plan(base_ms * 1_000_000), recorded=ScanRecorder, simulated=clock
    )
    while cell.scan.cycle_number < SCANS:
        for _ in range(BLOCK):
            cell.step()
        cell.drain(keep=True)
    path = cell.kept()

    def run() -> tuple[float, float]:
        with Replay(path, programs=[Sum]) as replay:
            begin, begin_cpu = time.perf_counter(), time.process_time()
            outcome = replay.run()
            elapsed, busy = time.perf_counter() - begin, time.process_time() - begin_cpu
        assert outcome.identical, outcome.notes
        assert outcome.cycles == cell.scan.cycle_number
        print(
            f"\n{outcome.cycles} scans of {base_ms} ms identical, chain {outcome.chain[:16]}, "
            f"file {path.stat().st_size / 1e6:.1f} MB: {elapsed:.2f} s elapsed = "
            f"{outcome.recorded_ns / 1e9 / elapsed:.0f} times real time; "
            f"{busy:.2f} s of processor = {outcome.recorded_ns / 1e9 / busy:.0f} times"
        )
        return elapsed, busy

    benchmark.extra_info["elapsed_s"], benchmark.extra_info["processor_s"] = run()
    benchmark.pedantic(run, rounds=1, iterations=1)
