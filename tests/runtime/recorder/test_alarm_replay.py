"""Alarms and heartbeats are part of a recording: every cycle with them runs again bit for bit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.messages import (
    AcknowledgeAlarm,
    AlarmChanged,
    Command,
    ShelveAlarm,
    UnshelveAlarm,
    WriteTag,
    encode,
)
from cellwright.runtime.recorder.replay import Replay
from support.alarm_bench import HEAD, Quiet, RecordedAlarms
from support.campaign import examples

SECTIONS = """
alarms:
  air: {when: "not air_ok", text: No air, delay: 40ms, off_delay: 30ms}
  door: {when: "not door_shut or speed > 5.0", text: Door, consequence: stop, group: guards}
  estop: {when: "not estop_ok", text: Emergency stop, consequence: fault, group: guards}
  tank: {tag: level, high: 90, low: 10, deadband: 5, text: Tank level, acknowledge: false}
  lost: {when: "bad(level)", text: No level, enabled: false}
heartbeats:
  coupler: {send: beat_out, period: 30ms, expect: beat_in, timeout: 100ms}
  hmi: {send: beats, period: 20ms, expect: hmi, timeout: 200ms, on_loss: none}
"""
NAMES = ["air", "door", "tank.high", "heartbeat.coupler", "nothing"]

ACTIONS = st.one_of(
    st.tuples(
        st.just("inputs"),
        st.fixed_dictionaries(
            {
                "air_ok": st.booleans(),
                "door_shut": st.booleans(),
                "estop_ok": st.booleans(),
                "level": st.sampled_from([0, 7, 12, 50, 87, 95]),
            }
        ),
    ),
    st.tuples(st.just("beat"), st.integers(1, 20)),
    st.tuples(st.just("lose"), st.sampled_from(["", "input_registers", "discrete_inputs"])),
    st.tuples(st.just("write"), st.sampled_from([("hmi", 7), ("speed", 5.5), ("speed", 0.0)])),
    st.tuples(st.just("ack"), st.sampled_from(["", *NAMES])),
    st.tuples(st.just("shelve"), st.tuples(st.sampled_from(NAMES), st.sampled_from([0.02, 60.0]))),
    st.tuples(st.just("unshelve"), st.sampled_from(NAMES)),
    st.tuples(st.just("mode"), st.sampled_from(["start", "stop", "reset", "pause"])),
    st.tuples(st.just("cycles"), st.integers(1, 20)),
    st.tuples(st.just("keyframe"), st.just(0)),
)


def act(cell: RecordedAlarms, what: str, value: Any) -> None:
    def send(command: Command) -> None:
        cell.image.commands.send(encode(command))

    match what:
        case "inputs":
            cell.inputs(**value)
        case "beat":
            for number in range(value):
                cell.inputs(beat_in=number % 2)
                cell.cycle()
        case "lose":
            cell.lose(value)
        case "write":
            send(WriteTag(tag=value[0], value=value[1], actor="a"))
        case "ack":
            send(AcknowledgeAlarm(alarm=value, actor="a"))
        case "shelve":
            send(ShelveAlarm(alarm=value[0], duration_s=value[1], actor="a", reason="r"))
        case "unshelve":
            send(UnshelveAlarm(alarm=value, actor="a"))
        case "mode":
            cell.request(value)
        case "keyframe":
            cell.image.recorder.wanted += 1
            cell.skip(20)
        case "cycles":
            cell.cycle(value)
    cell.cycle()
    cell.acknowledge()
    cell.pump()


@examples(15)
@given(st.lists(ACTIONS, min_size=5, max_size=25))
def test_whatever_alarms_and_heartbeats_do_runs_again_bit_for_bit(
    actions: list[tuple[str, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cell = RecordedAlarms(Path(folder), SECTIONS)
        cell.cycle(2)
        for what, value in actions:
            act(cell, what, value)
        files = [cell.kept(), *(cell.store.segments if cell.store else [])]
        for file in files:
            with Replay(file, programs=[Quiet]) as replay:
                outcome = replay.run()
            assert outcome.difference is None, outcome.difference
            # A segment that has just begun holds a keyframe and nothing to compare.
            assert outcome.cycles or file is not files[0]


def test_a_replay_that_begins_while_a_delay_runs_ends_it_in_the_same_cycle(tmp_path: Path) -> None:
    cell = RecordedAlarms(tmp_path, SECTIONS, head=HEAD)
    cell.cycle(2)
    cell.inputs(air_ok=False)
    cell.cycle(2)
    act(cell, "shelve", ("tank.high", 0.3))
    act(cell, "keyframe", 0)
    cell.cycle(40)
    cell.pump()
    assert ("air", "NORMAL", "UNACKNOWLEDGED") in [
        (event.alarm, event.old, event.new) for event in cell.events(AlarmChanged)
    ]
    cell.kept()
    assert cell.store is not None
    for file in cell.store.segments:
        with Replay(file, programs=[Quiet]) as replay:
            assert replay.run().identical
