"""The work order's state machine as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.mes.kernel.errors import MesError
from cellwright.mes.orders import operation_states
from cellwright.mes.orders.operation_states import OperationEvent, OperationState, step_operation
from cellwright.mes.orders.work_order_states import (
    ENDED,
    TABLE,
    Facts,
    Guard,
    WorkOrderEvent,
    WorkOrderState,
    step,
)

OPERATION_TRANSITIONS = operation_states.TABLE.moves()
TRANSITIONS = {(row.state, row.event): row for row in TABLE.rows}
allowed_events = TABLE.events

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(WorkOrderEvent),
        st.builds(
            Facts,
            has_routing=st.booleans(),
            open_inspections=st.integers(0, 3),
            consumed=st.integers(0, 3),
        ),
    ),
    max_size=30,
)


@given(EVENTS)
def test_any_walk_moves_only_along_the_table_and_only_when_the_guard_holds(walk):
    state = WorkOrderState.CREATED
    ended = wrongly_refused = False
    refusals: list[MesError] = []
    for event, facts in walk:
        move = TRANSITIONS.get((state, event))
        try:
            new = step("WO-1", state, event, facts)
        except MesError as refusal:
            refusals.append(refusal)
            wrongly_refused |= move is not None and move.guard is None
            continue
        assert move is not None
        assert new is move.next
        if move.guard is Guard.HAS_ROUTING:
            assert facts.has_routing
        if new is WorkOrderState.COMPLETED:
            assert facts.open_inspections == 0
        if new is WorkOrderState.CANCELLED and state not in (
            WorkOrderState.CREATED,
            WorkOrderState.RELEASED,
            WorkOrderState.READY,
        ):
            assert facts.consumed == 0
        # What has ended never works again.
        assert not ended or new in ENDED
        ended = ended or new in ENDED
        state = new
    assert not wrongly_refused
    for refusal in refusals:
        assert refusal.code in {"invalid_state", "no_routing", "inspection_open"}
        assert "WO-1" in refusal.message


def test_every_state_can_be_reached_and_every_event_is_used():
    reached = {WorkOrderState.CREATED}
    while True:
        further = {
            move.next for (source, _), move in TRANSITIONS.items() if source in reached
        } - reached
        if not further:
            break
        reached |= further
    assert reached == set(WorkOrderState)
    assert {event for _, event in TRANSITIONS} == set(WorkOrderEvent)


def test_every_order_can_come_to_an_end():
    ends = set(ENDED)
    while True:
        more = {source for (source, _), move in TRANSITIONS.items() if move.next in ends} - ends
        if not more:
            break
        ends |= more
    assert ends == set(WorkOrderState)


def test_a_refusal_says_what_is_possible_instead():
    with pytest.raises(MesError, match="it is READY; possible now: start, cancel") as caught:
        step("WO-1", WorkOrderState.READY, WorkOrderEvent.ABORT, Facts())
    assert caught.value.code == "invalid_state"
    assert allowed_events(WorkOrderState.CLOSED) == []


@given(st.lists(st.sampled_from(OperationEvent), max_size=10))
def test_an_operation_moves_only_along_its_table(walk):
    state = OperationState.WAITING
    for event in walk:
        target = OPERATION_TRANSITIONS.get((state, event))
        if target is None:
            with pytest.raises(MesError, match="operation 10"):
                step_operation("operation 10", state, event)
        else:
            state = step_operation("operation 10", state, event)
            assert state is target
