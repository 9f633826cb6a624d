"""SEQUENCER: one step at a time, in the order and after the times of its table."""

from __future__ import annotations

from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.tasks.api import ScanContext
from cellwright.tasks.control.blocks import (
    SEQUENCER,
    ParameterError,
    SfcTransition,
    StateError,
    T_ms,
    Time,
    TimeBackwardsError,
)

CYCLE_NS = 10_000_000


class Phase(IntEnum):
    """Values are not places: they are what a tag shows."""

    IDLE = 10
    CLAMP = 20
    PRESS = 30
    LATE = 99


TABLE = (
    SfcTransition(Phase.IDLE, Phase.CLAMP, when="start"),
    SfcTransition(Phase.CLAMP, Phase.PRESS, when="closed", after=T_ms(20)),
    SfcTransition(Phase.CLAMP, Phase.LATE, after=T_ms(50)),
    SfcTransition(Phase.PRESS, Phase.IDLE, after=T_ms(30)),
    SfcTransition(Phase.LATE, Phase.IDLE, when="start"),
)


def run(sequence: SEQUENCER[Phase], start: str, closed: str, first_cycle: int = 0) -> str:
    """The active step after each cycle of 10 ms, by its first letter."""
    steps = ""
    for n, (begin, clamp) in enumerate(zip(start, closed, strict=True)):
        ctx = ScanContext("test", now_ns=(first_cycle + n) * CYCLE_NS)
        step = sequence(ctx, start=begin == "1", closed=clamp == "1")
        assert sequence.STEP is step
        steps += step.name[0]
    return steps


def test_transitions_wait_for_their_condition_and_their_time():
    assert run(SEQUENCER(Phase, TABLE), "0010000000", "0001111111") == "IICCPPPIII"


def test_a_transition_without_condition_is_a_timeout():
    assert run(SEQUENCER(Phase, TABLE), "01000000010", "00000000000") == "ICCCCCLLLII"


def test_the_first_call_makes_the_initial_step_active_and_looks_at_no_transition():
    sequence = SEQUENCER(Phase, TABLE)
    assert sequence.STEP is Phase.IDLE
    assert run(sequence, "111", "000") == "ICC"


def test_each_step_is_active_for_at_least_one_call():
    chain = SEQUENCER(
        Phase,
        (
            SfcTransition(Phase.IDLE, Phase.CLAMP),
            SfcTransition(Phase.CLAMP, Phase.PRESS),
            SfcTransition(Phase.PRESS, Phase.LATE),
            SfcTransition(Phase.LATE, Phase.IDLE),
        ),
    )
    assert [chain(ScanContext("test", now_ns=n)).name[0] for n in range(6)] == list("ICPLIC")


def test_entered_is_true_in_the_call_in_which_a_step_becomes_active_and_t_counts_from_it():
    sequence = SEQUENCER(Phase, TABLE)
    seen = []
    for n, start in enumerate((False, True, False, False)):
        sequence(ScanContext("test", now_ns=n * CYCLE_NS), start=start, closed=False)
        seen.append((sequence.STEP.name, sequence.ENTERED, sequence.T // CYCLE_NS))
    assert seen == [
        ("IDLE", True, 0),
        ("CLAMP", True, 0),
        ("CLAMP", False, 1),
        ("CLAMP", False, 2),
    ]


def test_reset_goes_to_the_initial_step_whatever_is_due():
    sequence = SEQUENCER(Phase, TABLE)
    run(sequence, "010", "000")
    ctx = ScanContext("test", now_ns=9 * CYCLE_NS)
    assert sequence(ctx, RESET=True, start=True, closed=True) is Phase.IDLE
    assert sequence.ENTERED
    assert sequence.T == 0


def test_the_first_due_row_of_a_step_is_taken():
    rows = (
        SfcTransition(Phase.IDLE, Phase.CLAMP, when="a"),
        SfcTransition(Phase.IDLE, Phase.PRESS, when="b"),
        SfcTransition(Phase.CLAMP, Phase.LATE),
    )
    sequence = SEQUENCER(Phase, rows)
    sequence(ScanContext("test", now_ns=0), a=False, b=False)
    assert sequence(ScanContext("test", now_ns=1), a=True, b=True) is Phase.CLAMP


def test_a_sequence_goes_on_where_it_was_saved_and_refuses_a_step_that_is_gone():
    first, second = SEQUENCER(Phase, TABLE), SEQUENCER(Phase, TABLE)
    run(first, "0100", "0000")
    second.restore(first.state())
    assert run(second, "0000", "1111", first_cycle=4) == "PPPI"

    class Shorter(IntEnum):
        IDLE = 10
        OTHER = 11

    other = SEQUENCER(
        Shorter,
        (SfcTransition(Shorter.IDLE, Shorter.OTHER), SfcTransition(Shorter.OTHER, Shorter.IDLE)),
    )
    with pytest.raises(StateError, match="there is no step 20"):
        other.restore(first.state())
    assert other.STEP is Shorter.IDLE


def test_conditions_must_be_exactly_those_that_are_named():
    sequence, ctx = SEQUENCER(Phase, TABLE), ScanContext("test")
    with pytest.raises(ParameterError, match=r"name \['closed', 'start'\]"):
        sequence(ctx, start=True)
    with pytest.raises(ParameterError, match=r"conditions \['closed', 'start', 'stop'\]"):
        sequence(ctx, start=True, closed=True, stop=True)


def test_scan_time_that_goes_back_is_refused_and_changes_nothing():
    sequence = SEQUENCER(Phase, TABLE)
    run(sequence, "01", "00", first_cycle=5)
    before = sequence.state()
    with pytest.raises(TimeBackwardsError):
        sequence(ScanContext("test", now_ns=0), start=True, closed=True)
    assert sequence.state() == before


class Elsewhere(IntEnum):
    IDLE = 10


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (SfcTransition(Phase.PRESS, Elsewhere.IDLE), "is not a Phase"),
        (SfcTransition(Phase.PRESS, Phase.IDLE, "go", T_ms(30)), "is never taken"),
        (SfcTransition(Phase.IDLE, Phase.LATE, "start", T_ms(9)), "is never taken"),
        (SfcTransition(Phase.PRESS, Phase.IDLE, "two words"), "cannot be the name"),
        (SfcTransition(Phase.PRESS, Phase.IDLE, "RESET"), "cannot be the name"),
        (SfcTransition(Phase.PRESS, Phase.IDLE, "go", Time(-1)), "give 0 or more"),
    ],
)
def test_a_transition_that_cannot_work_is_refused_when_it_is_declared(
    row: SfcTransition[Phase], why: str
):
    with pytest.raises(ParameterError, match=why):
        SEQUENCER(Phase, (*TABLE, row))


def test_a_condition_may_be_faster_than_a_timeout_that_stands_before_it():
    faster = SfcTransition(Phase.PRESS, Phase.IDLE, "go", T_ms(29))
    assert SEQUENCER(Phase, (*TABLE, faster)).transitions[-1] is faster


def test_a_step_that_cannot_be_reached_is_refused_when_it_is_declared():
    with pytest.raises(ParameterError, match="no transition leads to LATE"):
        SEQUENCER(Phase, (*TABLE[:2], TABLE[3]))


calls = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.booleans(),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=60,
)


@given(calls)
def test_any_history_agrees_with_a_walk_of_the_table_in_plain_python(
    history: list[tuple[int, bool, bool, bool]],
):
    sequence = SEQUENCER(Phase, TABLE)
    now, active, since = 0, None, 0
    for lapse, start, closed, reset in history:
        now += lapse * CYCLE_NS
        values = {"start": start, "closed": closed, "": True}
        if active is None or reset:
            active, since = Phase.IDLE, now
        else:
            for row in TABLE:
                if row.source is active and values[row.when] and now - since >= row.after:
                    active, since = row.target, now
                    break
        step = sequence(ScanContext("test", now_ns=now), RESET=reset, start=start, closed=closed)
        assert step is active
        assert now - since == sequence.T
