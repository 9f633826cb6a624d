"""How late a cycle starts: from Python on the absolute wait, beside the bare loop in C.

The three take turns in short blocks, so that a noisy machine is noisy for all of them. Percentiles
are printed and kept; nothing passes or fails on them.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from cellwright.native import ffi, lib
from support.peers import percentiles_us

INTERVAL_NS = 1_000_000
PER_BLOCK = 200
BLOCKS = 8


def bare(first_ns: int) -> list[int]:
    late = ffi.new("int64_t[]", PER_BLOCK)
    lib.cw_wait_probe(first_ns, INTERVAL_NS, late, PER_BLOCK)
    return list(late)


def absolute(first_ns: int) -> list[int]:
    wait, late = lib.cw_wait_until, []
    for tick in range(PER_BLOCK):
        deadline = first_ns + tick * INTERVAL_NS
        late.append(wait(deadline, 0) - deadline)
    return late


def sleeping(first_ns: int) -> list[int]:
    late = []
    for tick in range(PER_BLOCK):
        deadline = first_ns + tick * INTERVAL_NS
        left = deadline - time.monotonic_ns()
        if left > 0:
            time.sleep(left / 1e9)
        late.append(time.monotonic_ns() - deadline)
    return late


def stolen_ticks() -> int:
    """Time that the hypervisor took away, in ticks of 10 ms, since the start of the machine."""
    with open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[8])


@pytest.mark.realtime
@pytest.mark.benchmark(group="start of a cycle")
def test_the_start_of_a_cycle_beside_the_bare_loop(benchmark: Any) -> None:
    kinds: dict[str, Callable[[int], list[int]]] = {
        "bare_c": bare,
        "cw_wait_until": absolute,
        "time.sleep": sleeping,
    }
    late: dict[str, list[int]] = {name: [] for name in kinds}
    stolen = stolen_ticks()
    gc.disable()
    try:
        for _ in range(BLOCKS):
            for name, kind in kinds.items():
                late[name] += kind(lib.cw_now() + INTERVAL_NS)
    finally:
        gc.enable()
    assert all(min(taken) >= 0 for taken in late.values()), "woken before its time"
    print()
    for name, taken in late.items():
        benchmark.extra_info[name] = percentiles_us(taken)
        print(f"  late, {name}: {percentiles_us(taken)} us of {len(taken)}")
    benchmark.extra_info["stolen_ticks"] = stolen_ticks() - stolen
    median = {name: sorted(taken)[len(taken) // 2] for name, taken in late.items()}
    benchmark.extra_info["ratio_to_bare_c"] = round(median["cw_wait_until"] / median["bare_c"], 3)
    benchmark.pedantic(lambda: lib.cw_wait_until(0, 0), rounds=20, iterations=100)
