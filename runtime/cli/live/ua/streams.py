"""Looking on: changes of values, and events, until interrupted."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any, Final

import typer
from asyncua import Client, Node, ua

from cellwright.runtime.cli.live.ua.values import plain, shown
from cellwright.runtime.cli.live.ua.words import name_of

FIELDS: Final = (
    ("Time",), ("Severity",), ("SourceName",), ("Message",), ("EventType",), ("EventId",),
    ("ActiveState", "Id"), ("AckedState", "Id"), ("ConditionName",),
)  # fmt: skip


class _Changes:
    """Takes what the subscription brings; the library calls it by these names."""

    def __init__(self, names: dict[ua.NodeId, str], most: int, *, as_json: bool) -> None:
        self._names, self._left, self._json = names, most, as_json
        self.done = asyncio.Event()

    def datachange_notification(self, node: Node, value: Any, data: Any) -> None:
        """One value of one node."""
        held = data.monitored_item.Value
        status = "Good" if held.StatusCode is None else held.StatusCode.name
        at = held.SourceTimestamp or held.ServerTimestamp
        name = self._names[node.nodeid]
        if self._json:
            told = {"node": name, "value": plain(value), "status": status, "time": plain(at)}
            typer.echo(json.dumps(told, ensure_ascii=False))
        else:
            marked = "" if status == "Good" else f"  {status}"
            typer.echo(f"{_clock(at)}  {name} = {shown(value)}{marked}")
        self._count()

    def status_change_notification(self, status: ua.StatusChangeNotification) -> None:
        """The server says something about the subscription."""
        typer.echo(f"the server: {name_of(status.Status.value)}", err=True)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.done.set()


class _Events(_Changes):
    def event_notification(self, event: Any) -> None:
        """One event, with the fields that it has."""
        told = {
            name: plain(value.Value) for name, value in event.items() if value.Value is not None
        }
        if self._json:
            typer.echo(json.dumps(told, ensure_ascii=False))
        else:
            state = ""
            if "ActiveState.Id" in told:
                state = "  active" if told["ActiveState.Id"] else "  inactive"
                state += "" if told.get("AckedState.Id", True) else ", to acknowledge"
            at = event["Time"].Value
            severity, source = told.get("Severity", ""), told.get("SourceName", "")
            typer.echo(f"{_clock(at)}  {severity:>4}  {source}: {told.get('Message', '')}{state}")
        self._count()


def _clock(at: datetime | None) -> str:
    return "-" if at is None else f"{at.astimezone():%H:%M:%S}.{at.microsecond // 1000:03d}"


async def watch(
    client: Client, nodes: list[tuple[str, Node]], interval_ms: float, count: int, *, as_json: bool
) -> None:
    """Print each change of the nodes' values, ``count`` of them or without end (0)."""
    names = {node.nodeid: name for name, node in nodes}
    changes = _Changes(names, count, as_json=as_json)
    subscription = await client.create_subscription(interval_ms, changes)
    await subscription.subscribe_data_change(
        [node for _, node in nodes],
        queuesize=100,
        sampling_interval=ua.Duration(interval_ms),
    )
    await _until(changes.done)


async def events(client: Client, node: Node, severity: int, count: int, *, as_json: bool) -> None:
    """Print the events of a notifier from a severity on."""
    listener = _Events({}, count, as_json=as_json)
    request = _event_item(node, severity)
    wanted = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=100.0,
        RequestedLifetimeCount=ua.UInt32(3000),
        RequestedMaxKeepAliveCount=ua.UInt32(100),
        PublishingEnabled=True,
    )

    def take(message: Any) -> None:
        for data in message.NotificationMessage.NotificationData:
            for event in getattr(data, "Events", ()):
                names = (".".join(each) for each in FIELDS)
                listener.event_notification(dict(zip(names, event.EventFields, strict=True)))

    made = await client.uaclient.create_subscription(wanted, take)
    items = ua.CreateMonitoredItemsParameters(
        SubscriptionId=made.SubscriptionId,
        TimestampsToReturn=ua.TimestampsToReturn.Both,
        ItemsToCreate=[request],
    )
    (result,) = await client.uaclient.create_monitored_items(items)
    result.StatusCode.check()
    await _until(listener.done)


def _event_item(node: Node, severity: int) -> ua.MonitoredItemCreateRequest:
    base = ua.NodeId(ua.Int32(ua.ObjectIds.BaseEventType))

    def field(names: tuple[str, ...]) -> ua.SimpleAttributeOperand:
        path = [ua.QualifiedName(name, 0) for name in names]
        return ua.SimpleAttributeOperand(base, path, ua.AttributeIds.Value)

    wanted = ua.EventFilter()
    wanted.SelectClauses = [field(names) for names in FIELDS]
    least = ua.LiteralOperand(ua.Variant(severity, ua.VariantType.UInt16))
    wanted.WhereClause.Elements = [
        ua.ContentFilterElement(ua.FilterOperator.GreaterThanOrEqual, [field(("Severity",)), least])
    ]
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor.NodeId = node.nodeid
    request.ItemToMonitor.AttributeId = ua.AttributeIds.EventNotifier
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters.QueueSize = ua.UInt32(1000)
    request.RequestedParameters.Filter = wanted
    return request


async def _until(done: asyncio.Event) -> None:
    try:
        await done.wait()
    except asyncio.CancelledError:
        return
