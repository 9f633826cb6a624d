"""The states of alarms against a plain account of what ISA-18.2 asks for, over random histories."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import AlarmState, alarm_state
from cellwright.io.messages import (
    AcknowledgeAlarm,
    AlarmChanged,
    ShelveAlarm,
    UnshelveAlarm,
    encode,
)
from cellwright.runtime.scan.alarms.states import TABLE, Guard, Signal, moves
from support.alarm_bench import AlarmBench
from support.campaign import examples

TRANSITIONS = TABLE.rows

# --- the table ------------------------------------------------------------------------------------


def test_no_two_rows_of_the_table_apply_at_once():
    for acknowledge in (True, False):
        for consequence in (True, False):
            held = {
                None: True,
                Guard.ACK_NEEDED: acknowledge,
                Guard.NO_ACK_NEEDED: not acknowledge,
                Guard.NO_CONSEQUENCE: not consequence,
            }
            rows = [(row.state, row.event) for row in TRANSITIONS if held[row.guard]]
            assert len(rows) == len(set(rows))


def test_every_state_can_be_reached_and_left():
    assert {row.next for row in TRANSITIONS} == set(AlarmState)
    assert {row.state for row in TRANSITIONS} == set(AlarmState)


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("state", AlarmState)
def test_what_has_no_row_changes_nothing(state: AlarmState, signal: Signal):
    rows = [row for row in TRANSITIONS if row.state is state and row.event is signal]
    found = moves(acknowledge=True, consequence=False).get((state, signal))
    assert (found is None) == (not [row for row in rows if row.guard is not Guard.NO_ACK_NEEDED])


def test_an_alarm_never_leaves_the_operators_sight_unacknowledged_by_its_condition():
    waits = (AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED)
    for state in waits:
        for signal in (Signal.COME, Signal.GO):
            found = moves(acknowledge=True, consequence=False).get((state, signal))
            assert found is None or found in waits


def test_what_stops_the_cell_cannot_be_shelved():
    for state in AlarmState:
        assert (state, Signal.SHELVE) not in moves(acknowledge=True, consequence=True)


def test_a_number_that_is_no_state_is_normal():
    assert alarm_state(99) is AlarmState.NORMAL
    assert alarm_state(3) is AlarmState.RETURNED_UNACKNOWLEDGED


# --- the desk against a plain account -------------------------------------------------------------


@dataclass
class Plain:
    """One alarm, told without a table: what the condition was, who has seen it, who hid it."""

    delay: int
    off_delay: int
    needs_ack: bool
    stands: bool = False
    seen: bool = True
    hidden_for: int = 0
    waited: int = -1

    @property
    def state(self) -> str:
        if self.hidden_for:
            return "SHELVED"
        if self.stands:
            return "ACKNOWLEDGED" if self.seen else "UNACKNOWLEDGED"
        return "NORMAL" if self.seen else "RETURNED_UNACKNOWLEDGED"

    def hide(self, cycles: int) -> None:
        self.hidden_for, self.stands, self.seen, self.waited = cycles, False, True, -1

    def show(self) -> None:
        self.hidden_for, self.waited = 0, -1

    def cycle(self, holds: bool) -> bool:
        """True when it comes anew for the operator."""
        if self.hidden_for:
            return False
        if holds == self.stands:
            self.waited = -1
            return False
        self.waited += 1
        if self.waited < (self.delay if holds else self.off_delay):
            return False
        new = holds and self.seen and not self.stands
        self.stands, self.waited = holds, -1
        if holds:
            self.seen = not self.needs_ack
        return new


SECTIONS = """
alarms:
  air: {when: "not air_ok", text: A, delay: 30ms, off_delay: 20ms}
  door: {when: "not door_shut and hmi < 5", text: D}
  estop: {when: "not estop_ok", text: E, acknowledge: false, off_delay: 40ms}
"""
SENSORS = ("air_ok", "door_shut", "estop_ok")
NAMES = ("air", "door", "estop")
MOVES = st.tuples(
    st.sampled_from(["none", "none", "ack", "shelve", "unshelve", "ack all"]),
    st.sampled_from(NAMES),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.integers(1, 6),
)


def ask(bench: AlarmBench, plain: dict[str, Plain], what: str, name: str) -> None:
    one = plain[name]
    command: Any = None
    match what:
        case "ack":
            command = AcknowledgeAlarm(alarm=name, actor="a")
            if not one.hidden_for:
                one.seen = True
        case "ack all":
            command = AcknowledgeAlarm(actor="a")
            for each in plain.values():
                each.seen = True
        case "shelve":
            command = ShelveAlarm(alarm=name, duration_s=0.07, actor="a", reason="r")
            one.hide(7)
        case "unshelve":
            command = UnshelveAlarm(alarm=name, actor="a")
            if one.hidden_for:
                one.show()
    if command is not None:
        bench.image.commands.send(encode(command))


@examples(25)
@given(st.lists(MOVES, max_size=40))
def test_alarms_are_what_a_plain_account_of_their_history_says(
    moves: list[tuple[str, str, tuple[bool, bool, bool], int]],
):
    with tempfile.TemporaryDirectory() as folder:
        bench = AlarmBench(Path(folder), SECTIONS)
        plain = {"air": Plain(3, 2, True), "door": Plain(0, 0, True), "estop": Plain(0, 4, False)}
        first = ""
        bench.cycle()
        for what, name, sensors, cycles in moves:
            bench.inputs(**dict(zip(SENSORS, sensors, strict=True)))
            ask(bench, plain, what, name)
            for number in range(cycles):
                back = []
                for one in plain.values():
                    if one.hidden_for and not (
                        number == 0 and what == "shelve" and one is plain[name]
                    ):
                        one.hidden_for -= 1
                        if not one.hidden_for:
                            one.show()
                            back.append(one)
                if all(one.state in ("NORMAL", "SHELVED") for one in plain.values()):
                    first = ""
                for each, holds in zip(NAMES, sensors, strict=True):
                    # What comes back from the shelf is judged after all others.
                    if plain[each] not in back:
                        first = judged(plain, each, not holds, first)
                for each, holds in zip(NAMES, sensors, strict=True):
                    if plain[each] in back:
                        first = judged(plain, each, not holds, first)
                bench.cycle()
                assert bench.states() == {each: one.state for each, one in plain.items()}
                assert bench.value("sys.alarm_first_out") == first
        active = sum(one.stands for one in plain.values())
        assert bench.value("sys.alarms_active") == active
        check_events(bench.events(AlarmChanged), bench.states())


def judged(plain: dict[str, Plain], name: str, holds: bool, first: str) -> str:
    """Let one alarm be judged; the name of the first one then."""
    quiet = all(one.state in ("NORMAL", "SHELVED") for one in plain.values())
    plain[name].cycle(holds)
    if quiet and plain[name].state not in ("NORMAL", "SHELVED"):
        return name
    still = any(one.state not in ("NORMAL", "SHELVED") for one in plain.values())
    return first if still else ""


def check_events(events: list[AlarmChanged], states: dict[str, str]) -> None:
    """The events of each alarm are a walk through the table that ends in its state."""
    now = dict.fromkeys(states, "NORMAL")
    rows = {(row.state.name, row.next.name) for row in TRANSITIONS}
    for event in events:
        assert event.old == now[event.alarm]
        assert (event.old, event.new) in rows
        now[event.alarm] = event.new
    assert now == states
