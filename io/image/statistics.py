"""Counters and histograms of the tasks and of the scan itself, in the image.

The scan records, everybody reads consistent copies. Histograms are log-linear with eight buckets
an octave, so a percentile is at most 1/8 above the true value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from cellwright.io.image.areas import Area
from cellwright.native import ffi, lib

SCAN: Final = -1
"""Index of the scan itself among the tasks."""


class Distribution(msgspec.Struct, frozen=True):
    """Moments and histogram of a time; everything but ``count`` and ``buckets`` is nanoseconds."""

    count: int
    last: int
    minimum: int
    maximum: int
    total: int
    buckets: tuple[int, ...]
    """Counts; the bounds are `bucket_low`."""

    @property
    def mean(self) -> float:
        """Average, 0 when nothing was recorded."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> int:
        """Upper bound of the bucket that holds the percentile, at most the maximum; 0 if empty."""
        if not self.count:
            return 0
        rank = self.count * percent / 100.0
        seen = 0
        for index, count in enumerate(self.buckets):
            seen += count
            if seen >= rank and seen > 0:
                return max(self.minimum, min(self.maximum, bucket_low(index + 1) - 1))
        return self.maximum


_PLACES: Final[Mapping[str, int]] = {
    name.removeprefix("CW_").lower(): place
    for name, place in ffi.typeof("enum cw_count").relements.items()
    if name != "CW_COUNTERS"
}
"""Name of each counter of ``statistics.h`` to its place: ``late_runs`` is ``CW_LATE_RUNS``."""


class TaskStatistics(msgspec.Struct, frozen=True):
    """What one task did since the last reset; `cellwright.io.image.figures` says what each is.

    Every counter of ``statistics.h`` is an attribute too: ``late_runs`` for ``CW_LATE_RUNS``.
    """

    runs: int
    resets: int
    counters: tuple[int, ...]
    """Counts in the order of ``enum cw_count``."""
    jitter: Distribution
    execution: Distribution

    def __getattr__(self, name: str) -> int:
        if name not in _PLACES:
            raise AttributeError(f"there is no counter '{name}'; there are {', '.join(_PLACES)}")
        return self.counters[_PLACES[name]]


def bucket_low(index: int) -> int:
    """Smallest value in nanoseconds that falls into a bucket."""
    return lib.cw_bucket_low(index)


class Statistics:
    """One record a task; index -1 is the scan itself. The scan writes, everybody reads."""

    def __init__(self, area: Area, tasks: int) -> None:
        size = lib.cw_statistics_size()
        self.tasks = tasks
        self._areas = [area.part(index * size, size) for index in range(tasks + 1)]
        # Kept apart from the areas: one tuple to pass on the cycle path.
        self._ends = [(part.pointer, part.size) for part in self._areas]

    @staticmethod
    def size(tasks: int) -> int:
        """Bytes of the area."""
        return lib.cw_statistics_size() * (tasks + 1)

    def _at(self, index: int) -> tuple[Any, int]:
        if not SCAN <= index < self.tasks:
            raise IndexError(f"no task {index}; there are {self.tasks}, and -1 is the scan")
        return self._ends[index]

    def record(  # noqa: PLR0917
        self,
        index: int,
        jitter_ns: int,
        execution_ns: int,
        overruns: int = 0,
        skips: int = 0,
        watchdog_hits: int = 0,
    ) -> None:
        """Count one execution; each of the counters grows by 0 or 1. Scan only."""
        area, size = self._ends[index]
        counters = 0
        if overruns or skips or watchdog_hits:
            counters = overruns | skips << 1 | watchdog_hits << 2
        lib.cw_statistics_record(area, size, jitter_ns, execution_ns, counters)

    def _count(self, index: int, counter: int, times: int) -> None:
        lib.cw_statistics_count(*self._at(index), counter, times)

    def overran(self, index: int, times: int = 1) -> None:
        """Count executions that took longer than the interval. Scan only."""
        self._count(index, lib.CW_OVERRUNS, times)

    def skipped(self, index: int, times: int = 1) -> None:
        """Count due executions (of the scan: ticks) that did not take place. Scan only."""
        self._count(index, lib.CW_SKIPS, times)

    def watchdog_hit(self, index: int, times: int = 1) -> None:
        """Count executions beyond the watchdog time. Scan only."""
        self._count(index, lib.CW_WATCHDOG_HITS, times)

    def ran_late(self, index: int, times: int = 1) -> None:
        """Count executions that made up for skipped ones. Scan only."""
        self._count(index, lib.CW_LATE_RUNS, times)

    def omitted(self, index: int, times: int = 1) -> None:
        """Count cycles whose slack was too short for the task. Scan only."""
        self._count(index, lib.CW_OMITTED, times)

    def timed_out(self, index: int, times: int = 1) -> None:
        """Count jobs whose deadline passed. Scan only."""
        self._count(index, lib.CW_JOB_TIMEOUTS, times)

    def answered_late(self, index: int, times: int = 1) -> None:
        """Count answers dropped because their deadline had passed. Scan only."""
        self._count(index, lib.CW_LATE_ANSWERS, times)

    def reset(self, index: int | None = None) -> None:
        """Zero one task's record, or all of them. Scan only, and only on command."""
        for which in range(SCAN, self.tasks) if index is None else (index,):
            lib.cw_statistics_reset(*self._at(which))

    def repair(self) -> None:
        """Make the records whole that a killed predecessor left in the middle. Scan, at start."""
        for which in range(SCAN, self.tasks):
            lib.cw_statistics_repair(*self._at(which))

    def read(self, index: int) -> TaskStatistics:
        """A consistent copy."""
        area, size = self._at(index)
        copy = ffi.new("struct cw_statistics *")
        # One of the two copies is always whole; 1000 times is only against a writer gone wild.
        if lib.cw_statistics_read(area, size, copy, 1000) != 0:
            raise RuntimeError(f"the statistics of task {index} change faster than they are read")
        return TaskStatistics(
            runs=copy.cycles,
            resets=copy.resets,
            counters=tuple(copy.counter),
            jitter=_distribution(copy.jitter),
            execution=_distribution(copy.execution),
        )

    def read_all(self) -> Sequence[TaskStatistics]:
        """Copies for all tasks in their order; the scan's own is `read` (-1)."""
        return [self.read(index) for index in range(self.tasks)]


def _distribution(moments: Any) -> Distribution:
    return Distribution(
        count=moments.count,
        last=moments.last,
        minimum=moments.min,
        maximum=moments.max,
        total=moments.sum,
        buckets=tuple(moments.bucket),
    )
