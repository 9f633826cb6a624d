"""Subscriptions: changes arrive, deadbands are honest, queues tell when they overflow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from cellwright.io.plan import BAD_NO_COMMUNICATION, GOOD
from cellwright.opcua_model.isa95.job_orders import PRODUCED

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRESSURE = "ns=4;s=BladeMarking.IO.Inputs.remote_io.air_pressure"
DWELL = "ns=4;s=BladeMarking.IO.Memory.dwell"
PRESENT = "ns=4;s=BladeMarking.IO.Inputs.remote_io.part_present"


class Recorder:
    """Keeps what a subscription delivers."""

    def __init__(self) -> None:
        self.values: list[ua.DataValue] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.values.append(data.monitored_item.Value)

    @property
    def plain(self) -> list[Any]:
        return [value.Value.Value for value in self.values]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def show(cell: Any, name: str, *values: Any) -> None:
    """Each value in a sample of its own."""
    for value in values:
        cell.image.set(name, value)
        cell.server._internal.subscriptions.sample_now()


def taken(subscription: Any) -> list[ua.DataValue]:
    """What waits to be published, taken out."""
    found: list[ua.DataValue] = []
    for data in subscription._pop_publish_result().NotificationMessage.NotificationData:
        notification = struct_from_binary(ua.DataChangeNotification, Buffer(data.Body))
        found += [item.Value for item in notification.MonitoredItems]
    return found


async def test_changes_arrive_with_quality_and_time(cell: Any) -> None:
    recorder = Recorder()
    async with cell.client() as client:
        await show(cell, "part_present", False)
        subscription = await client.create_subscription(20, recorder)
        await subscription.subscribe_data_change(client.get_node(PRESENT))
        await until(lambda: recorder.plain == [False])
        cell.image.set("part_present", True)
        stamp_ns = cell.image.utc_ns
        await until(lambda: recorder.plain == [False, True])
        assert recorder.values[1].SourceTimestamp.timestamp() == pytest.approx(stamp_ns / 1e9)
        cell.image.set("part_present", True, BAD_NO_COMMUNICATION)
        await until(lambda: len(recorder.values) == 3)
        assert recorder.values[2].StatusCode.value == BAD_NO_COMMUNICATION
        cell.image.set("part_present", True, GOOD)
        await until(lambda: recorder.plain == [False, True, None, True])


async def test_a_slow_ramp_is_reported_by_its_distance_from_the_last_report(cell: Any) -> None:
    recorder = Recorder()
    async with cell.client() as client:
        await show(cell, "air_pressure", 1.0)
        subscription = await client.create_subscription(20, recorder)
        await subscription.deadband_monitor(client.get_node(PRESSURE), 0.5, queuesize=50)
        await until(lambda: recorder.plain == [1.0])
        await show(cell, "air_pressure", *(1.0 + step / 8 for step in range(1, 17)))
        await until(lambda: len(recorder.values) == 4)
    assert recorder.plain == [1.0, 1.625, 2.25, 2.875]


async def test_a_deadband_on_text_or_in_per_cent_of_no_range_is_refused(cell: Any) -> None:
    async with cell.client() as client:
        subscription = await client.create_subscription(50, Recorder())
        label = client.get_node("ns=4;s=BladeMarking.IO.Memory.label")
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await subscription.deadband_monitor(label, 1.0)
        assert caught.value.code == ua.StatusCodes.BadFilterNotAllowed
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await subscription.deadband_monitor(
                client.get_node(DWELL), 1.0, deadbandtype=ua.DeadbandType.Percent
            )
        assert caught.value.code == ua.StatusCodes.BadMonitoredItemFilterUnsupported
        for wrong in (-1.0, 100.5, float("nan")):
            with pytest.raises(ua.UaStatusCodeError) as caught:
                await subscription.deadband_monitor(
                    client.get_node(PRESSURE), wrong, deadbandtype=ua.DeadbandType.Percent
                )
            assert caught.value.code == ua.StatusCodes.BadDeadbandFilterInvalid


@pytest.mark.parametrize("discard_oldest", [True, False])
async def test_a_full_queue_drops_and_says_so(cell: Any, discard_oldest: bool) -> None:
    async with cell.client() as client:
        await show(cell, "air_pressure", 0.0)
        recorder = Recorder()
        # Long: nothing may be delivered while the queue fills.
        subscription = await client.create_subscription(30_000, recorder)
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor.NodeId = ua.NodeId.from_string(PRESSURE)
        request.ItemToMonitor.AttributeId = ua.AttributeIds.Value
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters.ClientHandle = 7
        request.RequestedParameters.QueueSize = 3
        request.RequestedParameters.DiscardOldest = discard_oldest
        (result,) = await subscription.create_monitored_items([request])
        assert isinstance(result, int), result
        items = cell.server._internal.subscriptions.subscriptions[subscription.subscription_id]
        taken(items)
        await show(cell, "air_pressure", 1.0, 2.0, 3.0, 4.0, 5.0)
        values = [(item.Value.Value, item.StatusCode.value & 0x480) for item in taken(items)]
    if discard_oldest:
        assert values == [(3.0, 0x480), (4.0, 0), (5.0, 0)]
    else:
        assert values == [(1.0, 0), (2.0, 0), (5.0, 0x480)]


async def test_a_removed_work_order_tells_its_subscribers(cell: Any) -> None:
    from cellwright.opcua_model.isa95.mes_view import MesState  # noqa: PLC0415

    assert PRODUCED
    async with cell.client("planner") as client:
        await store_order(client, "GONE-1")
        orders = cell.server._work_orders
        number = next(view.number for view in orders.state.orders if view.job_order_id == "GONE-1")
        node = client.get_node(f"ns=3;s=BladeMarking.MES.WorkOrders.{number}.State")
        recorder = Recorder()
        subscription = await client.create_subscription(20, recorder)
        await subscription.subscribe_data_change(node)
        await until(lambda: len(recorder.values) == 1)
        before = orders.state
        orders.show(MesState(), ua.DateTime(2026, 1, 1, tzinfo=UTC))
        await until(lambda: len(recorder.values) == 2)
        assert recorder.values[1].StatusCode.value == ua.StatusCodes.BadNodeIdUnknown
        orders.show(before, ua.DateTime(2026, 1, 1, tzinfo=UTC))


async def store_order(client: Any, job_order_id: str) -> None:
    from cellwright.opcua_model.isa95.structures import (  # noqa: PLC0415
        ISA95JobOrderDataType,
        ISA95MaterialDataType,
        ISA95WorkMasterDataType,
    )

    order = ISA95JobOrderDataType(
        JobOrderID=job_order_id,
        WorkMasterID=[ISA95WorkMasterDataType(ID="BLD-7421")],
        MaterialRequirements=[ISA95MaterialDataType(MaterialUse=PRODUCED, Quantity="5")],
    )
    control = client.get_node("ns=3;s=BladeMarking.JobManagement.JobOrderControl")
    status = await control.call_method(
        "3:Store",
        ua.Variant(order, ua.VariantType.ExtensionObject),
        ua.Variant([], ua.VariantType.LocalizedText, is_array=True),
    )
    assert status == 1


async def test_a_message_that_is_not_held_any_more_is_told_as_such(cell: Any) -> None:
    async with cell.client() as client:
        recorder = Recorder()
        subscription = await client.create_subscription(20, recorder)
        await subscription.subscribe_data_change(client.get_node(PRESENT))
        await until(lambda: len(recorder.values) == 1)
        session, number = client.uaclient.session, subscription.subscription_id
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await session.republish(number, 999)
        assert caught.value.code == ua.StatusCodes.BadMessageNotAvailable


async def test_get_monitored_items_lists_the_caller_s_items(cell: Any) -> None:
    async with cell.client() as client, cell.client("planner") as other:
        subscription = await client.create_subscription(50, Recorder())
        await subscription.subscribe_data_change(client.get_node(PRESENT))
        number = ua.Variant(subscription.subscription_id, ua.VariantType.UInt32)
        server = client.nodes.server
        handles, clients = await server.call_method("0:GetMonitoredItems", number)
        assert len(handles) == len(clients) == 1
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await other.nodes.server.call_method("0:GetMonitoredItems", number)
        assert caught.value.code == ua.StatusCodes.BadUserAccessDenied


async def test_a_filter_that_is_taken_away_leaves_no_deadband_behind(cell: Any) -> None:
    recorder = Recorder()
    async with cell.client() as client:
        await show(cell, "air_pressure", 1.0)
        subscription = await client.create_subscription(20, recorder)
        handle = await subscription.deadband_monitor(client.get_node(PRESSURE), 5.0, queuesize=9)
        await until(lambda: recorder.plain == [1.0])
        (result,) = await modify(client, subscription, handle)
        assert result.StatusCode.is_good()
        await show(cell, "air_pressure", 1.5)
        await until(lambda: recorder.plain == [1.0, 1.5])


async def modify(client: Any, subscription: Any, handle: int) -> list[Any]:
    """ModifyMonitoredItems without a filter."""
    item = ua.MonitoredItemModifyRequest()
    item.MonitoredItemId = handle
    item.RequestedParameters.ClientHandle = next(
        held.client_handle
        for held in subscription._monitored_items.values()
        if held.server_handle == handle
    )
    item.RequestedParameters.QueueSize = 9
    parameters = ua.ModifyMonitoredItemsParameters()
    parameters.SubscriptionId = subscription.subscription_id
    parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    parameters.ItemsToModify = [item]
    results: list[Any] = await client.uaclient.modify_monitored_items(parameters)
    return results


@pytest.mark.parametrize("initial", [True, False])
async def test_a_transferred_subscription_sends_its_values_anew_when_asked_to(
    cell: Any, initial: bool
) -> None:
    async with cell.client() as first, cell.client() as second:
        await show(cell, "part_present", True)
        recorder = Recorder()
        subscription = await first.create_subscription(20, recorder)
        await subscription.subscribe_data_change(first.get_node(PRESENT))
        await until(lambda: recorder.plain == [True])
        held = cell.server._internal.subscriptions.subscriptions[subscription.subscription_id]
        parameters = ua.TransferSubscriptionsParameters()
        parameters.SubscriptionIds = [subscription.subscription_id]
        parameters.SendInitialValues = initial
        (result,) = await second.uaclient.transfer_subscriptions(parameters)
        assert result.StatusCode.is_good()
        # The second client asks for no publishing, so what is to be sent stays in the queue.
        assert [item.Value.Value for item in taken(held)] == ([True] if initial else [])


async def test_an_item_for_events_without_their_filter_is_refused_and_the_others_are_made(
    cell: Any,
) -> None:
    async with cell.client() as client:
        await show(cell, "part_present", True)
        subscription = await client.create_subscription(50, Recorder())
        requests = []
        for handle, (node_id, attribute) in enumerate(
            (("i=2253", ua.AttributeIds.EventNotifier), (PRESENT, ua.AttributeIds.Value)), 1
        ):
            request = ua.MonitoredItemCreateRequest()
            request.ItemToMonitor.NodeId = ua.NodeId.from_string(node_id)
            request.ItemToMonitor.AttributeId = attribute
            request.MonitoringMode = ua.MonitoringMode.Reporting
            request.RequestedParameters.ClientHandle = handle
            requests.append(request)
        events, value = await subscription.create_monitored_items(requests)
        assert events.value == ua.StatusCodes.BadEventFilterInvalid
        assert isinstance(value, int)
