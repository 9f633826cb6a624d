"""A coupler's own watchdog: armed in the manual's order, read back, fed, armed again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

from cellwright.io.drivers.base import DriverError, SafeOutputs
from cellwright.io.drivers.modbus import ModbusOptions, ModbusTcp
from cellwright.io.drivers.modbus.watchdog import ModbusWatchdog
from cellwright.io.drivers.poll_loop import DevicePoller, WatchdogLimits
from cellwright.io.image import OutputHeader
from cellwright.io.plan import PollGroup
from cellwright.io.timing.clock import MonotonicClock
from support.modbus_coupler import Coupler, coupler
from support.plans import make_device

TIME, START, STATUS, STOP, TRIGGER, SAFE_COILS = 40, 43, 46, 48, 50, 32
SETTINGS: dict[str, Any] = {
    "time_ms": 300,
    "address": TIME,
    "unit_ms": 100,
    "before": [{"address": STOP, "value": 0xAA55}],
    "after": [{"address": START, "value": 1}],
    "safe_coils": SAFE_COILS,
}
COILS = PollGroup(index=0, area="coils", start=2, count=4, output=True, offset=0, size=1)
OUTPUTS = [SafeOutputs(COILS, b"\x05", b"\x00")]


def driver(peer: Coupler, **settings: Any) -> ModbusTcp:
    watchdog = ModbusWatchdog.model_validate(SETTINGS | settings)
    options = ModbusOptions(host="127.0.0.1", port=peer.port, timeout_s=5, watchdog=watchdog)
    return ModbusTcp("io", options)


async def armed(peer: Coupler, **settings: Any) -> ModbusTcp:
    one = driver(peer, **settings)
    await one.connect()
    await one.arm(OUTPUTS)
    return one


def steps(peer: Coupler) -> list[tuple[int, int, int]]:
    """Function, address and first word or byte of each request that writes."""
    return [
        (r.function, r.start, int.from_bytes(r.data[: 2 if r.function == 16 else 1], "big"))
        for r in peer.log
        if r.function in (15, 16)
    ]


async def test_the_watchdog_is_stopped_set_and_started_in_the_order_of_the_manual() -> None:
    async with coupler() as peer:
        one = await armed(peer)
        assert steps(peer) == [
            (16, STOP, 0xAA55),
            (16, TIME, 3),
            (15, SAFE_COILS + 2, 0x05),
            (16, START, 1),
        ]
        assert one.feed_ns == 100_000_000, "three writes in its time"
        await one.close()


@pytest.mark.parametrize(
    ("settings", "spoil", "said"),
    [
        ({}, lambda peer: peer.forget.add(TIME), r"register 0x0028 \(time\) holds 0, not 3"),
        (
            {"status": {"address": STATUS, "value": 1}},
            lambda peer: None,
            r"register 0x002e \(status\) reads 0, not 1: it does not run",
        ),
        ({}, lambda peer: peer.forget_coils.append(True), "do not keep the safe values"),
        ({}, lambda peer: peer.refuse.update({16: 2}), r"cannot be armed: .*ILLEGAL DATA ADDRESS"),
    ],
)
async def test_a_device_that_does_not_keep_its_watchdog_is_not_driven(
    settings: dict[str, Any], spoil: Callable[[Coupler], object], said: str
) -> None:
    async with coupler() as peer:
        spoil(peer)
        one = driver(peer, **settings)
        await one.connect()
        with pytest.raises(DriverError, match=said) as raised:
            await one.arm(OUTPUTS)
        assert raised.value.lost, "it is tried again on a new connection"
        with pytest.raises(DriverError, match="not connected"):
            await one.write(COILS, b"\x0f")
        await one.close()


async def test_a_status_that_says_it_runs_is_believed() -> None:
    async with coupler() as peer:
        peer.holding[STATUS] = 1
        one = await armed(peer, status={"address": STATUS, "value": 1})
        await one.write(COILS, b"\x0f")
        await one.close()


async def test_each_write_of_outputs_feeds_a_trigger_register_with_another_word() -> None:
    async with coupler() as peer:
        one = await armed(peer, trigger=TRIGGER)
        for _ in range(3):
            await one.write(COILS, b"\x0f")
        assert [word for function, at, word in steps(peer) if at == TRIGGER] == [1, 2, 3]
        await one.close()


async def test_outputs_refused_as_after_the_watchdog_ran_out_need_a_new_connection() -> None:
    async with coupler() as peer:
        one = await armed(peer)
        peer.refuse[15] = 4
        with pytest.raises(DriverError, match="after its watchdog has run out") as raised:
            await one.write(COILS, b"\x0f")
        assert raised.value.lost
        await one.close()


async def test_without_a_watchdog_such_a_refusal_is_the_devices_own_matter() -> None:
    async with coupler() as peer:
        one = ModbusTcp("io", ModbusOptions(host="127.0.0.1", port=peer.port, timeout_s=5))
        assert one.feed_ns == 0
        await one.connect()
        await one.arm(OUTPUTS)
        assert peer.log == []
        peer.refuse[15] = 4
        with pytest.raises(DriverError, match="SERVER DEVICE FAILURE") as raised:
            await one.write(COILS, b"\x0f")
        assert not raised.value.lost
        await one.close()


@pytest.mark.parametrize("time_ms", [150, 7_000_000])
def test_a_time_that_the_register_cannot_hold_is_refused(time_ms: int) -> None:
    with pytest.raises(ValidationError):
        ModbusWatchdog.model_validate(SETTINGS | {"time_ms": time_ms})


async def test_safe_values_that_the_device_will_not_give_are_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with coupler() as peer:
        one = driver(peer, safe_coils=None)
        for _ in range(2):
            await one.connect()
            await one.arm(OUTPUTS)
        await one.close()
    assert capsys.readouterr().out.count("safe values other than off") == 1


@dataclass
class IdlePort:
    """A device's part of the image in which no scan commits anything."""

    trip: int = 0
    connected: bool = False
    requests: int = 0
    failures: int = 0
    reconnects: int = 0
    last_ns: int = 0
    max_ns: int = 0
    back_off_ns: int = 0
    error: str = ""

    def publish_inputs(
        self, payload: bytes | bytearray, statuses: Sequence[tuple[int, int]], now_ns: int
    ) -> None: ...

    def read_outputs(self, into: bytearray) -> OutputHeader:
        into[:] = bytes(len(into))
        return OutputHeader(0, False)

    def beat(self, now_ns: int) -> None: ...


@pytest.mark.behaviour(4)
async def test_the_poll_loop_arms_after_each_connection_and_before_its_first_write() -> None:
    clock, stop = MonotonicClock(), asyncio.Event()
    async with coupler() as peer:
        device = make_device("io", [COILS], safe_outputs=b"\x05", hold_mask=b"\x00")
        poller = DevicePoller(
            device,
            driver(peer, time_ms=60_000),
            IdlePort(),
            clock.now_ns,
            clock,
            WatchdogLimits(2_000_000_000),
            10_000_000,
        )
        run = asyncio.create_task(poller.run(stop))
        async with asyncio.timeout(60):
            for _ in range(3):
                while not any(at == COILS.start for _, at, _ in steps(peer)):
                    await asyncio.sleep(0.005)
                order = [at for _, at, _ in steps(peer)]
                assert order[: order.index(COILS.start)] == [STOP, TIME, SAFE_COILS + 2, START]
                await peer.stop()
                peer.log.clear()
                await peer.start()
            stop.set()
            await run
