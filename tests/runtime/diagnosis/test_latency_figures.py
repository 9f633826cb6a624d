"""What ``cellwright latency`` makes of its figures: percentiles, differences, verdict, table."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cellwright.runtime.cli.views.latency import BAR, bar, latency_view
from cellwright.runtime.diagnosis.latency import (
    Measured,
    MeasureError,
    Report,
    Settings,
    buckets,
    differences,
    measurement,
    medians,
    peer_command,
    peer_late_ns,
    stolen_ms,
    summary_us,
)
from cellwright.runtime.diagnosis.latency_block import in_phase
from cellwright.runtime.diagnosis.latency_verdict import LIMITS, LatencyVerdict, judge, percentile

HISTOGRAM = """# /dev/cpu_dma_latency set to 0us
# Histogram
000000 000000
000017 000003
000018 000005
000400 000001
# Total: 000000009
# Min Latencies: 00017
# Avg Latencies: 00060
# Max Latencies: 25000
# Histogram Overflows: 00002
# Histogram Overflow at cycle number:
# Thread 0: 00006 00008
"""
SETTINGS = Settings(seconds=2.0, blocks=1, priority=80, core=1, base_ns=1_000_000)


def measured(kind: str, pair: int, **late_us: float) -> Measured:
    return Measured(
        kind=kind,
        pair=pair,
        cycles=1000,
        late_us=late_us,
        cost_us={},
        skipped=0,
        stolen_ms=0.0,
        state="",
        trouble="",
        lacking=[],
    )


# --- figures --------------------------------------------------------------------------------------


@given(values=st.lists(st.integers(-5, 10**7), min_size=1, max_size=300), q=st.floats(0.1, 100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[int], q: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, q)
    needed = q / 100 * len(values) - 1e-5
    assert sum(value <= found for value in values) >= needed
    assert found == ordered[0] or sum(value < found for value in values) < needed + 1e-4


def test_the_last_of_a_thousand_is_no_p99_9_and_the_last_but_one_is() -> None:
    assert percentile(range(1000), 99.9) == 998
    assert percentile(range(1001), 99.9) == 999
    assert percentile([7], 50) == 7


def test_a_summary_is_in_microseconds_and_ends_with_the_maximum() -> None:
    assert summary_us([3000, 1000, 2000]) == {
        "p50": 2.0,
        "p90": 3.0,
        "p99": 3.0,
        "p99.9": 3.0,
        "max": 3.0,
    }
    assert summary_us([]) == {}


@given(st.lists(st.integers(-1000, 10**9)))
def test_every_start_is_in_one_bar_whose_bounds_hold_it(values: list[int]) -> None:
    found = buckets(values)
    assert sum(found.values()) == len(values)
    lows = [int(low) for low in found]
    assert lows == sorted(lows)
    for value in values:
        below = max(low for low in lows if low * 1000 <= max(0, value))
        assert max(0, value) / 1000 < max(1.0, 1.5 * below + 0.5 * (below & (below - 1) == 0))


def test_differences_are_taken_pair_by_pair_and_their_median_is_told() -> None:
    blocks = [
        measured("wait", 0, p50=10.0, max=100.0),
        measured("scan", 0, p50=12.0, max=90.0),
        measured("scan", 1, p50=30.0, max=300.0),
        measured("wait", 1, p50=20.0, max=100.0),
        measured("wait", 2, p50=1.0, max=1.0),
        measured("scan", 2, p50=1.0, max=2.0),
        measured("cyclictest", 1, p50=5.0, max=100.0),
    ]
    rows = differences(blocks, "scan", "wait")
    assert rows == [{"p50": 2.0, "max": -10.0}, {"p50": 10.0, "max": 200.0}, {"p50": 0.0, "max": 1}]
    assert medians(rows) == {"p50": 2.0, "max": 1.0}
    assert differences(blocks, "scan", "cyclictest") == [{"p50": 25.0, "max": 200.0}]
    assert medians([]) == {}


def test_one_stall_is_one_late_start_and_the_ticks_that_it_covers_are_skipped() -> None:
    stall = [20, 3500, 2500, 1500, 500, 30, 1000, 0, 10]
    assert in_phase(stall, 1000) == [20, 3500, 30, 1000, 0, 10]


@given(stalls=st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 4_000)), max_size=8))
def test_the_starts_that_are_kept_are_those_of_a_loop_that_skips(
    stalls: list[tuple[int, int]],
) -> None:
    def wake(at: int) -> int:
        """When a loop that sleeps until ``at`` gets the core."""
        for begin, length in sorted(stalls):
            if begin <= at < begin + length:
                at = begin + length
        return at

    count, base = 30, 1000
    bare, before = [], 0
    for tick in range(count):
        before = wake(max(tick * base, before))
        bare.append(before - tick * base)
    skipping, tick = [], 0
    while tick < count:
        woken = wake(tick * base)
        skipping.append(woken - tick * base)
        tick += 1
        while tick * base < woken:
            tick += 1
    assert in_phase(bare, base) == skipping


# --- cyclictest -----------------------------------------------------------------------------------


def test_the_histogram_of_cyclictest_is_read_with_its_overflows_at_the_maximum() -> None:
    late = peer_late_ns(HISTOGRAM)
    assert late == [17_000] * 3 + [18_000] * 5 + [400_000] + [25_000_000] * 2


def test_an_output_without_histogram_is_refused() -> None:
    with pytest.raises(MeasureError, match="printed no histogram"):
        peer_late_ns("# Histogram\n# Total: 0\n")


@given(st.text())
def test_no_output_of_a_program_named_cyclictest_breaks_the_reader(text: str) -> None:
    try:
        assert peer_late_ns(text)
    except MeasureError as error:
        assert "left out" in str(error)  # noqa: PT017 - either is right


def test_cyclictest_gets_the_same_priority_core_interval_and_length() -> None:
    command = peer_command("/usr/bin/cyclictest", SETTINGS)
    for option in ("--priority=80", "--affinity=1", "--interval=1000", "--loops=2000"):
        assert option in command
    free = Settings(seconds=2.0, blocks=1, priority=0, core=-1, base_ns=1_000_000)
    assert not [word for word in peer_command("c", free) if word.startswith("--affinity")]


def test_stolen_time_is_that_of_the_core_or_of_all(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text(
        "cpu  1 1 1 1 1 1 1 300 0 0\ncpu0 1 1 1 1 1 1 1 100 0 0\ncpu1 1 1 1 1 1 1 1 200\n"
    )
    tick_ms = stolen_ms(-1, stat) / 300
    assert tick_ms > 0
    assert stolen_ms(1, stat) == 200 * tick_ms
    assert stolen_ms(7, stat) == 0.0


# --- settings -------------------------------------------------------------------------------------


def test_what_is_not_given_is_a_scans_usual() -> None:
    settings = measurement(None, seconds=5, blocks=3, priority=None, core=None, base="1ms")
    assert (settings.priority, settings.base_ns) == (80, 1_000_000)
    assert settings.core >= 0
    settings = measurement(None, seconds=5, blocks=3, priority=0, core=-1, base="500us")
    assert (settings.priority, settings.core, settings.base_ns) == (0, -1, 500_000)


@pytest.mark.parametrize(
    ("seconds", "base", "why"),
    [
        (5.0, "1 fortnight", "is not a duration"),
        (5.0, "10us", "it takes 0.1 ms to 1 s"),
        (0.5, "10ms", "write --seconds 1 or more"),
    ],
)
def test_a_measurement_that_would_say_nothing_is_refused(
    seconds: float, base: str, why: str
) -> None:
    with pytest.raises(MeasureError, match=why):
        measurement(None, seconds=seconds, blocks=1, priority=None, core=None, base=base)


def test_a_core_that_this_computer_does_not_have_is_refused_before_anything_is_measured() -> None:
    cores = os.sysconf("SC_NPROCESSORS_CONF")
    with pytest.raises(MeasureError, match=rf"no core {cores} here; name one from 0 to"):
        measurement(None, seconds=5, blocks=1, priority=None, core=cores, base="1ms")


# --- verdict --------------------------------------------------------------------------------------


def verdict(**changed: object) -> LatencyVerdict:
    figures: dict[str, object] = {
        "base_us": 1000.0,
        "late_us": 50.0,
        "added_us": 25.0,
        "cost_us": 500.0,
        "cycles": 10_000,
        "skipped": 0,
        "stolen_ms": 0.0,
        "lacking": [],
        "trouble": "",
    }
    return judge(**(figures | changed))  # type: ignore[arg-type]


def test_figures_at_the_limits_are_good_and_the_limits_are_told() -> None:
    found = verdict()
    assert found.level == "good"
    assert found.sentences[0] == "For a base interval of 1 ms this PC is good."
    assert found.limits == list(LIMITS)
    assert "as it should be" in found.sentences[4]
    assert len(found.sentences) == 5


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({"late_us": 51.0}, "usable"),
        ({"late_us": 250.0}, "usable"),
        ({"late_us": 251.0}, "not good enough"),
        ({"cost_us": 501.0}, "usable"),
        ({"cost_us": 801.0}, "not good enough"),
        ({"skipped": 1}, "usable"),
        ({"skipped": 10, "cycles": 9990}, "usable"),
        ({"skipped": 11, "cycles": 9989}, "not good enough"),
        ({"late_us": 60.0, "skipped": 100}, "not good enough"),
        ({"base_us": 10_000.0, "late_us": 500.0}, "good"),
    ],
)
def test_the_worst_figure_decides(changed: dict[str, object], level: str) -> None:
    assert verdict(**changed).level == level


def test_what_disturbed_the_measurement_is_told_and_does_not_change_the_level() -> None:
    found = verdict(
        added_us=26.0, stolen_ms=30.0, lacking=["memory not locked (EPERM)"], trouble="no input"
    )
    assert found.level == "good"
    text = " ".join(found.sentences)
    assert "more than it should" in text
    assert "A hypervisor took 30 ms away" in text
    assert "did not stay in RUN (no input)" in text
    assert "Not granted: memory not locked (EPERM)." in text


# --- view -----------------------------------------------------------------------------------------


def report(peer: bool) -> Report:
    late = {"p50": 10.0, "p90": 20.0, "p99": 30.0, "p99.9": 1234.0, "max": 4321.0}
    kinds = ["wait", "scan", *(["cyclictest"] if peer else []), "empty"]
    rows = [dict.fromkeys(late, 2.0)]
    return Report(
        subject="LatencyBench: 1000 tags, 3 tasks",
        settings=SETTINGS,
        blocks=[measured(kind, 0, **late) for kind in kinds],
        difference_us=rows,
        median_difference_us=rows[0],
        peer="cyclictest is not on the PATH",
        peer_difference_us=rows if peer else [],
        median_peer_difference_us=rows[0] if peer else {},
        empty_cost_us={"p50": 54.0, "p99": 67.0},
        histogram={kind: {"8": 900, "1024": 1} for kind in kinds if kind != "empty"},
        verdict=verdict(),
    )


@pytest.mark.parametrize("peer", [False, True])
def test_the_view_shows_every_figure_the_verdict_and_the_limits(peer: bool) -> None:
    text = io.StringIO()
    Console(file=text, width=140, soft_wrap=True).print(latency_view(report(peer)))
    shown = text.getvalue()
    for word in ("1234", "4321", "+2", ">= 1024", "p50 54 us, p99 67 us", *verdict().sentences):
        assert word in shown
    assert all(limit in shown for limit in LIMITS)
    assert ("scan - cyclictest" in shown) == peer


@given(count=st.integers(0, 10**6), most=st.integers(1, 10**6))
def test_a_bar_shows_a_single_start_and_never_breaks_its_column(count: int, most: int) -> None:
    drawn = bar(min(count, most), most)
    assert (len(drawn) > 0) == (min(count, most) > 0)
    assert len(drawn) <= BAR
