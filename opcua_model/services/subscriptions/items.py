"""The monitored item service of one subscription: items on tags in C, items on other nodes here.

The session calls it. An item on a tag's value is compared with the image when it is due; one on any
other node or attribute is told when the node is written; one for events is offered them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace
from asyncua.server.monitored_item_service import MonitoredItemData, MonitoredItemService

from cellwright.opcua_model.address_space import ranges
from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.tag_values import TagValues
from cellwright.opcua_model.events.filters import Verdict, compile_filter
from cellwright.opcua_model.events.types import EventTypes
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.subscriptions import event_items, filters
from cellwright.opcua_model.services.subscriptions.item_callback import ItemCallback
from cellwright.opcua_model.services.subscriptions.owner import Owner
from cellwright.opcua_model.services.subscriptions.tag_items import (
    ItemRefusedError,
    Settings,
    TagItems,
)

_BOTH = (True, True)
_NS_PER_MS = 1e6


class CellItems(MonitoredItemService):
    """The monitored items of one subscription."""

    def __init__(
        self,
        isub: Any,
        aspace: AddressSpace,
        tags: TagValues,
        types: EventTypes,
        budget: event_items.Budget,
    ) -> None:
        """``isub`` is the subscription: an `Owner` that the library takes for its own.

        ``types`` and ``budget`` of events are shared by all subscriptions.
        """
        super().__init__(isub, aspace)
        self.cell: Owner = isub
        self.tags = tags
        self.tag_items = TagItems(tags)
        self.event_items = event_items.EventItems(isub, budget)
        self._types = types
        self._fastest_ns = filters.fastest_sampling_ns(tags.plan)
        self._numbers: dict[int, tuple[int, Settings]] = {}
        """Monitored item id to the item's number in the table, and what it was given."""
        self._ids: dict[int, int] = {}
        """The other way round."""
        self._callbacks: dict[int, ItemCallback] = {}
        self._links: dict[int, dict[int, None]] = {}
        """Triggering item to the items that report with it (OPC 10000-4, 5.12.1.6)."""
        self._linked_to: dict[int, set[int]] = {}
        """The other way round."""
        self._wanted_times = _BOTH

    @property
    def items(self) -> dict[int, MonitoredItemData]:
        """Monitored item id to item."""
        return self._monitored_items

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        """Make items; each has its own status, and its present value in the queue."""
        self._wanted_times = _times(params.TimestampsToReturn)
        self.tags.refresh()
        return await super().create_monitored_items(params)

    def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        """Change items; each has its own status."""
        self._wanted_times = _times(params.TimestampsToReturn)
        return super().modify_monitored_items(params)

    def sample_due(self, now_ns: int) -> None:
        """Compare what is due with the newest snapshot."""
        self.tags.refresh()
        self._fire(self.tag_items.sample_due(now_ns))

    def sample_now(self) -> None:
        """Compare every item on a tag with the newest snapshot."""
        self.tags.refresh()
        self._fire(self.tag_items.sample_all())

    def resend(self) -> None:
        """Queue the present value of every reporting item, as if it were new."""
        self.tags.refresh()
        for identifier, data in self._monitored_items.items():
            if data.mode is ua.MonitoringMode.Reporting:
                self._renew(identifier)

    def set_triggering(
        self, triggering: int, add: Iterable[int], remove: Iterable[int]
    ) -> tuple[list[ua.StatusCode], list[ua.StatusCode]]:
        """Link items to one that triggers them; statuses of the links taken out and put in.

        Raises KeyError when there is no such triggering item.
        """
        if triggering not in self._monitored_items:
            raise KeyError(triggering)
        links = self._links.setdefault(triggering, {})
        removed = []
        for identifier in remove:
            known = links.pop(identifier, 0) is None
            self._linked_to.get(identifier, set()).discard(triggering)
            removed.append(_status(known))
        added = []
        for identifier in add:
            known = identifier in self._monitored_items
            if known:
                links[identifier] = None
                self._linked_to.setdefault(identifier, set()).add(triggering)
            added.append(_status(known))
        if not links:
            del self._links[triggering]
        self._mark_links(triggering)
        return added, removed

    def fire(self, identifier: int) -> None:
        """A triggering item has changed: report what the items linked to it have queued."""
        for linked in self._links.get(identifier, ()):
            if linked in self._numbers:
                self.tag_items.report(self._numbers[linked][0])
            elif linked in self._callbacks:
                self.cell.pend(self._callbacks[linked])
            elif linked in self.event_items and self.event_items[linked].queue:
                self.cell.pend_events(self.event_items[linked])

    # --- making -----------------------------------------------------------------------------------

    async def _create_data_change_monitored_item(
        self, params: ua.MonitoredItemCreateRequest
    ) -> ua.MonitoredItemCreateResult:
        item, wanted = params.ItemToMonitor, params.RequestedParameters
        result, data = self._make_monitored_item_common(params)
        index = None
        if item.AttributeId == ua.AttributeIds.Value:
            index = self.tags.index_of(item.NodeId)
        tag = None if index is None else self.tags.plan.tags[index]
        code = filters.refusal(self.aspace, item, wanted.Filter, tag)
        if len(self._monitored_items) >= limits.MAX_ITEMS_PER_SUBSCRIPTION:
            code = ua.StatusCodes.BadTooManyMonitoredItems
        if code != ua.StatusCodes.Good:
            result.StatusCode = status_code(code)
            return result
        if index is None:
            self._watch_node(result, data, bool(wanted.DiscardOldest))
            return result
        try:
            settings = self._settings(data, index, wanted)
            number = self.tag_items.add(settings, *self._timing(result, wanted.SamplingInterval))
        except ranges.RangeError as error:
            result.StatusCode = status_code(error.code)
            return result
        except ItemRefusedError:
            result.StatusCode = status_code(ua.StatusCodes.BadOutOfMemory)
            return result
        identifier = result.MonitoredItemId
        self._commit_monitored_item(result, data)
        self._numbers[identifier] = (number, settings)
        self._ids[number] = identifier
        self.tag_items.sample([number])
        return result

    def _watch_node(
        self, result: ua.MonitoredItemCreateResult, data: MonitoredItemData, discard_oldest: bool
    ) -> None:
        item = data.read_value_id
        assert item is not None
        if item.IndexRange:
            result.StatusCode = status_code(ua.StatusCodes.BadIndexRangeInvalid)
            return
        callback = ItemCallback(self.cell, data)
        callback.discard_oldest, callback.times = discard_oldest, self._wanted_times
        callback.node = self.aspace.get(item.NodeId)
        result.StatusCode, handle = self.aspace.add_datachange_callback(
            item.NodeId, item.AttributeId, callback
        )
        if not result.StatusCode.is_good():
            return
        data.callback_handle = handle
        self._commit_monitored_item(result, data)
        self._callbacks[result.MonitoredItemId] = callback
        self._offer(callback)

    def _create_events_monitored_item(
        self, params: ua.MonitoredItemCreateRequest
    ) -> ua.MonitoredItemCreateResult:
        result = ua.MonitoredItemCreateResult()
        wanted = params.RequestedParameters
        code = self._notifier_refusal(params.ItemToMonitor.NodeId)
        if len(self._monitored_items) >= limits.MAX_ITEMS_PER_SUBSCRIPTION:
            code = ua.StatusCodes.BadTooManyMonitoredItems
        verdict = compile_filter(wanted.Filter, self._types)
        if code == ua.StatusCodes.Good:
            code = verdict.code
            result.FilterResult = verdict.result
        if code != ua.StatusCodes.Good or verdict.filter is None:
            result.StatusCode = status_code(code)
            return result
        made, data = self._make_monitored_item_common(params)
        result.MonitoredItemId = made.MonitoredItemId
        self._revise_events(result, data, wanted.QueueSize)
        self._commit_monitored_item(result, data)
        self.event_items.add(data, verdict.filter, discard_oldest=bool(wanted.DiscardOldest))
        return result

    def _notifier_refusal(self, node_id: ua.NodeId) -> int:
        """Why events cannot be had at a node, as a status code; Good when they can."""
        if node_id not in self.aspace:
            return ua.StatusCodes.BadNodeIdUnknown
        held = self.aspace.read_attribute_value(node_id, ua.AttributeIds.EventNotifier).Value
        if held is None or held.Value is None:
            return ua.StatusCodes.BadAttributeIdInvalid
        return ua.StatusCodes.Good if held.Value & 1 else ua.StatusCodes.BadNotSupported

    def _revise_events(self, result: Any, data: MonitoredItemData, wanted_queue: int) -> None:
        data.queue_size = event_items.queue_size(wanted_queue, limits.MAX_QUEUE_SIZE)
        result.RevisedQueueSize = ua.UInt32(data.queue_size)
        result.RevisedSamplingInterval = 0.0  # events are not sampled (OPC 10000-4, 5.12.1.2)

    def _make_monitored_item_common(
        self, params: ua.MonitoredItemCreateRequest
    ) -> tuple[ua.MonitoredItemCreateResult, MonitoredItemData]:
        result, data = super()._make_monitored_item_common(params)
        data.queue_size = filters.queue_size(params.RequestedParameters.QueueSize)
        result.RevisedQueueSize = ua.UInt32(data.queue_size)
        return result, data

    def _settings(
        self, data: MonitoredItemData, index: int, wanted: ua.MonitoringParameters
    ) -> Settings:
        tag, item = self.tags.plan.tags[index], data.read_value_id
        assert item is not None
        return Settings(
            tag=index,
            handle=int(wanted.ClientHandle),
            queue_size=data.queue_size,
            mode=int(data.mode or 0),
            trigger=filters.trigger(data.filter),
            deadband=filters.deadband(data.filter, tag),
            discard_oldest=bool(wanted.DiscardOldest),
            source_time=self._wanted_times[0],
            server_time=self._wanted_times[1],
            elements=filters.elements(item.IndexRange, tag),
        )

    def _timing(
        self,
        result: ua.MonitoredItemCreateResult | ua.MonitoredItemModifyResult,
        requested_ms: float,
    ) -> tuple[int, int, int]:
        """Interval, now and the next publishing in nanoseconds; revises the result's interval."""
        publishing_ms = self.cell.data.RevisedPublishingInterval
        interval_ns = filters.sampling_ns(requested_ms, publishing_ms, self._fastest_ns)
        result.RevisedSamplingInterval = interval_ns / _NS_PER_MS
        self.cell.wake()
        return interval_ns, time.monotonic_ns(), self.cell.publish_due_ns

    # --- changing ---------------------------------------------------------------------------------

    def _modify_monitored_item(
        self, params: ua.MonitoredItemModifyRequest
    ) -> ua.MonitoredItemModifyResult:
        result = ua.MonitoredItemModifyResult()
        identifier, wanted = params.MonitoredItemId, params.RequestedParameters
        data = self._monitored_items.get(identifier)
        if data is None or data.read_value_id is None:
            result.StatusCode = status_code(ua.StatusCodes.BadMonitoredItemIdInvalid)
            return result
        if identifier in self.event_items:
            self._modify_events(result, data, wanted)
            return result
        on_tag, callback = self._numbers.get(identifier), self._callbacks.get(identifier)
        tag = None if on_tag is None else self.tags.plan.tags[on_tag[1].tag]
        if on_tag is not None or callback is not None:
            code = filters.refusal(self.aspace, data.read_value_id, wanted.Filter, tag)
            if code != ua.StatusCodes.Good:
                result.StatusCode = status_code(code)
                return result
        data.client_handle, data.filter = wanted.ClientHandle, wanted.Filter
        data.queue_size = filters.queue_size(wanted.QueueSize)
        result.RevisedQueueSize = ua.UInt32(data.queue_size)
        result.RevisedSamplingInterval = self.cell.data.RevisedPublishingInterval
        if on_tag is not None:
            number, before = on_tag
            settings = self._settings(data, before.tag, wanted)
            settings.links = before.links
            self.tag_items.change(number, settings, *self._timing(result, wanted.SamplingInterval))
            self._numbers[identifier] = (number, settings)
        elif callback is not None:
            callback.discard_oldest, callback.times = bool(wanted.DiscardOldest), self._wanted_times
            callback.configure()
        return result

    def _modify_events(
        self,
        result: ua.MonitoredItemModifyResult,
        data: MonitoredItemData,
        wanted: ua.MonitoringParameters,
    ) -> None:
        verdict: Verdict = compile_filter(wanted.Filter, self._types)
        result.FilterResult = verdict.result
        if verdict.filter is None:
            result.StatusCode = status_code(verdict.code)
            return
        assert data.monitored_item_id is not None
        item = self.event_items[data.monitored_item_id]
        data.client_handle, data.filter = wanted.ClientHandle, wanted.Filter
        item.filter, item.discard_oldest = verdict.filter, bool(wanted.DiscardOldest)
        self._revise_events(result, data, wanted.QueueSize)
        item.shorten()

    async def _set_monitoring_mode(self, mode: ua.MonitoringMode, mid: int) -> ua.StatusCode:
        data = self._monitored_items.get(mid)
        if data is None:
            return status_code(ua.StatusCodes.BadMonitoredItemIdInvalid)
        before, data.mode = data.mode, mode
        if mid in self._numbers:
            number, settings = self._numbers[mid]
            settings.mode = int(mode)
            self.tag_items.apply(number, settings)
            if before is ua.MonitoringMode.Disabled:
                self.tags.refresh()
                self._fire(self.tag_items.sample([number]))
        elif mid in self._callbacks:
            callback = self._callbacks[mid]
            if mode is ua.MonitoringMode.Disabled:
                callback.queue.clear()
            elif before is ua.MonitoringMode.Disabled:
                self._renew(mid)
            elif mode is ua.MonitoringMode.Reporting and callback.queue:
                self.cell.pend(callback)
        elif mid in self.event_items:
            item = self.event_items[mid]
            if mode is ua.MonitoringMode.Disabled:
                item.clear()
            elif mode is ua.MonitoringMode.Reporting and item.queue:
                self.cell.pend_events(item)
        return status_code(ua.StatusCodes.Good)

    def _delete_monitored_items(self, mid: int) -> ua.StatusCode:
        if mid in self._numbers:
            number, _ = self._numbers.pop(mid)
            del self._ids[number]
            self.tag_items.remove(number)
            del self._monitored_items[mid]
        elif mid in self._callbacks:
            callback = self._callbacks.pop(mid)
            self.cell.let_go(callback)
            handle = self._monitored_items.pop(mid).callback_handle
            assert handle is not None
            self.aspace.delete_datachange_callback(handle)
        elif mid in self.event_items:
            self.event_items.remove(mid)
            del self._monitored_items[mid]
        else:
            return status_code(ua.StatusCodes.BadMonitoredItemIdInvalid)
        for linked in self._links.pop(mid, ()):
            self._linked_to[linked].discard(mid)
        for triggering in list(self._linked_to.pop(mid, ())):
            self.set_triggering(triggering, (), (mid,))
        return status_code(ua.StatusCodes.Good)

    async def trigger_datachange(
        self, handle: int, nodeid: ua.NodeId, attr: ua.AttributeIds
    ) -> None:
        """Offer the present value anew; the library's name for it."""
        for identifier, data in self._monitored_items.items():
            if data.callback_handle == handle:
                self._renew(identifier)

    def _renew(self, identifier: int) -> None:
        if identifier in self._numbers:
            number, _ = self._numbers[identifier]
            self.tag_items.forget(number)
            self._fire(self.tag_items.sample([number]))
        elif identifier in self._callbacks:
            callback = self._callbacks[identifier]
            callback.last = None
            self._offer(callback)

    def _offer(self, callback: ItemCallback) -> None:
        item = callback.data.read_value_id
        assert item is not None
        callback.sample(self.aspace.read_attribute_value(item.NodeId, item.AttributeId))

    def _mark_links(self, identifier: int) -> None:
        linked = identifier in self._links
        if identifier in self._numbers:
            number, settings = self._numbers[identifier]
            settings.links = linked
            self.tag_items.apply(number, settings)
        elif identifier in self._callbacks:
            self._callbacks[identifier].linked = linked
        elif identifier in self.event_items:
            self.event_items[identifier].linked = linked

    def _fire(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.fire(self._ids[number])


def _times(wanted: ua.TimestampsToReturn) -> tuple[bool, bool]:
    known = ua.TimestampsToReturn
    return wanted in (known.Source, known.Both), wanted in (known.Server, known.Both)


def _status(known: bool) -> ua.StatusCode:
    codes = ua.StatusCodes
    return status_code(codes.Good if known else codes.BadMonitoredItemIdInvalid)
