"""The poll loop around the real Modbus driver, against a coupler behind a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from modbus_coupler import Coupler, coupler

from cellwright.io import quality
from cellwright.io.clock import MonotonicClock
from cellwright.io.drivers.modbus import ModbusOptions, ModbusTcp
from cellwright.io.image import DevicePort, Image, Inputs
from cellwright.io.plan import Device, Plan, PollGroup, ScanSettings
from cellwright.io.poll_timing import BackOffLimits
from cellwright.io.polling import DevicePoller, WatchdogLimits

MS = 1_000_000
CLOCK = MonotonicClock()
SAFE = 0b0010
HOLD = 0b1000
GOOD = (quality.GOOD,) * 3


_KEPT: list[tuple[Image, DevicePort, DevicePort]] = []
"""Keeps mappings and ports until the process ends, as a device process does."""


class Cell:
    """An image with one device, seen from both sides: the test is the scan."""

    def __init__(self, folder: Path, plan: Device, trip: int = 0) -> None:
        self.image = Image.create(folder / f"{uuid.uuid4().hex}.image", cell_plan(plan), "0123abcd")
        self.port = self.image.device(0)
        self.port.trip = trip
        self.beat_ns: int | None = None
        self._scan = self.image.device(0)
        _KEPT.append((self.image, self.port, self._scan))
        self._cycle = 0

    def scan_beat(self) -> int:
        """The scan's last heartbeat: now while it lives, a fixed time after `kill_scan`."""
        return CLOCK.now_ns() if self.beat_ns is None else self.beat_ns

    def commit(self, outputs: int, *, enabled: bool = True) -> None:
        self._cycle += 1
        self._scan.publish_outputs(bytes([outputs]), self._cycle, enabled)

    def kill_scan(self) -> None:
        self.beat_ns = CLOCK.now_ns()

    def inputs(self) -> Inputs:
        found = self._scan.read_inputs()
        assert found is not None
        return found

    @property
    def statuses(self) -> tuple[int, ...]:
        """Qualities of all groups: coils, discrete inputs, input register."""
        found = self._scan.read_inputs()
        return () if found is None else tuple(status for status, _ in found.statuses)


def device(*, hold: int = HOLD, inputs: bool = True, poll_ms: int = 10) -> Device:
    groups = [
        PollGroup(index=0, area="coils", start=0, count=4, output=True, offset=0, size=1),
    ]
    if inputs:
        groups += [
            PollGroup(
                index=1, area="discrete_inputs", start=0, count=8, output=False, offset=0, size=1
            ),
            PollGroup(
                index=2, area="input_registers", start=4, count=1, output=False, offset=1, size=2
            ),
        ]
    return Device(
        name="remote_io",
        kind="driver",
        driver="modbus-tcp",
        options={},
        poll_ns=poll_ms * MS,
        groups=tuple(groups),
        input_size=3 if inputs else 0,
        output_size=1,
        safe_outputs=bytes([SAFE]),
        hold_mask=bytes([hold]),
    )


def cell_plan(plan: Device) -> Plan:
    return Plan(
        cell="Test",
        site="Test",
        start="stop",
        source="",
        folder="",
        data="",
        scan=ScanSettings(
            base_ns=10 * MS, watchdog_ns=20 * MS, watchdog_sensitivity=1, priority=0, core=-1
        ),
        devices=(plan,),
        tags=(),
        tasks=(),
        opcua=None,
        database=None,
        value_size=0,
        layout_hash=bytes(32),
    )


@dataclass
class Rig:
    poller: DevicePoller
    cell: Cell
    stop: asyncio.Event
    run: asyncio.Task[None]

    async def end(self) -> None:
        self.stop.set()
        async with asyncio.timeout(20):
            await self.run


@contextlib.asynccontextmanager
async def polling(
    peer: Coupler,
    folder: Path,
    *,
    trip: int = 0,
    timeout_s: float = 20.0,
    plan: Device | None = None,
    watchdog_ms: int = 60_000,
    driver: ModbusTcp | None = None,
    parent_alive: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Rig]:
    """A running poll loop. Time-outs are long: only what a test does itself may lose the device."""
    plan = plan or device()
    cell = Cell(folder, plan, trip)
    options = ModbusOptions(host="127.0.0.1", port=peer.port, timeout_s=timeout_s)
    poller = DevicePoller(
        plan,
        driver or ModbusTcp("remote_io", options),
        cell.port,
        cell.scan_beat,
        CLOCK,
        WatchdogLimits(time_ns=watchdog_ms * MS),
        10 * MS,
        parent_alive=parent_alive,
        back_off=BackOffLimits(first_ns=20 * MS, longest_ns=400 * MS),
        seed=1,
    )
    stop = asyncio.Event()
    run = asyncio.create_task(poller.run(stop))
    try:
        yield Rig(poller, cell, stop, run)
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await asyncio.gather(run, return_exceptions=True)


async def eventually(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        pytest.fail(f"never: {what}")


async def until_quiet(peer: Coupler) -> None:
    """Wait until ten polls' time has passed without a request."""
    async with asyncio.timeout(15):
        requests = -1
        while len(peer.log) != requests:
            requests = len(peer.log)
            await asyncio.sleep(0.1)


async def shows(peer: Coupler, outputs: int) -> None:
    await eventually(lambda: peer.coils == outputs, f"outputs {outputs:04b}")


def is_good(rig: Rig) -> bool:
    return rig.cell.statuses == GOOD


async def test_inputs_wait_for_the_first_read_and_then_are_good(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path) as rig:
        peer.discrete = 0b1010_0001
        peer.inputs[4] = 0x1234
        await eventually(lambda: is_good(rig), "inputs good")
        await eventually(lambda: rig.cell.inputs().payload == b"\xa1\x12\x34", "values arrive")
        assert rig.cell.port.connected
        assert rig.cell.port.requests > 0
        assert 0 < rig.cell.port.last_ns <= rig.cell.port.max_ns
        assert 0 < rig.cell.port.beat_ns <= CLOCK.now_ns()


@pytest.mark.behaviour(10)
async def test_a_failed_read_is_never_zero_and_good(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, timeout_s=0.1) as rig:
        peer.discrete = 0xFF
        peer.inputs[4] = 777
        await eventually(
            lambda: is_good(rig) and rig.cell.inputs().payload[0] == 0xFF, "inputs good"
        )
        good = rig.cell.inputs().payload
        peer.silent = True
        lost = (quality.BAD_NO_COMMUNICATION,) * 3
        await eventually(lambda: rig.cell.statuses == lost, "inputs bad")
        assert rig.cell.inputs().payload == good
        assert rig.cell.port.failures >= 1
        await eventually(lambda: "no answer within" in rig.cell.port.error, "the reason")
        peer.silent = False
        await eventually(lambda: is_good(rig), "inputs good again")


async def test_a_refused_group_is_bad_alone(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path) as rig:
        peer.refuse[4] = 2
        bad = (quality.GOOD, quality.GOOD, quality.BAD_DEVICE_FAILURE)
        await eventually(lambda: rig.cell.statuses == bad, "one group bad")
        assert "ILLEGAL DATA ADDRESS" in rig.cell.port.error
        peer.refuse.clear()
        await eventually(lambda: is_good(rig), "good after the device accepts")
        assert peer.connections == 1


@pytest.mark.behaviour(12)
async def test_loss_and_return_are_each_logged_once_however_often_it_was_tried(
    tmp_path: Path,
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with coupler() as peer, polling(peer, tmp_path) as rig:
            await eventually(lambda: is_good(rig), "inputs good")
            await peer.stop()
            await eventually(lambda: rig.cell.port.failures >= 5, "several attempts")
            assert not rig.cell.port.connected
            assert rig.cell.port.back_off_ns > 0
            await peer.start()
            await eventually(lambda: is_good(rig), "inputs good again")
            assert rig.cell.port.back_off_ns == 0
            assert rig.cell.port.reconnects == 1
    events = [entry["event"] for entry in logs]
    assert events.count("device does not answer") == 1
    assert events.count("device answers again") == 1


async def test_after_a_reconnect_all_outputs_go_out_before_any_input_is_read(
    tmp_path: Path,
) -> None:
    async with coupler() as peer, polling(peer, tmp_path) as rig:
        rig.cell.commit(0b0101)
        await eventually(lambda: peer.coils == 0b0101 and is_good(rig), "running")
        await peer.stop()
        await eventually(lambda: not is_good(rig), "inputs bad")
        peer.coils = 0
        peer.log.clear()
        await peer.start()
        await eventually(lambda: is_good(rig), "inputs good again")
        assert peer.log[0].function == 15
        assert peer.coils == 0b0101


async def test_inputs_stay_bad_while_the_device_refuses_its_outputs(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with coupler() as peer:
            peer.refuse[15] = 4
            async with polling(peer, tmp_path) as rig:
                await eventually(lambda: len(peer.writes()) >= 4, "several attempts")
                assert rig.cell.statuses == (quality.BAD_DEVICE_FAILURE,) * 3
                peer.refuse.clear()
                await eventually(lambda: is_good(rig), "good once the outputs are in")
                assert peer.connections == 1
    events = [entry["event"] for entry in logs]
    assert events.count("device refuses its outputs") == 1


async def test_outputs_go_out_when_they_change_and_again_as_a_refresh(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path) as rig:
        for value in (1, 2, 4):
            rig.cell.commit(value)
            await shows(peer, value)
        peer.log.clear()
        await eventually(lambda: len(peer.writes()) >= 4, "refreshes")
        times = [request.at_ns for request in peer.writes()]
        assert len(times) <= (times[-1] - times[0]) / (80 * MS) + 3, "a flood"


async def test_outputs_are_safe_until_the_scan_enables_them(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, plan=device(hold=0)) as rig:
        rig.cell.commit(0b0101, enabled=False)
        await eventually(peer.writes, "safe outputs at start")
        assert peer.coils == SAFE
        rig.cell.commit(0b0101)
        await eventually(lambda: peer.coils == 0b0101, "enabled outputs")
        rig.cell.commit(0b0101, enabled=False)
        await eventually(lambda: peer.coils == SAFE, "safe again")
        assert rig.cell.port.trip == 0


async def test_a_dead_scan_loses_its_outputs_and_must_notice_before_it_gets_them_back(
    tmp_path: Path,
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with coupler() as peer, polling(peer, tmp_path, watchdog_ms=20) as rig:
            rig.cell.commit(0b1101)
            await eventually(lambda: peer.coils == 0b1101, "running")
            rig.cell.kill_scan()
            await eventually(lambda: peer.coils == SAFE | HOLD, "safe, held bit held")
            assert rig.cell.port.trip == 1
            rig.cell.beat_ns = None
            await asyncio.sleep(0.05)
            assert peer.coils == SAFE | HOLD, "the scan has not noticed yet"
            assert rig.cell.port.trip == 1
            rig.cell.commit(0b1101, enabled=False)
            await eventually(lambda: rig.cell.port.trip == 0, "latch released")
            rig.cell.commit(0b0100)
            await eventually(lambda: peer.coils == 0b0100, "running again")
            assert rig.poller.statistics.trips == 1
    assert [e["event"] for e in logs].count("scan heartbeat lost, outputs go safe") == 1


async def test_safe_outputs_do_not_wait_for_a_pending_request(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, timeout_s=60, watchdog_ms=20) as rig:
        rig.cell.commit(0b0101)
        await eventually(lambda: peer.coils == 0b0101 and is_good(rig), "running")
        peer.silent = True
        asked = len(peer.log)
        await eventually(lambda: len(peer.log) > asked, "a request is pending, and will be")
        died_ns = CLOCK.now_ns()
        rig.cell.kill_scan()
        await eventually(lambda: peer.coils == SAFE, "safe at the device")
        assert peer.writes()[-1].at_ns - died_ns < 15_000 * MS
        assert rig.poller.statistics.preempted >= 1
        assert peer.connections == 2, "a second request on the same connection might not be read"
        await peer.stop()


async def test_a_beat_that_is_late_but_comes_costs_no_outputs_and_no_connection(
    tmp_path: Path,
) -> None:
    async with coupler() as peer, polling(peer, tmp_path, watchdog_ms=120_000) as rig:
        rig.cell.commit(0b0101)
        await eventually(lambda: peer.coils == 0b0101 and is_good(rig), "running")
        # Overdue by more than half of the watchdog's time: no new polls.
        rig.cell.beat_ns = CLOCK.now_ns() - 70_000 * MS
        await until_quiet(peer)
        requests = len(peer.log)
        rig.cell.beat_ns = None
        await eventually(lambda: len(peer.log) > requests + 5, "polling goes on")
        assert rig.cell.port.trip == 0
        assert peer.coils == 0b0101
        assert peer.connections == 1


async def test_a_device_that_is_gone_gets_its_safe_outputs_as_soon_as_it_is_back(
    tmp_path: Path,
) -> None:
    async with coupler() as peer, polling(peer, tmp_path, watchdog_ms=20) as rig:
        rig.cell.commit(0b0101)
        await eventually(lambda: peer.coils == 0b0101, "running")
        await peer.stop()
        await eventually(lambda: rig.cell.port.back_off_ns > 150 * MS, "long pauses")
        rig.cell.kill_scan()
        await eventually(lambda: rig.cell.port.trip == 1, "trip")
        before = rig.cell.port.failures
        await eventually(lambda: rig.cell.port.failures > before + 3, "further attempts")
        assert rig.cell.port.back_off_ns <= 100 * MS
        peer.log.clear()
        await peer.start()
        await eventually(lambda: peer.coils == SAFE, "safe")
        assert all(request.data == bytes([SAFE]) for request in peer.writes())


async def test_an_orderly_stop_leaves_safe_outputs_and_no_connection(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path) as rig:
        rig.cell.commit(0b1101)
        await eventually(lambda: peer.coils == 0b1101, "running")
        await rig.end()
        assert peer.coils == SAFE | HOLD
        assert not rig.cell.port.connected
        requests = len(peer.log)
        await asyncio.sleep(0.05)
        assert len(peer.log) == requests


async def test_outputs_go_safe_and_the_loop_ends_when_the_supervisor_dies(tmp_path: Path) -> None:
    alive = True
    async with coupler() as peer, polling(peer, tmp_path, parent_alive=lambda: alive) as rig:
        rig.cell.commit(0b0101)
        await eventually(lambda: peer.coils == 0b0101, "running")
        alive = False
        async with asyncio.timeout(20):
            await rig.run
        assert peer.coils == SAFE


async def test_a_stop_with_an_unreachable_device_ends_and_says_so(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with coupler() as peer, polling(peer, tmp_path) as rig:
            rig.cell.commit(0b0101)
            await eventually(lambda: peer.coils == 0b0101, "running")
            await peer.stop()
            await eventually(lambda: rig.cell.port.failures > 0, "lost")
            await rig.end()
    assert "device left without its safe outputs" in [entry["event"] for entry in logs]


async def test_a_cancelled_loop_leaves_safe_outputs(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path) as rig:
        rig.cell.commit(0b0101)
        await eventually(lambda: peer.coils == 0b0101, "running")
        rig.run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rig.run
        assert peer.coils == SAFE


class StubbornModbus(ModbusTcp):
    """A driver whose pending read ends well although it was cancelled."""

    async def read(self, group: PollGroup) -> bytes:
        payload = await super().read(group)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
        return payload


async def test_a_loop_is_cancelled_although_its_driver_swallows_it(tmp_path: Path) -> None:
    async with coupler() as peer:
        driver = StubbornModbus("remote_io", ModbusOptions(host="127.0.0.1", port=peer.port))
        async with polling(peer, tmp_path, driver=driver) as rig:
            rig.cell.commit(0b0101)
            await eventually(lambda: peer.coils == 0b0101 and is_good(rig), "running")
            await asyncio.sleep(0.02)
            rig.run.cancel()
            async with asyncio.timeout(10):
                with pytest.raises(asyncio.CancelledError):
                    await rig.run
            assert peer.coils == SAFE


class DefectiveModbus(ModbusTcp):
    """A driver with a defect that shows when it is told to."""

    broken = False

    async def read(self, group: PollGroup) -> bytes:
        if self.broken:
            raise ZeroDivisionError("a defect")
        return await super().read(group)


async def test_a_defect_of_the_driver_leaves_safe_outputs_and_ends_the_loop(tmp_path: Path) -> None:
    async with coupler() as peer:
        driver = DefectiveModbus("remote_io", ModbusOptions(host="127.0.0.1", port=peer.port))
        async with polling(peer, tmp_path, driver=driver) as rig:
            rig.cell.commit(0b0101)
            await eventually(lambda: peer.coils == 0b0101 and is_good(rig), "running")
            driver.broken = True
            with pytest.raises(ZeroDivisionError):
                await rig.run
            assert peer.coils == SAFE


async def test_a_new_driver_process_holds_what_the_device_holds(tmp_path: Path) -> None:
    async with coupler() as peer:
        peer.coils = 0b1101
        async with polling(peer, tmp_path) as rig:
            await eventually(peer.writes, "safe outputs at start")
            assert peer.coils == SAFE | HOLD
            rig.cell.commit(0b0100)
            await eventually(lambda: peer.coils == 0b0100, "enabled")
            rig.cell.commit(0b0100, enabled=False)
            await eventually(lambda: peer.coils == SAFE, "held bit is off now")


async def test_a_device_that_cannot_be_read_back_gets_the_declared_safe_outputs(
    tmp_path: Path,
) -> None:
    async with coupler() as peer:
        peer.coils = 0b1101
        peer.refuse[1] = 1
        async with polling(peer, tmp_path):
            await eventually(peer.writes, "safe outputs at start")
            assert peer.coils == SAFE


async def test_polls_that_are_late_are_counted_and_do_not_shift_the_others(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, plan=device(poll_ms=5)) as rig:
        await eventually(lambda: is_good(rig), "inputs good")
        peer.delay_s = 0.012
        await eventually(lambda: rig.poller.statistics.skipped_polls >= 5, "skipped polls")
        assert is_good(rig)


async def test_the_latch_of_the_image_is_kept_by_a_new_process(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, trip=1, plan=device(hold=0)) as rig:
        rig.cell.commit(0b0101)
        await eventually(peer.writes, "outputs written")
        await asyncio.sleep(0.03)
        assert peer.coils == SAFE
        rig.cell.commit(0b0101, enabled=False)
        await eventually(lambda: rig.cell.port.trip == 0, "latch released")


async def test_a_device_without_inputs_is_written_all_the_same(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, plan=device(inputs=False)) as rig:
        rig.cell.commit(0b0111)
        await eventually(lambda: peer.coils == 0b0111, "outputs")
        await eventually(lambda: rig.cell.statuses == (quality.GOOD,), "output group good")


@pytest.mark.behaviour(12)
async def test_healthy_devices_are_polled_while_others_are_dead(tmp_path: Path) -> None:
    async with coupler() as peer, coupler() as dead, polling(peer, tmp_path) as healthy:
        dead.silent = True
        dying: list[Any] = []
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                rig = polling(dead, tmp_path, timeout_s=0.1)
                dying.append(await stack.enter_async_context(rig))
            await eventually(lambda: is_good(healthy), "healthy device good")
            await eventually(lambda: all(r.cell.port.failures for r in dying), "the others fail")
            before = healthy.poller.statistics.polls
            await eventually(lambda: healthy.poller.statistics.polls >= before + 50, "50 polls")
            assert is_good(healthy)
            assert not any(is_good(rig) for rig in dying)
        await dead.stop()
