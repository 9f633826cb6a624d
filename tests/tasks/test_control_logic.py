"""Bistables, edges and counters: the standard's truth tables, and any history against them.

The references look back over the whole history; only the counters' reference keeps a count.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.plan import Code, TagType
from cellwright.tasks.api import ARRAY, DINT, INT, REAL, SINT, UDINT, ULINT, USINT
from cellwright.tasks.control.blocks import CTD, CTU, CTUD, F_TRIG, R_TRIG, RS, SR, ParameterError


def bits(text: str) -> list[bool]:
    return [mark == "1" for mark in text]


# --- bistables ------------------------------------------------------------------------------------


def test_sr_is_set_dominant():
    latch = SR()
    given_ = zip(bits("0101001"), bits("0010110"), strict=True)
    assert [latch(S1=s, R=r) for s, r in given_] == bits("0101001")
    assert latch(S1=True, R=True) is True
    assert latch.Q1 is True


def test_rs_is_reset_dominant():
    latch = RS()
    given_ = zip(bits("0101001"), bits("0010110"), strict=True)
    assert [latch(S=s, R1=r) for s, r in given_] == bits("0101001")
    assert latch(S=True, R1=True) is False
    assert latch.Q1 is False


def test_a_bistable_keeps_its_output_without_set_and_reset():
    for value in (True, False):
        dominant_set, dominant_reset = SR(), RS()
        dominant_set(S1=value, R=not value)
        dominant_reset(S=value, R1=not value)
        assert [dominant_set(S1=False, R=False) for _ in range(3)] == [value] * 3
        assert [dominant_reset(S=False, R1=False) for _ in range(3)] == [value] * 3


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_a_bistable_is_what_the_last_set_or_reset_made_it(calls: list[tuple[bool, bool]]):
    dominant_set, dominant_reset = SR(), RS()
    for last, (set_, reset) in enumerate(calls):
        told = [call for call in calls[: last + 1] if any(call)]
        q_set, q_reset = dominant_set(S1=set_, R=reset), dominant_reset(S=set_, R1=reset)
        assert q_set is bool(told and told[-1][0])
        assert q_reset is bool(told and not told[-1][1])


# --- edges ----------------------------------------------------------------------------------------


def test_r_trig_is_true_for_one_call_at_each_rising_edge():
    trigger = R_TRIG()
    assert [trigger(level) for level in bits("0110100111")] == bits("0100100100")
    assert trigger.Q is False


def test_f_trig_is_true_for_one_call_at_each_falling_edge():
    trigger = F_TRIG()
    assert [trigger(level) for level in bits("1110010110")] == bits("0001001001")
    assert trigger.Q is True


def test_the_first_call_of_r_trig_with_clk_true_is_an_edge():
    trigger = R_TRIG()
    assert [trigger(True) for _ in range(3)] == [True, False, False]


def test_the_first_call_of_f_trig_with_clk_false_is_an_edge():
    trigger = F_TRIG()
    assert [trigger(False) for _ in range(3)] == [True, False, False]


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_edges_are_the_changes_of_the_input(levels: list[bool]):
    rising, falling = R_TRIG(), F_TRIG()
    assert [rising(level) for level in levels] == [
        after and not before for before, after in pairwise([False, *levels])
    ]
    assert [falling(level) for level in levels] == [
        before and not after for before, after in pairwise([True, *levels])
    ]


# --- counters -------------------------------------------------------------------------------------


def test_ctu_counts_rising_edges_and_says_when_pv_is_reached():
    count = CTU()
    seen = [(count(CU=level, PV=2), count.CV) for level in bits("1101011")]
    assert seen == [(False, 1), (False, 1), (False, 1), (True, 2), (True, 2), (True, 3), (True, 3)]
    assert count.Q is True


def test_reset_goes_before_counting_and_uses_the_edge_up():
    count = CTU()
    count(CU=True, PV=5)
    count(CU=False, PV=5)
    assert count(CU=True, R=True, PV=5) is False
    assert count.CV == 0
    count(CU=True, PV=5)
    assert count.CV == 0, "the edge was while R was TRUE"


def test_ctu_with_a_pv_of_zero_is_reached_at_once():
    assert CTU()(CU=False, PV=0) is True


def test_ctd_counts_down_from_what_was_loaded_and_says_when_it_is_empty():
    count = CTD()
    assert count(CD=False, PV=2) is True, "a new counter stands at zero"
    assert count(CD=False, LD=True, PV=2) is False
    assert [count(CD=level, PV=2) for level in bits("1010")] == bits("0011")
    assert count.CV == 0
    assert count.Q is True


def test_load_goes_before_counting_down():
    count = CTD()
    count(CD=True, LD=True, PV=7)
    assert count.CV == 7


def test_ctd_counts_below_zero_and_stays_empty():
    count = CTD()
    assert [count(CD=level, PV=0) for level in bits("1010")] == bits("1111")
    assert count.CV == -2


def test_ctud_counts_in_both_directions():
    count = CTUD()
    up, down = bits("1010000000"), bits("0000101010")
    cv = []
    for cu, cd in zip(up, down, strict=True):
        count(CU=cu, CD=cd, PV=2)
        cv.append(count.CV)
    assert cv == [1, 1, 2, 2, 1, 1, 0, 0, -1, -1]


def test_edges_of_both_inputs_in_one_call_cancel():
    count = CTUD()
    count(CU=False, CD=False, LD=True, PV=5)
    count(CU=True, CD=True, PV=5)
    assert count.CV == 5
    count(CU=True, CD=True, PV=5)
    assert count.CV == 5


def test_ctud_resets_before_it_loads_and_loads_before_it_counts():
    count = CTUD()
    assert count(CU=True, CD=False, R=False, LD=True, PV=5) == (True, False)
    assert count.CV == 5
    assert count(CU=False, CD=True, R=True, LD=True, PV=5) == (False, True)
    assert count.CV == 0
    assert (count.QU, count.QD) == (False, True)


def test_both_outputs_of_ctud_are_true_when_pv_and_count_are_zero():
    assert CTUD()(CU=False, CD=False, PV=0) == (True, True)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (INT, -(2**15), 2**15 - 1),
        (DINT, -(2**31), 2**31 - 1),
        (UDINT, 0, 2**32 - 1),
        (ULINT, 0, 2**63 - 1),
    ],
)
def test_counts_stop_at_the_limits_of_their_type(kind: TagType, low: int, high: int):
    up, down, both = CTU(kind), CTD(kind), CTUD(kind)
    both(CU=False, CD=False, LD=True, PV=high)
    both(CU=True, CD=False, PV=high)
    assert high == both.CV
    both(CU=False, CD=False, LD=True, PV=low)
    both(CU=False, CD=True, PV=low)
    assert low == both.CV
    down(CD=False, LD=True, PV=low)
    down(CD=True, PV=low)
    assert low == down.CV
    for wrong in (low - 1, high + 1):
        with pytest.raises(ParameterError, match=f"takes {low} to {high}"):
            up(CU=True, PV=wrong)
        with pytest.raises(ParameterError, match=f"PV {wrong}"):
            down(CD=True, PV=wrong)
        with pytest.raises(ParameterError, match=kind.code.name):
            both(CU=True, CD=False, PV=wrong)
    assert up.CV == 0


def test_ctu_stops_at_pvmax():
    count = CTU(SINT)
    for n in range(300):
        count(CU=n % 2 == 0, PV=127)
    assert count.CV == 127
    assert count.Q is True


@pytest.mark.parametrize("kind", [REAL, ARRAY(2, INT), TagType(Code.TIME)])
def test_a_counter_of_anything_but_integers_is_refused(kind: TagType):
    with pytest.raises(ParameterError, match="integer type such as DINT"):
        CTU(kind)


calls = st.lists(
    st.tuples(
        st.booleans(),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([False, False, False, True]),
        st.one_of(st.integers(-3, 3), st.sampled_from([-128, -127, 126, 127])),
    ),
    min_size=1,
    max_size=60,
)


@given(calls)
def test_any_history_of_a_counter_is_what_the_standard_says(
    history: list[tuple[bool, bool, bool, bool, int]],
):
    up, down, both = CTU(SINT), CTD(SINT), CTUD(SINT)
    was_up = was_down = False
    only_up = only_down = net = 0
    for cu, cd, r, ld, pv in history:
        rise, fall = cu and not was_up, cd and not was_down
        was_up, was_down = cu, cd
        only_up = 0 if r else min(only_up + rise, 127)
        only_down = pv if ld else max(only_down - fall, -128)
        net = 0 if r else pv if ld else max(-128, min(127, net + rise - fall))
        assert (up(CU=cu, R=r, PV=pv), up.CV) == (only_up >= pv, only_up)
        assert (down(CD=cd, LD=ld, PV=pv), down.CV) == (only_down <= 0, only_down)
        assert both(CU=cu, CD=cd, R=r, LD=ld, PV=pv) == (net >= pv, net <= 0)
        assert net == both.CV


def test_a_counter_of_an_unsigned_type_does_not_go_below_zero():
    count = CTD(USINT)
    count(CD=True, PV=3)
    assert count.CV == 0
