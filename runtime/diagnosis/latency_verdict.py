"""The verdict of ``cellwright latency`` in words, with the limits that it applies.

Pure functions over the figures; `docs/howto/prepare_a_pc.md` gives the same limits and their
reasons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

PERCENTILES: Final = (50, 90, 99, 99.9)
LATE_GOOD: Final = 0.05
"""p99.9 of the start's lateness, as a part of the base interval."""
LATE_USABLE: Final = 0.25
COST_GOOD: Final = 0.50
"""p99 of a cycle's duration, as a part of the base interval."""
COST_USABLE: Final = 0.80
SKIPPED_USABLE: Final = 1e-3
"""Part of all ticks."""
ADDED_LIMIT_US: Final = 25.0
"""What the runtime may add to the p99.9 of a bare loop on the same core."""
LIMITS: Final = (
    f"start lateness p99.9: good up to {LATE_GOOD:.0%} of the base interval, usable up to "
    f"{LATE_USABLE:.0%}",
    f"cycle p99: good up to {COST_GOOD:.0%} of the base interval, usable up to {COST_USABLE:.0%}",
    f"skipped ticks: good 0, usable up to {SKIPPED_USABLE:.1%}",
    f"added to the bare loop's p99.9: up to {ADDED_LIMIT_US:g} us is the runtime as it should be",
)
LEVELS: Final = ("good", "usable", "not good enough")


class LatencyVerdict(msgspec.Struct, frozen=True):
    """``level`` is the worst of what was looked at."""

    level: str
    """``good``, ``usable`` or ``not good enough``."""
    sentences: list[str]
    limits: list[str]


def percentile(ordered: Sequence[int], percent: float) -> int:
    """Nearest-rank percentile of ascending values; ``percent`` above 0 to 100."""
    # Rounded first: 99.9 / 100 * 1000 is 999.0000000000001 in binary.
    rank = math.ceil(round(percent / 100 * len(ordered), 6))
    return ordered[max(0, rank - 1)]


def judge(
    *,
    base_us: float,
    late_us: float,
    added_us: float,
    cost_us: float,
    cycles: int,
    skipped: int,
    stolen_ms: float,
    lacking: Sequence[str],
    trouble: str,
) -> LatencyVerdict:
    """Judge the scan's figures: medians over blocks, but sums of ticks and of stolen time."""
    share_skipped = skipped / max(1, cycles + skipped)
    grades = [
        _grade(late_us / base_us, LATE_GOOD, LATE_USABLE),
        _grade(cost_us / base_us, COST_GOOD, COST_USABLE),
        _grade(share_skipped, 0.0, SKIPPED_USABLE),
    ]
    level = LEVELS[max(grades)]
    sentences = [
        f"For a base interval of {base_us / 1e3:g} ms this PC is {level}.",
        f"999 of 1000 cycles start within {late_us:.0f} us ({late_us / base_us:.1%} of the base "
        f"interval): {LEVELS[grades[0]]}.",
        f"99 of 100 cycles take at most {cost_us:.0f} us ({cost_us / base_us:.1%} of the base "
        f"interval): {LEVELS[grades[1]]}.",
        f"{skipped} of {cycles + skipped} ticks were skipped: {LEVELS[grades[2]]}.",
        f"The scan's p99.9 is the bare loop's {added_us:+.0f} us (median over pairs): "
        + (
            "as it should be."
            if added_us <= ADDED_LIMIT_US
            else "more than it should; is its core its own? See 'cellwright doctor'."
        ),
    ]
    if stolen_ms > 0:
        sentences.append(
            f"A hypervisor took {stolen_ms:.0f} ms away meanwhile: the maxima are the host's too."
        )
    if trouble:
        sentences.append(
            f"The cell did not stay in RUN ({trouble}): the cycles measured are not those of its "
            f"tasks."
        )
    sentences += [f"Not granted: {sentence}." for sentence in lacking]
    return LatencyVerdict(level, sentences, list(LIMITS))


def _grade(value: float, good: float, usable: float) -> int:
    return 0 if value <= good else 1 if value <= usable else 2
