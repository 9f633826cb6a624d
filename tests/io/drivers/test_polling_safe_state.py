"""From the death of the scan to the safe outputs at the device, with real processes all through.

Three processes beside the test: a Modbus server of pymodbus as the device, a device process with
the poll loop, and a scan that beats, commits and is killed or stopped. All share a real image.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from cellwright.io.drivers.modbus import ModbusOptions, ModbusTcp
from cellwright.io.drivers.poll_loop import DevicePoller, WatchdogLimits
from cellwright.io.image import DevicePort, Image
from cellwright.io.plan import Plan
from cellwright.io.timing.clock import MonotonicClock
from support.campaign import times
from support.forked import process
from support.plans import make_device, make_group, make_plan

MS = 1_000_000
BASE_NS = 10 * MS
WATCHDOG = WatchdogLimits(time_ns=20 * MS)
RUNNING, SAFE, HELD = 0b0001, 0b0010, 0b1000
ROUNDS = times(8)
WRITE = struct.Struct("<qB")


def cell() -> Plan:
    return make_plan(
        devices=[
            make_device(
                "remote_io",
                [
                    make_group(0, "coils", 0, 4, bits=True, output=True),
                    make_group(1, "discrete_inputs", 0, 16, bits=True, output=False),
                ],
                safe_outputs=bytes([SAFE]),
                hold_mask=bytes([HELD]),
            )
        ]
    )


def serve(ready: int, writes: int) -> None:
    """The device: tells its port through ``ready`` and each write with its time in ``writes``."""

    def note(sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not sending and pdu.function_code == 15:
            value = sum(1 << place for place, bit in enumerate(pdu.bits) if bit)
            os.write(writes, WRITE.pack(time.monotonic_ns(), value))
        return pdu

    async def run() -> None:
        bits = [SimData(0, count=64, values=False, datatype=DataType.BITS)]
        words = [SimData(0, count=16, values=0, datatype=DataType.REGISTERS)]
        server = ModbusTcpServer(
            SimDevice(id=1, simdata=(bits, bits, words, words)),
            address=("127.0.0.1", 0),
            trace_pdu=note,
        )
        await server.listen()
        assert isinstance(server.transport, asyncio.Server)
        os.write(ready, server.transport.sockets[0].getsockname()[1].to_bytes(2, "little"))
        await asyncio.Event().wait()

    asyncio.run(run())


def drive(image: Image, port: DevicePort, tcp_port: int, parent: int) -> None:
    """The device process."""

    async def run() -> None:
        driver = ModbusTcp("remote_io", ModbusOptions(host="127.0.0.1", port=tcp_port))
        poller = DevicePoller(
            port.device,
            driver,
            port,
            lambda: image.scan.beat_ns,
            MonotonicClock(),
            WATCHDOG,
            BASE_NS,
            parent_alive=lambda: os.getppid() == parent,
        )
        await poller.run(asyncio.Event())

    asyncio.run(run())


def scan(image: Image, port: DevicePort) -> None:
    """A scan as the gate sees it: beats, commits, and takes back its outputs after a trip."""
    cycle = 0
    following = time.monotonic_ns()
    while True:
        cycle += 1
        enabled = port.trip == 0 and cycle > 2
        port.publish_outputs(bytes([RUNNING | HELD if enabled else 0]), cycle, enabled)
        image.scan.beat_ns = time.monotonic_ns()
        following = max(following + BASE_NS, time.monotonic_ns())
        time.sleep(max(0, following - time.monotonic_ns()) / 1e9)


@dataclass
class Rig:
    image: Image
    port: DevicePort
    driver: int
    writes: int
    server: int

    def scan(self) -> contextlib.AbstractContextManager[int]:
        return process(lambda: scan(self.image, self.port))

    def next_write(self, wanted: Callable[[int], bool], after_ns: int = 0) -> int:
        """When the device got the next write of such a value."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if select.select([self.writes], [], [], 1)[0]:
                at_ns, value = WRITE.unpack(os.read(self.writes, WRITE.size))
                if at_ns >= after_ns and wanted(value):
                    return int(at_ns)
        raise AssertionError("the device never got it")

    def until_tripped(self) -> None:
        """Wait for the latch: one that a stall set just before may have been released meanwhile."""
        deadline = time.monotonic() + 20
        while self.port.trip != 1:
            assert time.monotonic() < deadline, "the outputs are not latched"
            time.sleep(0.001)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    plan = cell()
    image = Image.create(tmp_path_factory.mktemp("safe") / "image", plan, "0123abcd")
    port = image.device(0)
    ready, tell = os.pipe()
    writes, note = os.pipe()
    parent = os.getpid()
    with contextlib.ExitStack() as stack:
        for end in (ready, tell, writes, note):
            stack.callback(os.close, end)
        server = stack.enter_context(process(lambda: serve(tell, note)))
        tcp_port = told_port(ready)
        driver = stack.enter_context(process(lambda: drive(image, port, tcp_port, parent)))
        yield Rig(image, port, driver, writes, server)


def told_port(ready: int) -> int:
    assert select.select([ready], [], [], 20)[0], "the server did not start"
    return int.from_bytes(os.read(ready, 2), "little")


def is_running(value: int) -> bool:
    return value == RUNNING | HELD


def is_safe(value: int) -> bool:
    return value == SAFE | HELD


def report(what: str, taken_ns: list[int]) -> None:
    ordered = sorted(taken / MS for taken in taken_ns)
    print(
        f"\nsafe outputs at the device after {what}: p50 {statistics.median(ordered):.1f} ms, "
        f"max {ordered[-1]:.1f} ms ({len(ordered)} times, base 10 ms, watchdog 20 ms)"
    )


@pytest.mark.campaign
@pytest.mark.realtime
@pytest.mark.behaviour(4)
def test_outputs_fall_to_their_safe_values_when_the_scan_is_killed(rig: Rig) -> None:
    taken = []
    for turn in range(ROUNDS):
        with rig.scan() as child:
            rig.next_write(is_running)
            time.sleep(0.02 + turn % 10 / 1000)
            killed_ns = time.monotonic_ns()
            os.kill(child, signal.SIGKILL)
            taken.append(rig.next_write(is_safe, killed_ns) - killed_ns)
            rig.until_tripped()
    report("SIGKILL of the scan", taken)
    assert max(taken) < 5_000 * MS


@pytest.mark.campaign
@pytest.mark.realtime
@pytest.mark.behaviour(4)
def test_outputs_fall_to_their_safe_values_when_the_scan_is_stopped(rig: Rig) -> None:
    taken = []
    with rig.scan() as child:
        for turn in range(ROUNDS):
            rig.next_write(is_running)
            time.sleep(0.02 + turn % 10 / 1000)
            stopped_ns = time.monotonic_ns()
            os.kill(child, signal.SIGSTOP)
            taken.append(rig.next_write(is_safe, stopped_ns) - stopped_ns)
            rig.until_tripped()
            os.kill(child, signal.SIGCONT)
    report("SIGSTOP of the scan", taken)
    assert max(taken) < 5_000 * MS


@pytest.mark.realtime
def test_outputs_fall_while_the_device_process_waits_for_an_answer(rig: Rig) -> None:
    """A device that stopped answering still has to be sent its safe outputs."""
    with rig.scan() as child:
        rig.next_write(is_running)
        os.kill(rig.server, signal.SIGSTOP)
        time.sleep(0.03)
        os.kill(child, signal.SIGKILL)
        killed_ns = time.monotonic_ns()
        time.sleep(0.06)
        os.kill(rig.server, signal.SIGCONT)
        rig.next_write(is_safe, killed_ns)


@pytest.mark.behaviour(4)
def test_a_device_process_whose_supervisor_died_makes_the_device_safe_and_ends(
    tmp_path: Path,
) -> None:
    image = Image.create(tmp_path / "image", cell(), "0123abcd")
    port = image.device(0)
    ready, tell = os.pipe()
    writes, note = os.pipe()

    def supervise(tcp_port: int) -> None:
        supervisor = os.getpid()
        if os.fork() == 0:
            try:
                drive(image, port, tcp_port, supervisor)
            finally:
                os._exit(0)
        time.sleep(60)

    with contextlib.ExitStack() as stack:
        for end in (ready, tell, writes, note):
            stack.callback(os.close, end)
        server = stack.enter_context(process(lambda: serve(tell, note)))
        tcp_port = told_port(ready)
        rig = Rig(image, port, 0, writes, server)
        stack.enter_context(rig.scan())
        ended, ending = os.pipe()  # only the supervisor and its device process have these ends
        stack.callback(os.close, ended)
        supervisor = stack.enter_context(process(lambda: supervise(tcp_port)))
        os.close(ending)
        rig.next_write(is_running)
        killed_ns = time.monotonic_ns()
        os.kill(supervisor, signal.SIGKILL)
        rig.next_write(is_safe, killed_ns)
        # The pipe's last writer is the device process: its end is the end of the pipe.
        assert select.select([ended], [], [], 20)[0]
        assert os.read(ended, 1) == b""
