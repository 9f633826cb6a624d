"""Alarms and heartbeats of a right configuration: rules, tags, readers and writers of the plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellwright.io.plan import Consequence, Direction, LimitKind
from cellwright.io.plan import plan as plans
from cellwright.runtime.config import check_file, cross_reference
from support.alarm_bench import HEAD, compiled

SECTIONS = """
alarms:
  air: {when: "not air_ok or not good(level)", text: No air, severity: 700, delay: 1.5s}
  tank: {tag: level, high_high: 95, low: 10, deadband: 2, text: Level, group: media}
  full: {tag: level, high: 90, text: Full, consequence: stop, enabled: false, acknowledge: false}
heartbeats:
  coupler: {send: beat_out, period: 100ms, expect: beat_in, timeout: 2s, on_loss: fault}
  panel: {expect: hmi, timeout: 3s, on_loss: none}
  up: {send: beats}
"""


def test_a_configuration_becomes_rules_groups_and_heartbeats(tmp_path: Path):
    plan = compiled(tmp_path, SECTIONS)
    air, high_high, low, full, lost = plan.alarms
    assert [rule.index for rule in plan.alarms] == list(range(5))
    assert (air.name, air.severity, air.on_delay_ns, air.off_delay_ns) == (
        "air",
        700,
        1_500_000_000,
        0,
    )
    assert [plan.tags[tag].name for tag in air.reads] == ["air_ok"]
    assert [plan.tags[tag].name for tag in air.watches] == ["air_ok", "level"]
    assert [rule.name for rule in (high_high, low)] == ["tank.high_high", "tank.low"]
    assert high_high.limit is not None
    assert (high_high.limit.kind, high_high.limit.at, high_high.limit.deadband) == (
        LimitKind.HIGH_HIGH,
        95.0,
        2.0,
    )
    assert (full.name, full.consequence, full.enabled) == ("full", Consequence.STOP, False)
    assert not full.acknowledge
    assert (lost.name, lost.consequence) == ("heartbeat.coupler", Consequence.FAULT)
    assert [group.name for group in plan.alarm_groups] == ["cell", "media"]
    coupler, panel, up = plan.heartbeats
    assert (coupler.period_ns, coupler.timeout_ns) == (100_000_000, 2_000_000_000)
    assert (panel.send, up.expect, up.period_ns) == (-1, -1, 1_000_000_000)
    assert plans.load(plans.dump(plan)) == plan


@pytest.mark.parametrize(
    ("tag", "kind", "retain"),
    [
        ("alarm.air.active", "BOOL", False),
        ("alarm.tank.low.acked", "BOOL", False),
        ("alarm.heartbeat.coupler.state", "USINT", True),
        ("alarms.media.first_out", "STRING(64)", True),
        ("heartbeat.panel.alive", "BOOL", False),
        ("heartbeat.panel.lost", "BOOL", False),
    ],
)
def test_the_runtime_makes_tags_for_each_of_them(tmp_path: Path, tag: str, kind: str, retain: bool):
    found = compiled(tmp_path, SECTIONS).tag(tag)
    assert (str(found.type), found.retain, found.direction) == (kind, retain, Direction.SYSTEM)


def test_the_cross_reference_names_alarms_and_heartbeats(tmp_path: Path):
    rows = {row.tag: row for row in cross_reference(compiled(tmp_path, SECTIONS))}
    assert "alarms" in rows["level"].readers
    assert rows["beat_out"].writer == "heartbeat coupler"
    assert "heartbeat panel" in rows["hmi"].readers
    assert rows["alarm.air.active"].writer == "runtime"


def test_a_program_reads_the_tags_of_alarms_and_conditions_those_of_programs(tmp_path: Path):
    head = HEAD.replace("bind: {pump: pump}", "bind: {pump: pump, horn: alarm.air.active}")
    (tmp_path / "cell").mkdir()
    sections = 'alarms: {air: {when: "not quiet.fine or alarm.air.acked", text: Air}}'
    program = (
        "from cellwright.tasks.api import BOOL, Input, Output, Program\n"
        "class Quiet(Program):\n"
        "    pump = Output(BOOL)\n    horn = Input(BOOL)\n    fine = Output(BOOL)\n"
        "    def scan(self, ctx):\n        self.fine = True\n"
    )
    (tmp_path / "cell" / "quiet.py").write_text(program, encoding="utf-8")
    (tmp_path / "cell" / "cell.yaml").write_text(head + sections, encoding="utf-8")
    report = check_file(tmp_path / "cell" / "cell.yaml")
    assert report.plan is not None, report.problems
    assert "quiet" in report.plan.tag("alarm.air.active").readers


def test_a_quality_from_what_is_no_variable_is_told_with_the_line_of_the_program(tmp_path: Path):
    (tmp_path / "cell.yaml").write_text(HEAD.replace("quiet:Quiet", "wrong:Wrong"), "utf-8")
    (tmp_path / "wrong.py").write_text(
        "from cellwright.tasks.api import BOOL, Output, Program\n\n"
        "class Wrong(Program):\n"
        "    pump = Output(BOOL, quality_from='pomp')\n"
        "    def scan(self, ctx): pass\n",
        encoding="utf-8",
    )
    (problem, *_) = check_file(tmp_path / "cell.yaml").problems
    assert "takes its quality from 'pomp', which is not another variable" in problem.why
    assert "wrong.py:3" in problem.why


def test_sections_may_be_empty(tmp_path: Path):
    plan = compiled(tmp_path, "alarms:\nheartbeats:\n")
    assert (plan.alarms, plan.alarm_groups, plan.heartbeats) == ((), (), ())
