"""The subscription services as OPC 10000-4 has them, asked by a client at service level."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRESSURE = "ns=4;s=BladeMarking.IO.Inputs.remote_io.air_pressure"
PRESENT = "ns=4;s=BladeMarking.IO.Inputs.remote_io.part_present"
PROFILE = "ns=4;s=BladeMarking.IO.Memory.profile"
STATE = "ns=3;s=BladeMarking.Status.State"


class Raw:
    """One subscription of a client that publishes by hand."""

    def __init__(self, client: Any, number: int) -> None:
        self.client = client
        self.number = number

    async def ask(self, request: Any, **parameters: Any) -> Any:
        for name, value in parameters.items():
            setattr(request.Parameters, name, value)
        data = await self.client.uaclient.protocol.send_request(request, timeout=20)
        return struct_from_binary(getattr(ua, type(request).__name__[:-7] + "Response"), data)

    async def publish(self, *acks: int) -> ua.PublishResult:
        """One message."""
        response = await self.ask(
            ua.PublishRequest(),
            SubscriptionAcknowledgements=[
                ua.SubscriptionAcknowledgement(self.number, number) for number in acks
            ],
        )
        result: ua.PublishResult = response.Parameters
        return result

    async def values(self) -> list[tuple[int, Any]]:
        """Client handle and value of everything in the next message that is no keep-alive."""
        while True:
            result = await self.publish()
            if result.NotificationMessage.NotificationData:
                return shown(result)

    async def monitor(self, *nodes: str, **more: Any) -> list[ua.MonitoredItemCreateResult]:
        """Items with the handles 1, 2 ..."""
        requests = []
        for handle, node in enumerate(nodes, 1):
            request = ua.MonitoredItemCreateRequest()
            request.ItemToMonitor.NodeId = ua.NodeId.from_string(node)
            request.ItemToMonitor.AttributeId = ua.AttributeIds.Value
            request.ItemToMonitor.IndexRange = more.get("index_range")
            request.MonitoringMode = more.get("mode", ua.MonitoringMode.Reporting)
            request.RequestedParameters.ClientHandle = handle
            request.RequestedParameters.QueueSize = more.get("queue", 10)
            request.RequestedParameters.SamplingInterval = more.get("sampling", 0.0)
            request.RequestedParameters.DiscardOldest = True
            requests.append(request)
        response = await self.ask(
            ua.CreateMonitoredItemsRequest(),
            SubscriptionId=self.number,
            TimestampsToReturn=more.get("times", ua.TimestampsToReturn.Both),
            ItemsToCreate=requests,
        )
        results: list[ua.MonitoredItemCreateResult] = response.Results
        return results


def shown(result: ua.PublishResult) -> list[tuple[int, Any]]:
    found = []
    for data in result.NotificationMessage.NotificationData:
        assert isinstance(data, ua.DataChangeNotification)
        found += [(item.ClientHandle, item.Value.Value.Value) for item in data.MonitoredItems]
    return found


@asynccontextmanager
async def raw(cell: Any, interval: float = 20.0, **more: Any) -> AsyncIterator[Raw]:
    async with cell.client() as client:
        request = ua.CreateSubscriptionRequest()
        wanted = {
            "RequestedPublishingInterval": interval,
            "RequestedLifetimeCount": 1000,
            "RequestedMaxKeepAliveCount": 100,
            "PublishingEnabled": True,
        }
        subscription = Raw(client, 0)
        response = await subscription.ask(request, **(wanted | more))
        subscription.number = response.Parameters.SubscriptionId
        yield subscription


def put(cell: Any, name: str, *values: Any) -> None:
    for value in values:
        cell.image.set(name, value)
        cell.server._internal.subscriptions.sample_now()


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        (-1.0, 50.0),
        (-7.5, 50.0),
        (math.nan, 50.0),
        (0.0, 10.0),
        (1e-300, 10.0),
        (10.0, 10.0),
        (11.0, 20.0),
        (250.0, 250.0),
        (255.0, 260.0),
        (math.inf, 3_600_000.0),
        (1e300, 3_600_000.0),
    ],
)
async def test_a_sampling_interval_is_revised_to_what_is_done(
    cell: Any, asked: float, done: float
) -> None:
    async with raw(cell, 50.0) as subscription:
        (item,) = await subscription.monitor(PRESSURE, sampling=asked)
        assert item.StatusCode.is_good()
        assert item.RevisedSamplingInterval == done


async def test_a_slow_item_reports_what_it_finds_and_nothing_between(cell: Any) -> None:
    async with raw(cell) as subscription:
        cell.image.set("air_pressure", 1.0)
        await subscription.monitor(PRESSURE, sampling=300.0)
        assert (await subscription.values())[0] == (1, 1.0)
        for value in (2.0, 3.0, 4.0):
            cell.image.set("air_pressure", value)
        seen = await subscription.values()
        assert [value for _, value in seen] == [4.0]


async def test_no_message_has_more_notifications_than_was_asked(cell: Any) -> None:
    async with raw(cell, MaxNotificationsPerPublish=3) as subscription:
        await subscription.monitor(PRESSURE, STATE, sampling=3_600_000.0)
        first = await subscription.values()
        assert len(first) <= 3
        put(cell, "air_pressure", 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
        messages = []
        while sum(len(shown(message)) for message in messages) < 7:
            messages.append(await subscription.publish())
        values = [value for message in messages for handle, value in shown(message) if handle == 1]
        assert values == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        full = [message for message in messages if shown(message)]
        assert all(len(shown(message)) <= 3 for message in full)
        assert [message.MoreNotifications for message in full] == [True, True, False]
        numbers = [message.NotificationMessage.SequenceNumber for message in full]
        assert numbers == list(range(numbers[0], numbers[0] + 3))


async def test_an_item_in_mode_sampling_reports_when_it_is_triggered(cell: Any) -> None:
    async with raw(cell) as subscription:
        put(cell, "air_pressure", 1.0)
        (trigger,) = await subscription.monitor(PRESENT, sampling=3_600_000.0)
        await subscription.values()
        (linked,) = await subscription.monitor(
            PRESSURE, sampling=3_600_000.0, mode=ua.MonitoringMode.Sampling
        )
        answer = await subscription.ask(
            ua.SetTriggeringRequest(),
            SubscriptionId=subscription.number,
            TriggeringItemId=trigger.MonitoredItemId,
            LinksToAdd=[linked.MonitoredItemId, 99],
            LinksToRemove=[],
        )
        assert [code.value for code in answer.Parameters.AddResults] == [
            ua.StatusCodes.Good,
            ua.StatusCodes.BadMonitoredItemIdInvalid,
        ]
        put(cell, "air_pressure", 2.0, 3.0)
        put(cell, "part_present", not cell.image.image.snapshot_reader().read())
        seen = await subscription.values()
        assert [value for handle, value in seen if isinstance(value, float)] == [1.0, 2.0, 3.0]
        again = await subscription.ask(
            ua.SetTriggeringRequest(),
            SubscriptionId=subscription.number,
            TriggeringItemId=trigger.MonitoredItemId,
            LinksToAdd=[],
            LinksToRemove=[linked.MonitoredItemId, linked.MonitoredItemId],
        )
        assert [code.is_good() for code in again.Parameters.RemoveResults] == [True, False]


async def test_a_trigger_that_is_none_and_an_empty_request_are_refused(cell: Any) -> None:
    async with raw(cell) as subscription:
        for links, code in (
            ([1], ua.StatusCodes.BadMonitoredItemIdInvalid),
            ([], ua.StatusCodes.BadNothingToDo),
        ):
            with pytest.raises(ua.UaStatusCodeError) as caught:
                await subscription.ask(
                    ua.SetTriggeringRequest(),
                    SubscriptionId=subscription.number,
                    TriggeringItemId=5,
                    LinksToAdd=links,
                    LinksToRemove=[],
                )
            assert caught.value.code == code


async def test_a_modified_subscription_takes_the_interval_and_the_most(cell: Any) -> None:
    async with raw(cell, 60_000.0) as subscription:
        await subscription.publish()
        await subscription.monitor(PRESSURE, sampling=3_600_000.0)
        answer = await subscription.ask(
            ua.ModifySubscriptionRequest(),
            SubscriptionId=subscription.number,
            RequestedPublishingInterval=20.0,
            RequestedLifetimeCount=10,
            RequestedMaxKeepAliveCount=5,
            MaxNotificationsPerPublish=1,
        )
        assert answer.Parameters.RevisedPublishingInterval == 20.0
        assert answer.Parameters.RevisedMaxKeepAliveCount == 5
        assert answer.Parameters.RevisedLifetimeCount == 15
        put(cell, "air_pressure", 8.0, 9.0)
        async with asyncio.timeout(20):
            first = await subscription.publish()
            while not first.NotificationMessage.NotificationData:
                first = await subscription.publish()
        assert len(shown(first)) == 1
        assert first.MoreNotifications


async def test_a_client_that_was_silent_for_too_long_is_told(cell: Any) -> None:
    async with raw(cell, 10.0, RequestedMaxKeepAliveCount=1, RequestedLifetimeCount=3) as silent:
        await silent.publish()
        held = cell.server._internal.subscriptions.subscriptions[silent.number]
        async with asyncio.timeout(20):
            while not held.expired:
                await asyncio.sleep(0.01)
        told = await silent.publish()
        (data,) = told.NotificationMessage.NotificationData
        assert isinstance(data, ua.StatusChangeNotification)
        assert data.Status.value == ua.StatusCodes.BadTimeout
        assert silent.number not in cell.server._internal.subscriptions.subscriptions
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await silent.publish()
        assert caught.value.code == ua.StatusCodes.BadNoSubscription


async def test_a_message_is_sent_again_until_it_is_acknowledged(cell: Any) -> None:
    async with raw(cell) as subscription:
        await subscription.monitor(PRESSURE, sampling=3_600_000.0)
        message = await subscription.publish()
        while not message.NotificationMessage.NotificationData:
            message = await subscription.publish()
        number = message.NotificationMessage.SequenceNumber
        again = await subscription.ask(
            ua.RepublishRequest(),
            SubscriptionId=subscription.number,
            RetransmitSequenceNumber=number,
        )
        assert again.NotificationMessage == message.NotificationMessage
        put(cell, "air_pressure", 0.25, 0.75)
        await subscription.publish(number)
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await subscription.ask(
                ua.RepublishRequest(),
                SubscriptionId=subscription.number,
                RetransmitSequenceNumber=number,
            )
        assert caught.value.code == ua.StatusCodes.BadMessageNotAvailable


async def test_part_of_an_array_is_monitored(cell: Any) -> None:
    async with raw(cell) as subscription:
        cell.image.set("profile", [1.0, 2.0, 3.0, 4.0])
        (item,) = await subscription.monitor(PROFILE, index_range="1:2", sampling=3_600_000.0)
        assert item.StatusCode.is_good()
        assert await subscription.values() == [(1, [2.0, 3.0])]
        put(cell, "profile", [9.0, 2.0, 3.0, 9.0])
        put(cell, "profile", [9.0, 2.0, 5.0, 9.0])
        assert await subscription.values() == [(1, [2.0, 5.0])]
        for wrong, code in (
            ("4", ua.StatusCodes.BadIndexRangeNoData),
            ("x", ua.StatusCodes.BadIndexRangeInvalid),
            ("2:1", ua.StatusCodes.BadIndexRangeInvalid),
        ):
            (refused,) = await subscription.monitor(PROFILE, index_range=wrong)
            assert refused.StatusCode.value == code
        (scalar,) = await subscription.monitor(PRESSURE, index_range="0")
        assert scalar.StatusCode.value == ua.StatusCodes.BadIndexRangeNoData


@pytest.mark.parametrize(
    ("wanted", "source", "server"),
    [
        (ua.TimestampsToReturn.Source, True, False),
        (ua.TimestampsToReturn.Server, False, True),
        (ua.TimestampsToReturn.Both, True, True),
        (ua.TimestampsToReturn.Neither, False, False),
    ],
)
async def test_only_the_wanted_timestamps_are_sent(
    cell: Any, wanted: ua.TimestampsToReturn, source: bool, server: bool
) -> None:
    async with raw(cell) as subscription:
        put(cell, "air_pressure", 1.0)
        await subscription.monitor(PRESSURE, STATE, times=wanted)
        message = await subscription.publish()
        while not message.NotificationMessage.NotificationData:
            message = await subscription.publish()
        values = [
            item.Value
            for data in message.NotificationMessage.NotificationData
            for item in data.MonitoredItems
        ]
        assert len(values) == 2
        for value in values:
            assert (value.SourceTimestamp is not None) is source
            assert (value.ServerTimestamp is not None) is server
