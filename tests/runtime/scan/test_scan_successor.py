"""What a new scan process makes of what a dead one left in the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cellwright.io.drivers.output_gate import GateState, OutputGate
from cellwright.io.messages import WriteTag
from cellwright.tasks.api import BOOL, Output, ScanContext
from support.plans import make_tag
from support.scan_bench import Bench, coupler, output_bit, program, scan_start


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A cell that drives a coil and keeps a number."""

    def scan(self: Any, ctx: ScanContext) -> None:
        self.clamp = True

    tags = [output_bit("clamp", 0, writer="control"), make_tag("kept", "DINT", retain=True)]
    bench = Bench(
        tmp_path, tags, {"control": program(scan, clamp=Output(BOOL))}, devices=[coupler()]
    )
    bench.run()
    bench.send(WriteTag(tag="kept", value=7, actor="anna"))
    return bench


def test_the_outputs_of_a_dead_scan_are_not_enabled_when_its_successor_gives_its_first_beat(
    bench: Bench,
) -> None:
    assert bench.outputs() == (b"\x01", True)
    bench.clock.advance(5_000_000_000)
    bench.launch()
    # A driver that was restarted as well, and looks between the first beat and the first commit.
    now_ns = bench.clock.now_ns()
    payload, enabled = bench.outputs()
    gate = OutputGate(limit_ns=20_000_000, grace_ns=10_000_000)
    assert not gate.step(now_ns, now_ns, enabled).passes
    assert gate.state is GateState.DISABLED
    assert payload == b"\x00"


def test_a_retained_value_that_is_as_it_was_keeps_the_time_of_its_writing_over_a_restart(
    bench: Bench,
) -> None:
    tag = bench.plan.tag("kept").index
    written_ns = bench.snapshot().timestamp_ns(tag)
    assert written_ns > 0
    bench.cycle(3)
    bench.clock.advance(5_000_000_000)
    bench.launch(scan_start({"kept": 7}))
    bench.cycle(2)
    assert bench.snapshot().timestamp_ns(tag) == written_ns
    age_ns = bench.scan.process_image.status(tag).age_ns
    assert age_ns is not None
    assert age_ns > 5_000_000_000


def test_a_value_that_a_restart_changes_has_the_time_of_the_restart(bench: Bench) -> None:
    tag = bench.plan.tag("kept").index
    written_ns = bench.snapshot().timestamp_ns(tag)
    bench.clock.advance(5_000_000_000)
    bench.launch(scan_start({"kept": 8}))
    bench.cycle()
    assert bench.snapshot().timestamp_ns(tag) > written_ns + 5_000_000_000
