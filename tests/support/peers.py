"""Compares a function with its peers in the same run, in interleaved blocks.

A shared machine drifts; whoever is measured in the same moment drifts along. Figures go into the
benchmark's ``extra_info`` and to the terminal; nothing here passes or fails on a time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Work = Callable[[], Any]


def _block_ns(work: Work, times: int) -> float:
    begin = time.perf_counter_ns()
    for _ in range(times):
        work()
    return (time.perf_counter_ns() - begin) / times


def compare(
    benchmark: Any, ours: Work, peers: Mapping[str, Work], *, times: int = 50, blocks: int = 21
) -> dict[str, float]:
    """Median time of each, and ours divided by each peer's; then the usual benchmark of ours."""
    every = {"ours": ours, **peers}
    seen: dict[str, list[float]] = {name: [] for name in every}
    for block in range(blocks + 1):
        for name, work in every.items():
            took = _block_ns(work, times)
            if block:  # the first block warms up
                seen[name].append(took)
    medians = {name: statistics.median(values) for name, values in seen.items()}
    report = {f"{name}_us": round(value / 1e3, 3) for name, value in medians.items()}
    report |= {f"ratio_to_{name}": round(medians["ours"] / medians[name], 3) for name in peers}
    benchmark.extra_info.update(report)
    print(f"\n{benchmark.name}: " + ", ".join(f"{key} {value}" for key, value in report.items()))
    benchmark.pedantic(ours, rounds=20, iterations=times)
    return report


def percentiles_us(times_ns: list[int]) -> dict[str, float]:
    """p50, p99, p99.9 and maximum in microseconds."""
    ordered = sorted(times_ns)
    last = len(ordered) - 1
    places = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {name: round(ordered[round(part * last)] / 1e3, 1) for name, part in places.items()}
