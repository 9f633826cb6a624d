"""A force is for a while: what a retained tag has beneath it is what a later run begins with."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.journal.retain import RetainStore
from cellwright.io.journal.retain_keeper import RetainKeeper
from cellwright.io.messages import ForceTag, SetMode, UnforceTag, WriteTag
from cellwright.io.plan import Value, quality
from cellwright.tasks.api import UDINT, Retained, ScanContext
from support.plans import make_tag
from support.scan_bench import Bench, program, scan_start
from support.small_cell import SmallCell

COUNT = Retained(UDINT)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A program that writes its retained counter when ``go`` says so; other tags beside it."""

    def scan(self: Any, ctx: ScanContext) -> None:
        if ctx.cycle == self.at_cycle:
            self.total = 12

    kind = program(scan, total=COUNT)
    kind.at_cycle = 0  # type: ignore[attr-defined] - for the test to choose
    bench = Bench(
        tmp_path,
        [
            make_tag("total", "UDINT", retain=True),
            make_tag("level", "REAL", retain=True, initial=1.5),
            make_tag("recipe", "STRING(20)", retain=True, initial="none"),
            make_tag("steps", "ARRAY[0..3] OF INT", retain=True),
            make_tag("ready", "BOOL", retain=True),
            make_tag("passing", "REAL"),
        ],
        {"control": kind},
    )
    bench.run()
    return bench


def write(bench: Bench, tag: str, value: Value) -> None:
    assert bench.send(WriteTag(tag=tag, value=value, actor="anna")).code == 0


def force(bench: Bench, tag: str, value: Value) -> None:
    assert bench.send(ForceTag(tag=tag, value=value, actor="anna")).code == 0


def kept(bench: Bench, tag: str) -> Value:
    """What the snapshot gives to a later run."""
    return bench.snapshot().kept_value(bench.plan.tag(tag).index)


@pytest.mark.parametrize(
    ("tag", "beneath", "forced"),
    [
        ("level", 7.0, 99.0),
        ("recipe", "blade 7", "trial with a long name"[:20]),
        ("steps", [1, -2, 3, 4], [9, 9, 9, 9]),
        ("ready", True, False),
    ],
)
def test_what_is_kept_for_later_runs_is_the_value_beneath_a_force(
    bench: Bench, tmp_path: Path, tag: str, beneath: Value, forced: Value
) -> None:
    keeper = RetainKeeper(bench.plan, bench.image, bench.clock, RetainStore(tmp_path))
    write(bench, tag, beneath)
    force(bench, tag, forced)
    force(bench, tag, forced)
    bench.cycle(3)
    keeper.step(at_end=True)
    assert bench.value(tag) == forced
    assert bench.quality(tag) == quality.GOOD_LOCAL_OVERRIDE
    assert kept(bench, tag) == beneath
    saved = RetainStore(tmp_path).load()
    assert saved.values[tag].value == beneath
    bench.launch(scan_start({name: one.value for name, one in saved.values.items()}))
    bench.cycle(2)
    assert (bench.value(tag), bench.quality(tag)) == (beneath, quality.GOOD)
    assert bench.value("sys.forces_active") is False


def test_what_is_written_while_a_tag_is_forced_is_kept_though_it_does_not_show(
    bench: Bench,
) -> None:
    write(bench, "level", 7.0)
    force(bench, "level", 99.0)
    write(bench, "level", 8.0)
    assert (bench.value("level"), kept(bench, "level")) == (99.0, 8.0)
    force(bench, "level", 98.0)
    assert (bench.value("level"), kept(bench, "level")) == (98.0, 8.0)
    write(bench, "level", 98.0)
    assert kept(bench, "level") == 98.0, "what is written counts, also when it is the forced value"


def test_what_a_program_writes_to_a_forced_tag_is_kept(bench: Bench) -> None:
    force(bench, "total", 99)
    bench.programs[0].at_cycle = bench.scan.cycle_number + 1  # type: ignore[attr-defined]
    bench.cycle(3)
    assert (bench.value("total"), kept(bench, "total")) == (99, 12)


def test_a_tag_that_nobody_has_written_keeps_its_initial_value_beneath_a_force(
    bench: Bench,
) -> None:
    force(bench, "level", 99.0)
    assert kept(bench, "level") == 1.5
    write(bench, "level", 3.0)
    assert kept(bench, "level") == 3.0


def test_a_released_tag_keeps_what_it_shows(bench: Bench) -> None:
    write(bench, "level", 7.0)
    force(bench, "level", 99.0)
    bench.send(UnforceTag(tag="level", actor="anna"))
    assert (bench.value("level"), kept(bench, "level")) == (99.0, 99.0)
    write(bench, "level", 7.0)
    assert (bench.value("level"), kept(bench, "level")) == (7.0, 7.0)


def test_a_warm_start_keeps_and_a_cold_start_takes_back_what_is_beneath_a_force(
    bench: Bench,
) -> None:
    write(bench, "level", 7.0)
    force(bench, "level", 99.0)
    for request, beneath in (("start", 7.0), ("cold_start", 1.5)):
        assert bench.request("stop").code == 0
        assert bench.send(SetMode(request=request, actor="anna")).code == 0
        bench.cycle(2)
        assert (bench.value("level"), kept(bench, "level")) == (99.0, beneath)


def test_a_tag_that_is_not_retained_has_nothing_to_keep(bench: Bench) -> None:
    write(bench, "passing", 7.0)
    force(bench, "passing", 99.0)
    assert bench.value("passing") == 99.0
    assert "passing" not in bench.scan.process_image.retained()


# --- a running cell -------------------------------------------------------------------------------


def row(cell: SmallCell, tag: str) -> dict[str, Any]:
    # Exit code 1 while a scan that was killed gives no sign.
    done = cell.type("tags", "get", tag, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_forced_retained_tag_has_its_own_value_after_a_kill_of_the_scan_and_after_a_restart(
    tmp_path: Path,
) -> None:
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    with cell.running() as supervisor:
        assert cell.type("tags", "set", "clamp_setpoint", "7").returncode == 0
        assert cell.type("force", "clamp_setpoint", "1.5").returncode == 0
        assert row(cell, "clamp_setpoint")["value"] == 1.5
        status = json.loads(cell.type("status", "--json").stdout)
        os.kill(status["processes"]["scan"]["pid"], signal.SIGKILL)
        cell.until_said(supervisor, "waits in STOP")
        deadline = time.monotonic() + 60
        while row(cell, "clamp_setpoint")["forced"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert row(cell, "clamp_setpoint")["value"] == 7.0
        assert cell.type("start").returncode == 0
        assert cell.type("force", "clamp_setpoint", "2.5").returncode == 0
    with cell.running():
        shown = row(cell, "clamp_setpoint")
        assert (shown["value"], shown["forced"]) == (7.0, False)
