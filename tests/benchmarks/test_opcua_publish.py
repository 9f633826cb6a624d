"""Values delivered a second of the server's processor time, against the library's own server.

All tags are doubles that change every 100 ms; each item has a queue of 10 and a deadband. Server,
scan and client are processes of their own, the two servers take turns. The client looks at the
bytes of the notifications only, so that it is not what is measured.
"""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pytest
from asyncua import Client, ua
from asyncua.ua.ua_binary import struct_from_binary

HERE = Path(__file__).parent
SECONDS = 6.0
ROUNDS = 3
INTERVAL_MS = 100.0
SAMPLING_MS = 50.0
"""Twice as often as values change, or the jitter of two clocks would leave one out now and then."""
LEAST_RATIO = 20.0
"""Far below what is measured: a machine that is busy is no finding."""
ENTRY = np.dtype(
    [
        ("handle", "<u4"),
        ("mask", "u1"),
        ("variant", "u1"),
        ("value", "<f8"),
        ("status", "<u4"),
        ("source", "<i8"),
        ("server", "<i8"),
    ]
)
NODES = {"ours": "ns=4;s=BladeMarking.IO.Inputs.remote_io.real_{}", "asyncua": "ns=2;s=real_{}"}
UNIX_TICKS = 116_444_736_000_000_000


@dataclass
class Measured:
    """What one client saw of one server."""

    values: int
    cpu_s: float
    lost: int
    """Values that should have come and did not, and gaps in the messages' numbers."""
    late_ms: list[float]
    """From the source timestamp to the arrival, one for each message."""

    @property
    def rate(self) -> float:
        return self.values / self.cpu_s


class Watcher:
    """One subscription with an item for each tag; counts what arrives."""

    def __init__(self, url: str, node: str, tags: int) -> None:
        # The library answers nobody while it writes, for longer than its client would wait.
        self.client = Client(url, timeout=120, watchdog_intervall=100)
        self.client.session_timeout = 600_000
        self.nodes = [node.format(number) for number in range(tags)]
        self.last = np.zeros(tags)
        self.seen = np.zeros(tags, bool)
        self.values = self.lost = self.number = 0
        self.late_ms: list[float] = []

    async def subscribe(self) -> None:
        await self.client.connect()
        request = ua.CreateSubscriptionRequest()
        wanted = request.Parameters
        wanted.RequestedPublishingInterval = INTERVAL_MS
        wanted.RequestedLifetimeCount, wanted.RequestedMaxKeepAliveCount = 10_000, 100
        wanted.PublishingEnabled = True
        number = (await self._ask(request)).Parameters.SubscriptionId
        for first in range(0, len(self.nodes), 1000):
            request = ua.CreateMonitoredItemsRequest()
            request.Parameters.SubscriptionId = number
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            for handle, node in enumerate(self.nodes[first : first + 1000], first):
                item = ua.MonitoredItemCreateRequest()
                item.ItemToMonitor.NodeId = ua.NodeId.from_string(node)
                item.ItemToMonitor.AttributeId = ua.AttributeIds.Value
                item.MonitoringMode = ua.MonitoringMode.Reporting
                item.RequestedParameters.ClientHandle = handle
                item.RequestedParameters.SamplingInterval = SAMPLING_MS
                item.RequestedParameters.QueueSize = 10
                item.RequestedParameters.DiscardOldest = True
                item.RequestedParameters.Filter = ua.DataChangeFilter(
                    Trigger=ua.DataChangeTrigger.StatusValue,
                    DeadbandType=ua.DeadbandType.Absolute,
                    DeadbandValue=0.5,
                )
                request.Parameters.ItemsToCreate.append(item)
            results = (await self._ask(request)).Results
            assert all(result.StatusCode.is_good() for result in results)

    async def _ask(self, request: Any) -> Any:
        data = await self.client.uaclient.protocol.send_request(request, timeout=120)
        return struct_from_binary(getattr(ua, type(request).__name__[:-7] + "Response"), data)

    async def watch(self, stop: asyncio.Event) -> None:
        """Three Publish requests are always out."""
        waiting = [asyncio.create_task(self._publish([])) for _ in range(3)]
        while not stop.is_set():
            done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting = list(rest)
            for task in done:
                acks = self._take(task.result())
                waiting.append(asyncio.create_task(self._publish(acks)))
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _publish(self, acks: list[tuple[int, int]]) -> bytes:
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(*ack) for ack in acks
        ]
        data = await self.client.uaclient.protocol.send_request(request, timeout=120)
        return bytes(data.read(len(data)))

    def _take(self, data: bytes) -> list[tuple[int, int]]:
        at = 4 + 8 + 4 + 4 + 1 + 4 + 3  # type, response header without diagnostics and texts
        subscription, available = struct.unpack_from("<Ii", data, at)
        at += 8 + 4 * max(0, available) + 1
        number, _, count = struct.unpack_from("<Iqi", data, at)
        at += 16
        if count < 1:
            return []
        if self.number and number != self.number + 1:
            self.lost += 1
        self.number = number
        now = time.time_ns() / 100 + UNIX_TICKS
        for _ in range(count):
            at += 4 + 1 + 4  # type, encoding, length
            (entries,) = struct.unpack_from("<i", data, at)
            rows = np.frombuffer(data, ENTRY, entries, at + 4)
            at += 4 + entries * ENTRY.itemsize + 4
            self._count(rows, now)
        return [(subscription, number)]

    def _count(self, rows: Any, now: float) -> None:
        rows = rows[rows["variant"] == 11]
        self.values += len(rows)
        order = np.argsort(rows["handle"], kind="stable")
        handles, values = rows["handle"][order], rows["value"][order]
        before = self.last[handles]
        again = np.flatnonzero(handles[1:] == handles[:-1]) + 1
        before[again] = values[again - 1]
        known = self.seen[handles]
        known[again] = True
        self.lost += int(np.maximum(0, values - before - 1)[known].sum())
        self.last[handles], self.seen[handles] = values, True
        if len(rows):
            self.late_ms.append((now - float(rows["source"].max())) / 1e4)


def _measure(kind: str, tags: int, clients: int, folder: Path) -> Measured:
    folder.mkdir(parents=True)
    command = [sys.executable, str(HERE / "opcua_servers.py"), kind, str(tags), str(folder)]
    paths = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=paths
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        node = NODES[kind]
        watchers = [Watcher(url, node, tags) for _ in range(clients)]
        return asyncio.run(_watch(watchers, psutil.Process(process.pid)))
    finally:
        process.kill()
        process.communicate()


async def _watch(watchers: list[Watcher], server: psutil.Process) -> Measured:
    for watcher in watchers:
        await watcher.subscribe()
    stop = asyncio.Event()
    tasks = [asyncio.create_task(watcher.watch(stop)) for watcher in watchers]
    await asyncio.sleep(2.0)
    for watcher in watchers:
        watcher.values = watcher.lost = 0
        watcher.late_ms.clear()
    before = sum(server.cpu_times()[:2])
    await asyncio.sleep(SECONDS)
    cpu_s = sum(server.cpu_times()[:2]) - before
    found = Measured(
        sum(watcher.values for watcher in watchers),
        cpu_s,
        sum(watcher.lost for watcher in watchers),
        [late for watcher in watchers for late in watcher.late_ms],
    )
    stop.set()
    await asyncio.gather(*tasks)
    for watcher in watchers:
        await watcher.client.disconnect()
    return found


def _line(name: str, runs: list[Measured], tags: int, clients: int) -> str:
    rate = median(run.rate for run in runs)
    due = tags * clients * SECONDS * 1000 / INTERVAL_MS
    delivered = median(run.values for run in runs) / due
    late = np.concatenate([run.late_ms for run in runs])
    return (
        f"  {name:8s} {rate:12,.0f} values/s of CPU, {delivered:4.0%} delivered, "
        f"{sum(run.lost for run in runs)} lost, scan to client "
        f"p50 {np.percentile(late, 50):.0f} ms, p99 {np.percentile(late, 99):.0f} ms"
    )


@pytest.mark.benchmark(group="opcua publish")
@pytest.mark.parametrize(("tags", "clients"), [(10_000, 1), (20_000, 1), (1_000, 10)])
def test_values_a_second_of_processor_time(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], tags: int, clients: int
) -> None:
    def turns() -> tuple[list[Measured], list[Measured]]:
        ours, library = [], []
        for number in range(ROUNDS):
            ours.append(_measure("ours", tags, clients, tmp_path / f"ours{number}"))
            library.append(_measure("asyncua", tags, clients, tmp_path / f"lib{number}"))
        return ours, library

    ours, library = benchmark.pedantic(turns, rounds=1, iterations=1)
    ratio = median(run.rate for run in ours) / median(run.rate for run in library)
    with capsys.disabled():
        print(
            f"\nopcua publish, {clients} x {tags:,} doubles every 100 ms, queue 10, deadband:\n"
            f"{_line('ours', ours, tags, clients)}\n"
            f"{_line('asyncua', library, tags, clients)}\n"
            f"  ratio {ratio:.0f}"
        )
    assert sum(run.lost for run in ours) == 0
    assert ratio > LEAST_RATIO
