"""A poll loop around the real Modbus driver and a coupler behind a real socket, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cellwright.io.drivers.modbus import ModbusOptions, ModbusTcp
from cellwright.io.drivers.poll_loop import DevicePoller, WatchdogLimits
from cellwright.io.image import DevicePort, Image, Inputs
from cellwright.io.plan import Device, Plan, PollGroup, ScanSettings, quality
from cellwright.io.timing.backoff import BackOffLimits
from cellwright.io.timing.clock import MonotonicClock
from support.modbus_coupler import Coupler

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


def is_good(rig: Rig) -> bool:
    return rig.cell.statuses == GOOD
