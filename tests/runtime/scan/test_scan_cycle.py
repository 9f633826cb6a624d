"""One cycle on a real image: the order of its steps, and what it tells about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cellwright.io.messages import ForceTag, ModeChanged, PartArrived, SetMode, WriteTag, encode
from cellwright.io.plan import CellState, quality
from cellwright.tasks.api import BOOL, INT, UDINT, Input, Output, ScanContext
from support.plans import POLL_NS, make_tag
from support.scan_bench import BOOT_ID, MS, UTC_NS, Bench, coupler, input_bit, output_bit, program


def nothing(self: Any, ctx: ScanContext) -> None:
    """A program that does nothing."""


@pytest.fixture
def seen() -> list[Any]:
    return []


def test_a_cycle_latches_then_obeys_then_forces_then_runs_then_commits(
    tmp_path: Path, seen: list[Any]
) -> None:
    def scan(self: Any, ctx: ScanContext) -> None:
        seen.append((self.part, self.recipe, self.door))
        self.clamp = self.part and self.recipe == 7

    control = program(
        scan, part=Input(BOOL), recipe=Input(INT), door=Input(BOOL), clamp=Output(BOOL)
    )
    tags = [
        input_bit("part", 0),
        input_bit("door", 1),
        make_tag("recipe", "INT"),
        output_bit("clamp", 2, writer="control"),
    ]
    bench = Bench(tmp_path, tags, {"control": control}, devices=[coupler()])
    bench.run()
    seen.clear()
    # In one and the same cycle: a fresh input, a written tag, a force over the input.
    bench.payload = b"\x01\x00"
    bench.image.commands.send(encode(WriteTag(tag="recipe", value=7, actor="a")))
    bench.image.commands.send(encode(ForceTag(tag="door", value=True, actor="a")))
    bench.cycle()
    assert seen == [(True, 7, True)]
    assert bench.outputs() == (b"\x04", True)
    assert bench.value("clamp") is True
    assert bench.value("sys.forces_active") is True


@pytest.mark.behaviour(7)
def test_tasks_run_in_order_of_priority_and_only_when_they_are_due(
    tmp_path: Path, seen: list[str]
) -> None:
    programs = {
        name: program(lambda self, ctx: seen.append(ctx.task)) for name in ("late", "slow", "first")
    }
    timing = {
        "late": {"priority": 5},
        "slow": {"priority": 1, "interval_ns": 2 * POLL_NS, "phase_ns": POLL_NS},
        "first": {"priority": 0},
    }
    bench = Bench(tmp_path, [], programs, timing=timing)
    bench.run()
    assert bench.tick == 2
    assert seen == ["first", "slow", "late"]
    seen.clear()
    bench.cycle()
    assert seen == ["first", "late"]


def test_a_task_reads_what_a_more_urgent_one_wrote_in_the_same_cycle(
    tmp_path: Path, seen: list[int]
) -> None:
    def count(self: Any, ctx: ScanContext) -> None:
        self.number += 1

    bench = Bench(
        tmp_path,
        [make_tag("number", "UDINT", writer="count")],
        {
            "look": program(lambda self, ctx: seen.append(self.number), number=Input(UDINT)),
            "count": program(count, number=Output(UDINT)),
        },
        timing={"look": {"priority": 2}, "count": {"priority": 1}},
    )
    bench.run()
    bench.cycle(2)
    assert seen == [1, 2, 3]


def test_the_first_cycle_leads_to_stop_and_says_so_in_an_event(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [], {"idle": program(nothing)})
    assert bench.scan.state is CellState.INIT
    bench.cycle()
    assert bench.scan.state is CellState.STOP
    assert bench.image.scan.state == CellState.STOP
    (changed,) = bench.events(ModeChanged)
    assert (changed.old, changed.new, changed.actor, changed.cycle) == ("INIT", "STOP", "scan", 1)
    assert changed.utc_ns == UTC_NS + 10_000 * MS


def test_no_task_runs_and_no_output_is_enabled_before_start_and_after_stop(
    tmp_path: Path, seen: list[int]
) -> None:
    def drive(self: Any, ctx: ScanContext) -> None:
        seen.append(ctx.cycle)
        self.clamp = True

    control = program(drive, clamp=Output(BOOL))
    tags = [output_bit("clamp", 0, writer="control")]
    bench = Bench(tmp_path, tags, {"control": control}, devices=[coupler()])
    bench.cycle(3)
    assert seen == []
    assert bench.outputs() == (b"\x00", False)
    assert bench.request("start").code == 0
    bench.cycle()
    assert seen == [4, 5]
    assert bench.outputs() == (b"\x01", True)
    assert bench.request("stop").code == 0
    assert seen == [4, 5, 6], "the last scan, in the cycle that obeys the stop"
    assert bench.outputs() == (b"\x00", False)
    assert bench.value("sys.state") == CellState.STOP


def test_a_second_start_while_running_changes_nothing(tmp_path: Path, seen: list[bool]) -> None:
    bench = Bench(tmp_path, [], {"t": program(lambda self, ctx: seen.append(ctx.first_scan))})
    bench.run()
    assert bench.request("start").code == 0
    assert seen == [True, False]
    assert [event.new for event in bench.events(ModeChanged)] == ["STOP", "RUN"]


@pytest.mark.behaviour(3)
def test_first_scan_is_told_once_after_each_start(tmp_path: Path, seen: list[Any]) -> None:
    bench = Bench(tmp_path, [], {"t": program(lambda self, ctx: seen.append(ctx.first_scan))})
    bench.run()
    assert bench.value("sys.first_scan") is True
    bench.cycle(2)
    assert bench.value("sys.first_scan") is False
    bench.request("stop")
    bench.request("start")
    bench.cycle()
    assert seen == [True, False, False, False, True, False]


@pytest.mark.behaviour(3)
def test_first_scan_is_told_to_a_task_that_is_not_due_in_the_first_cycle(
    tmp_path: Path, seen: list[Any]
) -> None:
    """A program that takes differences of time would else begin with the age of the machine."""
    look = program(lambda self, ctx: seen.append((ctx.task, ctx.first_scan)))
    bench = Bench(
        tmp_path,
        [],
        {"each": look, "third": look},
        timing={"third": {"interval_ns": 3 * POLL_NS}},
    )
    bench.run()  # tick 1; `third` is due at tick 3
    bench.cycle(6)
    assert [first for task, first in seen if task == "third"] == [True, False]
    assert [first for task, first in seen if task == "each"] == [True] + [False] * 6


def test_a_start_and_a_stop_in_one_cycle_leave_no_first_scan_behind(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [], {"t": program(nothing)})
    bench.cycle()
    for request in ("start", "stop"):
        bench.image.commands.send(encode(SetMode(request=request, actor="a")))
    bench.cycle(2)
    assert bench.scan.state is CellState.STOP
    assert bench.value("sys.first_scan") is False


@pytest.mark.behaviour(15)
def test_time_is_the_same_for_all_tasks_of_a_cycle(tmp_path: Path, seen: list[Any]) -> None:
    bench: Bench

    def look(self: Any, ctx: ScanContext) -> None:
        seen.append((ctx.cycle, ctx.now_ns, ctx.utc_ns, ctx.boot_id))
        bench.clock.advance(2 * MS)

    bench = Bench(tmp_path, [], {"a": program(look), "b": program(look)})
    bench.run()
    bench.cycle()
    assert seen[0] == seen[1] == (2, 10_010 * MS, UTC_NS + 10_010 * MS, BOOT_ID + "00")
    assert seen[2] == seen[3] == (3, 10_020 * MS, UTC_NS + 10_020 * MS, BOOT_ID + "00")


@pytest.mark.behaviour(6)
def test_elapsed_is_cycles_plus_skipped_in_every_snapshot(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [], {"t": program(nothing)})
    for skipped in (0, 0, 3, 0, 1, 0, 0, 7):
        bench.skip(skipped)
        bench.cycle()
        reader = bench.snapshot()
        elapsed, cycle, lost = (
            reader.value(bench.plan.tag(f"sys.{name}").index)
            for name in ("elapsed", "cycle", "skipped")
        )
        assert elapsed == cycle + lost
        assert elapsed == bench.tick
        assert reader.cycle == cycle
    assert bench.value("sys.skipped") == 11


@pytest.mark.behaviour(16)
def test_the_clock_tags_follow_scan_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [], {"t": program(nothing)})
    slow, quick = [], []
    for _ in range(200):
        bench.cycle()
        slow.append(bench.value("sys.clock_1s"))
        quick.append(bench.value("sys.clock_100ms"))
    assert slow == ([True] * 50 + [False] * 50) * 2
    assert quick == ([True] * 5 + [False] * 5) * 20


@pytest.mark.behaviour(16)
def test_load_tells_the_part_of_the_base_interval_that_the_last_cycle_took(tmp_path: Path) -> None:
    bench: Bench

    def work(self: Any, ctx: ScanContext) -> None:
        bench.clock.advance(4 * MS)

    bench = Bench(tmp_path, [], {"t": program(work)})
    bench.run()
    bench.cycle()
    assert bench.value("sys.load") == pytest.approx(40.0)


@pytest.mark.behaviour(16)
def test_the_gateway_counts_as_gone_after_two_silent_seconds(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [], {"t": program(nothing)})
    bench.image.processes["gateway"].beat_ns = bench.clock.now_ns()
    bench.cycle()
    assert bench.value("sys.gateway_alive") is True
    bench.cycle(200)
    assert bench.value("sys.gateway_alive") is True
    bench.cycle()
    assert bench.value("sys.gateway_alive") is False


@pytest.mark.behaviour(21)
def test_what_the_machine_does_not_grant_is_a_tag(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [], {"t": program(nothing)})
    bench.image.scan.degraded = "memory not locked (Operation not permitted)"
    bench.cycle()
    assert bench.value("sys.degraded") == "memory not locked (Operation not permitted)"


# --- events ---------------------------------------------------------------------------------------


def test_an_event_is_durable_when_durable_reaches_its_number(
    tmp_path: Path, seen: list[Any]
) -> None:
    def work(self: Any, ctx: ScanContext) -> None:
        number = ctx.emit(PartArrived, part_id=f"p{ctx.cycle}")
        seen.append((number, ctx.durable))

    bench = Bench(tmp_path, [], {"t": program(work)})
    bench.cycle()
    bench.acknowledge()
    bench.request("start")  # events so far: INIT to STOP, STOP to RUN, then the first part
    bench.cycle()
    assert seen == [(3, 1), (4, 1)]
    bench.acknowledge()
    bench.cycle()
    assert seen[-1] == (5, 4)
    assert [event.part_id for event in bench.events(PartArrived)] == ["p2", "p3", "p4"]


def test_an_event_carries_task_time_and_cycle(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, [], {"mark": program(lambda self, ctx: ctx.emit(PartArrived, part_id="p"))}
    )
    bench.run()
    (event,) = bench.events(PartArrived)
    assert (event.task, event.cycle, event.utc_ns) == ("mark", 2, UTC_NS + 10_010 * MS)


def test_numbers_stay_true_while_the_ring_is_full_and_afterwards(
    tmp_path: Path, seen: list[int]
) -> None:
    def flood(self: Any, ctx: ScanContext) -> None:
        text = "x" * 60_000
        seen.extend(ctx.emit(PartArrived, part_id=f"{len(seen)}-{text}") for _ in range(30))

    bench = Bench(tmp_path, [], {"t": program(flood)})
    bench.run()
    assert seen == list(range(seen[0], seen[0] + 30))
    assert bench.events_ring.written < seen[-1], "some of them must wait outside the ring"
    bench.cycle()
    assert bench.scan.state is CellState.FAULT
    while bench.events_ring.written > bench.events_ring.acknowledged:
        bench.acknowledge()
        bench.cycle()
    parts = [int(e.part_id.partition("-")[0]) for e in bench.taken if isinstance(e, PartArrived)]
    assert parts == list(range(30)), "in order, none lost, none twice"
    numbers = {type(event).__name__: n for n, event in enumerate(bench.taken, 1)}
    assert numbers["PartArrived"] == seen[-1]


# --- statistics -----------------------------------------------------------------------------------


@pytest.mark.behaviour(8)
def test_start_execution_and_overruns_are_counted_per_task(tmp_path: Path) -> None:
    bench: Bench
    took = [1 * MS, 2 * MS, 12 * MS]

    def work(self: Any, ctx: ScanContext) -> None:
        bench.clock.advance(took[min(ctx.cycle - 2, 2)])

    bench = Bench(
        tmp_path,
        [],
        {"early": program(work), "late": program(nothing)},
        timing={"early": {"watchdog_ns": 15 * MS}},
    )
    bench.run()
    bench.cycle(2)
    early, late = (bench.image.statistics.read(index) for index in (0, 1))
    assert (early.runs, early.execution.minimum, early.execution.maximum) == (3, 1 * MS, 12 * MS)
    assert (early.overruns, early.watchdog_hits) == (1, 0)
    assert (early.jitter.maximum, late.jitter.maximum) == (0, 12 * MS)
    assert (late.runs, late.overruns) == (3, 0)


def test_a_record_left_in_the_middle_by_a_killed_scan_is_mended_by_the_next(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [], {"t": program(nothing)})
    bench.run()
    bench.cycle(4)
    bench.launch()
    bench.run()
    assert bench.image.statistics.read(0).runs == 6, "counters are not reset by a restart"


def test_inputs_keep_quality_and_time_of_their_reading(tmp_path: Path) -> None:
    tags = [input_bit("part", 3)]
    bench = Bench(tmp_path, tags, {"t": program(nothing)}, devices=[coupler()])
    bench.payload = b"\x08\x00"
    bench.statuses = [(quality.GOOD, UTC_NS + 5), (quality.GOOD, UTC_NS + 6)]
    bench.cycle()
    reader = bench.snapshot()
    index = bench.plan.tag("part").index
    assert reader.value(index) is True
    assert reader.quality(index) == quality.GOOD
    assert reader.timestamp_ns(index) == UTC_NS + 5
