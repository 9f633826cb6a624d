"""``cellwright latency`` on this machine: real processes, short blocks. Figures, not speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cellwright.io.image import Image
from cellwright.io.plan import Plan
from cellwright.io.plan import plan as plans
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.config import compile_file
from cellwright.runtime.diagnosis.latency import (
    MeasureError,
    Settings,
    bench_plan,
    measure,
    measurement,
)
from cellwright.runtime.diagnosis.latency_block import BOOT_ID, Block, Recording
from cellwright.runtime.diagnosis.latency_cell import TAGS, write_cell

pytestmark = pytest.mark.realtime

CLI = [sys.executable, "-m", "cellwright.runtime.cli", "latency"]
FREE = Settings(seconds=0.5, blocks=1, priority=0, core=-1, base_ns=2_000_000)

CELL = """
cell: {name: Given}
scan: {base: 5ms, realtime: {priority: 0, core: -1}}
devices:
  io: {driver: modbus-tcp, host: 127.0.0.1, port: 1}
tags:
  part: {type: BOOL, in: "io.discrete_inputs[0]"}
  level: {type: INT, in: "io.input_registers[4]", on_loss: fault}
  clamp: {type: BOOL, out: "io.coils[0]", safe: false}
tasks:
  press: {program: "press:Press", interval: 5ms}
"""
PRESS = """
from cellwright.tasks.api import BOOL, INT, Input, Output, Program


class Press(Program):
    part = Input(BOOL)
    level = Input(INT)
    clamp = Output(BOOL)

    def scan(self, ctx):
        {body}
"""


def given_cell(folder: Path, body: str = "self.clamp = self.part") -> Path:
    (folder / "cell.yaml").write_text(CELL)
    (folder / "press.py").write_text(PRESS.replace("{body}", body))
    return folder / "cell.yaml"


def one_block(folder: Path, plan: Plan, kind: str, seconds: float) -> Block:
    """A block in a process of its own: it pins, locks and freezes."""
    RunFolder(folder).plan_file.write_bytes(plans.dump(plan))
    words = ["--run", str(folder), "--kind", kind, "--seconds", str(seconds)]
    done = subprocess.run(
        [sys.executable, "-m", "cellwright.runtime.diagnosis.latency_block", *words],
        capture_output=True,
        timeout=60,
        check=True,
    )
    return msgspec.msgpack.decode(done.stdout, type=Block)


def fake_cyclictest(folder: Path, script: str) -> str:
    """Stands for Debian's program, which this machine need not have."""
    path = folder / "cyclictest"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def command(*words: str, **environment: str) -> Any:
    return subprocess.run(
        [*CLI, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def test_the_built_in_cell_has_a_thousand_tags_and_three_tasks_one_of_them_a_bank(
    tmp_path: Path,
) -> None:
    plan = compile_file(write_cell(tmp_path, 1_000_000))
    assert len(plan.tags) == TAGS == 1000
    assert [task.interval_ns for task in plan.tasks] == [1_000_000, 5_000_000, 10_000_000]
    assert sum(name.startswith("setpoint") for name in plan.tasks[0].binding) == 50


def test_the_loops_of_the_bank_come_to_their_setpoints(tmp_path: Path) -> None:
    plan = bench_plan(None, FREE, tmp_path)
    block = one_block(tmp_path, plan, "scan", 1.5)
    assert (block.state, block.trouble) == ("RUN", "")
    image = Image.attach(RunFolder(tmp_path).image, plan)
    reader = image.snapshot_reader()
    assert reader.read()
    values = [reader.value(plan.tag(f"bank.measured{n}").index) for n in range(50)]
    assert min(values) > 40.0
    image.close()


def test_a_wait_block_has_one_figure_for_each_instant(tmp_path: Path) -> None:
    block = one_block(tmp_path, bench_plan(None, FREE, tmp_path), "wait", 0.1)
    assert len(block.late_ns) + block.skipped == 50
    assert min(block.late_ns) >= 0
    assert "no real-time priority configured" in block.lacking


def test_the_recording_keeps_what_comes_after_the_warm_up_and_no_more(tmp_path: Path) -> None:
    plan = bench_plan(None, FREE, tmp_path)
    image = Image.create(tmp_path / "image", plan, BOOT_ID)
    recording = Recording(image.area("statistics"), len(plan.tasks))
    recording.keep(warm_up=2, cycles=3)
    for number in range(7):
        recording.record(-1, number, 10 * number)
        recording.record(0, 99, 99)
        assert recording.full == (number >= 4)
    assert (list(recording.late), list(recording.cost)) == ([2, 3, 4], [20, 30, 40])
    assert recording.read(-1).runs == 7
    image.close()


def test_blocks_come_in_turns_and_each_figure_is_there(tmp_path: Path) -> None:
    told: list[str] = []
    peer = fake_cyclictest(tmp_path, "printf '000010 000100\\n000020 000001\\n'")
    settings = msgspec.structs.replace(FREE, blocks=2, seconds=0.3)
    report = measure(None, settings, told.append, cyclictest=peer)
    kinds = [(block.pair, block.kind) for block in report.blocks]
    assert kinds == [
        (0, "wait"),
        (0, "scan"),
        (0, "cyclictest"),
        (0, "empty"),
        (1, "scan"),
        (1, "cyclictest"),
        (1, "wait"),
        (1, "empty"),
    ]
    assert len(told) == 8
    assert len(report.difference_us) == len(report.peer_difference_us) == 2
    for block in report.blocks:
        assert block.late_us["p50"] <= block.late_us["p99.9"] <= block.late_us["max"]
        if block.kind in ("scan", "empty"):
            assert block.state == "RUN"
            assert block.cost_us["p50"] > 0
        if block.kind in ("scan", "empty"):
            assert block.cycles == (37 if block.kind == "empty" else 150)
        if block.kind == "wait":
            assert block.cycles + block.skipped == 150
    assert report.peer_difference_us[0]["p50"] == report.blocks[1].late_us["p50"] - 10
    assert report.empty_cost_us["p50"] < report.blocks[1].cost_us["p50"]
    assert sum(report.histogram["scan"].values()) == 300


def test_a_cyclictest_that_fails_is_left_out_and_the_report_says_why(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(FREE, blocks=2, seconds=0.2)
    peer = fake_cyclictest(tmp_path, "echo 'FATAL: timerslack' >&2; exit 1")
    report = measure(None, settings, lambda text: None, cyclictest=peer)
    assert "ended with 1 (FATAL: timerslack)" in report.peer
    assert "cyclictest" not in {block.kind for block in report.blocks}
    assert report.median_peer_difference_us == {}


def test_a_given_cell_runs_its_own_programs_although_its_device_is_not_there(
    tmp_path: Path,
) -> None:
    file = given_cell(tmp_path)
    done = command(
        "--cell", str(file), "--seconds", "0.6", "--blocks", "1", "--json", PATH=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["subject"].startswith("Given: ")
    assert report["settings"]["base_ns"] == 5_000_000
    assert report["peer"].startswith("cyclictest is not on the PATH")
    (scan,) = [block for block in report["blocks"] if block["kind"] == "scan"]
    assert (scan["state"], scan["trouble"]) == ("RUN", "")
    assert not (tmp_path / "data").exists()


def test_a_cell_whose_program_fails_is_measured_and_the_verdict_says_so(tmp_path: Path) -> None:
    plan = compile_file(given_cell(tmp_path, "1 / 0"))
    settings = measurement(plan, seconds=0.5, blocks=1, priority=None, core=None, base="1ms")
    report = measure(plan, settings, lambda text: None, cyclictest="/bin/false")
    assert "ZeroDivisionError" in next(b.trouble for b in report.blocks if b.kind == "scan")
    assert "did not stay in RUN" in " ".join(report.verdict.sentences)
    assert next(b.state for b in report.blocks if b.kind == "empty") == "RUN"


def test_the_command_ends_with_0_whatever_the_verdict_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    before = set(Path("/dev/shm").glob("cellwright-latency-*"))
    done = command(
        "--seconds", "0.3", "--blocks", "1", "--base", "1ms", "--core", "-1", PATH=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    for word in ("bare C loop", "scan - bare", "For a base interval of 1 ms this PC is", "limits:"):
        assert word in done.stdout
    assert "block 1 of 1: scan" in done.stderr
    assert set(Path("/dev/shm").glob("cellwright-latency-*")) <= before


def test_a_measurement_that_cannot_be_made_ends_with_1_and_says_why() -> None:
    done = command("--seconds", "0.1", "--base", "100ms")
    assert done.returncode == 1
    assert "too few for a p99.9; write --seconds 10 or more" in done.stderr


def test_a_block_that_dies_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    plan = compile_file(given_cell(tmp_path))
    (tmp_path / "press.py").write_text("raise OSError('the disk is gone')\n")
    settings = measurement(plan, seconds=0.5, blocks=1, priority=None, core=None, base="1ms")
    with pytest.raises(MeasureError, match=r"the block 'scan' gave no figures: .*disk is gone"):
        measure(plan, settings, lambda text: None, cyclictest="/bin/false")
