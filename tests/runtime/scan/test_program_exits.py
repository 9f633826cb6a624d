"""A program that would end its process faults the cell like any other exception."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.plan import CellState
from cellwright.tasks.api import ScanContext
from support.scan_bench import Bench, program


@pytest.mark.parametrize("where", ["scan", "recover"])
def test_a_program_that_exits_faults_the_cell_and_does_not_end_the_scan(
    tmp_path: Path, where: str
) -> None:
    def leave(here: str) -> None:
        if here == where:
            sys.exit("enough")

    def scan(self: Any, ctx: ScanContext) -> None:
        leave("scan")

    def recover(self: Any, events: Any, ctx: ScanContext) -> None:
        leave("recover")

    bench = Bench(tmp_path, [], {"control": program(scan, recover)})
    bench.cycle()
    bench.request("start")
    bench.cycle()
    assert bench.scan.state is CellState.FAULT
    assert "task 'control' raised SystemExit: enough" in bench.scan.first_fault
    assert bench.request("reset").code == 0
    assert bench.scan.state is CellState.STOP
