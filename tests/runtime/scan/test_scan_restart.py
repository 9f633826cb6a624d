"""What a start hands to the programs: retained values, initial values, and the part in the cell."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.journal.journal import JournalReader, Record
from cellwright.io.journal.writer import JournalWriter
from cellwright.io.messages import (
    AnyEvent,
    FaultRaised,
    MarkAuthorised,
    PartArrived,
    PartDeparted,
    PartReleased,
    ProgramChanged,
    WriteTag,
    encode,
)
from cellwright.io.plan import CellState
from cellwright.runtime.supervision.handover import emitted_change, open_events
from cellwright.tasks.api import BOOL, INT, UDINT, Input, Output, Retained, ScanContext
from support.campaign import examples
from support.plans import make_tag
from support.scan_bench import BOOT_ID, Bench, coupler, output_bit, program, scan_start


def arrived(part: str, task: str = "sequence") -> PartArrived:
    return PartArrived(task=task, utc_ns=1, part_id=part)


def authorised(part: str, task: str = "mark") -> MarkAuthorised:
    return MarkAuthorised(
        task=task,
        utc_ns=2,
        part_id=part,
        station="mark",
        serial="S1",
        content="S1",
        device="peen",
        template="t.lua",
    )


class Memory:
    """Two programs that note what `recover` gives them; ``say`` is emitted by the sequence."""

    def __init__(self, folder: Path) -> None:
        self.recovered: list[tuple[str, list[AnyEvent]]] = []
        self.say: list[tuple[type, dict[str, Any]]] = []
        self.fresh: list[Any] = []

        def recover(program: Any, events: Any, ctx: ScanContext) -> None:
            self.recovered.append((ctx.task, list(events)))
            self.fresh.append(program)

        def scan(program: Any, ctx: ScanContext) -> None:
            while ctx.task == "sequence" and self.say:
                kind, fields = self.say.pop(0)
                ctx.emit(kind, **fields)

        kind = program(scan, recover)
        self.bench = Bench(folder, [], {"sequence": kind, "mark": kind})


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path)


def test_a_program_gets_its_own_events_of_the_part_in_the_cell(memory: Memory) -> None:
    events: list[AnyEvent] = [arrived("p1"), authorised("p1")]
    memory.bench.launch(scan_start(events=events))
    memory.bench.run()
    assert memory.recovered == [("sequence", [arrived("p1")]), ("mark", [authorised("p1")])]


def test_each_start_makes_new_programs_and_recovers_them_again(memory: Memory) -> None:
    memory.bench.launch(scan_start(events=[arrived("p1")]))
    memory.bench.run()
    memory.bench.request("stop")
    memory.bench.request("start")
    assert [events for task, events in memory.recovered if task == "sequence"] == [
        [arrived("p1")],
        [arrived("p1")],
    ]
    assert len({id(one) for one in memory.fresh}) == 4


def test_events_of_this_scan_are_recovered_durable_or_not(memory: Memory) -> None:
    memory.say = [(PartArrived, {"part_id": "p9"})]
    memory.bench.run()
    memory.bench.request("stop")
    memory.bench.request("start")
    task, (event,) = memory.recovered[-2]
    assert (task, event.part_id) == ("sequence", "p9")


def test_a_released_part_is_still_there_and_a_departed_one_is_not(memory: Memory) -> None:
    memory.say = [
        (PartArrived, {"part_id": "p1"}),
        (PartReleased, {"part_id": "p1", "serial": "", "verdict": "rejected"}),
    ]
    memory.bench.launch(scan_start(events=[authorised("p1")]))
    memory.bench.run()
    memory.bench.request("stop")
    memory.bench.request("start")
    assert [type(event) for event in memory.recovered[-2][1]] == [PartArrived, PartReleased]
    assert memory.recovered[-1] == ("mark", [authorised("p1")])
    memory.say = [(PartDeparted, {"part_id": "p1"})]
    memory.bench.cycle()
    memory.bench.request("stop")
    memory.bench.request("start")
    assert memory.recovered[-2:] == [("sequence", []), ("mark", [])]


def test_events_without_a_part_are_not_recovered(memory: Memory) -> None:
    memory.bench.run()
    memory.bench.send(WriteTag(tag="nothing", value=1, actor="a"))
    assert memory.bench.events()
    memory.bench.request("stop")
    memory.bench.request("start")
    assert memory.recovered[-2:] == [("sequence", []), ("mark", [])]


def test_programs_are_told_the_boot_id_that_the_supervisor_gave(tmp_path: Path) -> None:
    seen: list[str] = []
    bench = Bench(tmp_path, [], {"t": program(lambda self, ctx: seen.append(ctx.boot_id))})
    bench.launch(scan_start(boot_id=BOOT_ID + "03"))
    bench.run()
    assert seen == [BOOT_ID + "03"]


# --- what the supervisor leaves -------------------------------------------------------------------

lives = st.lists(st.sampled_from(["arrived", "authorised", "departed", "other"]), max_size=12)


def stream(kinds: list[str]) -> list[AnyEvent]:
    """Events of one part after another, with events that concern none between."""
    part, events = 0, []
    for number, kind in enumerate(kinds):
        if kind == "arrived":
            part += 1
            events.append(arrived(f"p{part}"))
        elif kind == "authorised":
            events.append(authorised(f"p{part}-{number}"))
        elif kind == "departed":
            events.append(PartDeparted(task="sequence", utc_ns=number, part_id=f"p{part}"))
        else:
            events.append(FaultRaised(task="runtime", utc_ns=number, code="x", text="y"))
    return events


@given(lives, st.integers(0, 12), st.integers(0, 12))
def test_ring_and_journal_together_tell_the_part_in_the_cell_however_far_the_journal_is(
    kinds: list[str], committed: int, overlap: int
) -> None:
    events = stream(kinds)
    committed = min(committed, len(events))
    pending = events[max(0, committed - overlap) :]
    expected: list[AnyEvent] = []
    for event in events:
        if isinstance(event, PartDeparted):
            expected.clear()
        elif hasattr(event, "part_id"):
            expected.append(event)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        with JournalWriter(path) as writer:
            writer.append([_record(event, n) for n, event in enumerate(events[:committed], 1)])
            with JournalReader(path) as reader:
                found = open_events(reader, [encode(event) for event in pending] + [b"damaged"])
    assert found == expected


def changed(change: str) -> ProgramChanged:
    """An event of one change; they differ in nothing else."""
    return ProgramChanged(
        task="runtime",
        utc_ns=1,
        tasks=[],
        old="a",
        new="b",
        files=[],
        actor="ann",
        reason="",
        change=change,
    )


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
@examples(30)
def test_ring_and_journal_together_tell_the_last_change_of_programs_that_was_told(
    count: int, committed: int, overlap: int
) -> None:
    events: list[AnyEvent] = []
    for number in range(count):
        events += [changed(f"{number}"), arrived(f"p{number}")]
    committed = min(committed, len(events))
    pending = [encode(event) for event in events[max(0, committed - overlap) :]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        with JournalWriter(path) as writer:
            writer.append([_record(event, n) for n, event in enumerate(events[:committed], 1)])
            with JournalReader(path) as reader:
                told = emitted_change(reader, [*pending, b"damaged"])
    assert told == (f"{count - 1}" if count else "")


def _record(event: AnyEvent, number: int) -> Record:
    return Record(
        producer="scan",
        boot_id=BOOT_ID,
        producer_sequence=number,
        utc_ns=event.utc_ns,
        kind=str(event.__struct_config__.tag),
        task=event.task,
        part_id=getattr(event, "part_id", None),
        payload=encode(event),
    )


# --- values ---------------------------------------------------------------------------------------


def counting(folder: Path) -> Bench:
    def scan(self: Any, ctx: ScanContext) -> None:
        self.strokes += 1
        self.shown = self.shown + 1
        self.lamp = True

    control = program(
        scan, strokes=Retained(UDINT), shown=Output(INT), lamp=Output(BOOL), recipe=Input(INT)
    )
    tags = [
        make_tag("strokes", "UDINT", retain=True, writer="control"),
        make_tag("shown", "INT", initial=100, writer="control"),
        make_tag("recipe", "INT", retain=True, initial=1),
        make_tag("note", "STRING(10)", initial="none"),
        output_bit("lamp", 0, writer="control"),
    ]
    return Bench(folder, tags, {"control": control}, devices=[coupler()])


@pytest.mark.behaviour(2)
def test_a_warm_start_keeps_retained_values_and_resets_the_others(tmp_path: Path) -> None:
    bench = counting(tmp_path)
    bench.run()
    bench.cycle(4)
    bench.send(WriteTag(tag="recipe", value=7, actor="a"))
    bench.send(WriteTag(tag="note", value="hello", actor="a"))
    assert (bench.value("strokes"), bench.value("shown")) == (7, 107)
    bench.request("stop")
    assert (bench.value("strokes"), bench.value("note")) == (8, "hello")
    assert bench.value("shown") == 108, "STOP changes nothing beyond the last scan"
    bench.request("start")
    assert (bench.value("strokes"), bench.value("shown")) == (9, 101)
    assert (bench.value("recipe"), bench.value("note")) == (7, "none")


@pytest.mark.behaviour(2)
def test_a_cold_start_gives_initial_values(tmp_path: Path) -> None:
    bench = counting(tmp_path)
    bench.cycle()
    assert [bench.value(name) for name in ("strokes", "shown", "recipe", "note")] == [
        0,
        100,
        1,
        "none",
    ]


@pytest.mark.behaviour(17)
def test_a_new_scan_takes_over_what_the_supervisor_kept(tmp_path: Path) -> None:
    bench = counting(tmp_path)
    bench.launch(scan_start(retained={"strokes": 41, "recipe": 9}))
    bench.cycle()
    assert (bench.value("strokes"), bench.value("recipe")) == (41, 9)
    bench.request("start")
    assert bench.value("strokes") == 42


def test_retained_values_that_do_not_fit_any_more_leave_the_initial_ones(tmp_path: Path) -> None:
    bench = counting(tmp_path)
    bench.launch(
        scan_start(retained={"strokes": -1, "recipe": "x", "shown": 5, "gone": 1, "note": "y"})
    )
    bench.run()
    assert bench.scan.state is CellState.RUN
    assert (bench.value("strokes"), bench.value("recipe")) == (1, 1)
    assert (bench.value("shown"), bench.value("note")) == (101, "none")


def test_outputs_of_a_new_scan_are_off_until_it_is_started(tmp_path: Path) -> None:
    bench = counting(tmp_path)
    bench.run()
    assert bench.outputs() == (b"\x01", True)
    bench.launch()
    bench.cycle()
    assert bench.outputs() == (b"\x00", False)
    assert bench.scan.state is CellState.STOP
