"""The commands about alarms: what they print, what they send, what they refuse.

The cell is a scan on the bench, stepped by hand; the page on alarms runs them on a real one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cellwright.io.image import Image
from cellwright.io.messages import AlarmChanged, AnyCommand
from cellwright.io.plan import Plan
from cellwright.runtime.cli import acting, main
from cellwright.runtime.cli.acting import Target
from cellwright.runtime.cli.common import fail
from cellwright.runtime.cli.live import alarms as cli_alarms
from support.alarm_bench import AlarmBench

SECTIONS = """
alarms:
  air: {when: "not air_ok", text: No air, severity: 300}
  tank: {tag: level, high: 90, text: Tank full, severity: 700}
  estop: {when: "not estop_ok", text: Emergency stop, consequence: fault}
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AlarmBench:
    bench = AlarmBench(tmp_path, SECTIONS)
    bench.cycle(2)

    @contextmanager
    def attached(cell: str | None) -> Iterator[tuple[Plan, Image]]:
        yield bench.plan, bench.image

    def send(_: Target, command: AnyCommand) -> None:
        reply = bench.send(command)
        if reply.code:
            fail(reply.text)

    monkeypatch.setattr(cli_alarms, "attached", attached)
    monkeypatch.setattr(acting, "attached", attached)
    monkeypatch.setattr(Target, "send", send)
    return bench


def typed(*words: str) -> Result:
    return CliRunner().invoke(main.app, list(words), env={"COLUMNS": "200"})


def answer(bench: AlarmBench, sentence: str) -> str:
    """What is printed: with the cell's name and file."""
    return f"{bench.plan.cell}: {sentence} ({bench.plan.source})\n"


def rows(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(typed("alarms", "--json", *words).stdout)
    return found


def test_only_what_an_operator_must_see_is_listed_most_urgent_first(bench: AlarmBench):
    assert rows() == []
    assert "0 alarms standing, 0 to acknowledge" in typed("alarms").stdout
    bench.inputs(air_ok=False, level=95)
    bench.cycle()
    assert [row["name"] for row in rows()] == ["tank", "air"]
    assert [row["name"] for row in rows("--all")] == ["tank", "air", "estop"]
    tank = rows()[0]
    assert (tank["state"], tank["active"], tank["acknowledged"]) == ("UNACKNOWLEDGED", True, False)
    assert (tank["value"], tank["severity"], tank["group"]) == (95, 700, "cell")
    assert tank["since"].startswith("2025-")
    text = typed("alarms").stdout
    assert "2 alarms standing, 2 to acknowledge" in text
    assert "first of its group" in text


def test_an_alarm_that_is_not_judged_is_listed_with_the_reason(bench: AlarmBench):
    index = bench.plan.tag("alarm.tank.active").index
    bench.scan.process_image.set_quality(index, 0x8031_0000)
    bench.cycle()
    (tank,) = rows()
    assert (tank["state"], tank["held"]) == ("NORMAL", "BAD_NO_COMMUNICATION")
    assert "kept, not judged: BAD_NO_COMMUNICATION" in typed("alarms").stdout


def test_one_alarm_or_all_are_acknowledged_with_a_reason(bench: AlarmBench):
    bench.inputs(air_ok=False, level=95)
    bench.cycle()
    assert typed("ack", "air", "--reason", "seen").stdout == answer(bench, "air acknowledged")
    assert bench.states()["air"] == "ACKNOWLEDGED"
    assert typed("ack", "all").stdout == answer(bench, "all acknowledged")
    assert bench.states()["tank"] == "ACKNOWLEDGED"
    event = bench.events(AlarmChanged)[2]
    assert (event.alarm, event.reason) == ("air", "seen")
    assert event.actor.endswith("@console")


def test_an_alarm_is_shelved_for_a_duration_and_brought_back(bench: AlarmBench):
    done = typed("shelve", "air", "--for", "30min", "--reason", "sensor")
    assert done.stdout == answer(bench, "air shelved for 30min")
    assert [row["state"] for row in rows()] == ["SHELVED"]
    assert typed("unshelve", "air").stdout == answer(bench, "air unshelved")
    assert rows() == []


@pytest.mark.parametrize(
    ("words", "code", "say"),
    [
        (("ack", "airr"), 1, "has no alarm 'airr'; did you mean 'air'?"),
        (("ack", "air"), 1, "there is nothing to acknowledge"),
        (("shelve", "air", "--for", "30", "--reason", "r"), 2, "'30' is not a duration"),
        (("shelve", "estop", "--for", "1h", "--reason", "r"), 1, "consequence 'fault'"),
        (("shelve", "air", "--for", "1h", "--reason", " "), 1, "without a reason"),
        (("unshelve", "air"), 1, "is NORMAL, not SHELVED"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(
    bench: AlarmBench, words: tuple[str, ...], code: int, say: str
):
    done = typed(*words)
    assert done.exit_code == code
    assert say in " ".join(done.stderr.split())
