"""The scan's own watchdog: so many cycles in a row that took longer than it allows are a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellwright.io.image import Image
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import CellState, ScanSettings
from cellwright.io.timing.clock import SimulatedClock
from cellwright.runtime.scan.cycle import Scan
from support.plans import POLL_NS, make_plan


@pytest.mark.parametrize(("slow_cycles", "state"), [(1, CellState.RUN), (2, CellState.FAULT)])
@pytest.mark.behaviour(5)
def test_the_cell_faults_after_so_many_slow_cycles_in_a_row(
    tmp_path: Path, slow_cycles: int, state: CellState
) -> None:
    plan = make_plan(
        scan=ScanSettings(
            base_ns=POLL_NS,
            watchdog_ns=2 * POLL_NS,
            watchdog_sensitivity=2,
            priority=0,
            core=-1,
        )
    )
    image = Image.create(tmp_path / "image", plan, "00000000")
    image.journal.ok = True
    clock = SimulatedClock()
    start = ScanStart(boot_id="00000000", retained={}, open_events=[], restarted=True, notes=[])
    scan = Scan(plan, image, start, clock, [])

    def cycle() -> None:
        image.processes["journal"].beat_ns = clock.now_ns()
        scan.cycle(scan.cycle_number, clock.now_ns(), clock.utc_ns())
        clock.advance(POLL_NS)

    cycle()
    scan.state = CellState.RUN
    for _ in range(slow_cycles):
        scan._busy_ns = 3 * POLL_NS
        cycle()
        assert scan._busy_ns == 0
    cycle()
    assert scan.state is state
    assert ("its watchdog allows 20.000 ms" in scan.first_fault) == (state is CellState.FAULT)
    image.close()
