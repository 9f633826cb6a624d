"""A monitored item on a node that is no tag: judged and queued when the node's value is replaced.

The address space keeps an `ItemCallback` for each. Values in the address space are never changed in
place, so an item may keep a reference instead of a deep copy.
"""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua
from asyncua.server.monitored_item_service import MonitoredItemData
from asyncua.ua.uaprotocol_auto import DataChangeFilter

from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.values import utc_now
from cellwright.opcua_model.services.subscriptions.owner import Owner

_OVERFLOW: Final = 0x480
"""InfoType DataValue and the Overflow bit (OPC 10000-4, 7.39.1)."""


class ItemCallback:
    """What the address space keeps for one monitored item: judges a value and queues it."""

    __slots__ = (
        "client_handle",
        "data",
        "deadband",
        "discard_oldest",
        "isub",
        "last",
        "linked",
        "node",
        "queue",
        "times",
        "trigger",
    )

    def __init__(self, isub: Owner, data: MonitoredItemData) -> None:
        self.isub = isub
        self.data = data
        self.last: ua.DataValue | None = None
        """Last reported value: what a deadband is measured from (OPC 10000-4, 7.22.2)."""
        self.queue: list[ua.MonitoredItemNotification] = []
        self.discard_oldest = True
        self.linked = False
        """Other items report when this one changes."""
        self.node: Any = None
        """What it looks at: a node that is made on demand lives as long as somebody holds it."""
        self.times = (True, True)
        """Source and server time are wanted."""
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
        del self.queue[: max(0, len(self.queue) - self.data.queue_size)]

    async def __call__(self, handle: int, value: ua.DataValue, error: Any = None) -> None:
        """The library's way to the same end, for nodes that it writes itself."""
        self.sample(value)

    def sample(self, value: ua.DataValue) -> None:
        """Queue the value if the item's filter calls it a change."""
        data = self.data
        if data.mode is ua.MonitoringMode.Disabled or not self._changed(value):
            return
        self.last = value
        source, server = self.times
        if not (source and server and value.ServerTimestamp):
            value = ua.DataValue(
                value.Value,
                value.StatusCode,
                value.SourceTimestamp if source else None,
                (value.ServerTimestamp or utc_now()) if server else None,
            )
        queue = self.queue
        if len(queue) >= data.queue_size:
            if data.queue_size == 1:
                queue.clear()
            else:
                value = self._overflow(queue, value)
        queue.append(ua.MonitoredItemNotification(self.client_handle, value))
        assert data.monitored_item_id is not None
        if data.mode is ua.MonitoringMode.Reporting:
            self.isub.pend(self)
        if self.linked:
            self.isub.fire(data.monitored_item_id)

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
