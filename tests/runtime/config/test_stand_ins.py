"""Simulated devices in the place of real ones: what they hold, and that nobody overlooks them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cellwright.io.drivers.simulated import Simulated, SimulatedOptions
from cellwright.io.options import from_plan
from cellwright.io.plan import Plan, PollGroup
from cellwright.runtime.cli.main import app
from cellwright.runtime.config import (
    check_file,
    compile_file,
    simulate_devices,
    stood_in_for,
)
from cellwright.runtime.online_change.check import differences

CELL = """
cell: {name: Desk}
scan: {base: 10ms}
devices:
  io: {driver: modbus-tcp, host: 192.168.0.10}
  rack: {driver: modbus-tcp, host: 192.168.0.11, encoding: latin-1}
  own: {driver: simulated}
  laser: {driver: telesis, host: 192.168.0.12, port: 9100}
tags:
  present: {type: BOOL, in: "io.discrete_inputs[3]", substitute: true}
  pressure: {type: REAL, in: "io.input_registers[4]", range: [4, 8], wire: UINT,
             scale: {raw: [0, 1000], eng: [0, 10]}}
  count: {type: DINT, in: "io.input_registers[6]", initial: -2, order: CDAB}
  bit_1: {type: BOOL, in: "io.input_registers[9].1", initial: true}
  bit_4: {type: BOOL, in: "io.input_registers[9].4", initial: true}
  flags: {type: "ARRAY[0..2] OF BOOL", in: "io.discrete_inputs[8]", initial: [true, false, true]}
  name: {type: STRING(4), in: "rack.input_registers[0]", initial: "Öl"}
  valve: {type: BOOL, out: "io.coils[0]", safe: false}
tasks:
  press: {program: "press:Press", interval: 10ms}
"""
PRESS = """
from cellwright.tasks.api import BOOL, Input, Output, Program

class Press(Program):
    present = Input(BOOL)
    valve = Output(BOOL)

    def scan(self, ctx):
        self.valve = self.present
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "cell.yaml").write_text(CELL, encoding="utf-8")
    (tmp_path / "press.py").write_text(PRESS, encoding="utf-8")
    return compile_file(tmp_path / "cell.yaml")


def held(plan: Plan, device: str, area: str) -> bytes:
    """What the first input group of the area reads from the stand-in."""
    one = plan.device(device)
    driver = Simulated(one.name, from_plan(SimulatedOptions, one.options))
    group: PollGroup = next(g for g in one.groups if g.area == area and not g.output)

    async def read() -> bytes:
        await driver.connect()
        return await driver.read(group)

    return asyncio.run(read())


def test_inputs_hold_the_substitute_or_initial_values_of_their_tags(plan: Plan) -> None:
    desk = simulate_devices(plan, ["all"])
    assert held(desk, "io", "discrete_inputs") == b"\xa1"
    words = held(desk, "io", "input_registers")
    assert int.from_bytes(words[0:2], "big") == 600, "0 lies outside the range: its middle"
    assert words[4:8] == b"\xff\xfe\xff\xff"
    assert words[10:12] == b"\x00\x12"
    assert held(desk, "rack", "input_registers")[:2] == "Öl".encode("latin-1")


def test_a_plan_says_which_devices_are_simulated(plan: Plan) -> None:
    assert plan.simulated == "SIMULATED DEVICES: own"
    desk = simulate_devices(plan, ["io"])
    assert desk.simulated == "SIMULATED DEVICES: io, own"
    assert [one.driver for one in desk.devices] == [
        "simulated", "modbus-tcp", "simulated", "telesis",
    ]  # fmt: skip
    assert simulate_devices(plan, ["io", "rack"]).simulated == "SIMULATED DEVICES: io, rack, own"
    assert simulate_devices(plan, ["all"]) == simulate_devices(plan, ["io", "rack"])


def test_nothing_but_the_driver_is_another_one(plan: Plan) -> None:
    desk = simulate_devices(plan, ["all"])
    assert desk.layout_hash == plan.layout_hash
    for one, real in zip(desk.devices, plan.devices, strict=True):
        assert (one.groups, one.safe_outputs, one.hold_mask, one.poll_ns) == (
            real.groups, real.safe_outputs, real.hold_mask, real.poll_ns,
        )  # fmt: skip


def test_an_online_change_of_a_cell_at_a_desk_keeps_its_stand_ins(plan: Plan) -> None:
    desk = simulate_devices(plan, ["io"])
    assert stood_in_for(desk) == ["io"]
    assert stood_in_for(plan) == []
    assert list(differences(desk, plan))
    assert not list(differences(desk, simulate_devices(plan, stood_in_for(desk))))


@pytest.mark.parametrize(
    ("name", "words"),
    [("racks", "did you mean 'rack'"), ("laser", "it is a marker"), ("", "has no such device")],
)
def test_what_cannot_be_simulated_is_refused_before_anything_starts(
    plan: Plan, name: str, words: str
) -> None:
    result = CliRunner().invoke(app, ["run", plan.source, "--simulate", name])
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_a_wrong_signal_is_told_with_its_place_in_the_file(plan: Plan) -> None:
    path = Path(plan.source)
    signals = 'signals: {"input_registers[0]": {wave: sinus}}'
    path.write_text(CELL.replace("driver: simulated", f"driver: simulated, {signals}"))
    problem = check_file(path).problems[0]
    assert (problem.line, problem.what) == (7, "wave is 'sinus'")
    assert "sine" in problem.remedy
