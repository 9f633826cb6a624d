"""HistoryRead of events: what the journal holds, through the filter of the client, in pages.

Every event that a subscription would have brought can be read back, with the EventId that it had
(OPC 10000-11, 6.5.2). The journal is read in the thread of the history.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.events.filters import EventFilter, compile_filter
from cellwright.opcua_model.events.record import EventRecord
from cellwright.opcua_model.events.types import EventTypes
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.history.wire import nanoseconds

_TYPE_ID: Final = standard(ua.ObjectIds.HistoryEvent_Encoding_DefaultBinary)
_COUNT: Final = struct.Struct("<i")
_CODES = ua.StatusCodes
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1


class EventSource(Protocol):
    """The events of a cell that are kept."""

    @property
    def notifiers(self) -> frozenset[ua.NodeId]:
        """Nodes that have a history of events."""

    def past(
        self, span_ns: tuple[int, int], place: int | None, *, backward: bool
    ) -> tuple[list[EventRecord], int | None]:
        """Some events of a span, ends included, in order, and the place to go on from.

        ``place`` is None for the beginning; None comes back at the end. Runs in a thread; raises
        OSError when they cannot be read.
        """


@dataclass(frozen=True, slots=True)
class EventTask:
    """One node of a request, and how far it has come."""

    notifier: ua.NodeId
    filter: EventFilter
    span_ns: tuple[int, int]
    backward: bool
    left: int
    """Events that may still come; 0: all."""
    auditor: bool
    place: int | None = None
    begun: bool = False


def task(node_id: ua.NodeId, details: Any, types: EventTypes, *, auditor: bool) -> EventTask | int:
    """What is asked of a node, or the code of a refusal."""
    verdict = compile_filter(details.Filter, types)
    if verdict.filter is None:
        return verdict.code
    start, end = nanoseconds(details.StartTime), nanoseconds(details.EndTime)
    most = int(details.NumValuesPerNode)
    if (start is not None) + (end is not None) + (most > 0) < 2:
        return _CODES.BadInvalidTimestampArgument
    backward = start is None or (end is not None and end < start)
    low, high = (end, start) if backward else (start, end)
    if start is None:
        low, high = None, end
    span = (_FIRST if low is None else low, _LAST if high is None else high)
    return EventTask(node_id, verdict.filter, span, backward, most, auditor)


def page(
    source: EventSource, wanted: EventTask
) -> tuple[ua.ExtensionObject, int, EventTask | None]:
    """A HistoryEvent, how many events it has, and what is left; None at the end."""
    most = limits.MAX_HISTORY_EVENTS
    most = min(most, wanted.left) if wanted.left else most
    found: list[bytes] = []
    place, begun = wanted.place, wanted.begun
    while not (begun and place is None):
        records, place = source.past(wanted.span_ns, place, backward=wanted.backward)
        begun = True
        for record in records:
            if wanted.notifier not in record.notifiers or (record.audit and not wanted.auditor):
                continue
            if wanted.filter.passes(record):
                fields = wanted.filter.fields(record)
                found.append(struct_to_binary(ua.HistoryEventFieldList(EventFields=fields)))
        if len(found) >= most:
            break
    # A page ends where the journal's own does, so a few more than `most` may have been found.
    given = found[: wanted.left] if wanted.left else found
    body = _COUNT.pack(len(given)) + b"".join(given)
    data = ua.ExtensionObject(TypeId=_TYPE_ID, Body=ua.ByteString(body))
    left = wanted.left - len(given)
    if place is None or (wanted.left and left <= 0):
        return data, len(given), None
    return data, len(given), replace(wanted, place=place, begun=True, left=max(0, left))
