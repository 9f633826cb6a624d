"""The publishing pass against asyncua's own way of writing values, in one run, with the ratio.

Both sides feed the same kind of subscription: every tag changes in every pass and every change is
queued for one monitored item. CPU time of the process is counted, up to the encoded message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.ua.ua_binary import struct_to_binary

from cellwright.io.timing.clock import MonotonicClock
from cellwright.opcua_model.server import CellServer
from support.opcua_support import FakeScan, ImageBench, cell_plan

TAGS = 1_000
PASSES = 10


async def _monitor(session: Any, nodes: list[ua.NodeId]) -> Any:
    """A subscription of the server's own with one item for each node; gives it."""

    async def taken(result: Any) -> None:
        return None

    params = ua.CreateSubscriptionParameters()
    params.RequestedPublishingInterval = 3_600_000.0
    params.RequestedLifetimeCount = 1000
    params.RequestedMaxKeepAliveCount = 1000
    params.PublishingEnabled = True
    created = await session.create_subscription(params, taken)
    items = ua.CreateMonitoredItemsParameters()
    items.SubscriptionId = created.SubscriptionId
    for handle, node_id in enumerate(nodes):
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor.NodeId = node_id
        request.ItemToMonitor.AttributeId = ua.AttributeIds.Value
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters.ClientHandle = handle
        request.RequestedParameters.QueueSize = PASSES + 1
        items.ItemsToCreate.append(request)
    await session.subscription_service.create_monitored_items(items)
    return session.subscription_service.subscriptions[created.SubscriptionId]


def _encode(subscription: Any) -> int:
    """Bytes of the notifications that wait, as a publish response holds them; empties the queue."""
    result = subscription._pop_publish_result()
    return sum(len(struct_to_binary(data)) for data in result.NotificationMessage.NotificationData)


async def _measure(
    step: Callable[[int], Awaitable[None]], subscription: Any
) -> tuple[float, float]:
    """CPU seconds for the passes and for encoding what they queued."""
    _encode(subscription)
    began = time.process_time()
    for number in range(1, PASSES + 1):
        await step(number)
    queued = time.process_time()
    assert _encode(subscription) > TAGS * PASSES * 8
    return queued - began, time.process_time() - queued


async def _vanilla() -> tuple[float, float]:
    server = Server()
    await server.init()
    folder = await server.nodes.objects.add_folder(2, "Tags")
    nodes = [
        await folder.add_variable(
            ua.NodeId(f"real_{number}", 2), f"real_{number}", 0.0, ua.VariantType.Float
        )
        for number in range(TAGS)
    ]
    subscription = await _monitor(server.iserver.isession, [node.nodeid for node in nodes])

    async def step(number: int) -> None:
        for node in nodes:
            await node.write_value(float(number), ua.VariantType.Float)

    figures = await _measure(step, subscription)
    await subscription.stop()
    server.iserver.method_service.stop()
    return figures


async def _ours(folder: Path) -> tuple[float, float, float]:
    plan = cell_plan(folder, reals=TAGS)
    image = ImageBench(plan)
    server = CellServer(image.image, FakeScan(image), None, pki=folder, clock=MonotonicClock())
    began = time.perf_counter()
    await server.start()
    await server.publish()
    started = time.perf_counter() - began
    nodes = [
        ua.NodeId(f"BladeMarking.IO.Inputs.remote_io.real_{number}", 4) for number in range(TAGS)
    ]
    subscription = await _monitor(server._internal.isession, nodes)

    async def step(number: int) -> None:
        image.put({f"real_{index}": float(number) for index in range(TAGS)})
        await server.publish()

    figures = await _measure(step, subscription)
    await server.stop()
    return *figures, started


@pytest.mark.benchmark(group="opcua publish")
def test_publishing_costs_less_cpu_a_value_than_the_library_s_own_writes(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def both() -> tuple[float, float]:
        library = await _vanilla()
        ours = await _ours(tmp_path)
        values = TAGS * PASSES
        with capsys.disabled():
            print(
                f"\nopcua publish, {TAGS} tags, {PASSES} passes, all changing, one item each:\n"
                f"  asyncua write_value  {library[0] / values * 1e6:6.1f} us/value, "
                f"{values / sum(library):9,.0f} values/s of CPU with encoding\n"
                f"  publishing pass      {ours[0] / values * 1e6:6.1f} us/value, "
                f"{values / sum(ours[:2]):9,.0f} values/s of CPU with encoding\n"
                f"  ratio {library[0] / ours[0]:.1f} without encoding, "
                f"{sum(library) / sum(ours[:2]):.1f} with it; "
                f"start with {TAGS} tags to first published value {ours[2]:.2f} s"
            )
        return sum(library), sum(ours[:2])

    library, ours = benchmark.pedantic(lambda: asyncio.run(both()), rounds=1, iterations=1)
    assert ours < library
