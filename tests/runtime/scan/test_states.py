"""The operating states as a table, walked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.plan import CellState
from cellwright.runtime.scan.modes.states import (
    DRIVING,
    STARTS,
    TABLE,
    Action,
    Guard,
    Request,
    step,
)
from cellwright.runtime.scan.refusals import RefusedError

walks = st.lists(st.tuples(st.sampled_from(Request), st.sampled_from(["", "the journal is full"])))


@given(walks)
@pytest.mark.behaviour(1)
def test_nothing_goes_to_run_but_a_healthy_start_out_of_stop_or_pause(walk):
    state = CellState.INIT
    for request, unhealthy in walk:
        try:
            new = step(state, request, unhealthy).next
        except RefusedError:
            continue
        if new is CellState.RUN and state is not CellState.RUN:
            assert request in STARTS
            assert state is (CellState.PAUSE if request is Request.HOT_START else CellState.STOP)
            assert not unhealthy
        state = new


@given(st.sampled_from(CellState))
def test_a_fault_is_possible_in_every_state_and_leads_to_fault(state):
    assert step(state, Request.FAULT, "anything").next is CellState.FAULT


@pytest.mark.behaviour(2)
def test_programs_are_made_anew_by_a_start_out_of_stop_and_by_nothing_else():
    starting = {Action.START_WARM, Action.START_COLD}
    for row in TABLE.rows:
        entered_run = row.next is CellState.RUN and row.state is CellState.STOP
        assert (row.action in starting) == entered_run


@pytest.mark.behaviour(3)
def test_every_way_from_driven_outputs_to_stop_has_a_last_scan_and_a_fault_has_none():
    for row in TABLE.rows:
        leaves = row.state in DRIVING and row.next is CellState.STOP
        assert (row.action is Action.LAST_SCAN) == leaves


@pytest.mark.behaviour(1)
def test_a_fault_is_left_only_by_reset_and_only_to_stop():
    ways = {(row.event, row.next) for row in TABLE.rows if row.state is CellState.FAULT}
    assert {way for way in ways if way[1] is not CellState.FAULT} == {
        (Request.RESET, CellState.STOP)
    }


def test_a_guarded_request_is_refused_with_the_reason():
    for row in TABLE.rows:
        if row.guard is Guard.HEALTHY:
            with pytest.raises(RefusedError, match="the coupler is away"):
                step(row.state, row.event, "the coupler is away")


def test_an_impossible_request_names_the_possible_ones():
    with pytest.raises(
        RefusedError, match=r"'reset' is not possible in RUN; possible: pause, stop$"
    ):
        step(CellState.RUN, Request.RESET)


def test_the_table_has_one_row_for_each_state_and_request():
    keys = [(row.state, row.event) for row in TABLE.rows]
    assert len(keys) == len(set(keys))
