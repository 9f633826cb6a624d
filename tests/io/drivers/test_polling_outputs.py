"""Outputs in the poll loop: written, refreshed, safe when the scan or the loop ends."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
import structlog

from cellwright.io.drivers.modbus import ModbusOptions, ModbusTcp
from cellwright.io.plan import PollGroup, quality
from support.modbus_coupler import Coupler, coupler
from support.polling_rig import CLOCK, HOLD, MS, SAFE, device, eventually, is_good, polling


async def until_quiet(peer: Coupler) -> None:
    """Wait until ten polls' time has passed without a request."""
    async with asyncio.timeout(15):
        requests = -1
        while len(peer.log) != requests:
            requests = len(peer.log)
            await asyncio.sleep(0.1)


async def shows(peer: Coupler, outputs: int) -> None:
    await eventually(lambda: peer.coils == outputs, f"outputs {outputs:04b}")


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


async def test_the_latch_of_the_image_is_kept_by_a_new_process(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, trip=1, plan=device(hold=0)) as rig:
        rig.cell.commit(0b0101)
        await eventually(peer.writes, "outputs written")
        await asyncio.sleep(0.03)
        assert peer.coils == SAFE
        rig.cell.commit(0b0101, enabled=False)
        await eventually(lambda: rig.cell.port.trip == 0, "latch released")
