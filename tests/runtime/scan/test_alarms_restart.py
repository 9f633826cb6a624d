"""Alarms over a restart of the scan: what waits to be acknowledged still waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellwright.io.messages import AlarmChanged, ReplyCode
from support.alarm_bench import AIR, GROUPS, AlarmBench, acknowledge, shelve
from support.scan_bench import scan_start


def retained(bench: AlarmBench) -> dict[str, object]:
    return dict(bench.scan.process_image.retained())


@pytest.mark.behaviour(19)
def test_alarms_survive_a_restart_of_the_scan_as_they_were(tmp_path: Path):
    bench = AlarmBench(tmp_path, GROUPS)
    bench.cycle()
    bench.inputs(estop_ok=False)
    bench.cycle()
    bench.inputs(door_shut=False, estop_ok=True)
    acknowledge(bench, "")
    assert bench.states() == {"door": "UNACKNOWLEDGED", "estop": "NORMAL", "air": "NORMAL"}
    bench.inputs(air_ok=False)
    bench.cycle()
    before, firsts = bench.states(), bench.value("alarms.guards.first_out")
    known = len(bench.events(AlarmChanged))
    bench.launch(scan_start(retained(bench)))
    bench.cycle(3)
    assert bench.states() == before
    assert bench.value("alarms.guards.first_out") == firsts == "estop"
    assert len(bench.events(AlarmChanged)) == known, "nothing changed, nothing is told"
    assert bench.value("sys.alarms_active") == 2


def test_an_unacknowledged_alarm_whose_cause_went_while_the_cell_was_off_still_waits(
    tmp_path: Path,
):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle()
    bench.inputs(air_ok=False)
    bench.cycle()
    values = retained(bench)
    bench.inputs(air_ok=True)
    bench.launch(scan_start(values))
    bench.cycle(2)
    assert bench.states() == {"air": "RETURNED_UNACKNOWLEDGED"}
    assert bench.value("alarms.cell.first_out") == "air"


def test_a_shelf_ends_with_the_scan(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle()
    shelve(bench, "air", 3600)
    bench.launch(scan_start(retained(bench)))
    bench.cycle()
    assert bench.states() == {"air": "NORMAL"}
    assert bench.events(AlarmChanged)[-1].reason == "a shelf ends with the scan"


def test_an_alarm_that_is_switched_on_again_begins_normal(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    values = retained(bench) | {"alarm.air.state": 5}
    bench.launch(scan_start(values))
    bench.inputs(air_ok=False)
    bench.cycle()
    bench.cycle()
    assert bench.changes()[0] == ("air", "SUPPRESSED", "NORMAL")
    assert bench.states() == {"air": "UNACKNOWLEDGED"}


def test_a_state_that_does_not_exist_is_taken_for_normal(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.launch(scan_start({"alarm.air.state": 77, "alarms.cell.first_out": "ghost"}))
    bench.cycle()
    assert bench.states() == {"air": "NORMAL"}
    assert bench.value("alarms.cell.first_out") == ""


def test_a_cold_start_does_not_forget_alarms(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle()
    bench.inputs(air_ok=False)
    bench.cycle()
    bench.inputs(air_ok=True)
    bench.cycle()
    assert bench.request("cold_start").code == ReplyCode.OK
    assert bench.states() == {"air": "RETURNED_UNACKNOWLEDGED"}
