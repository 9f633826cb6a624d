"""The gateway is killed over and over while the cell marks: the scan does not even notice."""

from __future__ import annotations

import asyncio
import random
import signal
import time

import pytest
from asyncua import Client, ua

from cellwright.io.messages import PartReleased
from cellwright.io.plan import CellState
from cellwright.mes.shopfloor.parts import counts
from support.campaign import SCALE, times
from support.cells import CellUnderTest
from support.evidence import keep_running, patient

PARTS = times(12)
KILLS = times(2)


CYCLE = "BladeMarking.Controller.Resources.PLC1.System.cycle"


class Poller:
    """A client that makes a new connection when it loses one, and reads the cycle number."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.connections = 0
        self.last_cycle = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with Client(self._url, timeout=5) as client:
                    await self._read(client, stop)
            except (OSError, TimeoutError, ua.UaError):
                await asyncio.sleep(0.2)

    async def _read(self, client: Client, stop: asyncio.Event) -> None:
        index = await client.get_namespace_index("urn:cellwright:cell")
        node = client.get_node(f"ns={index};s={CYCLE}")
        self.last_cycle = await node.read_value()
        self.connections += 1
        while not stop.is_set():
            self.last_cycle = await node.read_value()
            await asyncio.sleep(0.1)


class Subscriber:
    """A client whose library reconnects it and restores its subscription."""

    def __init__(self) -> None:
        self.last_cycle = 0

    def datachange_notification(self, node, value, data) -> None:
        self.last_cycle = value

    async def run(self, url: str, stop: asyncio.Event) -> None:
        async with Client(url, timeout=5, auto_reconnect=True, reconnect_max_delay=1) as client:
            index = await client.get_namespace_index("urn:cellwright:cell")
            subscription = await client.create_subscription(100, self)
            await subscription.subscribe_data_change(client.get_node(f"ns={index};s={CYCLE}"))
            await stop.wait()


@pytest.mark.campaign
@pytest.mark.timeout(600 * SCALE)
@pytest.mark.behaviour(16)
async def test_kills_of_the_gateway_cost_no_beat_and_no_part(tmp_path, record_property):
    moments = random.Random(11)

    def insecure(cell):
        patient(cell)
        cell["opcua"]["insecure"] = True

    with CellUnderTest(tmp_path / "cell", parts=PARTS, speed=20.0, edit=insecure) as cell:
        cell.until_state(CellState.RUN)
        scan_pid = cell.pid("scan")
        stop = asyncio.Event()
        url = f"opc.tcp://127.0.0.1:{cell.opcua_port}"
        watcher, subscriber = Poller(url), Subscriber()
        watching = [asyncio.create_task(watcher.run(stop))]
        await _until(lambda: watcher.connections > 0, 60)
        watching.append(asyncio.create_task(subscriber.run(url, stop)))
        await _until(lambda: subscriber.last_cycle > 0, 60)
        await asyncio.to_thread(cell.order, "JO-1", PARTS)
        for kill in range(KILLS):
            await _until(lambda kill=kill: watcher.connections > kill, 60)
            await asyncio.sleep(moments.uniform(0.5, 2.0))
            await asyncio.to_thread(cell.kill, "gateway", signal.SIGKILL)
        await _until(lambda: keep_running(cell) or bool(cell.plant.events("finished")), 240 * SCALE)
        at_end = cell.value("sys.cycle")
        await _until(lambda: watcher.last_cycle > at_end, 60)
        await _until(lambda: subscriber.last_cycle > at_end, 60)
        stop.set()
        await asyncio.gather(*watching)

        assert cell.pid("scan") == scan_pid
        elapsed, cycle, skipped = cell.values("sys.elapsed", "sys.cycle", "sys.skipped")
        heartbeat = cell.plant.status()["heartbeat"]
        figures = (
            f"{cycle} cycles, {skipped} skipped; {watcher.connections} connections; "
            f"plant's heartbeat {heartbeat}"
        )
        record_property("gateway_kills", figures)
        print(figures)
        assert cycle + skipped == elapsed
        assert watcher.connections > KILLS

        released = [e.part_id for e in cell.events() if isinstance(e, PartReleased)]
        assert len(released) == len(set(released)) == PARTS
        assert not cell.plant.events("double_mark")
        store = cell.store()
        with store.session() as session:
            found = counts(session)
        store.close()
        assert (found.recorded, found.duplicates) == (PARTS, 0)


async def _until(condition, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.05)
