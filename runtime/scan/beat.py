"""The beat: waits for each tick and runs a cycle at it, then gives away the slack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from cellwright.io.image import SCAN, Image, ProcessSlot
from cellwright.io.messages import SetMode
from cellwright.io.plan import Plan
from cellwright.io.timing.clock import Clock
from cellwright.native import lib
from cellwright.runtime.scan.cycle import Scan
from cellwright.runtime.scan.execution.schedule import next_tick, tick_start_ns
from cellwright.runtime.scan.observer import CycleObserver

LAST_NS = 500_000_000
"""Longest time after the last regular cycle for events that wait, say of a flood of alarms."""

SPIN_UP_TICKS = 2
"""Ticks between attaching and the first cycle: time for caches, not for meaning."""


class SlackWork(Protocol):
    """Work that is done in small pieces in what a cycle leaves of its interval."""

    @property
    def busy(self) -> bool:
        """There is something to do."""

    def step(self, tick_ns: int) -> None:
        """Do a piece of it that is over before the tick at ``tick_ns``."""


class Beat:
    """The grid of ticks, and what each of them costs.

    ``slack`` is asked in order: the first that is busy gets the rest of an interval.
    """

    def __init__(
        self,
        scan: Scan,
        plan: Plan,
        image: Image,
        clock: Clock,
        *,
        slot: ProcessSlot,
        should_stop: Callable[[], bool],
        observer: CycleObserver,
        slack: Sequence[SlackWork] = (),
    ) -> None:
        self._scan = scan
        self._slack = slack
        self._slot = slot
        self._should_stop = should_stop
        self._observer = observer
        self._clock = clock
        self._status = image.scan
        self._statistics = image.statistics
        self._base_ns = plan.scan.base_ns
        self._spin_ns = plan.scan.spin_ns
        self._start_ns = clock.now_ns() + SPIN_UP_TICKS * self._base_ns
        self._status.grid_ns = self._start_ns
        scan.execution.calls.on_grid(self._start_ns)
        self._tick = self._skipped = 0
        observer.step(self._start_ns)

    def run(self) -> None:
        """Run a cycle at every tick until the process is to stop, then one that leaves RUN."""
        while not self._should_stop():
            self.once()
        self._scan.ask(SetMode(request="stop", actor="supervisor", reason="the scan process ends"))
        while not self.once():
            pass
        for _ in range(max(1, LAST_NS // self._base_ns)):
            if not self._scan.unsent:
                break
            self.once()

    def once(self) -> bool:
        """Wait for the next tick and run its cycle; False when a signal came before it."""
        status, base_ns, clock = self._status, self._base_ns, self._clock
        tick = self._tick
        tick_ns = tick_start_ns(self._start_ns, base_ns, tick)
        if lib.cw_wait_until(tick_ns, self._spin_ns) < tick_ns:
            return False
        now_ns = clock.now_ns()
        status.beat_ns = now_ns
        self._slot.beat_ns = now_ns
        self._scan.cycle(tick, now_ns, clock.utc_ns())
        end_ns = clock.now_ns()
        took_ns = end_ns - now_ns
        self._statistics.record(SCAN, now_ns - tick_ns, took_ns, overruns=int(took_ns > base_ns))
        following = next_tick(self._start_ns, base_ns, tick, end_ns)
        if following > tick + 1:
            self._statistics.skipped(SCAN, following - tick - 1)
            self._skipped += following - tick - 1
            status.skipped_ticks = self._skipped
        self._tick = following
        status.run_ticks = self._scan.cycle_number
        status.elapsed_ticks = following
        self._observer.step(now_ns)
        for work in self._slack:
            if work.busy:
                work.step(tick_start_ns(self._start_ns, base_ns, following))
                break
        return True
