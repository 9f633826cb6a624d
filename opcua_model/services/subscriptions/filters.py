"""What a client asks of a monitored item, checked and revised (OPC 10000-4, 7.21 and 7.22)."""

from __future__ import annotations

import math
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import AddressSpace

# The class that the codec makes; the one of the same name in `ua` is a subclass of it.
from asyncua.ua.uaprotocol_auto import DataChangeFilter

from cellwright.io.plan import Plan, Tag
from cellwright.opcua_model.address_space import ranges
from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.services import limits

_NUMERIC: Final = frozenset(
    standard(number) for number in (*range(2, 12), ua.ObjectIds.Duration, ua.ObjectIds.Number)
)
_NS_PER_MS: Final = 1_000_000


def refusal(aspace: AddressSpace, item: ua.ReadValueId, filter_: Any, tag: Tag | None) -> int:
    """Why the filter cannot be had, as a status code; Good when it can."""
    if filter_ is None or (isinstance(filter_, ua.ExtensionObject) and filter_.TypeId.is_null()):
        return ua.StatusCodes.Good
    if not isinstance(filter_, DataChangeFilter):
        return ua.StatusCodes.BadMonitoredItemFilterUnsupported
    if item.AttributeId != ua.AttributeIds.Value:
        return ua.StatusCodes.BadFilterNotAllowed
    if filter_.DeadbandType == ua.DeadbandType.None_:
        return ua.StatusCodes.Good
    declared = aspace.read_attribute_value(item.NodeId, ua.AttributeIds.DataType).Value
    if declared is None or declared.Value not in _NUMERIC:
        return ua.StatusCodes.BadFilterNotAllowed
    return _deadband_refusal(filter_, tag)


def _deadband_refusal(filter_: DataChangeFilter, tag: Tag | None) -> int:
    most = {ua.DeadbandType.Absolute: math.inf, ua.DeadbandType.Percent: 100.0}
    kind, value = filter_.DeadbandType, filter_.DeadbandValue
    if kind not in most or not 0.0 <= value <= most[kind] or math.isinf(value):
        return ua.StatusCodes.BadDeadbandFilterInvalid
    if kind == ua.DeadbandType.Percent and (tag is None or tag.range is None):
        # It is a part of EURange (OPC 10000-8, 6.2), which only tags with a range have.
        return ua.StatusCodes.BadMonitoredItemFilterUnsupported
    return ua.StatusCodes.Good


def deadband(filter_: Any, tag: Tag) -> float:
    """The filter's deadband in units of the tag's value; 0 without one."""
    if not isinstance(filter_, DataChangeFilter):
        return 0.0
    if filter_.DeadbandType == ua.DeadbandType.Absolute:
        return float(filter_.DeadbandValue)
    if filter_.DeadbandType == ua.DeadbandType.Percent and tag.range is not None:
        low, high = tag.range
        return float(filter_.DeadbandValue) / 100.0 * (high - low)
    return 0.0


def trigger(filter_: Any) -> int:
    """What counts as a change; status or value when nothing is said."""
    if isinstance(filter_, DataChangeFilter):
        return int(filter_.Trigger)
    return int(ua.DataChangeTrigger.StatusValue)


def elements(index_range: str | None, tag: Tag) -> tuple[int, int]:
    """First and number of the elements that an index range names; (0, 0) for the whole value.

    Raises `ranges.RangeError`. Ranges within a text or of several dimensions are not taken.
    """
    if not index_range:
        return 0, 0
    first, last = ranges.bounds(index_range)
    if not tag.type.is_array or first >= tag.type.count:
        raise ranges.RangeError(ua.StatusCodes.BadIndexRangeNoData)
    return first, min(last, tag.type.count - 1) - first + 1


def queue_size(requested: int) -> int:
    """0 and 1 are one place (OPC 10000-4, 7.21)."""
    return min(max(int(requested), 1), limits.MAX_QUEUE_SIZE)


def sampling_ns(requested_ms: float, publishing_ms: float, fastest_ns: int) -> int:
    """The interval in which an item is really sampled: whole beats of what can change it.

    A negative one (or none that is a number) is the publishing interval, 0 the fastest.
    """
    if math.isnan(requested_ms) or requested_ms < 0:
        requested_ms = publishing_ms
    wanted_ms = min(requested_ms, limits.MAX_PUBLISHING_INTERVAL_MS)
    beats = max(1, math.ceil(wanted_ms * _NS_PER_MS / fastest_ns - 1e-9))
    return beats * fastest_ns


def fastest_sampling_ns(plan: Plan) -> int:
    """Nothing in the image changes faster than the scan."""
    return max(plan.scan.base_ns, int(limits.MIN_SAMPLING_INTERVAL_MS * _NS_PER_MS))
