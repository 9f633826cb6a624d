"""The subscription service set: creates, changes and finds subscriptions within the limits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.address_space import AddressSpace
from asyncua.server.subscription_service import SubscriptionService

from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.tag_values import TagValues
from cellwright.opcua_model.events.record import EventRecord
from cellwright.opcua_model.events.types import EventTypes
from cellwright.opcua_model.security.access import AUDITORS
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.subscriptions import shares
from cellwright.opcua_model.services.subscriptions.event_items import Budget
from cellwright.opcua_model.services.subscriptions.subscription import CellSubscription
from cellwright.opcua_model.services.subscriptions.tag_items import body_buffer

_FEW = 8
"""So many subscriptions have as much room as one alone."""


class CellSubscriptionService(SubscriptionService):
    """Creates subscriptions within the advertised limits."""

    def __init__(self, aspace: AddressSpace, iserver: Any, tags: TagValues) -> None:
        super().__init__(aspace, iserver)
        self.created = 0
        """Subscriptions since the start, for the server's diagnostics."""
        self._tags = tags
        self._body = body_buffer(tags)
        self._events = (EventTypes(aspace), Budget())

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Callable[..., Any],
        session_id: ua.NodeId,
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:
        """Revise the wishes to what the server does, and start publishing."""
        if (
            len(self.subscriptions) >= limits.MAX_SUBSCRIPTIONS
            or len(self.of_session(session_id)) >= limits.MAX_SUBSCRIPTIONS_PER_SESSION
            or not self._left(session_id).subscriptions
        ):
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        result = ua.CreateSubscriptionResult()
        result.RevisedPublishingInterval = _interval(params.RequestedPublishingInterval)
        keep_alive, lifetime = self._counts(
            params.RequestedMaxKeepAliveCount, params.RequestedLifetimeCount
        )
        result.RevisedMaxKeepAliveCount = ua.UInt32(keep_alive)
        result.RevisedLifetimeCount = ua.UInt32(lifetime)
        self._sub_id_counter += 1
        self.created += 1
        number = self._sub_id_counter
        result.SubscriptionId = ua.IntegerId(number)
        subscription = CellSubscription(
            result,
            self.aspace,
            self._tags,
            self._body,
            events=self._events,
            most_notifications=int(params.MaxNotificationsPerPublish),
            kept_share=self._kept_share,
            callback=callback,
            session_id=session_id,
            request_callback=request_callback,
            delete_callback=lambda: self.subscriptions.pop(number, None),
            no_acks_limit=self.iserver.max_unacked_messages_per_subscription
            if self.iserver is not None
            else 100,
            max_queue_size=limits.MAX_QUEUE_SIZE,
            publishing_enabled=params.PublishingEnabled,
        )
        self.subscriptions[number] = subscription
        await subscription.start()
        return result

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        """Make as many as the user may have; those beyond are refused one by one."""
        wanted = params.ItemsToCreate
        subscription = self.subscriptions.get(params.SubscriptionId)
        room = len(wanted)
        if isinstance(subscription, CellSubscription):
            room = min(room, self._left(subscription.session_id).items)
        made: list[ua.MonitoredItemCreateResult] = []
        if room or not wanted:
            allowed = dataclasses.replace(params, ItemsToCreate=wanted[:room])
            made = list(await super().create_monitored_items(allowed))
        beyond = status_code(ua.StatusCodes.BadTooManyMonitoredItems)
        refused = [ua.MonitoredItemCreateResult(StatusCode=beyond) for _ in wanted[room:]]
        return made + refused

    def _left(self, session_id: ua.NodeId) -> shares.Share:
        """What the user of a session may still have."""
        server: Any = self.iserver
        sessions = () if server is None else server.sessions
        for session in sessions:
            if session.session_id == session_id:
                return shares.left(session, sessions, self.of_session)
        return shares.NAMED

    def modify_subscription(
        self, params: ua.ModifySubscriptionParameters
    ) -> ua.ModifySubscriptionResult:
        """Revise and take over; the queues and what was sent stay."""
        subscription = self.subscriptions.get(params.SubscriptionId)
        if not isinstance(subscription, CellSubscription) or subscription.expired:
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
        interval_ms = _interval(params.RequestedPublishingInterval)
        keep_alive, lifetime = self._counts(
            params.RequestedMaxKeepAliveCount, params.RequestedLifetimeCount
        )
        subscription.modify(
            interval_ms, keep_alive, lifetime, int(params.MaxNotificationsPerPublish)
        )
        result = ua.ModifySubscriptionResult()
        result.RevisedPublishingInterval = interval_ms
        result.RevisedMaxKeepAliveCount = ua.UInt32(keep_alive)
        result.RevisedLifetimeCount = ua.UInt32(lifetime)
        return result

    def of_session(self, session_id: ua.NodeId) -> dict[int, CellSubscription]:
        """The subscriptions that belong to a session and live."""
        return {
            number: subscription
            for number, subscription in self.subscriptions.items()
            if isinstance(subscription, CellSubscription)
            and subscription.session_id == session_id
            and not subscription.expired
        }

    def expired(self, session_id: ua.NodeId) -> list[int]:
        """Subscriptions of which the session is still to be told that they are closed."""
        return [
            number
            for number, subscription in self.subscriptions.items()
            if isinstance(subscription, CellSubscription)
            and subscription.session_id == session_id
            and subscription.expired
        ]

    def _kept_share(self) -> int:
        """Bytes of sent messages that each subscription may keep now."""
        return limits.MAX_KEPT_BYTES // max(_FEW, len(self.subscriptions))

    def sample_now(self) -> None:
        """Compare every item on a tag of every subscription with the newest snapshot."""
        for subscription in self.subscriptions.values():
            if isinstance(subscription, CellSubscription):
                subscription.items_service.sample_now()

    def emit(self, record: EventRecord) -> None:
        """An event has happened: every item that looks at one of its notifiers is offered it."""
        for subscription in list(self.subscriptions.values()):
            if not isinstance(subscription, CellSubscription):
                continue
            if not record.audit or self._hears_audits(subscription):
                subscription.items_service.event_items.offer(record)

    def _hears_audits(self, subscription: CellSubscription) -> bool:
        """Audit events are for administrators (OPC 10000-4, 6.5.1)."""
        server: Any = self.iserver
        owner = None if server is None else server.subscription_owner(subscription)
        return owner is not None and bool(owner.user.may(AUDITORS))

    def _counts(self, keep_alive: int, lifetime: int) -> tuple[int, int]:
        """Revised; the lifetime is at least three keep-alives (OPC 10000-4, 5.13.2.2)."""
        revised = max(1, self._clamp_keep_alive_count(keep_alive))
        return revised, max(self._clamp_lifetime_count(lifetime), 3 * revised)


def _interval(requested_ms: float) -> float:
    if math.isnan(requested_ms):
        return limits.MIN_PUBLISHING_INTERVAL_MS
    return min(
        max(requested_ms, limits.MIN_PUBLISHING_INTERVAL_MS), limits.MAX_PUBLISHING_INTERVAL_MS
    )
