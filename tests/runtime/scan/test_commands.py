"""Commands to the scan: what is obeyed, what is refused with which code, and what is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.messages import (
    MOST_WRITES,
    CommandRefused,
    Deliver,
    ForceChanged,
    ForceTag,
    ReplyCode,
    ResetStatistics,
    SerialRefused,
    SetMode,
    StatisticsReset,
    TagValue,
    TagWritten,
    UnforceTag,
    WriteTag,
    WriteTags,
    encode,
)
from cellwright.io.plan import CellState, quality
from cellwright.runtime.scan.commands import INBOX_LIMIT
from cellwright.runtime.scan.cycle import COMMANDS_PER_CYCLE
from cellwright.tasks.api import BOOL, UDINT, Input, Output, ScanContext
from support.plans import make_tag
from support.scan_bench import Bench, coupler, input_bit, output_bit, program


@pytest.fixture
def received() -> list[Any]:
    """What the control program found in its inbox, cycle by cycle."""
    return []


@pytest.fixture
def bench(tmp_path: Path, received: list[Any]) -> Bench:
    """A cell with a tag of each kind; the program copies ``part`` to ``clamp`` and counts."""

    def scan(self: Any, ctx: ScanContext) -> None:
        if ctx.inbox:
            received.append(ctx.inbox)
        self.clamp = self.part
        self.count += 1

    control = program(scan, part=Input(BOOL), clamp=Output(BOOL), count=Output(UDINT))
    tags = [
        input_bit("part", 0),
        output_bit("clamp", 0, writer="control"),
        output_bit("lamp", 1),
        make_tag("count", "UDINT", writer="control"),
        make_tag("recipe", "INT", range=(1, 99), unit="mm"),
        make_tag("limits", "ARRAY[0..2] OF REAL", range=(-1.0, 1.0)),
        make_tag("name", "STRING(5)"),
        make_tag("speed", "REAL", initial=1.5),
        make_tag("wait", "TIME"),
    ]
    bench = Bench(tmp_path, tags, {"control": control}, devices=[coupler()])
    bench.run()
    bench.acknowledge()
    bench.taken.clear()
    return bench


def write(tag: str, value: Any) -> WriteTag:
    return WriteTag(tag=tag, value=value, actor="anna", reason="a reason")


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "value", "held"),
    [
        ("recipe", 7, 7),
        ("recipe", 99, 99),
        ("limits", [0.5, -1, 1.0], [0.5, -1.0, 1.0]),
        ("name", "äb", "äb"),
        ("speed", 3, 3.0),
        ("wait", 1_000_000_000, 1_000_000_000),
        ("lamp", True, True),
    ],
)
def test_a_written_tag_holds_the_value_and_the_audit_says_who_and_why(
    bench: Bench, tag: str, value: Any, held: Any
) -> None:
    before = bench.value(tag)
    assert bench.send(write(tag, value)).code == ReplyCode.OK
    assert bench.value(tag) == held
    assert bench.quality(tag) == quality.GOOD
    (event,) = bench.events()
    assert isinstance(event, TagWritten)
    assert (event.tag, event.old, event.new) == (tag, before, held)
    assert (event.actor, event.reason, event.task) == ("anna", "a reason", "runtime")


def write_all(*writes: tuple[str, Any]) -> WriteTags:
    values = tuple(TagValue(tag, value) for tag, value in writes)
    return WriteTags(writes=values, actor="anna", reason="a reason")


def test_several_tags_are_written_in_one_cycle_and_each_is_audited(bench: Bench) -> None:
    assert bench.send(write_all(("recipe", 7), ("name", "x"), ("recipe", 8))).code == ReplyCode.OK
    assert (bench.value("recipe"), bench.value("name")) == (8, "x")
    told = [(event.tag, event.old, event.new, event.cycle) for event in bench.events(TagWritten)]
    assert [item[:3] for item in told] == [("recipe", told[0][1], 7), ("name", "", "x"),
                                           ("recipe", 7, 8)]  # fmt: skip
    assert len({item[3] for item in told}) == 1


def test_the_first_refusal_ends_several_writes_and_says_how_many_were_done(bench: Bench) -> None:
    before = bench.value("name")
    reply = bench.send(write_all(("recipe", 7), ("recipe", 100), ("name", "x")))
    assert reply.code == ReplyCode.OUT_OF_RANGE
    assert reply.text.startswith("1 written; tag 'recipe' takes 1 to 99 mm, not 100")
    assert (bench.value("recipe"), bench.value("name")) == (7, before)


def test_a_command_writes_no_more_tags_than_a_cycle_bears(bench: Bench) -> None:
    many = [("recipe", 1 + number % 99) for number in range(MOST_WRITES)]
    assert bench.send(write_all(*many)).code == ReplyCode.OK
    assert len(bench.events(TagWritten)) == MOST_WRITES
    reply = bench.send(write_all(*many, ("recipe", 5)))
    assert reply.code == ReplyCode.OUT_OF_RANGE
    assert reply.text.startswith(f"0 written; {MOST_WRITES + 1} tags in one command")


def test_a_written_output_that_no_task_writes_reaches_the_device(bench: Bench) -> None:
    bench.send(write("lamp", True))
    assert bench.outputs() == (b"\x02", True)


REFUSALS = [
    (write("recpie", 1), ReplyCode.UNKNOWN_TAG, "there is no tag 'recpie'"),
    (write("part", True), ReplyCode.NOT_WRITABLE, "tag 'part' is written by its device"),
    (write("clamp", True), ReplyCode.NOT_WRITABLE, "tag 'clamp' is written by task 'control'"),
    (write("count", 1), ReplyCode.NOT_WRITABLE, "tag 'count' is written by task 'control'"),
    (
        write("sys.state", 2),
        ReplyCode.NOT_WRITABLE,
        "'sys.state' is a system tag of the runtime and cannot be written",
    ),
    (write("recipe", 0), ReplyCode.OUT_OF_RANGE, "tag 'recipe' takes 1 to 99 mm, not 0"),
    (write("recipe", 100), ReplyCode.OUT_OF_RANGE, "tag 'recipe' takes 1 to 99 mm, not 100"),
    (write("limits", [0.0, 1.1, 0.0]), ReplyCode.OUT_OF_RANGE, "takes -1 to 1, not 1.1"),
    (write("limits", [0.0, float("nan"), 0.0]), ReplyCode.OUT_OF_RANGE, "not nan"),
    (write("limits", [0.0, 0.0]), ReplyCode.TYPE_MISMATCH, "takes 3 values, not 2"),
    (write("limits", 0.0), ReplyCode.TYPE_MISMATCH, "takes a list of 3 values"),
    (write("recipe", "seven"), ReplyCode.TYPE_MISMATCH, "tag 'recipe': INT does not take 'seven'"),
    (write("recipe", 7.0), ReplyCode.TYPE_MISMATCH, "INT does not take 7.0"),
    (write("recipe", True), ReplyCode.TYPE_MISMATCH, "INT does not take True"),
    (write("recipe", 40_000), ReplyCode.TYPE_MISMATCH, "INT holds -32768 to 32767, not 40000"),
    (write("name", "äöü"), ReplyCode.TYPE_MISMATCH, "STRING(5) holds 5 bytes"),
    (write("lamp", 2), ReplyCode.TYPE_MISMATCH, "BOOL does not take 2"),
    (ForceTag(tag="prat", value=True, actor="anna"), ReplyCode.UNKNOWN_TAG, "no tag 'prat'"),
    (ForceTag(tag="part", value="x", actor="anna"), ReplyCode.TYPE_MISMATCH, "tag 'part': BOOL"),
    (ForceTag(tag="sys.cycle", value=1, actor="anna"), ReplyCode.NOT_WRITABLE, "system tag"),
    (UnforceTag(tag="prat", actor="anna"), ReplyCode.UNKNOWN_TAG, "there is no tag 'prat'"),
    (
        SetMode(request="jump", actor="anna"),
        ReplyCode.UNKNOWN_REQUEST,
        "use start, cold_start, hot_start, pause, stop, reset",
    ),
    (SetMode(request="fault", actor="anna"), ReplyCode.UNKNOWN_REQUEST, "'fault' is not a request"),
    (SetMode(request="reset", actor="anna"), ReplyCode.INVALID_STATE, "not possible in RUN"),
    (ResetStatistics(task="nobody", actor="anna"), ReplyCode.UNKNOWN_TASK, "tasks: control"),
    (
        Deliver(task="nobody", actor="mes", body=SerialRefused(part_id="p", reason="r")),
        ReplyCode.UNKNOWN_TASK,
        "there is no task 'nobody'; tasks: control",
    ),
]


@pytest.mark.parametrize(
    ("command", "code", "words"), REFUSALS, ids=[f"{c.name}-{w}" for _, c, w in REFUSALS]
)
def test_a_refused_command_has_a_code_and_a_sentence_changes_nothing_and_is_recorded(
    bench: Bench, command: Any, code: ReplyCode, words: str
) -> None:
    names = [tag.name for tag in bench.plan.tags if not tag.name.startswith("sys.")]
    before = {name: bench.value(name) for name in names} | {"count": bench.value("count") + 1}
    reply = bench.send(command)
    assert reply.code == code
    assert words in reply.text
    assert {name: bench.value(name) for name in names} == before
    assert bench.value("sys.forces_active") is False
    (event,) = bench.events()
    assert isinstance(event, CommandRefused)
    assert (event.command, event.actor) == (type(command).__name__, command.actor)
    assert event.why.startswith(reply.text)


# --- bytes that are no command --------------------------------------------------------------------


def nested(depth: int) -> bytes:
    """A command with an unknown field of so many lists in each other."""
    head = b"\x85" + b"".join(
        msgspec.msgpack.encode(text) for text in ("type", "set_mode", "actor", "a", "reason", "")
    )
    head += msgspec.msgpack.encode("request") + msgspec.msgpack.encode("stop")
    return head + msgspec.msgpack.encode("more") + b"\x91" * depth + b"\xc0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"not msgpack at all",
        msgspec.msgpack.encode({"type": "write_tag", "actor": "a"}),
        msgspec.msgpack.encode({"type": "explode", "actor": "a"}),
        msgspec.msgpack.encode({"type": "set_mode", "actor": 7, "request": "stop"}),
        nested(3000),
    ],
    ids=["empty", "one byte", "text", "fields missing", "unknown type", "wrong type", "deep"],
)
def test_bytes_that_are_no_command_are_answered_as_malformed(bench: Bench, data: bytes) -> None:
    reply = bench.send(data)
    assert reply.code == ReplyCode.MALFORMED
    assert reply.text
    assert bench.scan.state is CellState.RUN
    assert bench.events() == []


@given(st.binary(max_size=300))
def test_no_bytes_harm_the_scan(bench: Bench, data: bytes) -> None:
    bench.send(data)
    assert bench.scan.state is CellState.RUN
    assert bench.send(write("recipe", 5)).code == ReplyCode.OK


# --- many at once ---------------------------------------------------------------------------------


def test_a_flood_of_commands_is_spread_over_cycles_in_order(bench: Bench) -> None:
    count = COMMANDS_PER_CYCLE + 1
    tickets = [
        bench.image.commands.send(encode(write("recipe", number + 1))) for number in range(count)
    ]
    bench.cycle()
    assert bench.value("recipe") == COMMANDS_PER_CYCLE
    assert bench.image.commands.result(tickets[-1]) is None
    bench.cycle()
    assert bench.value("recipe") == count
    assert [event.new for event in bench.events()] == list(range(1, count + 1))


def test_commands_in_one_cycle_see_what_those_before_did(bench: Bench) -> None:
    tickets = [
        bench.image.commands.send(encode(command))
        for command in (
            SetMode(request="stop", actor="a"),
            write("recipe", 3),
            SetMode(request="reset", actor="a"),
            SetMode(request="start", actor="a"),
        )
    ]
    bench.cycle()
    replies = [bench.image.commands.result(ticket) for ticket in tickets]
    assert [reply and reply.code for reply in replies] == [0, 0, ReplyCode.INVALID_STATE, 0]
    assert bench.scan.state is CellState.RUN
    assert bench.value("recipe") == 0, "a start gives the initial value to what is not retained"


# --- forces ---------------------------------------------------------------------------------------


def force(tag: str, value: Any) -> ForceTag:
    return ForceTag(tag=tag, value=value, actor="anna", reason="testing")


@pytest.mark.behaviour(9)
def test_a_force_holds_against_device_and_program_until_it_is_released(bench: Bench) -> None:
    assert bench.send(force("part", True)).code == ReplyCode.OK
    bench.cycle(3)
    assert bench.value("part") is True
    assert bench.quality("part") == quality.GOOD_LOCAL_OVERRIDE
    assert bench.outputs() == (b"\x01", True), "the program acts on the forced input"
    assert bench.send(force("clamp", False)).code == ReplyCode.OK
    bench.cycle(3)
    assert (bench.value("clamp"), bench.outputs()) == (False, (b"\x00", True))
    assert bench.value("sys.forces_active") is True
    assert bench.send(UnforceTag(tag="clamp", actor="anna")).code == ReplyCode.OK
    assert bench.outputs() == (b"\x01", True)
    assert bench.quality("clamp") == quality.GOOD
    assert bench.send(UnforceTag(tag="part", actor="anna")).code == ReplyCode.OK
    assert (bench.value("part"), bench.quality("part")) == (False, quality.GOOD)
    assert bench.outputs() == (b"\x00", True)
    assert bench.value("sys.forces_active") is False


@pytest.mark.behaviour(9)
def test_forces_are_recorded_with_who_and_why_and_all_are_released_at_once(bench: Bench) -> None:
    bench.send(force("part", True))
    bench.send(force("recipe", 500))
    bench.send(UnforceTag(actor="otto"))
    assert bench.value("sys.forces_active") is False
    assert bench.value("part") is False
    events = bench.events(ForceChanged)
    assert [(e.tag, e.value, e.actor, e.reason) for e in events] == [
        ("part", True, "anna", "testing"),
        ("recipe", 500, "anna", "testing"),
        ("", None, "otto", ""),
    ]


def test_a_forced_output_takes_its_safe_value_when_the_cell_does_not_run(bench: Bench) -> None:
    bench.send(force("lamp", True))
    assert bench.outputs() == (b"\x02", True)
    bench.request("stop")
    assert bench.outputs() == (b"\x00", False)
    bench.request("start")
    assert bench.outputs() == (b"\x02", True), "the force itself lasts over stop and start"
    bench.ports[0].trip = 1
    bench.cycle()
    assert bench.scan.state is CellState.FAULT
    assert bench.outputs() == (b"\x00", False)


@pytest.mark.behaviour(9)
def test_a_write_under_a_force_does_not_show_until_somebody_writes_after_its_release(
    bench: Bench,
) -> None:
    bench.send(force("recipe", 50))
    assert bench.send(write("recipe", 20)).code == ReplyCode.OK
    bench.cycle()
    assert bench.value("recipe") == 50
    bench.send(UnforceTag(tag="recipe", actor="anna"))
    assert (bench.value("recipe"), bench.quality("recipe")) == (50, quality.GOOD)
    bench.send(write("recipe", 20))
    assert bench.value("recipe") == 20


def test_a_new_scan_begins_without_the_forces_of_its_predecessor(bench: Bench) -> None:
    bench.send(force("part", True))
    bench.launch()
    bench.run()
    bench.cycle()
    assert bench.value("part") is False
    assert bench.value("sys.forces_active") is False


# --- inbox and statistics -------------------------------------------------------------------------


def test_messages_arrive_once_and_in_order_and_too_many_are_refused(
    bench: Bench, received: list[Any]
) -> None:
    bodies = [SerialRefused(part_id=f"p{n}", reason="none") for n in range(INBOX_LIMIT + 1)]
    bench.send(Deliver(task="control", actor="mes", body=bodies[0]))
    assert received == [(bodies[0],)]
    bench.request("stop")
    replies = [bench.send(Deliver(task="control", actor="mes", body=body)) for body in bodies]
    assert [reply.code for reply in replies] == [0] * INBOX_LIMIT + [ReplyCode.INVALID_STATE]
    assert replies[-1].text == "task 'control' has 64 unread messages; is it running?"
    received.clear()
    bench.request("start")
    bench.cycle()
    assert received == [tuple(bodies[:-1])]


@pytest.mark.parametrize("task", ["control", ""])
@pytest.mark.behaviour(8)
def test_statistics_are_reset_on_command_only(bench: Bench, task: str) -> None:
    bench.image.statistics.record(-1, 1, 1)
    bench.cycle(5)
    assert bench.image.statistics.read(0).runs == 6
    assert bench.send(ResetStatistics(task=task, actor="a")).code == ReplyCode.OK
    figures, scan = bench.image.statistics.read(0), bench.image.statistics.read(-1)
    assert (figures.runs, figures.resets) == (1, 1), "the cycle that reset them counts"
    assert scan.runs == (1 if task else 0)
    (event,) = bench.events(StatisticsReset)
    assert (event.of, event.actor) == (task, "a")


# --- the client -----------------------------------------------------------------------------------


def test_the_client_says_that_nobody_answers(bench: Bench) -> None:
    client = CommandClient(bench.image, timeout_s=0.01)
    with pytest.raises(CommandFailed, match=r"did not answer within 0\.01 s") as caught:
        client.send(write("recipe", 5))
    assert caught.value.code is None


def test_the_client_says_that_the_ring_is_full(bench: Bench) -> None:
    client = CommandClient(bench.image)
    for _ in range(bench.image.commands.SLOTS):
        client.post(write("recipe", 5))
    with pytest.raises(CommandFailed, match="has not taken the last 256 commands") as caught:
        client.post(write("recipe", 5))
    assert caught.value.code is None


async def test_the_client_waits_without_blocking_the_loop(bench: Bench) -> None:
    client = CommandClient(bench.image, timeout_s=0.02)
    with pytest.raises(CommandFailed, match=r"did not answer within 0\.02 s"):
        await client.send_async(write("recipe", 5))


@pytest.mark.parametrize("number", [-74, 99])
def test_a_code_that_the_client_does_not_know_counts_as_malformed(
    bench: Bench, number: int
) -> None:
    client = CommandClient(bench.image)
    ticket = client.post(write("recipe", 5))
    bench.image.commands.reply(ticket, number, "damaged")
    with pytest.raises(CommandFailed, match="damaged") as caught:
        client._answered(ticket)
    assert caught.value.code is ReplyCode.MALFORMED


def test_an_array_too_long_for_the_audit_is_not_written_rather_than_written_unrecorded(
    tmp_path: Path,
) -> None:
    tags = [make_tag("texts", "ARRAY[0..1023] OF STRING(1000)")]
    bench = Bench(tmp_path, tags, {"t": program(lambda self, ctx: None)})
    bench.run()
    long = ["x" * 1000] * 1024
    for command in (write("texts", long), force("texts", long)):
        reply = bench.send(command)
        assert reply.code == ReplyCode.OUT_OF_RANGE
        assert "is longer than the" in reply.text
    assert bench.value("texts") == [""] * 1024
    assert bench.value("sys.forces_active") is False
