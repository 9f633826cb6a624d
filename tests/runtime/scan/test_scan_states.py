"""PAUSE, the kinds of start, the last scan, the keyswitch and the record of the first fault."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.image import Reply
from cellwright.io.messages import (
    FaultRaised,
    ForceChanged,
    ForceTag,
    ModeChanged,
    ReplyCode,
    SetMode,
    WriteTag,
)
from cellwright.io.plan import CellState, KeyPosition, OnLoss, Tag
from cellwright.tasks.api import (
    BOOL,
    UDINT,
    Input,
    Output,
    Program,
    ProgramOptions,
    Retained,
    ScanContext,
)
from cellwright.tasks.control.blocks import TON, T_s
from support.plans import POLL_NS, make_tag
from support.scan_bench import MS, Bench, coupler, input_bit, output_bit, program, scan_start


class Press(Program[ProgramOptions]):
    """Closes 50 ms after a part has come, and counts its executions."""

    part = Input(BOOL)
    clamp = Output(BOOL)
    runs = Output(UDINT, initial=100)
    strokes = Retained(UDINT, initial=5)
    delay = TON()

    def __init__(self, image: Any, binding: Any, options: ProgramOptions) -> None:
        super().__init__(image, binding, options)
        self.seen: list[tuple[int, bool, bool]] = []

    def scan(self, ctx: ScanContext) -> None:
        """Count, and close in time."""
        self.seen.append((ctx.now_ns, ctx.first_scan, ctx.last_scan))
        self.runs += 1
        self.strokes += 1
        self.clamp = self.delay(ctx, self.part, T_s(0.05))


TAGS: Sequence[Tag] = (
    input_bit("part", 0),
    output_bit("clamp", 2, writer="press"),
    make_tag("runs", "UDINT", initial=100, writer="press"),
    make_tag("strokes", "UDINT", initial=5, retain=True, writer="press"),
)


def press(folder: Path, **fields: Any) -> Bench:
    bench = Bench(folder, TAGS, {"press": Press}, devices=[coupler()], **fields)
    bench.payload = b"\x01\x00"
    return bench


def seen(bench: Bench) -> list[tuple[int, bool, bool]]:
    found: list[tuple[int, bool, bool]] = bench.scan.execution.programs[0].seen  # type: ignore[attr-defined]
    return found


# --- PAUSE ------------------------------------------------------------------------------------


@pytest.mark.behaviour(1)
def test_in_pause_the_tasks_stand_still_and_io_goes_on(tmp_path: Path) -> None:
    bench = press(tmp_path)
    bench.run()
    bench.cycle(9)
    assert bench.outputs() == (b"\x04", True)
    assert bench.request("pause").code == 0
    runs = bench.value("runs")
    bench.payload = b"\x00\x00"
    bench.cycle(5)
    assert bench.value("sys.state") == CellState.PAUSE
    assert bench.value("runs") == runs, "no task runs"
    assert bench.value("part") is False, "inputs are read"
    assert bench.outputs() == (b"\x04", True), "outputs keep their values and are driven"
    bench.send(ForceTag(tag="clamp", value=False, actor="a"))
    assert bench.outputs() == (b"\x00", True), "forces act"


@pytest.mark.behaviour(15)
def test_scan_time_stands_still_in_pause_so_that_timers_go_on_where_they_were(
    tmp_path: Path,
) -> None:
    bench = press(tmp_path)
    bench.run()
    bench.cycle(2)
    closed_after = []
    bench.request("pause")
    bench.cycle(200)
    bench.skip(50)
    assert bench.request("hot_start").code == 0
    for number in range(6):
        closed_after.append((number, bench.value("clamp")))
        bench.cycle()
    # Three executions before the pause, the last 20 ms after the first; the sixth fills 50 ms.
    assert [number for number, closed in closed_after if closed] == [2, 3, 4, 5]
    times = [now_ns for now_ns, _, _ in seen(bench)]
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert steps == {POLL_NS}


@pytest.mark.behaviour(2)
def test_a_hot_start_makes_nothing_anew_and_has_no_first_scan(tmp_path: Path) -> None:
    bench = press(tmp_path)
    bench.run()
    before = bench.scan.execution.programs[0]
    bench.cycle(3)
    bench.request("pause")
    bench.cycle(3)
    bench.request("hot_start")
    bench.cycle()
    assert bench.scan.execution.programs[0] is before
    assert [first for _, first, _ in seen(bench)] == [True] + [False] * 5
    assert bench.value("sys.first_scan") is False
    modes = [(event.old, event.new, event.request) for event in bench.events(ModeChanged)]
    assert modes[-2:] == [("RUN", "PAUSE", "pause"), ("PAUSE", "RUN", "hot_start")]


def test_a_loss_in_pause_takes_the_outputs_away(tmp_path: Path) -> None:
    tags = [input_bit("part", 0, on_loss=OnLoss.FAULT), *TAGS[1:]]
    bench = Bench(tmp_path, tags, {"press": Press}, devices=[coupler(on_loss=OnLoss.FAULT)])
    bench.run()
    bench.request("pause")
    bench.drivers_alive = False
    bench.cycle(40)
    assert bench.scan.state is CellState.FAULT
    assert bench.outputs() == (b"\x00", False)


@pytest.mark.behaviour(1)
def test_pause_and_hot_start_are_refused_where_they_mean_nothing(tmp_path: Path) -> None:
    bench = press(tmp_path)
    bench.cycle()
    for request in ("pause", "hot_start"):
        reply = bench.request(request)
        assert reply.code == ReplyCode.INVALID_STATE
        assert f"'{request}' is not possible in STOP; possible: start, cold_start" in reply.text
    bench.request("start")
    bench.request("pause")
    for request in ("start", "cold_start"):
        assert "possible: hot_start ('cellwright resume'), stop" in bench.request(request).text


# --- kinds of start -----------------------------------------------------------------------------


@pytest.mark.behaviour(2)
def test_cold_warm_and_hot_start_differ_in_what_they_keep(tmp_path: Path) -> None:
    bench = press(tmp_path)
    bench.run()
    bench.cycle(4)
    assert (bench.value("runs"), bench.value("strokes")) == (105, 10)
    bench.request("pause")
    bench.request("hot_start")
    assert (bench.value("runs"), bench.value("strokes")) == (106, 11), "hot: everything"
    bench.request("stop")
    bench.request("start")
    assert (bench.value("runs"), bench.value("strokes")) == (101, 13), "warm: what is retained"
    bench.request("stop")
    bench.request("cold_start")
    assert (bench.value("runs"), bench.value("strokes")) == (101, 6), "cold: nothing"
    assert bench.events(ModeChanged)[-1].request == "cold_start"


# --- the last scan ------------------------------------------------------------------------------


@pytest.mark.behaviour(3)
def test_a_stop_gives_every_task_one_last_scan_whose_outputs_reach_no_device(
    tmp_path: Path,
) -> None:
    flags: dict[str, list[bool]] = {"each": [], "seldom": [], "never": []}
    look = program(lambda self, ctx: flags[ctx.task].append(ctx.last_scan))
    bench = Bench(
        tmp_path,
        TAGS[:2],
        dict.fromkeys(flags, look),
        devices=[coupler()],
        timing={
            "seldom": {"interval_ns": 100 * POLL_NS, "phase_ns": 2 * POLL_NS},
            "never": {"interval_ns": 100 * POLL_NS, "phase_ns": 50 * POLL_NS},
        },
    )
    bench.run()
    bench.cycle(3)
    bench.request("stop")
    assert bench.value("sys.last_scan") is True
    assert bench.outputs() == (b"\x00", False)
    bench.cycle(3)
    assert bench.value("sys.last_scan") is False
    assert flags == {"each": [False] * 4 + [True], "seldom": [False, True], "never": []}


def test_the_last_scan_sees_forces_and_hands_out_no_job(tmp_path: Path) -> None:
    told: list[Any] = []

    def scan(self: Any, ctx: ScanContext) -> None:
        told.append((ctx.last_scan, self.part, ctx.submit("mark")))

    kind = program(scan, part=Input(BOOL))
    bench = Bench(
        tmp_path,
        TAGS[:1],
        {"press": kind},
        devices=[coupler()],
        timing={"press": {"worker": "programs:Eyes"}},
    )
    bench.run()
    bench.send(ForceTag(tag="part", value=True, actor="a"))
    before = len(bench.image.job_ring(0).peek())
    bench.request("stop")
    assert told[-2:] == [(False, True, 2), (True, True, 0)]
    assert len(bench.image.job_ring(0).peek()) == before


def test_a_program_that_fails_in_its_last_scan_faults_the_cell(tmp_path: Path) -> None:
    def scan(self: Any, ctx: ScanContext) -> None:
        if ctx.last_scan:
            raise ValueError("cannot let go")

    bench = Bench(tmp_path, [], {"press": program(scan)})
    bench.run()
    reply = bench.request("stop")
    assert (reply.code, "cannot let go" in reply.text) == (ReplyCode.INVALID_STATE, True)
    assert bench.scan.state is CellState.FAULT
    assert bench.value("sys.first_fault_task") == "press"


def test_a_fault_has_no_last_scan(tmp_path: Path) -> None:
    flags: list[bool] = []
    bench = Bench(tmp_path, [], {"press": program(lambda self, ctx: flags.append(ctx.last_scan))})
    bench.run()
    bench.scan.fault("test", "something broke")
    bench.cycle(2)
    assert flags == [False]


# --- the keyswitch ------------------------------------------------------------------------------


def ask(bench: Bench, request: str, *, remote: bool) -> Reply:
    return bench.send(SetMode(request=request, actor="a", remote=remote))


@pytest.mark.behaviour(18)
def test_the_keyswitch_gates_remote_starts(tmp_path: Path) -> None:
    tags = [*TAGS, make_tag("key", "INT", initial=0)]
    bench = Bench(tmp_path, tags, {"press": Press}, devices=[coupler()], keyswitch="key")
    bench.cycle()
    for position, remote, allowed in [
        (KeyPosition.STOP, False, False),
        (KeyPosition.STOP, True, False),
        (KeyPosition.RUN, True, False),
        (KeyPosition.REMOTE, True, True),
        (KeyPosition.RUN, False, True),
        (7, False, False),
    ]:
        bench.send(WriteTag(tag="key", value=int(position), actor="electrician"))
        bench.cycle()
        assert bench.value("sys.mode") == (position if position != 7 else KeyPosition.UNKNOWN)
        reply = ask(bench, "start", remote=remote)
        assert (reply.code == 0) == allowed, (position, remote, reply)
        assert ("keyswitch" in reply.text) == (not allowed)
        assert ask(bench, "stop", remote=True).code == 0, "a stop is always obeyed"


@pytest.mark.behaviour(18)
def test_turning_the_key_to_stop_stops_the_cell_before_the_tasks_of_that_cycle(
    tmp_path: Path,
) -> None:
    tags = [*TAGS, make_tag("key", "INT", initial=2)]
    bench = Bench(tmp_path, tags, {"press": Press}, devices=[coupler()], keyswitch="key")
    bench.run()
    bench.cycle(3)
    bench.send(WriteTag(tag="key", value=0, actor="electrician"))
    assert bench.scan.state is CellState.STOP
    assert bench.outputs() == (b"\x00", False)
    stopped = bench.events(ModeChanged)[-1]
    assert (stopped.actor, stopped.new) == ("keyswitch", "STOP")
    bench.send(WriteTag(tag="key", value=2, actor="electrician"))
    bench.cycle(5)
    assert bench.scan.state is CellState.STOP, "nothing starts by turning the key back"


def test_a_key_that_cannot_be_read_stops_nothing_and_lets_nothing_start(tmp_path: Path) -> None:
    tags = [*TAGS, make_tag("key", "INT", initial=2)]
    bench = Bench(tmp_path, tags, {"press": Press}, devices=[coupler()], keyswitch="key")
    bench.run()
    bench.send(WriteTag(tag="key", value=9, actor="electrician"))
    bench.cycle(3)
    assert bench.scan.state is CellState.RUN
    bench.request("stop")
    assert "cannot be read" in bench.request("start").text


@pytest.mark.parametrize(
    ("mode", "local", "remote"),
    [("stop", False, False), ("run", True, False), ("remote", True, True)],
)
def test_the_mode_of_the_file_stands_for_a_key(
    tmp_path: Path, mode: str, local: bool, remote: bool
) -> None:
    bench = press(tmp_path, mode=mode)
    bench.cycle()
    assert (ask(bench, "cold_start", remote=True).code == 0) == remote
    bench.request("stop")
    assert (ask(bench, "start", remote=False).code == 0) == local


def test_a_remote_reset_needs_the_key_at_remote(tmp_path: Path) -> None:
    bench = press(tmp_path, mode="run")
    bench.run()
    bench.scan.fault("test", "something broke")
    assert "turn it to REMOTE" in ask(bench, "reset", remote=True).text
    assert ask(bench, "reset", remote=False).code == 0


# --- faults and forces --------------------------------------------------------------------------


@pytest.mark.behaviour(16)
def test_the_first_fault_is_recorded_with_code_task_and_time_until_a_reset(tmp_path: Path) -> None:
    def scan(self: Any, ctx: ScanContext) -> None:
        raise ZeroDivisionError("by zero")

    bench = Bench(tmp_path, [], {"press": program(scan)})
    bench.cycle()
    utc_ns = bench.clock.utc_ns()
    bench.request("start")
    bench.scan.fault("other", "a second one")
    bench.cycle(3)
    assert "by zero" in bench.value("sys.first_fault")
    assert bench.value("sys.first_fault_code") == "task_exception"
    assert bench.value("sys.first_fault_task") == "press"
    assert bench.value("sys.first_fault_utc") == utc_ns
    assert [event.culprit for event in bench.events(FaultRaised)] == ["press", ""]
    bench.request("reset")
    tags = ("first_fault", "first_fault_code", "first_fault_task", "first_fault_utc")
    assert [bench.value(f"sys.{tag}") for tag in tags] == ["", "", "", 0]


@pytest.mark.behaviour(9)
def test_forces_that_end_with_their_scan_are_told(tmp_path: Path) -> None:
    bench = press(tmp_path)
    bench.run()
    bench.send(ForceTag(tag="part", value=True, actor="a"))
    bench.send(ForceTag(tag="runs", value=3, actor="a"))
    bench.launch(scan_start())
    bench.cycle(3)
    assert bench.value("sys.forces_active") is False
    ended = [event for event in bench.events(ForceChanged) if event.actor == "scan"]
    assert {(event.tag, event.value) for event in ended} == {("part", None), ("runs", None)}
    assert all("restarted" in event.reason for event in ended)


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.behaviour(15)
def test_a_jump_of_the_wall_clock_changes_nothing_but_the_wall_clock_tag(tmp_path: Path) -> None:
    hour = 3_600_000 * MS
    runs = []
    for jump in (0, hour, -hour):
        folder = tmp_path / str(jump)
        folder.mkdir()
        bench = press(folder)
        bench.run()
        closed = []
        for number in range(12):
            if number == 3:
                bench.clock._utc_offset_ns += jump
            bench.cycle()
            closed.append((bench.value("clamp"), bench.outputs(), bench.value("sys.cycle")))
        runs.append(closed)
        utc_ns = bench.clock.utc_ns() - POLL_NS
        assert bench.value("sys.utc") == utc_ns - utc_ns % 1_000_000_000
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.behaviour(15)
def test_a_tag_says_whether_the_wall_clock_is_synchronised(tmp_path: Path) -> None:
    bench = press(tmp_path)
    bench.cycle()
    assert bench.value("sys.utc_synchronised") is False
    bench.image.supervisor.utc_synchronised = True
    bench.cycle()
    assert bench.value("sys.utc_synchronised") is True


@pytest.mark.behaviour(16)
def test_the_database_is_alive_only_while_the_gateway_that_says_so_is(tmp_path: Path) -> None:
    bench = press(tmp_path)
    bench.image.gateway.database_ok = True
    bench.image.processes["gateway"].beat_ns = bench.clock.now_ns()
    bench.cycle()
    assert bench.value("sys.database_alive") is True
    bench.cycle(300)
    assert (bench.value("sys.gateway_alive"), bench.value("sys.database_alive")) == (False, False)


def test_a_simulated_cell_says_so(tmp_path: Path) -> None:
    bench = press(tmp_path)
    bench.cycle()
    assert bench.value("sys.simulation") is False
