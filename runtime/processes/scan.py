"""The scan process: the beat itself, with nothing beside it.

Started by the supervisor. It asks for the real-time class, its core and locked memory, says what
it did not get, and then does nothing but wait for the next tick and run a cycle.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

import structlog

from cellwright.runtime.cell.membership import join
from cellwright.runtime.online_change.swap import OnlineChange
from cellwright.runtime.programs.loading import load_programs
from cellwright.runtime.realtime.grants import acquire, stay_awake
from cellwright.runtime.realtime.machine_check import short_list
from cellwright.runtime.recorder.recorder import ScanRecorder
from cellwright.runtime.scan.beat import Beat
from cellwright.runtime.scan.cycle import Scan
from cellwright.runtime.scan.garbage import Garbage

SWITCH_S: Final = 0.0001
"""Longest time that another thread in Python may keep the beat from the interpreter. There should
be none, but a program may start one, or end the tracing that makes a changed module stand still."""


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
    recorder = ScanRecorder(image, clock)
    recorder.digest = loaded.package.programs.digest
    recorder.options = loaded.package.options
    scan = Scan(plan, image, start, recorder.clock, loaded.classes, observer=recorder)
    recorder.bind(scan)
    # The program's objects live for ever; collecting among them would only cost time in a cycle.
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_S)
    # Urgent only from here on: a start-up at this priority would stop other cells on the core.
    lacking = acquire(plan.scan.priority, plan.scan.core)
    if plan.scan.awake:
        # Held until the process ends: closing it would let the cores sleep again.
        _, refused = stay_awake()
        lacking += refused
    status.degraded = short_list([plan.simulated, *lacking], plan.scan)
    garbage = Garbage(plan.scan.base_ns, clock.now_ns)
    change = OnlineChange(
        scan,
        member.folder,
        loaded,
        recorder=recorder,
        now_ns=clock.now_ns,
        on_done=garbage.changed,
    )
    log.info(
        "scan starts",
        base_ms=plan.scan.base_ns / 1e6,
        lacking=lacking,
        programs=loaded.package.programs.digest,
        programs_from="the scan before" if loaded.kept else plan.folder,
    )
    del loaded  # else its classes stay when the programs are changed
    try:
        Beat(
            scan,
            plan,
            image,
            clock,
            slot=member.slot,
            should_stop=member.should_stop,
            observer=recorder,
            slack=(change, garbage),
        ).run()
    finally:
        scan.end()
        log.info("scan ends", cycles=scan.cycle_number, skipped=status.skipped_ticks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
