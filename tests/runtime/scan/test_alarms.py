"""Alarms in the scan: from condition to state, first-out, commands, consequences, restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellwright.io.messages import (
    AlarmChanged,
    CommandRefused,
    DisableAlarm,
    EnableAlarm,
    FaultRaised,
    ForceTag,
    ReplyCode,
    ShelveAlarm,
    UnshelveAlarm,
    WriteTag,
)
from cellwright.io.plan import CellState, quality
from support.alarm_bench import AIR, GROUPS, HEAD, AlarmBench, acknowledge, shelve


def coils(bench: AlarmBench) -> tuple[int, bool]:
    payload, enabled = bench.outputs()
    return payload[0], enabled


@pytest.mark.behaviour(19)
def test_an_alarm_comes_is_acknowledged_and_goes(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle(2)
    assert bench.states() == {"air": "NORMAL"}
    bench.inputs(air_ok=False)
    bench.cycle()
    assert bench.states() == {"air": "UNACKNOWLEDGED"}
    assert bench.value("alarm.air.active") is True
    assert bench.value("alarm.air.acked") is False
    assert bench.value("sys.alarms_active") == bench.value("sys.alarms_unacknowledged") == 1
    assert acknowledge(bench, "air") is ReplyCode.OK
    assert bench.states() == {"air": "ACKNOWLEDGED"}
    assert bench.value("sys.alarms_unacknowledged") == 0
    bench.inputs(air_ok=True)
    bench.cycle()
    assert bench.states() == {"air": "NORMAL"}
    assert bench.value("sys.alarms_active") == 0


def test_an_alarm_that_returns_waits_for_acknowledgement(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle(2)
    bench.inputs(air_ok=False)
    bench.cycle()
    bench.inputs(air_ok=True)
    bench.cycle()
    assert bench.states() == {"air": "RETURNED_UNACKNOWLEDGED"}
    assert bench.value("alarm.air.active") is False
    assert bench.value("alarm.air.acked") is False
    assert acknowledge(bench) is ReplyCode.OK
    assert bench.states() == {"air": "NORMAL"}


def test_an_alarm_without_acknowledgement_vanishes_with_its_condition(tmp_path: Path):
    bench = AlarmBench(
        tmp_path, 'alarms: {air: {when: "not air_ok", text: No air, acknowledge: false}}'
    )
    bench.cycle()
    bench.inputs(air_ok=False)
    bench.cycle()
    assert bench.states() == {"air": "ACKNOWLEDGED"}
    bench.inputs(air_ok=True)
    bench.cycle()
    assert bench.states() == {"air": "NORMAL"}


def test_every_change_of_an_alarm_is_an_event_with_its_actor(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle()
    bench.inputs(air_ok=False)
    bench.cycle()
    acknowledge(bench, "air", "valve was shut")
    came, seen = bench.events(AlarmChanged)
    assert (came.old, came.new, came.actor, came.value) == ("NORMAL", "UNACKNOWLEDGED", "", False)
    assert (came.severity, came.text, came.group, came.first_out) == (700, "No air", "cell", True)
    assert (seen.old, seen.new) == ("UNACKNOWLEDGED", "ACKNOWLEDGED")
    assert (seen.actor, seen.reason) == ("anna", "valve was shut")


# --- limits and delays ----------------------------------------------------------------------------

LEVELS = """
alarms:
  tank: {tag: level, low_low: 5, low: 10, high: 90, high_high: 95, deadband: 2, text: Tank level}
"""


def test_each_limit_is_an_alarm_of_its_own_with_a_deadband(tmp_path: Path):
    bench = AlarmBench(tmp_path, LEVELS)
    bench.inputs(level=50)
    bench.cycle()
    seen = []
    for level in (90, 91, 96, 94, 93, 89, 88, 10, 9, 4, 6, 7, 11, 12):
        bench.inputs(level=level)
        bench.cycle()
        active = [
            name for name, one in bench.alarms().items() if bench.value(f"alarm.{name}.active")
        ]
        seen.append((level, *(name.removeprefix("tank.") for name in active)))
    assert seen == [
        (90,),
        (91, "high"),
        (96, "high_high", "high"),
        (94, "high_high", "high"),
        (93, "high"),
        (89, "high"),
        (88,),
        (10,),
        (9, "low"),
        (4, "low", "low_low"),
        (6, "low", "low_low"),
        (7, "low"),
        (11, "low"),
        (12,),
    ]


def test_an_alarm_with_one_limit_has_the_name_of_its_entry(tmp_path: Path):
    bench = AlarmBench(tmp_path, "alarms: {full: {tag: level, high: 90, text: Tank full}}")
    assert [rule.name for rule in bench.plan.alarms] == ["full"]
    bench.inputs(level=91)
    bench.cycle(2)
    (event,) = bench.events(AlarmChanged)
    assert (event.alarm, event.value) == ("full", 91)


def test_a_condition_must_hold_for_the_delay_without_a_gap(tmp_path: Path):
    bench = AlarmBench(
        tmp_path,
        'alarms: {air: {when: "not air_ok", text: No air, delay: 100ms, off_delay: 50ms}}',
    )
    bench.cycle()
    bench.inputs(air_ok=False)
    bench.cycle(9)
    bench.inputs(air_ok=True)
    bench.cycle()
    bench.inputs(air_ok=False)
    bench.cycle(10)
    assert bench.states() == {"air": "NORMAL"}
    bench.cycle()
    assert bench.states() == {"air": "UNACKNOWLEDGED"}
    bench.inputs(air_ok=True)
    bench.cycle(5)
    assert bench.states() == {"air": "UNACKNOWLEDGED"}
    bench.cycle()
    assert bench.states() == {"air": "RETURNED_UNACKNOWLEDGED"}


def test_delays_count_scan_time_and_not_the_wall_clock(tmp_path: Path):
    bench = AlarmBench(tmp_path, 'alarms: {air: {when: "not air_ok", text: No air, delay: 100ms}}')
    bench.cycle()
    bench.inputs(air_ok=False)
    bench.cycle(5)
    bench.clock._utc_offset_ns += 3600 * 10**9
    bench.cycle(5)
    assert bench.states() == {"air": "NORMAL"}
    bench.clock._utc_offset_ns -= 7200 * 10**9
    bench.cycle()
    assert bench.states() == {"air": "UNACKNOWLEDGED"}


# --- quality --------------------------------------------------------------------------------------


def test_an_alarm_over_a_bad_tag_keeps_its_state_and_says_so(tmp_path: Path):
    sections = """
alarms:
  full: {tag: far, high: 90, text: Tank full, delay: 50ms}
  lost: {when: "bad(far)", text: No level}
"""
    head_tag = '  far: {type: INT, in: "io.input_registers[0]"}\n  hmi'
    bench = AlarmBench(tmp_path, sections, head=HEAD.replace("  hmi", head_tag, 1))
    bench.inputs(far=95)
    bench.wait(0.1)
    acknowledge(bench)
    assert bench.states() == {"full": "ACKNOWLEDGED", "lost": "NORMAL"}
    bench.lose("input_registers")
    bench.inputs(far=0)
    bench.wait(1)
    full = bench.alarms()["full"]
    assert (full.state.name, full.held) == ("ACKNOWLEDGED", "BAD_NO_COMMUNICATION")
    assert bench.quality("alarm.full.active") == quality.BAD_NO_COMMUNICATION
    assert bench.states()["lost"] == "UNACKNOWLEDGED"
    bench.lose()
    bench.wait(0.1)
    assert bench.states() == {"full": "NORMAL", "lost": "RETURNED_UNACKNOWLEDGED"}
    assert bench.alarms()["full"].held == ""
    assert bench.quality("alarm.full.active") == quality.GOOD


def test_an_alarm_sees_a_forced_value(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle()
    bench.send(ForceTag(tag="air_ok", value=False, actor="anna"))
    assert bench.states() == {"air": "UNACKNOWLEDGED"}


# --- first-out ------------------------------------------------------------------------------------


@pytest.mark.behaviour(19)
def test_the_first_alarm_of_a_group_is_marked_until_the_group_is_normal_again(tmp_path: Path):
    bench = AlarmBench(tmp_path, GROUPS)
    bench.cycle()
    bench.inputs(estop_ok=False)
    bench.cycle()
    bench.inputs(door_shut=False)
    bench.cycle()
    assert bench.value("alarms.guards.first_out") == "estop"
    bench.inputs(air_ok=False)
    bench.cycle()
    first = {name for name, status in bench.alarms().items() if status.first_out}
    assert first == {"estop", "air"}
    assert bench.value("sys.alarm_first_out") == "estop"
    bench.inputs(estop_ok=True)
    acknowledge(bench, "estop")
    assert bench.states()["estop"] == "NORMAL"
    assert bench.value("alarms.guards.first_out") == "estop", "the door is still open"
    bench.inputs(door_shut=True)
    acknowledge(bench, "door")
    assert bench.value("alarms.guards.first_out") == ""
    assert bench.value("sys.alarm_first_out") == "estop", "the air is still missing"
    bench.inputs(door_shut=False)
    bench.cycle()
    assert bench.value("alarms.guards.first_out") == "door"
    marked = [event.alarm for event in bench.events(AlarmChanged) if event.first_out]
    assert marked == ["estop", "air", "estop", "door"]


def test_of_two_alarms_in_one_cycle_the_one_that_is_written_first_is_marked(tmp_path: Path):
    bench = AlarmBench(tmp_path, GROUPS)
    bench.cycle()
    bench.inputs(estop_ok=False, door_shut=False)
    bench.cycle()
    assert bench.value("alarms.guards.first_out") == "door"


# --- commands -------------------------------------------------------------------------------------


def test_acknowledging_what_does_not_wait_or_does_not_exist_is_refused(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle()
    assert acknowledge(bench, "air") is ReplyCode.INVALID_STATE
    assert acknowledge(bench, "water") is ReplyCode.UNKNOWN_ALARM
    assert acknowledge(bench) is ReplyCode.OK, "nothing waits: nothing to do"
    refused = bench.events(CommandRefused)
    assert [event.command for event in refused] == ["AcknowledgeAlarm"] * 2
    assert "nothing to acknowledge" in refused[0].why


def test_a_shelved_alarm_is_out_of_sight_for_its_time(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle()
    bench.inputs(air_ok=False)
    bench.cycle()
    assert shelve(bench, "air", 0.5).code == ReplyCode.OK
    assert bench.states() == {"air": "SHELVED"}
    assert bench.value("sys.alarms_shelved") == 1
    assert bench.value("sys.alarms_active") == bench.value("sys.alarms_unacknowledged") == 0
    bench.wait(0.49)
    assert bench.states() == {"air": "SHELVED"}
    bench.wait(0.01)
    assert bench.states() == {"air": "UNACKNOWLEDGED"}
    shelved, back, again = bench.events(AlarmChanged)[1:]
    assert (shelved.new, shelved.actor, shelved.reason) == ("SHELVED", "anna", "sensor broken")
    assert (back.new, back.actor, back.reason) == ("NORMAL", "scan", "its time is over")
    assert (again.old, again.new) == ("NORMAL", "UNACKNOWLEDGED")


def test_a_shelf_can_be_renewed_and_ended_before_its_time(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.cycle()
    shelve(bench, "air", 0.1)
    shelve(bench, "air", 10.0)
    bench.wait(1)
    assert bench.states() == {"air": "SHELVED"}
    unshelve = UnshelveAlarm(alarm="air", actor="anna", reason="mended")
    assert bench.send(unshelve).code == ReplyCode.OK
    assert bench.states() == {"air": "NORMAL"}
    assert bench.send(unshelve).code == ReplyCode.INVALID_STATE


@pytest.mark.parametrize(
    ("alarm", "seconds", "reason", "code"),
    [
        ("air", 0.0, "why", ReplyCode.OUT_OF_RANGE),
        ("air", 86_401.0, "why", ReplyCode.OUT_OF_RANGE),
        ("air", float("nan"), "why", ReplyCode.OUT_OF_RANGE),
        ("air", 60.0, " ", ReplyCode.OUT_OF_RANGE),
        ("fire", 60.0, "why", ReplyCode.INVALID_STATE),
        ("off", 60.0, "why", ReplyCode.INVALID_STATE),
        ("water", 60.0, "why", ReplyCode.UNKNOWN_ALARM),
    ],
)
def test_shelving_needs_a_time_a_reason_and_an_alarm_that_may_be_shelved(
    tmp_path: Path, alarm: str, seconds: float, reason: str, code: ReplyCode
):
    bench = AlarmBench(
        tmp_path,
        AIR
        + '  fire: {when: "not estop_ok", text: Fire, consequence: fault}\n'
        + '  "off": {when: "not door_shut", text: Door, enabled: false}\n',
    )
    bench.cycle()
    assert shelve(bench, alarm, seconds, reason).code == code


def test_a_disabled_alarm_is_suppressed_and_says_so(tmp_path: Path):
    bench = AlarmBench(
        tmp_path, 'alarms: {air: {when: "not air_ok", text: No air, enabled: false}}'
    )
    bench.inputs(air_ok=False)
    bench.cycle(3)
    assert bench.states() == {"air": "SUPPRESSED"}
    assert bench.value("alarm.air.active") is False
    assert acknowledge(bench, "air") is ReplyCode.INVALID_STATE


def test_a_shelf_for_once_ends_when_the_condition_goes(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.inputs(air_ok=False)
    bench.cycle(2)
    once = ShelveAlarm(alarm="air", duration_s=3600.0, once=True, actor="anna", reason="known")
    assert bench.send(once).code == ReplyCode.OK
    bench.cycle(5)
    assert bench.states() == {"air": "SHELVED"}
    bench.inputs(air_ok=True)
    bench.cycle(2)
    assert bench.states() == {"air": "NORMAL"}
    bench.inputs(air_ok=False)
    bench.cycle(2)
    assert bench.states() == {"air": "UNACKNOWLEDGED"}
    shelved = bench.events(AlarmChanged)[1]
    assert (shelved.new, shelved.once, shelved.shelved_s) == ("SHELVED", True, 3600.0)


def test_an_alarm_is_taken_out_of_service_and_put_back(tmp_path: Path):
    bench = AlarmBench(tmp_path, AIR)
    bench.inputs(air_ok=False)
    bench.cycle(2)
    off, on = DisableAlarm(alarm="air", actor="anna"), EnableAlarm(alarm="air", actor="anna")
    assert bench.send(off).code == ReplyCode.OK
    bench.cycle(3)
    assert bench.states() == {"air": "SUPPRESSED"}
    assert bench.send(off).code == ReplyCode.INVALID_STATE
    assert bench.send(on).code == ReplyCode.OK
    bench.cycle(2)
    assert bench.states() == {"air": "UNACKNOWLEDGED"}
    assert bench.send(on).code == ReplyCode.INVALID_STATE


def test_what_stops_the_cell_or_is_off_in_the_file_stays_as_it_is(tmp_path: Path):
    bench = AlarmBench(
        tmp_path,
        CONSEQUENCES + '  "off": {when: "not door_shut", text: Door, enabled: false}\n',
    )
    bench.cycle()
    stops = next(rule.name for rule in bench.plan.alarms if rule.consequence != "none")
    refused = bench.send(DisableAlarm(alarm=stops, actor="anna"))
    assert refused.code == ReplyCode.INVALID_STATE
    assert "must stay in force" in refused.text
    refused = bench.send(EnableAlarm(alarm="off", actor="anna"))
    assert refused.code == ReplyCode.INVALID_STATE
    assert "switched off by configuration" in refused.text


# --- consequences ---------------------------------------------------------------------------------

CONSEQUENCES = """
alarms:
  door: {when: "not door_shut", text: Shut the door, consequence: stop}
  estop: {when: "not estop_ok", text: Release it, consequence: fault}
"""


@pytest.mark.parametrize(
    ("sensor", "state"), [("door_shut", CellState.STOP), ("estop_ok", CellState.FAULT)]
)
def test_an_alarm_with_a_consequence_makes_outputs_safe_in_the_cycle_in_which_it_comes(
    tmp_path: Path, sensor: str, state: CellState
):
    bench = AlarmBench(tmp_path, CONSEQUENCES)
    bench.run()
    bench.cycle()
    assert coils(bench) == (1, True)
    bench.inputs(**{sensor: False})
    bench.cycle()
    assert bench.scan.state is state
    assert coils(bench) == (0, False)
    assert bench.value("sys.state") == state


def test_a_faulting_alarm_is_the_first_fault_and_must_go_before_a_reset(tmp_path: Path):
    bench = AlarmBench(tmp_path, CONSEQUENCES)
    bench.run()
    bench.inputs(estop_ok=False)
    bench.cycle()
    (fault,) = bench.events(FaultRaised)
    assert (fault.code, fault.culprit) == ("alarm", "estop")
    assert bench.value("sys.first_fault") == "alarm 'estop': Release it"
    refused = bench.request("reset")
    assert refused.code == ReplyCode.INVALID_STATE
    assert "alarm 'estop' stands: Release it" in refused.text
    bench.inputs(estop_ok=True)
    bench.cycle()
    assert bench.request("reset").code == ReplyCode.OK
    assert bench.request("start").code == ReplyCode.OK, "unacknowledged, but it does not stand"


def test_a_cell_cannot_be_started_while_an_alarm_with_a_consequence_stands(tmp_path: Path):
    bench = AlarmBench(tmp_path, CONSEQUENCES)
    bench.inputs(door_shut=False)
    bench.cycle(2)
    assert bench.scan.state is CellState.STOP, "it comes in STOP: there is nothing to stop"
    acknowledge(bench, "door")
    refused = bench.request("start")
    assert "alarm 'door' stands" in refused.text
    bench.inputs(door_shut=True)
    bench.cycle()
    assert bench.request("start").code == ReplyCode.OK


def test_alarms_go_on_in_pause(tmp_path: Path):
    bench = AlarmBench(tmp_path, CONSEQUENCES)
    bench.run()
    assert bench.request("pause").code == ReplyCode.OK
    bench.inputs(estop_ok=False)
    bench.cycle()
    assert bench.scan.state is CellState.FAULT


def test_an_alarm_on_a_tag_that_a_command_writes_comes_in_the_cycle_of_the_command(tmp_path: Path):
    bench = AlarmBench(tmp_path, 'alarms: {fast: {when: "speed > 2.5", text: Too fast}}')
    bench.cycle(2)
    bench.send(WriteTag(tag="speed", value=2.6, actor="anna"))
    assert bench.states() == {"fast": "UNACKNOWLEDGED"}
