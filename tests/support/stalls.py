"""Tells when the machine itself stood still, for tests that measure real time.

A process on each core wakes every millisecond and notes when it got the core later than that. It
shares nothing with the cell: what it misses, the cell could not have had either.
"""

from __future__ import annotations

import os
import select
import struct
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from cellwright.native import lib
from support.forked import process

STEP_NS = 1_000_000
LATE_NS = 2_000_000
_GAP = struct.Struct("<qq")


def _watch(core: int, pipe: int) -> None:
    os.sched_setaffinity(0, {core})
    while True:
        due_ns = lib.cw_now() + STEP_NS
        now_ns = lib.cw_wait_until(due_ns, 0)
        if now_ns > due_ns + LATE_NS:
            os.write(pipe, _GAP.pack(due_ns, now_ns))


class StallMonitor:
    """Gaps of more than two milliseconds on any core, while the context lasts."""

    def __enter__(self) -> Self:
        self._gaps: list[tuple[int, int]] = []
        self._stack = ExitStack()
        self._pipe, end = os.pipe()
        self._stack.callback(os.close, self._pipe)
        for core in sorted(os.sched_getaffinity(0)):
            self._stack.enter_context(process(lambda core=core: _watch(core, end)))  # type: ignore[misc]
        os.close(end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def stood_still_ns(self, begin_ns: int, end_ns: int) -> int:
        """Nanoseconds of that time (CLOCK_MONOTONIC) in which at least one core stood still."""
        time.sleep(0.02)  # a gap is told when it is over
        while select.select([self._pipe], [], [], 0)[0]:
            self._gaps.append(_GAP.unpack(os.read(self._pipe, _GAP.size)))
        total, reached = 0, begin_ns
        for first, last in sorted(self._gaps):
            total += max(0, min(last, end_ns) - max(first, reached))
            reached = max(reached, min(last, end_ns))
        return total
