"""Long lists are refused before they are decoded, and served so that others get their turn."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from cellwright.opcua_model.services import limits, slices

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRESSURE = ua.NodeId.from_string("ns=4;s=BladeMarking.IO.Inputs.remote_io.air_pressure")
MEMORY = ua.NodeId.from_string("ns=4;s=BladeMarking.IO.Memory")
LONG = {
    "Read": (struct.pack("<di", 0.0, 2), limits.MAX_NODES_PER_READ),
    "CreateMonitoredItems": (struct.pack("<Ii", 1, 2), limits.MAX_ITEMS_PER_CALL),
    "Browse": (
        struct_to_binary(ua.ViewDescription()) + struct.pack("<I", 0),
        limits.MAX_NODES_PER_BROWSE,
    ),
    "Write": (b"", limits.MAX_NODES_PER_WRITE),
    "Call": (b"", limits.MAX_NODES_PER_CALL),
    "TranslateBrowsePathsToNodeIds": (b"", limits.MAX_NODES_PER_TRANSLATE),
    "ModifyMonitoredItems": (struct.pack("<Ii", 1, 2), limits.MAX_ITEMS_PER_CALL),
    "DeleteMonitoredItems": (struct.pack("<I", 1), limits.MAX_ITEMS_PER_CALL),
    "SetMonitoringMode": (struct.pack("<Ii", 1, 2), limits.MAX_ITEMS_PER_CALL),
    "SetPublishingMode": (b"\1", limits.MAX_ITEMS_PER_CALL),
    "DeleteSubscriptions": (b"", limits.MAX_ITEMS_PER_CALL),
    "TransferSubscriptions": (b"", limits.MAX_ITEMS_PER_CALL),
    "RegisterNodes": (b"", limits.MAX_NODES_PER_REGISTER),
    "UnregisterNodes": (b"", limits.MAX_NODES_PER_REGISTER),
    "BrowseNext": (b"\0", limits.MAX_BROWSE_CONTINUATION_POINTS),
}


async def raw(client: Any, name: str, parameters: bytes) -> bytes:
    """Send the parameters as they are; gives the response's bytes."""

    def typed() -> Any:
        request = getattr(ua, f"{name}Request")()
        whole = struct_to_binary(request)
        empty = struct_to_binary(getattr(request, "Parameters", None)) if hasattr(
            request, "Parameters") else b""  # fmt: skip
        return request, whole[: len(whole) - len(empty)] + parameters

    protocol = client.uaclient.protocol
    request, _ = typed()
    original = protocol._connection.message_to_binary

    def replaced(data: bytes, **more: Any) -> Any:
        empty = struct_to_binary(request.Parameters)
        assert data.endswith(empty)
        return original(data[: len(data) - len(empty)] + parameters, **more)

    protocol._connection.message_to_binary = replaced
    try:
        future = asyncio.ensure_future(protocol.send_request(request, timeout=20))
        await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        protocol._connection.message_to_binary = original
    return await future


@pytest.mark.parametrize("name", sorted(LONG))
async def test_a_list_that_is_too_long_is_refused_before_it_is_decoded(
    cell: Any, name: str
) -> None:
    """There is nothing behind the count, so that decoding would end the connection."""
    head, most = LONG[name]
    async with cell.client() as client:
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await raw(client, name, head + struct.pack("<i", most + 1))
        assert caught.value.code == ua.StatusCodes.BadTooManyOperations
        assert await client.nodes.server.read_browse_name()


def reading(count: int) -> bytes:
    item = struct_to_binary(ua.ReadValueId(PRESSURE, ua.AttributeIds.Value))
    return struct.pack("<dii", 0.0, 2, count) + item * count


def creating(subscription: int, count: int) -> bytes:
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor = ua.ReadValueId(PRESSURE, ua.AttributeIds.Value)
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters.QueueSize = 2
    return struct.pack("<Iii", subscription, 2, count) + struct_to_binary(request) * count


def browsing(count: int) -> bytes:
    item = struct_to_binary(ua.BrowseDescription(NodeId=MEMORY, ResultMask=63))
    view = struct_to_binary(ua.ViewDescription())
    return view + struct.pack("<Ii", 1, count) + item * count


@pytest.mark.parametrize("name", ["Read", "Browse", "CreateMonitoredItems"])
async def test_between_two_slices_others_get_their_turn(cell: Any, name: str) -> None:
    count, turns = 2_000, 0
    async with cell.client() as client:
        subscription = await client.create_subscription(3_600_000, None)
        body = {
            "Read": reading(count),
            "Browse": browsing(count),
            "CreateMonitoredItems": creating(subscription.subscription_id, count),
        }[name]
        session = cell.server._internal.sessions[-1]

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        session.begin_request()
        sliced = slices.SERVICES[slices.request(name)]
        response, results = await sliced.answer(session, Buffer(body))
        task.cancel()
        assert turns >= count // slices.SLICE
        whole = struct_from_binary(
            getattr(ua, f"{name}Response"), Buffer(slices.encoded(response, results))
        )
        assert len(whole.Results) == count
        good = [
            result.StatusCode is None or not result.StatusCode.is_bad() for result in whole.Results
        ]
        assert sum(good) == (limits.MAX_BROWSE_CONTINUATION_POINTS if name == "Browse" else count)


async def test_no_continuation_point_of_a_request_is_lost_to_another_one_of_it(cell: Any) -> None:
    async with cell.client() as client:
        parameters = ua.BrowseParameters(
            RequestedMaxReferencesPerNode=1,
            NodesToBrowse=[ua.BrowseDescription(NodeId=MEMORY, ResultMask=63)] * 12,
        )
        for _ in range(2):  # the second request takes the places of the first one's points
            results = await client.uaclient.session.browse(parameters)
            most = limits.MAX_BROWSE_CONTINUATION_POINTS
            names = [result.ContinuationPoint for result in results[:most]]
            assert all(result.StatusCode.is_good() for result in results[:most])
            refused = [result.StatusCode.value for result in results[most:]]
            assert refused == [ua.StatusCodes.BadNoContinuationPoints] * 2
            assert not any(result.References for result in results[most:])
        going_on = ua.BrowseNextParameters(
            ReleaseContinuationPoints=False, ContinuationPoints=names
        )
        results = await client.uaclient.session.browse_next(going_on)
        assert all(len(result.References) == 1 for result in results)
