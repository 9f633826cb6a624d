"""What takes the cell to FAULT, what that does to the outputs, and how it is left again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cellwright.io.messages import (
    CommandRefused,
    FaultRaised,
    ModeChanged,
    PartArrived,
    ReplyCode,
    WriteTag,
)
from cellwright.io.plan import CellState, OnLoss, quality
from cellwright.tasks.api import BOOL, INT, Input, Output, ScanContext
from support.plans import POLL_NS, make_tag
from support.scan_bench import MS, UTC_NS, Bench, coupler, input_bit, output_bit, program


def driven(
    folder: Path,
    fail: Any = None,
    *,
    input_fields: dict[str, Any] | None = None,
    **timing: Any,
) -> Bench:
    """A cell whose program closes the clamp and then does what ``fail`` does."""

    def scan(self: Any, ctx: ScanContext) -> None:
        self.clamp = True
        if fail is not None:
            fail(self, ctx)

    tags = [
        input_bit("part", 0, **(input_fields or {})),
        output_bit("clamp", 2, writer="control"),
        make_tag("step", "INT", writer=None),
    ]
    control = program(scan, part=Input(BOOL), clamp=Output(BOOL), step=Input(INT))
    return Bench(
        folder, tags, {"control": control}, devices=[coupler()], timing={"control": timing}
    )


def assert_faulted(bench: Bench, code: str, *words: str) -> None:
    """FAULT everywhere where it must show, and no output driven."""
    assert bench.scan.state is CellState.FAULT
    assert bench.image.scan.state == CellState.FAULT
    assert bench.value("sys.state") == CellState.FAULT
    assert bench.outputs() == (b"\x00", False)
    fault = bench.events(FaultRaised)[-1]
    assert fault.code == code
    assert bench.image.scan.fault_code == code
    for word in words:
        assert word in fault.text
        assert word in bench.value("sys.first_fault")
        assert word in bench.image.scan.fault_text
    mode = bench.events(ModeChanged)[-1]
    assert (mode.new, mode.actor, mode.reason) == ("FAULT", "scan", fault.text)


# --- the program ----------------------------------------------------------------------------------


@pytest.mark.behaviour(4)
def test_an_exception_disables_the_outputs_in_the_same_cycle(tmp_path: Path) -> None:
    def divide(self: Any, ctx: ScanContext) -> None:
        if self.step == 3:
            1 / 0  # noqa: B018

    bench = driven(tmp_path, divide)
    bench.run()
    assert bench.outputs() == (b"\x04", True)
    reply = bench.send(WriteTag(tag="step", value=3, actor="a"))
    assert reply.code == ReplyCode.OK
    assert_faulted(bench, "task_exception", "task 'control' raised ZeroDivisionError", "reset")
    assert f"{__file__}:" in bench.events(FaultRaised)[-1].text, "the place is named"


def test_a_less_urgent_task_does_not_run_after_the_one_that_failed(tmp_path: Path) -> None:
    ran: list[int] = []

    def fail(self: Any, ctx: ScanContext) -> None:
        raise RuntimeError("broken")

    bench = Bench(
        tmp_path,
        [],
        {"a": program(fail), "b": program(lambda self, ctx: ran.append(ctx.cycle))},
    )
    bench.run()
    bench.cycle(3)
    assert bench.scan.state is CellState.FAULT
    assert ran == []


@pytest.mark.parametrize(
    "message",
    ["ü" * 3000, "x" * 2_000_000, "half a pair: \ud800", "two\nlines\x00 and a zero"],
    ids=["umlauts", "two megabytes", "surrogate", "control characters"],
)
def test_whatever_an_exception_says_the_cell_stands_in_fault_and_lives(
    tmp_path: Path, message: str
) -> None:
    def fail(self: Any, ctx: ScanContext) -> None:
        raise ValueError(message)

    bench = driven(tmp_path, fail)
    bench.run()
    assert_faulted(bench, "task_exception", "task 'control' raised ValueError")
    assert len(bench.value("sys.first_fault").encode()) <= 200
    bench.cycle(3)
    assert bench.scan.cycle_number == 5


def test_an_exception_that_cannot_even_say_what_it_is_is_a_fault_too(tmp_path: Path) -> None:
    class Mute(Exception):  # noqa: N818 - it stands for anybody's
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def fail(self: Any, ctx: ScanContext) -> None:
        raise Mute

    bench = driven(tmp_path, fail)
    bench.run()
    assert_faulted(bench, "task_exception", "task 'control' raised Mute")


def test_an_event_that_fits_no_ring_is_the_programs_fault_and_is_not_sent(tmp_path: Path) -> None:
    def fail(self: Any, ctx: ScanContext) -> None:
        ctx.emit(PartArrived, part_id="x" * 2_000_000)

    bench = driven(tmp_path, fail)
    bench.run()
    assert_faulted(bench, "task_exception", "task 'control' raised ValueError", "2000")
    bench.cycle(2)
    assert bench.events(PartArrived) == []
    assert bench.request("reset").code == ReplyCode.OK


def test_a_program_that_cannot_be_made_faults_the_cell_and_refuses_the_start(
    tmp_path: Path,
) -> None:
    def fail(self: Any, events: Any, ctx: ScanContext) -> None:
        raise KeyError("nothing known of this part")

    kind = program(lambda self, ctx: None, recover=fail)
    bench = Bench(tmp_path, [], {"t": kind})
    bench.cycle()
    reply = bench.request("start")
    assert reply.code == ReplyCode.INVALID_STATE
    assert "task 't' raised KeyError" in reply.text
    assert bench.scan.state is CellState.FAULT


# --- the watchdog ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sensitivity", [1, 3])
@pytest.mark.behaviour(5)
def test_the_watchdog_trips_after_so_many_late_executions_in_a_row(
    tmp_path: Path, sensitivity: int
) -> None:
    bench: Bench

    def late(self: Any, ctx: ScanContext) -> None:
        bench.clock.advance(6 * MS if self.step else 1 * MS)

    bench = driven(tmp_path, late, watchdog_ns=5 * MS, watchdog_sensitivity=sensitivity)
    bench.run()
    for _ in range(2):
        bench.send(WriteTag(tag="step", value=1, actor="a"))
        bench.cycle(sensitivity - 2)
        if sensitivity > 1:
            bench.send(WriteTag(tag="step", value=0, actor="a"))
            assert bench.scan.state is CellState.RUN, "one good execution ends the row"
    bench.send(WriteTag(tag="step", value=1, actor="a"))
    bench.cycle(sensitivity - 1)
    assert_faulted(bench, "task_watchdog", "task 'control' ran 6.000 ms", "allows 5.000 ms")
    hits = bench.image.statistics.read(0).watchdog_hits
    assert hits == (1 if sensitivity == 1 else 2 * (sensitivity - 1) + sensitivity)


def test_an_execution_of_exactly_the_watchdog_time_is_not_late(tmp_path: Path) -> None:
    bench: Bench

    def work(self: Any, ctx: ScanContext) -> None:
        bench.clock.advance(5 * MS)

    bench = driven(tmp_path, work, watchdog_ns=5 * MS)
    bench.run()
    bench.cycle(5)
    assert bench.scan.state is CellState.RUN
    assert bench.image.statistics.read(0).watchdog_hits == 0


# --- devices --------------------------------------------------------------------------------------


def test_a_tripped_driver_faults_the_cell_and_only_its_recovery_allows_reset(
    tmp_path: Path,
) -> None:
    bench = driven(tmp_path)
    bench.run()
    bench.ports[0].trip = 1
    bench.cycle()
    assert_faulted(bench, "surroundings", "the driver of 'coupler'", "heartbeat stopped")
    refused = bench.request("reset")
    assert refused.code == ReplyCode.INVALID_STATE
    assert "the driver of 'coupler'" in refused.text
    bench.ports[0].trip = 0
    assert bench.request("reset").code == ReplyCode.OK
    assert bench.scan.state is CellState.STOP


@pytest.mark.parametrize("silent", [True, False], ids=["driver silent", "device does not answer"])
@pytest.mark.behaviour(11)
def test_a_device_that_must_not_be_lost_faults_the_cell_when_it_is_lost(
    tmp_path: Path, silent: bool
) -> None:
    bench = driven(tmp_path, input_fields={"on_loss": OnLoss.FAULT})
    bench.run()
    bench.cycle(3)
    if silent:
        bench.drivers_alive = False
        bench.cycle(21)
    else:
        bench.ports[0].error = "no answer within 0.2 s"
        bench.statuses = [(quality.BAD_NO_COMMUNICATION, UTC_NS)] * 2
        bench.cycle()
    reason = "its driver does not respond" if silent else "no answer within 0.2 s"
    assert_faulted(bench, "surroundings", f"device 'coupler' does not answer: {reason}")
    assert bench.request("reset").code == ReplyCode.INVALID_STATE
    bench.drivers_alive = True
    bench.statuses = [(quality.GOOD, UTC_NS)] * 2
    bench.cycle()
    assert bench.request("reset").code == ReplyCode.OK
    assert bench.request("start").code == ReplyCode.OK
    assert bench.outputs() == (b"\x04", True)


@pytest.mark.behaviour(11)
def test_a_device_that_may_be_lost_leaves_the_cell_running(tmp_path: Path) -> None:
    bench = driven(tmp_path, input_fields={"on_loss": OnLoss.HOLD})
    bench.payload = b"\x01\x00"
    bench.run()
    bench.drivers_alive = False
    bench.cycle(50)
    assert bench.scan.state is CellState.RUN
    assert bench.value("part") is True
    assert bench.quality("part") == quality.UNCERTAIN_LAST_USABLE


# --- the journal ----------------------------------------------------------------------------------


def test_a_journal_that_cannot_write_faults_the_cell_with_its_own_sentence(tmp_path: Path) -> None:
    bench = driven(tmp_path)
    bench.run()
    bench.image.journal.ok = False
    bench.image.journal.error = "cannot append to the journal x: disk full; free space"
    bench.cycle()
    assert_faulted(bench, "surroundings", "the journal is not writable: cannot append", "free spac")
    assert bench.value("sys.journal_ok") is False
    refused = bench.request("reset")
    assert (refused.code, "free space" in refused.text) == (ReplyCode.INVALID_STATE, True)
    bench.image.journal.ok = True
    assert bench.request("reset").code == ReplyCode.OK


def test_a_journal_that_gives_no_sign_for_five_seconds_faults_the_cell(tmp_path: Path) -> None:
    bench = driven(tmp_path)
    bench.run()
    bench.journal_alive = False
    bench.cycle(500)
    assert bench.scan.state is CellState.RUN
    bench.cycle()
    assert_faulted(bench, "surroundings", "the journal is not writable: no sign of life")


def test_a_full_ring_faults_the_cell_and_loses_no_event(tmp_path: Path) -> None:
    sent: list[str] = []

    def flood(self: Any, ctx: ScanContext) -> None:
        for _ in range(4):
            sent.append(f"{ctx.cycle}-{len(sent)}-" + "x" * 20_000)
            ctx.emit(PartArrived, part_id=sent[-1])

    bench = driven(tmp_path, flood)
    bench.run()
    for _ in range(200):
        if bench.scan.state is not CellState.RUN:
            break
        bench.cycle()
    assert bench.scan.state is CellState.FAULT
    assert bench.outputs() == (b"\x00", False)
    assert "the journal does not take events" in bench.value("sys.first_fault")
    refused = bench.request("reset")
    assert refused.code == ReplyCode.INVALID_STATE
    for _ in range(20):
        bench.acknowledge()
        bench.cycle()
    assert [event.part_id for event in bench.events(PartArrived)] == sent
    assert [event.code for event in bench.events(FaultRaised)] == ["surroundings"]
    assert len(bench.events(CommandRefused)) == 1
    assert bench.request("reset").code == ReplyCode.OK


# --- reset and start ------------------------------------------------------------------------------


def test_reset_leads_to_stop_and_forgets_the_fault_and_start_begins_anew(tmp_path: Path) -> None:
    broken = True

    def fail(self: Any, ctx: ScanContext) -> None:
        if broken:
            raise RuntimeError("broken")

    bench = driven(tmp_path, fail)
    bench.run()
    assert_faulted(bench, "task_exception", "broken")
    refused = bench.request("start")
    assert refused.code == ReplyCode.INVALID_STATE
    assert refused.text == "'start' is not possible in FAULT; possible: reset"
    assert bench.request("stop").code == ReplyCode.OK, "it stands already"
    assert bench.scan.state is CellState.FAULT
    broken = False
    assert bench.request("reset").code == ReplyCode.OK
    assert bench.scan.state is CellState.STOP
    assert bench.outputs() == (b"\x00", False)
    assert bench.value("sys.first_fault") == ""
    assert (bench.image.scan.fault_code, bench.image.scan.fault_text) == ("", "")
    assert bench.request("start").code == ReplyCode.OK
    assert bench.outputs() == (b"\x04", True)


@pytest.mark.behaviour(16)
def test_the_first_fault_stays_until_it_is_reset(tmp_path: Path) -> None:
    def fail(self: Any, ctx: ScanContext) -> None:
        raise RuntimeError("the first")

    bench = driven(tmp_path, fail)
    bench.run()
    bench.ports[0].trip = 1
    bench.cycle(3)
    bench.scan.fault("later", "something else")
    bench.cycle()
    assert "the first" in bench.value("sys.first_fault")
    assert bench.image.scan.fault_code == "task_exception"
    assert [e.code for e in bench.events(FaultRaised)] == ["task_exception", "later"]


def test_a_fault_of_a_scan_that_died_is_not_shown_as_one_of_its_successor(tmp_path: Path) -> None:
    def fail(self: Any, ctx: ScanContext) -> None:
        raise RuntimeError("broken")

    bench = driven(tmp_path, fail)
    bench.run()
    bench.launch()
    bench.cycle()
    assert bench.scan.state is CellState.STOP
    assert (bench.image.scan.fault_code, bench.image.scan.fault_text) == ("", "")


@pytest.mark.parametrize(
    "status",
    [None, quality.BAD_WAITING_FOR_INITIAL_DATA, quality.BAD_NO_COMMUNICATION],
    ids=["no driver", "not read yet", "never answered"],
)
def test_start_is_refused_while_an_input_has_never_been_read(
    tmp_path: Path, status: int | None
) -> None:
    """The initial value of an input is not what the sensor says."""
    bench = driven(tmp_path)
    if status is None:
        bench.drivers_alive = False
    else:
        bench.statuses = [(status, UTC_NS)] * 2
    bench.cycle(30)
    refused = bench.request("start")
    assert refused.code == ReplyCode.INVALID_STATE
    assert "'start' refused: input 'part' has not been read" in refused.text
    assert bench.scan.state is CellState.STOP
    bench.drivers_alive = True
    bench.statuses = [(quality.GOOD, UTC_NS)] * 2
    bench.cycle()
    assert bench.request("start").code == ReplyCode.OK


def test_an_input_with_a_substitute_or_switched_off_does_not_hinder_the_start(
    tmp_path: Path,
) -> None:
    tags = [
        input_bit("part", 0, on_loss=OnLoss.SUBSTITUTE, substitute=True),
    ]
    bench = Bench(tmp_path, tags, {"t": program(lambda self, ctx: None)}, devices=[coupler()])
    bench.statuses = [(quality.BAD_NO_COMMUNICATION, UTC_NS)] * 2
    bench.run()
    assert bench.value("part") is True
    bench.request("stop")
    bench.statuses = [(quality.BAD_OUT_OF_SERVICE, UTC_NS)] * 2
    bench.cycle()
    assert bench.request("start").code == ReplyCode.OK


@pytest.mark.behaviour(1)
def test_a_refused_request_leaves_an_event_with_who_and_why(tmp_path: Path) -> None:
    bench = driven(tmp_path)
    bench.cycle()
    bench.request("reset")
    (refused,) = bench.events(CommandRefused)
    assert (refused.command, refused.actor) == ("SetMode", "operator")
    possible = "start, cold_start ('cellwright start --cold')"
    assert refused.why == f"'reset' is not possible in STOP; possible: {possible}"


def test_a_late_cycle_of_the_scan_itself_does_not_disturb_the_grid(tmp_path: Path) -> None:
    bench = driven(tmp_path)
    bench.run()
    bench.skip(5)
    bench.cycle()
    assert bench.clock.now_ns() % POLL_NS == 0
    assert bench.value("sys.skipped") == 5
