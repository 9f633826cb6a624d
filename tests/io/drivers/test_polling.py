"""The poll loop around the real Modbus driver: inputs, losses, back-off, its grid."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import structlog

from cellwright.io.plan import quality
from support.modbus_coupler import coupler
from support.polling_rig import CLOCK, device, eventually, is_good, polling


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


async def test_polls_that_are_late_are_counted_and_do_not_shift_the_others(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, plan=device(poll_ms=5)) as rig:
        await eventually(lambda: is_good(rig), "inputs good")
        peer.delay_s = 0.012
        await eventually(lambda: rig.poller.statistics.skipped_polls >= 5, "skipped polls")
        assert is_good(rig)


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
