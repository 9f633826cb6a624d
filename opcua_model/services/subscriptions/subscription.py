"""A subscription: its clock, its keep-alive and lifetime, and the messages it sends and keeps.

One task each: it samples what is due, and at the publishing interval sends what is queued, if the
client has a Publish request waiting (OPC 10000-4, 5.13.1).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemData

from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.tag_values import TagValues
from cellwright.opcua_model.events.types import EventTypes
from cellwright.opcua_model.services.subscriptions import notifications
from cellwright.opcua_model.services.subscriptions.event_items import (
    Budget,
    EventItem,
    notification,
)
from cellwright.opcua_model.services.subscriptions.item_callback import ItemCallback
from cellwright.opcua_model.services.subscriptions.items import CellItems

_NS_PER_MS: Final = 1_000_000
_UNLIMITED: Final = 2**31


class CellSubscription(InternalSubscription):
    """A subscription whose items are `CellItems`."""

    def __init__(
        self,
        data: ua.CreateSubscriptionResult,
        aspace: AddressSpace,
        tags: TagValues,
        body: Any,
        *,
        events: tuple[EventTypes, Budget],
        most_notifications: int = 0,
        kept_share: Callable[[], int],
        **more: Any,
    ) -> None:
        """``body`` is the buffer that all subscriptions write their notifications into.

        ``events`` is what event items of all subscriptions share; ``kept_share`` says how many
        bytes of sent messages it may keep.
        """
        super().__init__(data, aspace, **more)
        self.items_service = CellItems(self, aspace, tags, *events)
        self.monitored_item_srv = self.items_service
        self.most_notifications = most_notifications
        """In one message; 0: as many as there are."""
        self.expired = False
        """Its client was silent for too long: only that is still to be told."""
        self._body = body
        self._kept_share = kept_share
        self._waiting: dict[ItemCallback, None] = {}
        self._waiting_events: dict[EventItem, None] = {}
        self._wake = asyncio.Event()
        self._kept_bytes: dict[int, int] = {}
        self.publish_due_ns = time.monotonic_ns() + self._period_ns

    @property
    def items(self) -> dict[int, MonitoredItemData]:
        """Monitored item id to item."""
        return self.items_service.items

    def pend(self, callback: ItemCallback) -> None:
        """An item has something to report."""
        if callback.queue:
            self._waiting[callback] = None

    def let_go(self, callback: ItemCallback) -> None:
        """An item is gone, and with it what it had to report."""
        self._waiting.pop(callback, None)

    def pend_events(self, item: EventItem) -> None:
        """An event item has something to report."""
        self._waiting_events[item] = None

    def let_go_events(self, item: EventItem) -> None:
        """An event item is gone, and with it what it had to report."""
        self._waiting_events.pop(item, None)

    def fire(self, identifier: int) -> None:
        """A triggering item has changed: its linked items report."""
        self.items_service.fire(identifier)

    def wake(self) -> None:
        """Something is due at another time than before."""
        self._wake.set()

    def modify(self, publishing_ms: float, keep_alive: int, lifetime: int, most: int) -> None:
        """Take other intervals and limits, already revised (OPC 10000-4, 5.13.3)."""
        self.data.RevisedPublishingInterval = publishing_ms
        self.data.RevisedMaxKeepAliveCount = ua.UInt32(keep_alive)
        self.data.RevisedLifetimeCount = ua.UInt32(lifetime)
        self.most_notifications = most
        self._keep_alive_count = self._publish_cycles_count = 0
        now_ns = time.monotonic_ns()
        self.publish_due_ns = now_ns + self._period_ns
        self.items_service.tag_items.align(now_ns, self.publish_due_ns)
        self.wake()

    async def resend(self) -> None:
        """Queue the present value of every item, as if it were new."""
        self.items_service.resend()

    # --- the clock --------------------------------------------------------------------------------

    @property
    def _period_ns(self) -> int:
        return max(1, int(self.data.RevisedPublishingInterval * _NS_PER_MS))

    async def _subscription_loop(self) -> None:
        await self.publish_results()
        while not self._closing:
            await self._sleep()
            now_ns = time.monotonic_ns()
            self.items_service.sample_due(now_ns)
            if now_ns >= self.publish_due_ns:
                late = (now_ns - self.publish_due_ns) // self._period_ns
                self.publish_due_ns += (late + 1) * self._period_ns
                await self._cycle()

    async def _sleep(self) -> None:
        """Until something is due."""
        while True:
            self._wake.clear()
            due_ns = min(
                self.publish_due_ns,
                self.items_service.tag_items.next_due_ns or self.publish_due_ns,
            )
            left_s = (due_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                await asyncio.sleep(0)
                return
            try:
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _cycle(self) -> None:
        """The publishing interval is over (OPC 10000-4, table 82)."""
        if self._has_request():
            self._publish_cycles_count = 0
        else:
            self._publish_cycles_count += 1
            if self._publish_cycles_count > self.data.RevisedLifetimeCount:
                await self._expire()
                return
        if not self._has_something():
            self._keep_alive_count += 1
        await self.publish_results()

    async def _expire(self) -> None:
        """Close; the client learns it with its next Publish, should it come back."""
        self.logger.warning("%s has expired: its client asks for nothing any more", self)
        self.expired = self._closing = True
        self.items_service.delete_all_monitored_items()
        self._waiting.clear()
        self._waiting_events.clear()
        self._triggered_statuschanges = [status_code(ua.StatusCodes.BadTimeout)]
        await self.publish_results()

    def _has_request(self) -> bool:
        """True when the client has a Publish request waiting, or needs none."""
        if self.pub_request_callback is None:
            return True
        return bool(self.pub_request_callback.__self__._publish_requests)  # type: ignore[attr-defined]

    def _has_something(self) -> bool:
        if self._startup or self._triggered_statuschanges:
            return True
        return self._publishing_enabled and bool(
            self.items_service.tag_items.pending or self._waiting or self._waiting_events
        )

    # --- messages ---------------------------------------------------------------------------------

    def has_published_results(self) -> bool:
        """True when a message is to be sent: something queued, or a keep-alive."""
        return self._has_something() or self._keep_alive_count >= self.data.RevisedMaxKeepAliveCount

    async def publish_results(self, requestdata: Any = None) -> bool:
        """Send what is to be sent, in as many messages as it takes; True when one went out.

        The library calls it with a Publish request that came while none was waiting.
        """
        sent = False
        while self.has_published_results():
            if requestdata is None and self.pub_request_callback is not None:
                requestdata = self.pub_request_callback(self.data.SubscriptionId)
                if requestdata is None:
                    return sent
            result = self._pop_publish_result()
            if requestdata is None:
                await self.pub_result_callback(result)
            else:
                await self.pub_result_callback(result, requestdata)
            sent, requestdata = True, None
            if self.expired and self.delete_callback is not None:
                self.delete_callback()
            if not result.MoreNotifications:
                break
        return sent

    def _pop_publish_result(self) -> ua.PublishResult:
        result = ua.PublishResult()
        result.SubscriptionId = self.data.SubscriptionId
        message = result.NotificationMessage
        if self._publishing_enabled and not self.expired:
            left = self.most_notifications or _UNLIMITED
            left = self._take_tags(message, left)
            left = self._take_nodes(message, left)
            self._take_events(message, left)
        self._pop_triggered_statuschanges(result)
        self._keep_alive_count = self._publish_cycles_count = 0
        self._startup = False
        message.SequenceNumber = ua.UInt32(self._notification_seq)
        message.PublishTime = ua.DateTime.now(UTC)
        if message.NotificationData and self.pub_request_callback:
            self._keep(result)
        result.MoreNotifications = self._has_something()
        result.AvailableSequenceNumbers = list(self._not_acknowledged_results)
        return result

    def _take_tags(self, message: ua.NotificationMessage, left: int) -> int:
        if not left or not self.items_service.tag_items.pending:
            return left
        body, count = self.items_service.tag_items.take(left, self._body)
        message.NotificationData.append(notifications.finished(body))
        return left - count

    def _take_nodes(self, message: ua.NotificationMessage, left: int) -> int:
        taken: list[ua.MonitoredItemNotification] = []
        while self._waiting and len(taken) < left:
            callback = next(iter(self._waiting))
            room = left - len(taken)
            taken += callback.queue[:room]
            del callback.queue[:room]
            if not callback.queue:
                del self._waiting[callback]
        if taken:
            message.NotificationData.append(notifications.encode(taken))
        return left - len(taken)

    def _take_events(self, message: ua.NotificationMessage, left: int) -> None:
        taken: list[bytes] = []
        while self._waiting_events and len(taken) < left:
            item = next(iter(self._waiting_events))
            taken += item.take(left - len(taken))
            if not item.queue:
                del self._waiting_events[item]
        if taken:
            message.NotificationData.append(notification(taken))

    def _keep(self, result: ua.PublishResult) -> None:
        """Hold the message until it is acknowledged; the oldest go when there are too many."""
        number = self._notification_seq
        # After the highest number comes 1 (OPC 10000-4, 7.9).
        self._notification_seq = number + 1 if number < 2**32 - 1 else 1
        kept, sizes = self._not_acknowledged_results, self._kept_bytes
        kept[number] = result
        sizes[number] = notifications.size(result.NotificationMessage)
        while len(kept) > self._no_acks_limit or (
            sum(sizes.values()) > self._kept_share() and len(kept) > 1
        ):
            self.publish([next(iter(kept))])

    def publish(self, acks: Any) -> None:
        """These messages have arrived."""
        for number in acks:
            self._not_acknowledged_results.pop(number, None)
            self._kept_bytes.pop(number, None)
