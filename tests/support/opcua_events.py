"""A client of events and a journal to tell them with, for tests of the OPC UA server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.ua import ObjectIds as O

from cellwright.io.journal.journal import JOURNAL_FILE, Record
from cellwright.io.journal.writer import JournalWriter
from cellwright.io.messages import AlarmChanged, Event, encode
from cellwright.opcua_model.address_space.ids import standard
from support.opcua_support import START_UTC_NS

FIELDS: tuple[tuple[str, ...], ...] = (
    ("EventId",), ("EventType",), ("SourceName",), ("Message",), ("Severity",), ("Retain",),
    ("ActiveState", "Id"), ("AckedState", "Id"), ("EnabledState", "Id"), ("Comment",),
    ("ClientUserId",), ("ShelvingState", "CurrentState"), ("LimitState", "CurrentState"),
    ("ConditionName",),
)  # fmt: skip
"""What a client of alarms shows."""


class Journal:
    """The journal of a cell whose scan is the test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.writer = JournalWriter(folder / JOURNAL_FILE)
        self.count = 0

    def tell(self, *events: Event) -> None:
        records = []
        for event in events:
            self.count += 1
            records.append(
                Record(
                    producer="scan", boot_id="0123abcd", producer_sequence=self.count,
                    utc_ns=event.utc_ns, kind=str(event.__struct_config__.tag), task=event.task,
                    part_id=None, payload=encode(event),
                )
            )  # fmt: skip
        self.writer.append(records)


def change(alarm: str, old: str, new: str, **more: Any) -> AlarmChanged:
    return AlarmChanged(
        task="runtime", utc_ns=START_UTC_NS, alarm=alarm, old=old, new=new,
        severity=500, text="Air pressure too high", group="air", **more,
    )  # fmt: skip


class Ear:
    """A subscription to events, as lists of plain values by the name of the field."""

    def __init__(self, fields: tuple[tuple[str, ...], ...] = FIELDS) -> None:
        self.fields = fields
        self.heard: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def filter(self) -> ua.EventFilter:
        out = ua.EventFilter()
        out.SelectClauses = [
            ua.SimpleAttributeOperand(
                standard(O.BaseEventType),
                [ua.QualifiedName(name, 0) for name in names],
                ua.AttributeIds.Value,
            )
            for names in self.fields
        ]
        condition = ua.SimpleAttributeOperand(standard(O.ConditionType), [], ua.AttributeIds.NodeId)
        out.SelectClauses.append(condition)
        return out

    def take(self, message: Any) -> None:
        names = [".".join(each) for each in self.fields] + ["condition"]
        for data in message.NotificationMessage.NotificationData:
            for event in getattr(data, "Events", []):
                values = [
                    each.Value.Text if isinstance(each.Value, ua.LocalizedText) else each.Value
                    for each in event.EventFields
                ]
                self.heard.append(dict(zip(names, values, strict=True)))
        self._news.set()

    async def wait(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard


async def listen(
    client: Client, ear: Ear, node: int | ua.NodeId = O.Server, **more: Any
) -> tuple[int, int]:
    """Subscription id and item id."""
    wanted = ua.CreateSubscriptionParameters()
    wanted.RequestedPublishingInterval = 20
    wanted.RequestedLifetimeCount, wanted.RequestedMaxKeepAliveCount = 3000, 100
    wanted.PublishingEnabled = True
    made = await client.uaclient.create_subscription(wanted, ear.take)
    result = await add_item(client, made.SubscriptionId, ear, node, **more)
    result.StatusCode.check()
    return made.SubscriptionId, result.MonitoredItemId


async def add_item(
    client: Client, subscription: int, ear: Ear, node: int | ua.NodeId, queue: int = 0, **more: Any
) -> Any:
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor.NodeId = standard(node) if isinstance(node, int) else node
    request.ItemToMonitor.AttributeId = ua.AttributeIds.EventNotifier
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters.ClientHandle = 1
    request.RequestedParameters.QueueSize = queue
    request.RequestedParameters.DiscardOldest = more.get("discard_oldest", True)
    request.RequestedParameters.Filter = more.get("filter", ear.filter())
    items = ua.CreateMonitoredItemsParameters()
    items.SubscriptionId, items.ItemsToCreate = subscription, [request]
    items.TimestampsToReturn = ua.TimestampsToReturn.Both
    return (await client.uaclient.create_monitored_items(items))[0]


async def call(client: Client, node: ua.NodeId, method: int, *inputs: Any) -> str:
    request = ua.CallMethodRequest(node, standard(method), list(inputs))
    result = (await client.uaclient.call([request]))[0]
    return str(result.StatusCode.name)
