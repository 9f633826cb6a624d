"""Faults of every kind of the campaign: after each the cell did what it must, and came back.

How long the outputs took is reported and not judged here: this machine has other work to do, and
the watchdogs are longer for it. `make chaos` judges, with a monitor of the machine beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from chaos.campaign import Campaign, report
from chaos.chaos_tools import StallMonitor
from chaos.fault_bench import FaultBench
from chaos.fault_kinds import KINDS
from support.campaign import SCALE, times

SEED = 40
SHARES = {
    name: times(share)
    for name, share in {
        "scan killed": 1,
        "scan stopped": 1,
        "endless loop": 1,
        "exception": 4,
        "worker memory": 1,
        "disk full": 2,
        "journal locked": 2,
        "clock +-1 h": 1,
        "driver killed": 1,
        "driver stopped": 1,
    }.items()
}
"""A supervisor's death has tests of its own, and takes seconds to recover from."""


def unhurried(cell: Any) -> None:
    """Watchdogs for a machine with other work to do."""
    cell["scan"]["watchdog"] = {"time": "200ms", "sensitivity": 3}
    cell["tasks"]["faults"]["watchdog"] = {"time": "200ms", "sensitivity": 3}
    cell["devices"]["remote_io"]["watchdog"]["time_ms"] = 400


@pytest.mark.campaign
@pytest.mark.realtime
@pytest.mark.timeout(300 * SCALE)
def test_faults_of_every_kind_bring_every_output_to_its_safe_value_and_the_cell_comes_back(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    by_name = {kind.name: kind for kind in KINDS}
    kinds = [by_name[name] for name, share in SHARES.items() for _ in range(share)]
    with (
        StallMonitor(tmp_path) as monitor,
        FaultBench(tmp_path / "cell", edit=unhurried) as cell,
    ):
        campaign = Campaign(cell, monitor, SEED)
        campaign.shuffle(kinds)
        done = list(campaign.run(kinds))
    report(done, Console(width=110))
    record_property("worst_ms", max(one.took_ms for one in done))
    assert [one for one in done if one.wrong and not one.late] == []
    assert Counter(one.kind for one in done) == SHARES
