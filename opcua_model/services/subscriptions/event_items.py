"""The monitored items for events of one subscription: filtered, queued, and taken by it.

`CellItems` makes and changes them, `CellSubscriptionService` offers every event to those of the
event's notifiers.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterable
from typing import Final

from asyncua import ua
from asyncua.server.monitored_item_service import MonitoredItemData
from asyncua.ua.ua_binary import struct_to_binary

from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.address_space.values import utc_now
from cellwright.opcua_model.events.filters import EventFilter
from cellwright.opcua_model.events.record import SERVER, Base, EventRecord
from cellwright.opcua_model.services.subscriptions.owner import Owner

DEFAULT_QUEUE: Final = 1_000
"""Of an item whose client leaves it to the server: as many as a flood has (OPC 10000-4, 7.21)."""
MOST_QUEUED: Final = 100_000
"""Events that wait in all queues of the server."""

_TYPE_ID: Final = standard(ua.ObjectIds.EventNotificationList_Encoding_DefaultBinary)
_OVERFLOW: Final = standard(ua.ObjectIds.EventQueueOverflowEventType)
_COUNT: Final = struct.Struct("<i")


class Budget:
    """How many events wait in all queues together."""

    def __init__(self, most: int = MOST_QUEUED) -> None:
        self.most = most
        self.queued = 0


class EventItem:
    """One item: what passes its filter waits in its queue until the subscription takes it."""

    def __init__(
        self, owner: Owner, data: MonitoredItemData, filter_: EventFilter, budget: Budget
    ) -> None:
        self.owner = owner
        self.data = data
        self.filter = filter_
        self.discard_oldest = True
        self.linked = False
        """Other items report when this one has an event."""
        self._budget = budget
        self._queue: deque[bytes] = deque()
        self._overflowed = False

    @property
    def queue(self) -> int:
        """Notifications that wait, the one that tells of an overflow included."""
        return len(self._queue) + self._overflowed

    def offer(self, record: EventRecord, *, refresh: bool = False) -> None:
        """Queue the event if it passes the filter; one of a refresh always finds room."""
        data = self.data
        if data.mode is ua.MonitoringMode.Disabled or not self.filter.passes(record):
            return
        full = len(self._queue) >= data.queue_size or self._budget.queued >= self._budget.most
        if full and not refresh:
            self._overflowed = True
            if not self.discard_oldest or not self._queue:
                self._report()
                return
            self._drop()
        self._queue.append(self._encoded(record))
        self._budget.queued += 1
        self._report()

    def take(self, most: int) -> list[bytes]:
        """At most so many of what waits, oldest first, encoded."""
        taken: list[bytes] = []
        if self._overflowed and self.discard_oldest and most:
            taken.append(self._tell_overflow())
        while self._queue and len(taken) < most:
            taken.append(self._queue.popleft())
            self._budget.queued -= 1
        if self._overflowed and not self._queue and len(taken) < most:
            taken.append(self._tell_overflow())
        return taken

    def clear(self) -> None:
        """Forget what waits."""
        self._budget.queued -= len(self._queue)
        self._queue.clear()
        self._overflowed = False

    def shorten(self) -> None:
        """After a change of the queue's size: the oldest or the newest go (OPC 10000-4, 7.21)."""
        while len(self._queue) > self.data.queue_size:
            self._overflowed = True
            self._drop()

    def _drop(self) -> None:
        if self.discard_oldest:
            self._queue.popleft()
        else:
            self._queue.pop()
        self._budget.queued -= 1

    def _report(self) -> None:
        if self.data.mode is ua.MonitoringMode.Reporting:
            self.owner.pend_events(self)
        if self.linked:
            assert self.data.monitored_item_id is not None
            self.owner.fire(self.data.monitored_item_id)

    def _encoded(self, record: EventRecord) -> bytes:
        return struct_to_binary(
            ua.EventFieldList(
                ClientHandle=ua.IntegerId(self.data.client_handle or 0),
                EventFields=self.filter.fields(record),
            )
        )

    def _tell_overflow(self) -> bytes:
        self._overflowed = False
        return self._encoded(overflow())


class EventItems:
    """The event items of one subscription."""

    def __init__(self, owner: Owner, budget: Budget) -> None:
        self._owner = owner
        self._budget = budget
        self._items: dict[int, EventItem] = {}
        self._at: dict[ua.NodeId, dict[int, EventItem]] = {}
        """Notifier to the items that look at it."""

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._items

    def __getitem__(self, identifier: int) -> EventItem:
        return self._items[identifier]

    def add(self, data: MonitoredItemData, filter_: EventFilter, *, discard_oldest: bool) -> None:
        """Begin to look at the item's node."""
        assert data.monitored_item_id is not None
        assert data.read_value_id is not None
        item = EventItem(self._owner, data, filter_, self._budget)
        item.discard_oldest = discard_oldest
        self._items[data.monitored_item_id] = item
        self._at.setdefault(data.read_value_id.NodeId, {})[data.monitored_item_id] = item

    def remove(self, identifier: int) -> None:
        """The item is gone, and with it what waits."""
        item = self._items.pop(identifier)
        assert item.data.read_value_id is not None
        node_id = item.data.read_value_id.NodeId
        del self._at[node_id][identifier]
        if not self._at[node_id]:
            del self._at[node_id]
        item.clear()
        self._owner.let_go_events(item)

    def offer(self, record: EventRecord) -> None:
        """An event has happened."""
        for notifier in record.notifiers:
            for item in self._at.get(notifier, {}).values():
                item.offer(record)

    def refresh(self, records: Iterable[EventRecord], only: int | None = None) -> None:
        """Offer the state of conditions to all items, or to one (OPC 10000-9, 5.5.7 and 5.5.8)."""
        items = list(self._items.values()) if only is None else [self._items[only]]
        for record in records:
            for item in items:
                assert item.data.read_value_id is not None
                if item.data.read_value_id.NodeId in record.notifiers:
                    item.offer(record, refresh=True)


def overflow() -> EventRecord:
    """What tells a client that events of an item were dropped (OPC 10000-5, 6.4.33)."""
    base = Base(_OVERFLOW, os.urandom(16), utc_now(), "Events were dropped", 500)
    return EventRecord(_OVERFLOW, frozenset({SERVER}), base.fields())


def notification(taken: list[bytes]) -> ua.ExtensionObject:
    """One EventNotificationList of encoded EventFieldLists (OPC 10000-4, 7.25.3)."""
    body = _COUNT.pack(len(taken)) + b"".join(taken)
    return ua.ExtensionObject(TypeId=_TYPE_ID, Body=ua.ByteString(body))


def queue_size(requested: int, most: int) -> int:
    """0 leaves it to the server; 1 is no more than that (OPC 10000-4, 7.21)."""
    return DEFAULT_QUEUE if requested <= 1 else min(int(requested), most)
