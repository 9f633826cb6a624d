"""Tasks that run on an event or in the slack of a cycle, and the order of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.messages import ForceTag, WriteTag
from cellwright.io.plan import CellState, Edge
from cellwright.tasks.api import BOOL, Input, Output, ScanContext
from support.campaign import examples
from support.plans import POLL_NS, make_tag
from support.scan_bench import MS, Bench, program
from support.task_log import event_task as event
from support.task_log import free_task as free
from support.task_log import noting_cell as cell

# --- events ---------------------------------------------------------------------------------------


@pytest.mark.behaviour(7)
@pytest.mark.parametrize(
    ("edge", "expected"),
    [(Edge.RISING, [3, 7]), (Edge.FALLING, [5, 8]), (Edge.BOTH, [3, 5, 7, 8])],
)
def test_an_event_task_runs_exactly_in_the_cycles_that_show_its_edge(
    tmp_path: Path, edge: Edge, expected: list[int]
) -> None:
    bench, log = cell(tmp_path, {"count": event(edge=edge)})
    bench.run()
    for level in (1, 1, 0, 0, 1, 0, 0):
        bench.payload = bytes((level, 0))
        bench.cycle()
    assert [cycle for cycle, _ in log.ran] == expected
    assert bench.image.statistics.read(0).runs == len(expected)


def test_a_level_that_is_there_at_the_start_is_no_edge(tmp_path: Path) -> None:
    bench, log = cell(tmp_path, {"count": event()})
    bench.payload = b"\x01\x00"
    bench.run()
    bench.cycle(3)
    assert log.names() == []
    for level in (0, 1):
        bench.payload = bytes((level, 0))
        bench.cycle()
    bench.request("stop")
    bench.request("start")
    bench.cycle(3)
    assert log.names() == ["count"]


@pytest.mark.behaviour(7)
def test_an_edge_in_a_skipped_tick_is_seen_by_the_next_cycle(tmp_path: Path) -> None:
    bench, log = cell(tmp_path, {"count": event()})
    bench.run()
    bench.cycle()
    bench.skip(4)
    bench.payload = b"\x01\x00"
    bench.cycle()
    assert log.names() == ["count"]
    bench.cycle(2)
    assert log.names() == []


def test_a_pulse_that_no_cycle_sees_calls_nobody(tmp_path: Path) -> None:
    bench, log = cell(tmp_path, {"count": event(edge=Edge.BOTH)})
    bench.run()
    bench.payload = b"\x01\x00"
    bench.skip(1)
    bench.payload = b"\x00\x00"
    bench.cycle()
    assert log.names() == []


def test_an_edge_during_a_pause_is_seen_when_the_tasks_go_on(tmp_path: Path) -> None:
    bench, log = cell(tmp_path, {"count": event()})
    bench.run()
    bench.request("pause")
    bench.payload = b"\x01\x00"
    bench.cycle(5)
    assert log.names() == []
    bench.request("hot_start")
    bench.cycle(3)
    assert log.names() == ["count"]


def test_a_stop_does_not_run_an_event_task_a_last_time(tmp_path: Path) -> None:
    bench, log = cell(tmp_path, {"count": event(), "control": {}})
    bench.run()
    bench.payload = b"\x01\x00"
    bench.cycle()
    log.ran.clear()
    bench.request("stop")
    assert log.names() == ["control"]


def test_a_forced_edge_is_an_edge_and_the_device_is_not_asked(tmp_path: Path) -> None:
    bench, log = cell(tmp_path, {"count": event()})
    bench.run()
    bench.send(ForceTag(tag="part", value=True, actor="anna"))
    assert log.names() == ["count"]
    bench.payload = b"\x01\x00"
    bench.cycle()
    assert log.names() == []


def test_a_command_that_sets_the_tag_calls_the_task_in_the_same_cycle(tmp_path: Path) -> None:
    bench, log = cell(tmp_path, {"count": event(event=0)})
    bench.run()
    bench.send(WriteTag(tag="go", value=True, actor="anna"))
    assert log.names() == ["count"]


def test_what_a_task_writes_calls_an_event_task_in_the_next_cycle_whatever_the_priorities(
    tmp_path: Path,
) -> None:
    ran: list[tuple[str, int]] = []

    def ask(self: Any, ctx: ScanContext) -> None:
        self.ask = ctx.cycle >= 4

    def answer(self: Any, ctx: ScanContext) -> None:
        ran.append((ctx.task, ctx.cycle))

    event_of_ask = {"interval_ns": 0, "event": 0}
    bench = Bench(
        tmp_path,
        [make_tag("ask", "BOOL")],
        {
            "first": program(answer, ask=Input(BOOL)),
            "asks": program(ask, ask=Output(BOOL)),
            "last": program(answer, ask=Input(BOOL)),
        },
        timing={"first": event_of_ask, "last": event_of_ask},
    )
    bench.run()
    bench.cycle(5)
    assert ran == [("first", 5), ("last", 5)]


# --- freewheeling ---------------------------------------------------------------------------------


@pytest.mark.behaviour(7)
def test_a_freewheeling_task_runs_once_in_each_cycle_after_all_due_tasks(tmp_path: Path) -> None:
    timing = {"idle": free(priority=0), "control": {"priority": 9}}
    bench, log = cell(tmp_path, timing, control=3 * MS)
    bench.run()
    bench.cycle(2)
    assert log.names() == ["control", "idle"] * 3


@pytest.mark.behaviour(5)
def test_a_freewheeling_task_is_omitted_and_counted_when_its_watchdog_time_does_not_fit(
    tmp_path: Path,
) -> None:
    bench, log = cell(tmp_path, {"control": {}, "idle": free(2 * MS)}, control=8 * MS)
    bench.run()
    assert log.names() == ["control", "idle"], "exactly as much as is left fits"
    log.takes["control"] = 8 * MS + 1
    bench.cycle(3)
    assert log.names() == ["control"] * 3
    figures = bench.image.statistics.read(1)
    assert (figures.runs, figures.omitted, figures.skips) == (1, 3, 0)
    assert bench.scan.state is CellState.RUN


def test_a_late_start_of_the_cycle_leaves_less_slack(tmp_path: Path) -> None:
    bench, log = cell(tmp_path, {"control": {}, "idle": free(2 * MS)}, control=7 * MS)
    bench.run()
    bench.cycle()
    assert log.names() == ["control", "idle"] * 2
    bench.clock.advance(1 * MS + 1)
    bench.cycle()
    assert log.names() == ["control"], "the next tick did not move with the late start"


@pytest.mark.behaviour(7)
def test_freewheeling_tasks_take_turns_when_the_slack_is_too_short_for_all(tmp_path: Path) -> None:
    timing = {"control": {}, "a": free(), "b": free(), "c": free()}
    takes = {"control": 6 * MS, "a": 2 * MS, "b": 2 * MS, "c": 2 * MS}
    for name in "abc":
        timing[name]["priority"] = 5
    bench, log = cell(tmp_path, timing, **takes)
    bench.run()
    bench.cycle(5)
    ran = [name for name in log.names() if name != "control"]
    assert ran == ["a", "b", "c", "a", "b", "c", "a", "b", "c", "a", "b", "c"]
    assert [bench.image.statistics.read(index).omitted for index in (1, 2, 3)] == [2, 2, 2]


def test_a_freewheeling_task_beyond_its_watchdog_faults_the_cell(tmp_path: Path) -> None:
    bench, _ = cell(tmp_path, {"idle": free(2 * MS)}, idle=2 * MS + 1)
    bench.run()
    assert bench.scan.state is CellState.FAULT
    assert bench.image.scan.fault_code == "task_watchdog"
    assert bench.outputs()[1] is False


# --- all kinds ------------------------------------------------------------------------------------

KINDS = st.sampled_from(["cyclic", "slow", "event", "free"])


@pytest.mark.behaviour(7)
@examples(25)
@given(
    rows=st.lists(st.tuples(KINDS, st.integers(0, 3)), min_size=1, max_size=6),
    levels=st.lists(st.booleans(), min_size=1, max_size=8),
)
def test_priority_gives_the_order_across_all_kinds_and_freewheeling_tasks_come_last(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], levels: list[bool]
) -> None:
    fields = {
        "cyclic": {},
        "slow": {"interval_ns": 2 * POLL_NS},
        "event": event(edge=Edge.BOTH),
        "free": free(),
    }
    timing = {
        f"{kind}{number}": {**fields[kind], "priority": priority}
        for number, (kind, priority) in enumerate(rows)
    }
    bench, log = cell(tmp_path_factory.mktemp("order"), timing)
    names = list(timing)
    bench.run()
    before = False
    for level in levels:
        log.ran.clear()
        tick = bench.tick
        bench.payload = bytes((level, 0))
        bench.cycle()
        called = [
            name
            for name in names
            if name.startswith(("cyclic", "free"))
            or (name.startswith("slow") and tick % 2 == 0)
            or (name.startswith("event") and level != before)
        ]
        called.sort(key=lambda n: (n.startswith("free"), timing[n]["priority"], names.index(n)))
        assert log.names() == called
        before = level
    bench.image.close()
