"""The table that state machines are declared in, and every one that is declared with it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Never

import pytest

from cellwright.io.drivers import output_gate
from cellwright.io.plan import Row, StateTable
from cellwright.mes.orders import operation_states, work_order_states
from cellwright.runtime.scan.alarms import heartbeats
from cellwright.runtime.scan.alarms import states as alarm_states
from cellwright.runtime.scan.modes import states as cell_states


class Door(StrEnum):
    SHUT = "shut"
    OPEN = "open"
    LOCKED = "locked"


class Hand(StrEnum):
    PUSH = "push"
    TURN = "turn"


class Only(StrEnum):
    WITH_KEY = "with a key"


class Does(StrEnum):
    RING = "ring"


DOOR = StateTable[Door, Hand, Only, Does](
    Row(Door.SHUT, Hand.TURN, Door.LOCKED, Only.WITH_KEY),
    Row(Door.SHUT, Hand.TURN, Door.SHUT, None, Does.RING),
    Row(Door.SHUT, Hand.PUSH, Door.OPEN),
    Row(Door.OPEN, Hand.PUSH, Door.SHUT),
    Row(Door.LOCKED, Hand.TURN, Door.SHUT, Only.WITH_KEY),
)


def test_the_first_row_whose_guard_holds_is_followed() -> None:
    with_key, without = {Only.WITH_KEY: True}, {Only.WITH_KEY: False}
    assert DOOR.step(Door.SHUT, Hand.TURN, with_key) == DOOR.rows[0]
    assert DOOR.step(Door.SHUT, Hand.TURN, without) == DOOR.rows[1]
    assert DOOR.step(Door.LOCKED, Hand.TURN, without) is None
    assert DOOR.step(Door.LOCKED, Hand.PUSH, with_key) is None
    for held in (with_key, without):
        rows = (DOOR.step(state, event, held) for state in Door for event in Hand)
        assert DOOR.moves(held) == {(row.state, row.event): row.next for row in rows if row}


def test_what_is_possible_in_a_state_is_found_without_its_guards() -> None:
    assert DOOR.events(Door.SHUT) == [Hand.TURN, Hand.PUSH]
    assert DOOR.lookup(Door.SHUT, Hand.TURN) == DOOR.rows[:2]
    assert DOOR.lookup(Door.LOCKED, Hand.PUSH) == ()


def test_the_documentation_has_a_column_for_what_the_table_has() -> None:
    assert DOOR.markdown("hand").splitlines()[:4] == [
        "| state | hand | guard | action | next |",
        "|---|---|---|---|---|",
        "| shut | turn | with a key |  | locked |",
        "| shut | turn |  | ring | shut |",
    ]
    assert heartbeats.TABLE.markdown().splitlines()[0] == "| state | event | next |"


def test_faults_of_a_table_are_found() -> None:
    rows: list[Row[Door, Hand, Only, Never]] = [
        Row(Door.SHUT, Hand.PUSH, Door.OPEN),
        Row(Door.SHUT, Hand.PUSH, Door.SHUT, Only.WITH_KEY),
    ]
    assert StateTable(*rows).faults() == [
        "shut, push: two rows apply at once",
        "locked is never reached",
        "turn has no row",
    ]
    assert "open, turn: no row" in StateTable(*rows).faults(complete=True)
    assert DOOR.faults() == []


@pytest.mark.parametrize(
    ("table", "complete"),
    [
        (cell_states.TABLE, False),
        (alarm_states.TABLE, False),
        (heartbeats.TABLE, True),
        (output_gate.TABLE, True),
        (work_order_states.TABLE, False),
        (operation_states.TABLE, False),
    ],
    ids=["cell", "alarms", "heartbeats", "output gate", "work orders", "operations"],
)
def test_a_declared_table_is_deterministic_and_whole(table: Any, complete: bool) -> None:
    assert table.faults(complete=complete) == []
