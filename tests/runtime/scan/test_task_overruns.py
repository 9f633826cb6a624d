"""What a late cycle costs a task, and what its overrun policy and watchdog make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import SCAN
from cellwright.io.messages import FaultRaised, ResetStatistics
from cellwright.io.plan import CellState, OverrunPolicy
from support.plans import POLL_NS
from support.scan_bench import MS, Bench
from support.task_log import Log
from support.task_log import free_task as free
from support.task_log import noting_cell as cell

SKIP, LATE, FAULT = OverrunPolicy


def cyclic(interval: int = 1, phase: int = 0, **fields: Any) -> dict[str, Any]:
    """Timing in ticks."""
    return {"interval_ns": interval * POLL_NS, "phase_ns": phase * POLL_NS, **fields}


def ticks(bench: Bench, log: Log) -> list[int]:
    """Ticks in which the only task ran, for a bench whose skips are known by its cycles."""
    found = [at[cycle] for cycle, _ in log.ran] if (at := bench.__dict__.get("at")) else []
    log.ran.clear()
    return found


def run_at(bench: Bench, tick: int) -> None:
    """Run the cycle of that tick; those between are skipped."""
    bench.skip(tick - bench.tick)
    bench.__dict__.setdefault("at", {})[bench.scan.cycle_number + 1] = tick
    bench.cycle()


def started(folder: Path, **fields: Any) -> tuple[Bench, Log]:
    """A cell with one task every four ticks, in RUN since tick 1."""
    bench, log = cell(folder, {"control": cyclic(4, 2, **fields)})
    bench.run()
    log.ran.clear()
    return bench, log


@pytest.mark.behaviour(6)
def test_skipped_executions_are_counted_and_the_task_stays_in_phase(tmp_path: Path) -> None:
    bench, log = started(tmp_path, overrun=SKIP)
    for tick in (2, 3, 4, 5, 13, 14, 15, 16, 17, 18):
        run_at(bench, tick)
    assert ticks(bench, log) == [2, 14, 18]
    figures = bench.image.statistics.read(0)
    assert (figures.runs, figures.skips, figures.late_runs) == (3, 2, 0)


@pytest.mark.behaviour(6)
def test_a_late_task_runs_once_in_the_next_cycle_and_is_in_phase_again(tmp_path: Path) -> None:
    bench, log = started(tmp_path, overrun=LATE)
    for tick in (2, 3, 4, 5, 13, 14, 15, 16, 17, 18):
        run_at(bench, tick)
    assert ticks(bench, log) == [2, 13, 14, 18]
    figures = bench.image.statistics.read(0)
    assert (figures.runs, figures.skips, figures.late_runs) == (4, 2, 1)


def test_a_late_task_that_is_due_in_the_next_cycle_anyway_runs_only_once(tmp_path: Path) -> None:
    bench, log = started(tmp_path, overrun=LATE)
    for tick in (2, 14, 15):
        run_at(bench, tick)
    assert ticks(bench, log) == [2, 14]
    figures = bench.image.statistics.read(0)
    assert (figures.runs, figures.skips, figures.late_runs) == (2, 2, 0)


@pytest.mark.behaviour(6)
def test_a_missed_execution_of_a_task_with_policy_fault_faults_the_cell_and_says_how_many(
    tmp_path: Path,
) -> None:
    bench, log = started(tmp_path, overrun=FAULT)
    run_at(bench, 2)
    run_at(bench, 5)
    assert bench.scan.state is CellState.RUN, "nothing was due in the skipped ticks"
    run_at(bench, 15)
    assert bench.scan.state is CellState.FAULT
    assert bench.outputs()[1] is False, "safe in the same cycle"
    assert bench.image.scan.fault_code == "task_overrun"
    assert "task 'control' missed 3 executions: no cycle ran in ticks 6 to 14" in (
        bench.scan.first_fault
    )
    (raised,) = bench.events(FaultRaised)
    assert (raised.code, raised.culprit) == ("task_overrun", "control")
    assert ticks(bench, log) == [2]


@pytest.mark.behaviour(5)
@pytest.mark.parametrize("policy", [SKIP, LATE])
def test_the_watchdog_trips_after_so_many_missed_executions_in_a_row(
    tmp_path: Path, policy: OverrunPolicy
) -> None:
    bench, _ = started(tmp_path, overrun=policy, watchdog_omitted=3)
    run_at(bench, 2)
    for _ in range(3):
        tick = bench.tick
        run_at(bench, tick + 8)
        bench.cycle(4)
        assert bench.scan.state is CellState.RUN, "an execution ends the row"
    run_at(bench, bench.tick + 12)
    assert bench.scan.state is CellState.FAULT
    assert bench.image.scan.fault_code == "task_omitted"
    assert "task 'control' missed 3 executions in a row, its watchdog allows 2" in (
        bench.scan.first_fault
    )


def test_a_row_of_missed_executions_goes_on_over_cycles_in_which_the_task_is_not_due(
    tmp_path: Path,
) -> None:
    bench, _ = started(tmp_path, watchdog_omitted=2)
    for tick in (2, 7, 8, 9):
        run_at(bench, tick)
    assert bench.scan.state is CellState.RUN
    run_at(bench, 11)
    assert bench.image.scan.fault_code == "task_omitted"


@pytest.mark.behaviour(5)
def test_a_freewheeling_task_without_slack_for_so_many_cycles_faults_the_cell(
    tmp_path: Path,
) -> None:
    timing = {"control": {}, "idle": free(2 * MS, watchdog_omitted=3)}
    bench, log = cell(tmp_path, timing, control=9 * MS)
    bench.run()
    bench.cycle()
    log.takes["control"] = 1 * MS
    bench.cycle()
    log.takes["control"] = 9 * MS
    bench.cycle(2)
    assert bench.scan.state is CellState.RUN
    bench.cycle()
    assert bench.scan.state is CellState.FAULT
    assert bench.image.scan.fault_code == "task_omitted"


def test_a_task_out_of_run_misses_nothing(tmp_path: Path) -> None:
    bench, _ = started(tmp_path, overrun=FAULT, watchdog_omitted=1)
    bench.request("stop")
    bench.skip(9)
    bench.cycle()
    bench.skip(9)
    bench.request("start")
    bench.cycle(9)
    assert bench.scan.state is CellState.RUN
    assert bench.image.statistics.read(0).skips == 0


def test_a_pause_is_no_overrun(tmp_path: Path) -> None:
    bench, log = started(tmp_path, overrun=FAULT, watchdog_omitted=1)
    bench.request("pause")
    bench.cycle(9)
    bench.skip(9)
    log.ran.clear()
    bench.request("hot_start")
    bench.cycle(9)
    assert bench.scan.state is CellState.RUN
    assert bench.image.statistics.read(0).skips == 0
    assert len(log.ran) in (2, 3)


@pytest.mark.behaviour(6)
@given(
    interval=st.integers(1, 6),
    phase=st.integers(0, 5),
    policy=st.sampled_from([SKIP, LATE]),
    gaps=st.lists(st.integers(0, 9), min_size=1, max_size=25),
)
def test_every_due_execution_is_run_or_skipped_and_the_phase_never_shifts(
    tmp_path_factory: pytest.TempPathFactory,
    interval: int,
    phase: int,
    policy: OverrunPolicy,
    gaps: list[int],
) -> None:
    phase %= interval
    bench, log = cell(
        tmp_path_factory.mktemp("overrun"), {"control": cyclic(interval, phase, overrun=policy)}
    )
    bench.run()
    log.ran.clear()
    bench.send(ResetStatistics(actor="test"))
    log.ran.clear()
    bench.image.statistics.reset()
    first = bench.tick
    for gap in gaps:
        run_at(bench, bench.tick + gap)
    due = [tick for tick in range(first, bench.tick) if (tick - phase) % interval == 0]
    figures = bench.image.statistics.read(0)
    assert figures.runs - figures.late_runs + figures.skips == len(due)
    in_phase = [tick for tick in ticks(bench, log) if (tick - phase) % interval == 0]
    assert in_phase == [tick for tick in due if tick in bench.__dict__["at"].values()]
    assert figures.late_runs <= figures.skips
    assert policy is LATE or not figures.late_runs
    bench.image.close()


@pytest.mark.behaviour(8)
def test_counters_outlive_a_restart_of_the_scan_and_only_a_command_resets_them(
    tmp_path: Path,
) -> None:
    timing = {"control": cyclic(2, overrun=LATE), "idle": free(2 * MS)}
    bench, _ = cell(tmp_path, timing, control=9 * MS)
    bench.run()
    run_at(bench, bench.tick + 3)
    bench.image.statistics.record(SCAN, 1, 1)
    before = [bench.image.statistics.read(index) for index in (SCAN, 0, 1)]
    assert (before[1].skips, before[1].late_runs, before[2].omitted) == (2, 1, 1)
    bench.launch()
    assert [bench.image.statistics.read(index) for index in (SCAN, 0, 1)] == before
    bench.cycle()
    bench.request("reset")
    bench.request("start")
    after = bench.image.statistics.read(0)
    assert (after.skips, after.late_runs, after.resets) == (2, 1, 0)
    assert after.runs == before[1].runs + 1
    bench.send(ResetStatistics(task="control", actor="anna"))
    after = bench.image.statistics.read(0)
    assert (after.skips, after.late_runs, after.resets) == (0, 0, 1)
    assert bench.image.statistics.read(1).omitted >= 1, "the other task's stay"


def test_a_task_that_takes_longer_than_the_base_interval_is_an_overrun_without_an_interval_too(
    tmp_path: Path,
) -> None:
    log = Log()
    bench = Bench(
        tmp_path,
        [],
        {"idle": log.program()},
        timing={"idle": free(9 * MS, watchdog_sensitivity=5)},
    )
    log.bench = bench
    log.takes["idle"] = POLL_NS + 1
    bench.run()
    assert bench.image.statistics.read(0).overruns == 1
