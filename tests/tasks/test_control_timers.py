"""TON, TOF and TP: the standard's timing diagrams, and any history against its description.

In the diagrams a column is one cycle of 10 ms and ET counts cycles. The references look at the
whole history and keep no state, so they cannot share a mistake with the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.tasks.api import ScanContext
from cellwright.tasks.control.blocks import (
    TOF,
    TON,
    TP,
    ParameterError,
    T_ms,
    T_s,
    Time,
    TimeBackwardsError,
)

Timer = TON | TOF | TP
CYCLE_NS = 10_000_000


def play(block: Timer, inputs: str, presets: str | int) -> tuple[str, str]:
    """Q and ET in cycles, one character a cycle; ``presets`` is PT in cycles, or one a cycle."""
    ctx = ScanContext("test", now_ns=7_000_000_000)
    many = presets if isinstance(presets, str) else str(presets) * len(inputs)
    q = et = ""
    for level, preset in zip(inputs, many, strict=True):
        returned = block(ctx, IN=level == "1", PT=Time(int(preset) * CYCLE_NS))
        assert returned is block.Q
        q += str(int(block.Q))
        et += str(block.ET // CYCLE_NS)
        ctx.now_ns += CYCLE_NS
    return q, et


def diagram(kind: type[Timer], preset: str | int, *, IN: str, Q: str, ET: str) -> None:  # noqa: N803
    assert play(kind(), IN, preset) == (Q, ET)


# --- TON ------------------------------------------------------------------------------------------


def test_ton_switches_on_after_pt_and_holds_et_until_in_falls():
    diagram(TON, 3, IN="0011111111000", Q="0000011111000", ET="0001233333000")


def test_ton_ignores_a_pulse_that_is_shorter_than_pt():
    diagram(TON, 3, IN="0111000", Q="0000000", ET="0012000")


def test_ton_begins_anew_after_a_gap_of_one_cycle():
    diagram(TON, 3, IN="0111011110", Q="0000000010", ET="0012001230")


def test_ton_with_in_true_at_the_first_call_counts_from_that_call():
    diagram(TON, 2, IN="11110", Q="00110", ET="01220")


def test_ton_without_preset_follows_in():
    diagram(TON, 0, IN="010110", Q="010110", ET="000000")


def test_a_longer_pt_prolongs_a_running_ton():
    diagram(TON, "3335555550", IN="0111111100", Q="0000001100", ET="0012345500")


def test_a_shorter_pt_ends_a_running_ton_at_once_and_et_is_the_new_pt():
    diagram(TON, "5555222220", IN="0111111100", Q="0000111100", ET="0012222200")


def test_a_ton_that_has_ended_is_not_undone_by_a_longer_pt():
    diagram(TON, "2222999992", IN="0111111101", Q="0001111100", ET="0012222200")


# --- TOF ------------------------------------------------------------------------------------------


def test_tof_switches_off_pt_after_in_fell_and_holds_et_until_in_rises():
    diagram(TOF, 3, IN="0110000001", Q="0111110001", ET="0000123330")


def test_tof_stays_on_over_a_gap_that_is_shorter_than_pt():
    diagram(TOF, 3, IN="0100100000", Q="0111111100", ET="0001001233")


def test_tof_is_off_until_in_was_true_for_the_first_time():
    diagram(TOF, 3, IN="00000", Q="00000", ET="00000")


def test_tof_without_preset_follows_in():
    diagram(TOF, 0, IN="010110", Q="010110", ET="000000")


def test_a_longer_pt_prolongs_a_running_tof():
    diagram(TOF, "333555555", IN="100000000", Q="111111000", ET="001234555")


def test_a_shorter_pt_ends_a_running_tof_at_once():
    diagram(TOF, "555522222", IN="100000000", Q="111100000", ET="001222222")


def test_a_tof_that_has_ended_is_not_undone_by_a_longer_pt():
    diagram(TOF, "2222999", IN="1000000", Q="1110000", ET="0012222")


# --- TP -------------------------------------------------------------------------------------------


def test_tp_gives_a_pulse_of_pt_when_in_stays_longer():
    diagram(TP, 3, IN="0111111100", Q="0111000000", ET="0012333300")


def test_tp_gives_a_pulse_of_pt_when_in_is_shorter_and_et_falls_at_its_end():
    diagram(TP, 3, IN="0100000", Q="0111000", ET="0012000")


def test_tp_is_not_retriggered_while_its_pulse_lasts():
    diagram(TP, 5, IN="0101010000", Q="0111110000", ET="0012340000")


def test_tp_takes_no_edge_in_the_call_that_ends_its_pulse():
    diagram(TP, 3, IN="0100111001", Q="0111000001", ET="0012333000")


def test_tp_gives_the_next_pulse_on_the_next_edge():
    diagram(TP, 2, IN="0100010000", Q="0110011000", ET="0010001000")


def test_tp_with_in_true_at_the_first_call_pulses():
    diagram(TP, 2, IN="11110", Q="11000", ET="01220")


def test_tp_without_preset_gives_no_pulse():
    diagram(TP, 0, IN="010110", Q="000000", ET="000000")


def test_a_longer_pt_prolongs_a_running_pulse():
    diagram(TP, "2244444", IN="0100000", Q="0111100", ET="0012300")


def test_a_shorter_pt_ends_a_running_pulse_at_once():
    diagram(TP, "4442222", IN="0111111", Q="0110000", ET="0012222")


# --- any history ----------------------------------------------------------------------------------

Call = tuple[int, bool, int]
"""Scan time, IN, PT."""


def ended_at(calls: Sequence[Call], begin: int, last: int) -> int | None:
    """The first call of begin..last at which the time since ``begin`` reached that call's PT."""
    start = calls[begin][0]
    return next((n for n in range(begin, last + 1) if calls[n][0] - start >= calls[n][2]), None)


def timing(calls: Sequence[Call], begin: int, last: int) -> tuple[bool, int]:
    """Whether the time that began then has ended, and ET."""
    end = ended_at(calls, begin, last)
    if end is None:
        return False, calls[last][0] - calls[begin][0]
    return True, max(calls[end][2], 0)


def run_begin(calls: Sequence[Call], last: int) -> int:
    """First call of the run of equal IN that ends at ``last``."""
    begin = last
    while begin and calls[begin - 1][1] == calls[last][1]:
        begin -= 1
    return begin


def expected_ton(calls: Sequence[Call], last: int) -> tuple[bool, int]:
    return timing(calls, run_begin(calls, last), last) if calls[last][1] else (False, 0)


def expected_tof(calls: Sequence[Call], last: int) -> tuple[bool, int]:
    if calls[last][1]:
        return True, 0
    begin = run_begin(calls, last)
    if begin == 0:
        return False, 0
    ended, et = timing(calls, begin, last)
    return not ended, et


def pulses(calls: Sequence[Call]) -> Iterator[tuple[int, int]]:
    """First call of every pulse, and the call that ends it (one past the last if none does)."""
    free = 0
    edges = [0] if calls[0][1] else []
    edges += [n + 1 for n, (a, b) in enumerate(pairwise(calls)) if b[1] and not a[1]]
    for edge in edges:
        if edge < free:
            continue
        end = ended_at(calls, edge, len(calls) - 1)
        yield edge, len(calls) if end is None else end
        free = len(calls) if end is None else end + 1


def expected_tp(calls: Sequence[Call], last: int) -> tuple[bool, int]:
    so_far = calls[: last + 1]
    for begin, end in pulses(so_far):
        if begin <= last < end:
            return True, calls[last][0] - calls[begin][0]
        if end <= last and all(call[1] for call in calls[end : last + 1]):
            return False, max(calls[end][2], 0)
    return False, 0


histories = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.integers(-1, 7)), min_size=1, max_size=40
).map(
    lambda steps: [
        (100 + sum(step[0] for step in steps[: n + 1]), level, preset)
        for n, (_, level, preset) in enumerate(steps)
    ]
)


@pytest.mark.parametrize(
    ("kind", "expected"), [(TON, expected_ton), (TOF, expected_tof), (TP, expected_tp)]
)
@given(calls=histories)
def test_any_history_gives_what_its_description_says(
    kind: type[Timer],
    expected: Callable[[Sequence[Call], int], tuple[bool, int]],
    calls: list[Call],
):
    block = kind()
    for last, (now_ns, level, preset) in enumerate(calls):
        block(ScanContext("test", now_ns=now_ns), IN=level, PT=Time(preset))
        assert expected(calls, last) == (block.Q, block.ET)


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.behaviour(15)
def test_a_jump_of_the_wall_clock_changes_nothing():
    steady, jumping = TON(), TON()
    for cycle in range(20):
        ctx = ScanContext("test", now_ns=cycle * CYCLE_NS, utc_ns=cycle * CYCLE_NS)
        jumped = ScanContext("test", now_ns=cycle * CYCLE_NS, utc_ns=-3600 * 10**9 * (cycle % 2))
        assert steady(ctx, True, T_ms(95)) == jumping(jumped, True, T_ms(95))
        assert steady.state() == jumping.state()


@pytest.mark.parametrize(("kind", "levels"), [(TON, "01"), (TOF, "10"), (TP, "01")])
def test_scan_time_that_goes_back_is_refused_and_leaves_a_running_timer_as_it_is(
    kind: type[Timer], levels: str
):
    block = kind()
    for now_ns, level in zip((1000, 1010), levels, strict=True):
        block(ScanContext("test", now_ns=now_ns), level == "1", Time(100))
    block(ScanContext("test", now_ns=1050), levels[1] == "1", Time(100))
    before = block.state()
    with pytest.raises(TimeBackwardsError, match="1049 ns, earlier than in its last call"):
        block(ScanContext("test", now_ns=1049), levels[1] == "1", Time(100))
    assert block.state() == before
    block(ScanContext("test", now_ns=1051), levels[1] == "1", Time(100))
    assert block.ET == 41


def test_a_timer_survives_the_whole_range_of_time_without_overflow():
    block = TON()
    longest = Time(2**63 - 1)
    assert not block(ScanContext("test", now_ns=-(2**63)), True, longest)
    assert block(ScanContext("test", now_ns=-1), True, longest)
    assert longest == block.ET
    block = TON()
    block(ScanContext("test", now_ns=-(2**63)), True, longest)
    assert block(ScanContext("test", now_ns=2**63 - 1), True, longest)
    assert longest == block.ET


def test_durations_are_rounded_to_nanoseconds_and_refused_when_they_are_none():
    assert T_s(0.1) == 100_000_000
    assert T_ms(0.0015) == 1_500
    assert T_s(0) == 0
    for wrong in (-0.1, float("nan"), float("inf"), 1e10):
        with pytest.raises(ParameterError, match="not a duration"):
            T_s(wrong)


def test_seconds_where_a_duration_belongs_are_refused():
    with pytest.raises(TypeError):
        TON()(ScanContext("test"), True, 0.1)  # type: ignore[arg-type]
