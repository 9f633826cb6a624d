"""The scan process: the beat itself, with nothing beside it.

Started by the supervisor. It asks for the real-time class, its core and locked memory, says what
it did not get, and then does nothing but wait for the next tick and run a cycle.
"""

from __future__ import annotations

import gc
import os
import sys

import structlog

from cellwright.io.image import SCAN
from cellwright.io.messages import SetMode
from cellwright.native import lib
from cellwright.runtime.cell.membership import Membership, join
from cellwright.runtime.online_change.swap import OnlineChange, load_programs
from cellwright.runtime.realtime.grants import acquire, stay_awake
from cellwright.runtime.realtime.machine_check import short_list
from cellwright.runtime.recorder.recorder import ScanRecorder
from cellwright.runtime.scan.cycle import Scan
from cellwright.runtime.scan.execution.schedule import next_tick, tick_start_ns
from cellwright.runtime.scan.garbage import Garbage

LAST_NS = 500_000_000
"""Longest time after the last regular cycle for events that wait, say of a flood of alarms."""
SPIN_UP_TICKS = 2
"""Ticks between attaching and the first cycle: time for caches, not for meaning."""


def main(arguments: list[str] | None = None) -> int:
    """Run the scan until the supervisor asks to stop or is gone."""
    member, _ = join(arguments, lambda _: "scan")
    log = structlog.get_logger(__name__)
    image, clock = member.image, member.clock
    start = member.folder.read_start()
    loaded = load_programs(member.folder, member.plan, start, clock.utc_ns())
    plan = loaded.plan
    status = image.scan
    status.started_ns = clock.now_ns()
    status.pid = os.getpid()
    status.base_ns = plan.scan.base_ns
    status.elapsed_ticks = status.run_ticks = status.skipped_ticks = 0
    recorder = ScanRecorder(image)
    recorder.digest = loaded.package.programs.digest
    recorder.options = loaded.package.options
    scan = Scan(plan, image, start, clock, loaded.classes, tape=recorder)
    # The program's objects live for ever; collecting among them would only cost time in a cycle.
    gc.collect()
    gc.freeze()
    gc.disable()
    # Urgent only from here on: a start-up at this priority would stop other cells on the core.
    lacking = acquire(plan.scan.priority, plan.scan.core)
    if plan.scan.awake:
        # Held until the process ends: closing it would let the cores sleep again.
        _, refused = stay_awake()
        lacking += refused
    status.degraded = short_list(lacking, plan.scan)
    change = OnlineChange(scan, member.folder, loaded, recorder=recorder, now_ns=clock.now_ns)
    log.info(
        "scan starts",
        base_ms=plan.scan.base_ns / 1e6,
        lacking=lacking,
        programs=loaded.package.programs.digest,
        programs_from="the scan before" if loaded.kept else plan.folder,
    )
    del loaded  # else its classes stay when the programs are changed
    try:
        Beat(scan, member, recorder, change).run()
    finally:
        scan.end()
        log.info("scan ends", cycles=scan.cycle_number, skipped=status.skipped_ticks)
    return 0


class Beat:
    """The grid of ticks, and what each of them costs."""

    def __init__(
        self,
        scan: Scan,
        member: Membership,
        recorder: ScanRecorder,
        change: OnlineChange | None = None,
    ) -> None:
        self._scan = scan
        self._change = change
        self._member = member
        self._recorder = recorder
        self._clock = member.clock
        self._status = member.image.scan
        self._statistics = member.image.statistics
        self._base_ns = member.plan.scan.base_ns
        self._spin_ns = member.plan.scan.spin_ns
        self._start_ns = self._clock.now_ns() + SPIN_UP_TICKS * self._base_ns
        self._status.grid_ns = self._start_ns
        scan.execution.calls.on_grid(self._start_ns)
        self._tick = self._skipped = 0
        self._garbage = Garbage(self._base_ns, self._clock.now_ns)
        recorder.step(self._start_ns)

    def run(self) -> None:
        """Run a cycle at every tick until the process is to stop, then one that leaves RUN."""
        while not self._member.should_stop():
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
        self._member.slot.beat_ns = now_ns
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
        self._recorder.step(now_ns)
        if self._change is not None and self._change.busy:
            self._change.step(tick_start_ns(self._start_ns, base_ns, following))
            if not self._change.busy:
                self._garbage.changed()
        else:
            self._garbage.step(tick_start_ns(self._start_ns, base_ns, following))
        return True


if __name__ == "__main__":
    sys.exit(main())
