"""The output gate and the timing rules of the poll loop: tables and arithmetic, no I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.drivers.output_gate import (
    STALL_NS,
    TABLE,
    Beat,
    GateState,
    OutputGate,
    Trip,
    safe_payload,
)
from cellwright.io.drivers.poll_schedule import PollSchedule
from cellwright.io.timing.backoff import BackOff, BackOffLimits

TRANSITIONS = TABLE.moves()
MS = 1_000_000
BASE = 10 * MS
LIMIT = 30 * MS


def gate(trip: Trip = Trip.NONE) -> OutputGate:
    return OutputGate(LIMIT, BASE, trip)


def test_the_table_has_a_row_for_every_state_and_event() -> None:
    assert set(TRANSITIONS) == {(state, beat) for state in GateState for beat in Beat}


def test_outputs_pass_only_after_a_fresh_enabled_beat() -> None:
    for (_state, beat), following in TRANSITIONS.items():
        if following is GateState.ENABLED:
            assert beat is Beat.FRESH_ENABLED


def test_only_a_fresh_disabled_commit_leads_out_of_a_trip() -> None:
    ways_out = [
        beat
        for (state, beat), following in TRANSITIONS.items()
        if state is GateState.TRIPPED and following is not GateState.TRIPPED
    ]
    assert ways_out == [Beat.FRESH_DISABLED]


def test_a_scan_that_never_beat_gets_nothing_through() -> None:
    assert not gate().step(5 * MS, 0, True).passes


def test_a_beat_as_old_as_the_limit_still_counts_and_an_older_one_does_not() -> None:
    subject = gate()
    beat = 1000 * MS
    assert subject.step(beat + LIMIT - 1 * MS, beat, True).passes
    assert subject.step(beat + LIMIT, beat, True).passes
    decision = subject.step(beat + LIMIT + 1, beat, True)
    assert not decision.passes
    assert decision.trip is Trip.SCAN_LOST


def test_a_scan_that_resumes_with_enabled_outputs_stays_locked_out() -> None:
    subject = gate()
    assert subject.step(100 * MS, 100 * MS, True).passes
    for now in range(102, 140, 2):
        subject.step(now * MS, 100 * MS, True)
    resumed = subject.step(140 * MS, 140 * MS, True)
    assert not resumed.passes
    assert resumed.trip is Trip.SCAN_LOST
    noticed = subject.step(142 * MS, 141 * MS, False)
    assert not noticed.passes
    assert noticed.trip is Trip.NONE
    assert subject.step(144 * MS, 143 * MS, True).passes


def test_a_latched_trip_outlives_the_driver_process() -> None:
    subject = gate(Trip.SCAN_LOST)
    decision = subject.step(100 * MS, 100 * MS, True)
    assert not decision.passes
    assert decision.trip is Trip.SCAN_LOST


def test_a_dead_enabled_scan_trips_a_fresh_gate_too() -> None:
    assert gate().step(1000 * MS, 100 * MS, True).trip is Trip.SCAN_LOST


def test_a_beat_far_in_the_future_is_no_beat() -> None:
    subject = gate()
    assert subject.step(100 * MS, 100 * MS, True).passes
    assert not subject.step(102 * MS, 103 * MS + LIMIT, True).passes


def test_a_gate_that_stood_still_gives_one_base_interval_of_grace_and_only_one() -> None:
    subject = gate()
    beat = 100 * MS
    assert subject.step(beat, beat, True).passes
    after_stall = subject.step(beat + 50 * MS, beat, True)
    assert after_stall.stalled
    assert after_stall.passes
    assert after_stall.deadline_ns == beat + 50 * MS + BASE
    assert subject.step(beat + 50 * MS + BASE - 1, beat, True).passes
    # Another stall before a beat came: no second grace.
    again = subject.step(beat + 75 * MS, beat, True)
    assert again.stalled
    assert again.trip is Trip.SCAN_LOST


def test_a_beat_that_is_stale_when_it_is_seen_gives_no_second_grace() -> None:
    subject = gate()
    subject.step(100 * MS, 100 * MS, True)
    assert subject.step(150 * MS, 100 * MS, True).passes
    late = subject.step(162 * MS, 120 * MS, True)
    assert late.trip is Trip.SCAN_LOST, "the machine stood still once more, and so did the scan"


def test_grace_is_given_anew_after_a_beat() -> None:
    subject = gate()
    subject.step(100 * MS, 100 * MS, True)
    assert subject.step(150 * MS, 100 * MS, True).passes
    assert subject.step(152 * MS, 151 * MS, True).passes
    assert subject.step(202 * MS, 151 * MS, True).passes


STEPS = st.lists(
    st.tuples(
        st.integers(1, 60 * MS),  # time since the step before
        st.integers(0, 60 * MS),  # age that a beat may have
        st.booleans(),  # did the scan beat at all
        st.booleans(),  # enabled
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_the_gate_keeps_its_promises(
    steps: list[tuple[int, int, bool, bool]],
) -> None:
    subject = gate()
    now, beat = 1_000 * MS, 0
    stale_since: int | None = None
    latched = False
    for number, (gap, age, beats, enabled) in enumerate(steps):
        now += gap
        if beats:
            beat = max(beat, now - age)
        decision = subject.step(now, beat, enabled)
        fresh = beat > 0 and now - beat <= LIMIT
        stale_since = None if fresh else stale_since if stale_since is not None else now
        assert decision.stalled is (number > 0 and gap > STALL_NS)
        if latched and not (fresh and not enabled):
            assert decision.trip is Trip.SCAN_LOST
        latched = decision.trip is Trip.SCAN_LOST
        if decision.passes:
            assert enabled
            assert not latched
            if stale_since is not None:
                # Only within the one grace that follows a stall of the gate itself.
                assert now - stale_since < BASE
                assert now < decision.deadline_ns <= stale_since + BASE
        elif enabled:
            assert latched


@given(st.lists(st.integers(1, 9 * MS), min_size=1, max_size=200), st.integers(0, 10 * MS))
@pytest.mark.behaviour(5)
def test_a_dead_scan_loses_its_outputs_at_the_first_look_after_the_limit(
    gaps: list[int], beat_age: int
) -> None:
    subject = gate()
    now = 1_000 * MS
    beat = now - beat_age
    assert subject.step(now, beat, True).passes
    for gap in gaps:
        now += gap
        assert subject.step(now, beat, True).passes is (now - beat <= LIMIT)


@given(
    st.lists(st.tuples(st.integers(1, 40 * MS), st.integers(0, LIMIT)), min_size=1, max_size=100)
)
def test_a_living_enabled_scan_never_loses_its_outputs(steps: list[tuple[int, int]]) -> None:
    subject = gate()
    now = 1_000 * MS
    for gap, age in steps:
        now += gap
        assert subject.step(now, now - age, True).passes


@given(st.integers(0, 8).flatmap(lambda n: st.tuples(*[st.binary(min_size=n, max_size=n)] * 3)))
def test_the_safe_payload_takes_each_bit_from_its_source(parts: tuple[bytes, bytes, bytes]) -> None:
    written, safe, hold = parts
    result = safe_payload(written, safe, hold)
    assert len(result) == len(safe)
    for place in range(len(safe) * 8):
        byte, bit = divmod(place, 8)
        source = written if hold[byte] >> bit & 1 else safe
        assert result[byte] >> bit & 1 == source[byte] >> bit & 1
    assert safe_payload(result, safe, hold) == result


@pytest.mark.behaviour(12)
def test_back_off_doubles_to_its_limit_and_starts_anew_after_an_answer() -> None:
    back_off = BackOff(BackOffLimits(), seed=7)
    pauses = [back_off.next_ns() for _ in range(12)]
    for place, pause in enumerate(pauses):
        full = min(50 * MS * 2**place, 5000 * MS)
        assert full * 2 / 3 - 1 <= pause <= full
    back_off.reset()
    assert back_off.next_ns() <= 50 * MS


@pytest.mark.behaviour(12)
def test_back_off_jitter_differs_between_devices_and_repeats_with_its_seed() -> None:
    def pauses(seed: int) -> list[int]:
        back_off = BackOff(BackOffLimits(), seed)
        return [back_off.next_ns() for _ in range(5)]

    assert pauses(1) == pauses(1)
    assert pauses(1) != pauses(2)


@given(
    st.integers(1, 10**9),
    st.integers(0, 10**12),
    st.lists(st.integers(0, 5 * 10**9), min_size=1, max_size=50),
)
def test_polls_stay_on_their_grid_and_run_plus_skipped_is_what_elapsed(
    period: int, start: int, delays: list[int]
) -> None:
    schedule = PollSchedule(period, start)
    skipped = 0
    now = start
    for ran, delay in enumerate(delays, start=1):
        now = max(now + delay, schedule.next_ns)
        skipped += schedule.begin(now)
        assert (schedule.next_ns - start) % period == 0
        assert now < schedule.next_ns <= now + period
        assert ran + skipped == (schedule.next_ns - start) // period


def test_a_poll_period_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 0"):
        PollSchedule(0, 0)
