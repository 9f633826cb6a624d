"""A command that waited while the scan was dead is not obeyed by the scan that comes after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.messages import ReplyCode, SetMode
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import CellState
from cellwright.io.timing.clock import SimulatedClock
from cellwright.runtime.scan.cycle import Scan
from support.plans import small_plan


def test_a_start_that_was_asked_of_a_dead_scan_is_refused_by_its_successor(tmp_path: Path) -> None:
    plan = small_plan()
    image = Image.create(tmp_path / "image", plan, "00000000")
    client = CommandClient(image, timeout_s=0.1)
    ticket = client.post(SetMode(request="start", actor="operator"))
    start = ScanStart(boot_id="00000000", retained={}, open_events=[], restarted=True, notes=[])
    scan = Scan(plan, image, start, SimulatedClock(), [])
    for tick in range(3):
        scan.cycle(tick, 1_000_000_000 + tick * 10_000_000, 0)
    assert scan.state is not CellState.RUN
    with pytest.raises(CommandFailed, match="restarted meanwhile") as caught:
        client._answered(ticket)
    assert caught.value.code is ReplyCode.INVALID_STATE
    image.close()
