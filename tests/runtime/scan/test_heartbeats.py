"""Heartbeats to and from devices and HMI, in scan time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.messages import AlarmChanged, ReplyCode, WriteTag
from cellwright.io.plan import CellState, quality
from cellwright.runtime.scan.alarms.heartbeats import TABLE, Pulse, Sign
from support.alarm_bench import AlarmBench
from support.campaign import examples

TRANSITIONS = TABLE.moves()

SEND = "heartbeats: {out: {send: %s, period: 50ms}}"
HMI = "heartbeats: {hmi: {expect: hmi, timeout: 200ms%s}}"


def sent(bench: AlarmBench, tag: str, cycles: int) -> list[int]:
    found = []
    for _ in range(cycles):
        bench.cycle()
        found.append(int(bench.value(tag)))
    return found


def beat(bench: AlarmBench, value: int) -> None:
    assert bench.send(WriteTag(tag="hmi", value=value, actor="panel")).code == ReplyCode.OK


def pulse(bench: AlarmBench, name: str = "hmi") -> tuple[bool, bool]:
    return bench.value(f"heartbeat.{name}.alive"), bench.value(f"heartbeat.{name}.lost")


# --- sending --------------------------------------------------------------------------------------


def test_a_bool_is_inverted_once_a_period(tmp_path: Path):
    bench = AlarmBench(tmp_path, SEND % "beat_out")
    bench.run()
    bits = sent(bench, "beat_out", 20)
    changes = [at for at in range(1, 20) if bits[at] != bits[at - 1]]
    assert len(changes) >= 3
    assert {later - sooner for sooner, later in pairwise(changes)} == {5}


def test_an_integer_is_counted_and_begins_again_after_its_largest_value(tmp_path: Path):
    bench = AlarmBench(tmp_path, SEND % "beats")
    bench.cycle()
    assert sent(bench, "beats", 15)[::5] == [1, 2, 3]
    bench.scan.process_image.set(bench.plan.tag("beats").index, 255)
    assert 0 in sent(bench, "beats", 6)


@pytest.mark.behaviour(19)
def test_a_heartbeat_of_the_device_is_at_the_output_in_the_same_cycle(tmp_path: Path):
    bench = AlarmBench(tmp_path, SEND % "beat_out")
    bench.run()
    for _ in range(12):
        bench.cycle()
        assert bool(bench.outputs()[0][0] & 2) is bench.value("beat_out")


def test_the_beat_keeps_its_phase_when_cycles_are_skipped(tmp_path: Path):
    bench = AlarmBench(tmp_path, SEND % "beats")
    bench.cycle()
    bench.skip(12)
    bench.cycle()
    assert bench.value("beats") == 2, "one step, not the ones that were missed"
    assert sent(bench, "beats", 8) == [2, 3, 3, 3, 3, 3, 4, 4]


def test_memory_beats_in_every_operating_state(tmp_path: Path):
    bench = AlarmBench(tmp_path, SEND % "beats")
    bench.cycle()
    assert bench.scan.state is CellState.STOP
    before = bench.value("beats")
    bench.cycle(10)
    assert bench.value("beats") == before + 2


# --- expecting ------------------------------------------------------------------------------------


@pytest.mark.behaviour(19)
def test_what_is_not_heard_for_its_timeout_is_lost_and_recovery_is_told_once(tmp_path: Path):
    bench = AlarmBench(tmp_path, HMI % "")
    bench.cycle()
    assert pulse(bench) == (False, False)
    beat(bench, 1)
    assert pulse(bench) == (True, False)
    bench.cycle(20)
    assert pulse(bench) == (True, False)
    bench.cycle()
    assert pulse(bench) == (False, True)
    assert bench.states() == {"heartbeat.hmi": "UNACKNOWLEDGED"}
    for value in range(2, 12):
        beat(bench, value)
    assert pulse(bench) == (True, False)
    assert bench.changes() == [
        ("heartbeat.hmi", "NORMAL", "UNACKNOWLEDGED"),
        ("heartbeat.hmi", "UNACKNOWLEDGED", "RETURNED_UNACKNOWLEDGED"),
    ]
    assert "The heartbeat 'hmi' is lost" in bench.events(AlarmChanged)[0].text


def test_what_was_never_heard_is_lost_after_the_timeout_too(tmp_path: Path):
    bench = AlarmBench(tmp_path, HMI % "")
    bench.cycle(21)
    assert pulse(bench) == (False, False)
    bench.cycle()
    assert pulse(bench) == (False, True)


def test_the_same_value_written_again_is_no_sign_of_life(tmp_path: Path):
    bench = AlarmBench(tmp_path, HMI % "")
    bench.cycle()
    beat(bench, 1)
    for _ in range(21):
        beat(bench, 1)
    assert pulse(bench) == (False, True)


@pytest.mark.parametrize(
    ("loss", "state"),
    [
        ("none", CellState.RUN),
        ("alarm", CellState.RUN),
        ("stop", CellState.STOP),
        ("fault", CellState.FAULT),
    ],
)
def test_a_loss_does_what_is_configured_and_outputs_are_safe_at_once(
    tmp_path: Path, loss: str, state: CellState
):
    bench = AlarmBench(tmp_path, HMI % f", on_loss: {loss}")
    bench.run()
    beat(bench, 1)
    bench.cycle(20)
    assert bench.scan.state is CellState.RUN
    bench.cycle()
    assert bench.scan.state is state
    assert pulse(bench) == (False, True)
    assert bench.outputs()[1] is (state is CellState.RUN)
    assert bool(bench.alarms()) is (loss != "none")
    if loss in ("stop", "fault"):
        assert "stands" in bench.request("start" if loss == "stop" else "reset").text
        beat(bench, 2)
        assert bench.request("start" if loss == "stop" else "reset").code == ReplyCode.OK


def test_values_of_a_lost_device_are_no_beat(tmp_path: Path):
    bench = AlarmBench(tmp_path, "heartbeats: {io: {expect: beat_in, timeout: 100ms}}")
    bench.cycle()
    for number in range(6):
        bench.inputs(beat_in=number % 2)
        bench.cycle()
    assert pulse(bench, "io") == (True, False)
    index = bench.plan.tag("beat_in").index
    bench.lose("discrete_inputs")
    for number in range(11):
        bench.inputs(beat_in=number % 2)
        bench.cycle()
        assert bench.quality("beat_in") == quality.UNCERTAIN_LAST_USABLE
        assert bench.snapshot().value(index) is True
    assert pulse(bench, "io") == (False, True)


def test_a_jump_of_the_wall_clock_loses_no_heartbeat(tmp_path: Path):
    bench = AlarmBench(tmp_path, HMI % "")
    bench.cycle()
    beat(bench, 1)
    bench.clock._utc_offset_ns += 3600 * 10**9
    bench.cycle(15)
    bench.clock._utc_offset_ns -= 7200 * 10**9
    bench.cycle(4)
    assert pulse(bench) == (True, False)


def test_the_table_knows_every_case():
    assert set(TRANSITIONS) == {(state, sign) for state in Pulse for sign in Sign}


@examples(25)
@given(beats=st.lists(st.booleans(), max_size=60))
def test_alive_and_lost_follow_from_the_time_since_the_last_beat(
    tmp_path_factory: pytest.TempPathFactory, beats: list[bool]
):
    bench = AlarmBench(tmp_path_factory.mktemp("beats"), HMI % ", on_loss: none")
    bench.cycle()
    since, heard, value = 0, False, 0
    for beats_now in beats:
        since += 1
        if beats_now:
            value += 1
            beat(bench, value)
            since, heard = 0, True
        else:
            bench.cycle()
        lost = since * 10 > 200
        assert pulse(bench) == (heard and not lost, lost)
