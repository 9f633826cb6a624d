"""Subscriptions: monitored items that take a new value without a copy, with honest queues.

The session calls the service; the publisher offers values by `ItemCallback.sample`. Values in the
address space are never changed in place, so an item may keep a reference instead of a deep copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemData, MonitoredItemService
from asyncua.server.subscription_service import SubscriptionService

# The classes that the codec makes; those of the same name in `ua` are subclasses of them.
from asyncua.ua.uaprotocol_auto import DataChangeFilter, EventFilter

from cellwright.opcua_model.address_space.ids import standard, status_code
from cellwright.opcua_model.services import limits, notifications

_OVERFLOW: Final = 0x480
"""InfoType DataValue and the Overflow bit (OPC 10000-4, 7.39.1)."""


class ItemCallback:
    """What the address space keeps for one monitored item: judges a value and queues it."""

    __slots__ = ("client_handle", "data", "deadband", "discard_oldest", "isub", "last", "trigger")

    def __init__(self, isub: CellSubscription, data: MonitoredItemData) -> None:
        self.isub = isub
        self.data = data
        self.last: ua.DataValue | None = None
        """Last reported value: what a deadband is measured from (OPC 10000-4, 7.22.2)."""
        self.discard_oldest = True
        self.configure()

    def configure(self) -> None:
        """Take over the filter after a creation or modification."""
        self.client_handle = self.data.client_handle
        self.deadband = 0.0
        self.trigger = ua.DataChangeTrigger.StatusValue
        filter_ = self.data.filter
        if isinstance(filter_, DataChangeFilter):
            self.trigger = filter_.Trigger
            self.deadband = (
                filter_.DeadbandValue if filter_.DeadbandType == ua.DeadbandType.Absolute else 0.0
            )

    async def __call__(self, handle: int, value: ua.DataValue, error: Any = None) -> None:
        """The library's way to the same end, for nodes that it writes itself."""
        self.sample(value)

    def sample(self, value: ua.DataValue) -> None:
        """Queue the value if the item's filter calls it a change."""
        data = self.data
        if data.mode is not ua.MonitoringMode.Reporting or not self._changed(value):
            return
        self.last = value
        assert data.monitored_item_id is not None
        queue = self.isub._triggered_datachanges.setdefault(data.monitored_item_id, [])
        if len(queue) >= data.queue_size:
            if data.queue_size == 1:
                queue.clear()
            else:
                value = self._overflow(queue, value)
        queue.append(ua.MonitoredItemNotification(self.client_handle, value))

    def _overflow(
        self, queue: list[ua.MonitoredItemNotification], value: ua.DataValue
    ) -> ua.DataValue:
        if not self.discard_oldest:
            queue.pop()
            return _overflowed(value)
        queue.pop(0)
        queue[0] = ua.MonitoredItemNotification(self.client_handle, _overflowed(queue[0].Value))
        return value

    def _changed(self, value: ua.DataValue) -> bool:
        last = self.last
        if last is None or value.StatusCode != last.StatusCode:
            return True
        trigger = self.trigger
        if trigger == ua.DataChangeTrigger.Status:
            return False
        if (
            trigger == ua.DataChangeTrigger.StatusValueTimestamp
            and value.SourceTimestamp != last.SourceTimestamp
        ):
            return True
        if self.deadband > 0.0:
            return _exceeds(value.Value, last.Value, self.deadband)
        return bool(value.Value != last.Value)


def _exceeds(new: ua.Variant | None, old: ua.Variant | None, deadband: float) -> bool:
    if new is None or old is None or new.Value is None or old.Value is None:
        return new != old
    if new.is_array or old.is_array:
        return len(new.Value) != len(old.Value) or any(
            not abs(a - b) <= deadband for a, b in zip(new.Value, old.Value, strict=True)
        )
    # Written as a negation so that NaN counts as a change.
    return not abs(new.Value - old.Value) <= deadband


def _overflowed(value: ua.DataValue) -> ua.DataValue:
    code = value.StatusCode.value if value.StatusCode is not None else 0
    return ua.DataValue(
        value.Value,
        status_code(code | _OVERFLOW),
        value.SourceTimestamp,
        value.ServerTimestamp,
    )


class CellItems(MonitoredItemService):
    """The monitored items of one subscription."""

    async def _create_data_change_monitored_item(
        self, params: ua.MonitoredItemCreateRequest
    ) -> ua.MonitoredItemCreateResult:
        result, data = self._make_monitored_item_common(params)
        refused = self._refusal(params.ItemToMonitor, params.RequestedParameters)
        if refused is not None:
            result.StatusCode = status_code(refused)
            return result
        isub = self.isub
        assert isinstance(isub, CellSubscription)
        callback = ItemCallback(isub, data)
        callback.discard_oldest = bool(params.RequestedParameters.DiscardOldest)
        item = params.ItemToMonitor
        result.StatusCode, handle = self.aspace.add_datachange_callback(
            item.NodeId, item.AttributeId, callback
        )
        if not result.StatusCode.is_good():
            return result
        data.callback_handle = handle
        self._commit_monitored_item(result, data)
        self._monitored_datachange[handle] = result.MonitoredItemId
        callback.sample(self.aspace.read_attribute_value(item.NodeId, item.AttributeId))
        return result

    def _create_events_monitored_item(
        self, params: ua.MonitoredItemCreateRequest
    ) -> ua.MonitoredItemCreateResult:
        refused = None
        if len(self._monitored_items) >= limits.MAX_ITEMS_PER_SUBSCRIPTION:
            refused = ua.StatusCodes.BadTooManyMonitoredItems
        elif not isinstance(params.RequestedParameters.Filter, EventFilter):
            # Without one there is nothing to report (OPC 10000-4, 7.22.3).
            refused = ua.StatusCodes.BadEventFilterInvalid
        if refused is not None:
            result = ua.MonitoredItemCreateResult()
            result.StatusCode = status_code(refused)
            return result
        return super()._create_events_monitored_item(params)

    def _refusal(self, item: ua.ReadValueId, parameters: ua.MonitoringParameters) -> int | None:
        if len(self._monitored_items) >= limits.MAX_ITEMS_PER_SUBSCRIPTION:
            return ua.StatusCodes.BadTooManyMonitoredItems
        if item.IndexRange:
            return ua.StatusCodes.BadIndexRangeInvalid
        return self._filter_refusal(item, parameters.Filter)

    def _filter_refusal(self, item: ua.ReadValueId, filter_: Any) -> int | None:
        if filter_ is None or _is_null(filter_):
            return None
        if not isinstance(filter_, DataChangeFilter):
            return ua.StatusCodes.BadMonitoredItemFilterUnsupported
        if item.AttributeId != ua.AttributeIds.Value:
            return ua.StatusCodes.BadFilterNotAllowed
        if filter_.DeadbandType == ua.DeadbandType.None_:
            return None
        return self._deadband_refusal(item, filter_)

    def _deadband_refusal(self, item: ua.ReadValueId, filter_: DataChangeFilter) -> int | None:
        if filter_.DeadbandType != ua.DeadbandType.Absolute:
            return ua.StatusCodes.BadMonitoredItemFilterUnsupported
        if not filter_.DeadbandValue >= 0.0:
            return ua.StatusCodes.BadDeadbandFilterInvalid
        declared = self.aspace.read_attribute_value(item.NodeId, ua.AttributeIds.DataType).Value
        if declared is None or declared.Value not in _NUMERIC:
            return ua.StatusCodes.BadFilterNotAllowed
        return None

    def _make_monitored_item_common(
        self, params: ua.MonitoredItemCreateRequest
    ) -> tuple[ua.MonitoredItemCreateResult, MonitoredItemData]:
        result, data = super()._make_monitored_item_common(params)
        data.queue_size = result.RevisedQueueSize = _queue_size(
            params.RequestedParameters.QueueSize
        )
        return result, data

    def _modify_monitored_item(
        self, params: ua.MonitoredItemModifyRequest
    ) -> ua.MonitoredItemModifyResult:
        result = ua.MonitoredItemModifyResult()
        data = self._monitored_items.get(params.MonitoredItemId)
        if data is None or data.read_value_id is None:
            result.StatusCode = status_code(ua.StatusCodes.BadMonitoredItemIdInvalid)
            return result
        wanted = params.RequestedParameters
        refused = self._filter_refusal(data.read_value_id, wanted.Filter)
        if refused is not None and data.callback_handle is not None:
            result.StatusCode = status_code(refused)
            return result
        data.client_handle = wanted.ClientHandle
        data.queue_size = _queue_size(wanted.QueueSize)
        data.filter = wanted.Filter
        callback = self._callback(data)
        if callback is not None:
            callback.discard_oldest = bool(wanted.DiscardOldest)
            callback.configure()
        result.RevisedSamplingInterval = self.isub.data.RevisedPublishingInterval
        result.RevisedQueueSize = ua.UInt32(data.queue_size)
        return result

    async def trigger_datachange(
        self, handle: int, nodeid: ua.NodeId, attr: ua.AttributeIds
    ) -> None:
        """Offer the present value anew, as after a change of the monitoring mode."""
        data = self._monitored_items.get(self._monitored_datachange.get(handle, 0))
        callback = self._callback(data) if data is not None else None
        if callback is not None:
            callback.last = None
            callback.sample(self.aspace.read_attribute_value(nodeid, attr))

    def _callback(self, data: MonitoredItemData) -> ItemCallback | None:
        item = data.read_value_id
        if data.callback_handle is None or item is None:
            return None
        node = self.aspace.get(item.NodeId)
        if node is None:
            return None
        found = node.attributes[item.AttributeId].datachange_callbacks.get(data.callback_handle)
        return found if isinstance(found, ItemCallback) else None


_NUMERIC: Final = frozenset(
    standard(number) for number in (*range(2, 12), ua.ObjectIds.Duration, ua.ObjectIds.Number)
)


def _is_null(filter_: Any) -> bool:
    return isinstance(filter_, ua.ExtensionObject) and filter_.TypeId.is_null()


def _queue_size(requested: int) -> int:
    return min(max(int(requested), 1), limits.MAX_QUEUE_SIZE)


class CellSubscription(InternalSubscription):
    """A subscription whose items are `CellItems`."""

    def __init__(self, data: ua.CreateSubscriptionResult, aspace: AddressSpace, **more: Any):
        super().__init__(data, aspace, **more)
        self.monitored_item_srv = CellItems(self, aspace)

    def _pop_triggered_datachanges(self, result: ua.PublishResult) -> None:
        queued, self._triggered_datachanges = self._triggered_datachanges, {}
        if queued:
            items = [item for queue in queued.values() for item in queue]
            result.NotificationMessage.NotificationData.append(notifications.encode(items))

    async def resend(self) -> None:
        """Queue the present value of every item, as if it were new."""
        for item in list(self.items.values()):
            if item.callback_handle is not None and item.read_value_id is not None:
                target = item.read_value_id
                await self.monitored_item_srv.trigger_datachange(
                    item.callback_handle, target.NodeId, target.AttributeId
                )

    @property
    def items(self) -> dict[int, MonitoredItemData]:
        """Monitored item id to item."""
        return self.monitored_item_srv._monitored_items


class CellSubscriptionService(SubscriptionService):
    """Creates subscriptions within the advertised limits."""

    def __init__(self, aspace: AddressSpace, iserver: Any) -> None:
        super().__init__(aspace, iserver)
        self.created = 0
        """Subscriptions since the start, for the server's diagnostics."""

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
        ):
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        result = ua.CreateSubscriptionResult()
        result.RevisedPublishingInterval = _interval(params.RequestedPublishingInterval)
        result.RevisedMaxKeepAliveCount = ua.UInt32(
            max(1, self._clamp_keep_alive_count(params.RequestedMaxKeepAliveCount))
        )
        # The lifetime is at least three keep-alives (OPC 10000-4, 5.13.2.2).
        result.RevisedLifetimeCount = ua.UInt32(
            max(
                self._clamp_lifetime_count(params.RequestedLifetimeCount),
                3 * result.RevisedMaxKeepAliveCount,
            )
        )
        self._sub_id_counter += 1
        self.created += 1
        number = self._sub_id_counter
        result.SubscriptionId = ua.IntegerId(number)
        subscription = CellSubscription(
            result,
            self.aspace,
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

    def of_session(self, session_id: ua.NodeId) -> dict[int, InternalSubscription]:
        """The subscriptions that belong to a session."""
        return {
            number: subscription
            for number, subscription in self.subscriptions.items()
            if subscription.session_id == session_id
        }


def _interval(requested_ms: float) -> float:
    if math.isnan(requested_ms):
        return limits.MIN_PUBLISHING_INTERVAL_MS
    return min(
        max(requested_ms, limits.MIN_PUBLISHING_INTERVAL_MS), limits.MAX_PUBLISHING_INTERVAL_MS
    )
