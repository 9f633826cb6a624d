"""Requests with long lists, served in slices, so that no client waits for another one's list.

The length of a list is looked at before anything of it is decoded. Read, Browse and
CreateMonitoredItems, of which one request may name 10,000 nodes, are decoded, served and encoded
some hundred at a time, and between two slices everybody else gets a turn.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import Buffer, ServiceError
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.session import CellSession

SLICE: Final = 200
"""Items that are served without a pause: some milliseconds."""
_COUNT: Final = struct.Struct("<i")
_NO_DIAGNOSTICS: Final = _COUNT.pack(0)


def request(name: str) -> ua.NodeId:
    """TypeId of a request as it is on the wire."""
    return standard(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary"))


_LISTS: Final[Mapping[ua.NodeId, tuple[int, int]]] = {
    request(name): facts
    for name, facts in {
        "Write": (0, limits.MAX_NODES_PER_WRITE),
        "Call": (0, limits.MAX_NODES_PER_CALL),
        "TranslateBrowsePathsToNodeIds": (0, limits.MAX_NODES_PER_TRANSLATE),
        "RegisterNodes": (0, limits.MAX_NODES_PER_REGISTER),
        "UnregisterNodes": (0, limits.MAX_NODES_PER_REGISTER),
        "BrowseNext": (1, limits.MAX_BROWSE_CONTINUATION_POINTS),
        "ModifyMonitoredItems": (8, limits.MAX_ITEMS_PER_CALL),
        "DeleteMonitoredItems": (4, limits.MAX_ITEMS_PER_CALL),
        "SetMonitoringMode": (8, limits.MAX_ITEMS_PER_CALL),
        "SetPublishingMode": (1, limits.MAX_ITEMS_PER_CALL),
        "DeleteSubscriptions": (0, limits.MAX_ITEMS_PER_CALL),
        "TransferSubscriptions": (0, limits.MAX_ITEMS_PER_CALL),
    }.items()
}
"""Where the length of the list stands in the parameters, and how long it may be."""


def check_length(type_id: ua.NodeId, body: Buffer) -> None:
    """Refuse a list that is too long, before it is decoded. Raises ServiceError."""
    facts = _LISTS.get(type_id)
    if facts is None:
        return
    place, most = facts
    if len(body) >= place + _COUNT.size:
        peek = body.copy()
        peek.skip(place)
        if _COUNT.unpack(peek.read(_COUNT.size))[0] > most:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)


@dataclass(frozen=True, slots=True)
class Sliced:
    """One service whose requests may be long."""

    head: Callable[[Buffer], Any]
    """Decodes what stands before the list: the parameters without items."""
    field: str
    """Name of the list in the parameters."""
    item: type
    most: int
    serve: Callable[[CellSession, Any], Awaitable[list[Any]]]
    response: type

    async def answer(self, session: CellSession, body: Buffer) -> tuple[Any, bytes]:
        """The response with an empty list, and what stands in the place of that and behind.

        Raises ServiceError for an empty list and for one that is too long.
        """
        params = self.head(body)
        (count,) = _COUNT.unpack(body.read(_COUNT.size))
        if count <= 0:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        if count > self.most:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        parts = [_COUNT.pack(count)]
        for first in range(0, count, SLICE):
            if first:
                await asyncio.sleep(0)
            items: list[Any] = [
                struct_from_binary(self.item, body) for _ in range(min(SLICE, count - first))
            ]
            setattr(params, self.field, items)
            if first:
                await asyncio.sleep(0)
            results = await self.serve(session, params)
            parts.append(b"".join(map(struct_to_binary, results)))
        return self.response(), b"".join(parts) + _NO_DIAGNOSTICS


def encoded(response: Any, results: bytes) -> bytes:
    """The response's bytes with these results and their end in the place of its empty lists."""
    return struct_to_binary(response)[: -len(_NO_DIAGNOSTICS) - _COUNT.size] + results


def _read_head(body: Buffer) -> ua.ReadParameters:
    age, wanted = struct.unpack("<di", body.read(12))
    return ua.ReadParameters(MaxAge=age, TimestampsToReturn=_timestamps(wanted))


def _browse_head(body: Buffer) -> ua.BrowseParameters:
    view = struct_from_binary(ua.ViewDescription, body)
    (most,) = struct.unpack("<I", body.read(4))
    return ua.BrowseParameters(View=view, RequestedMaxReferencesPerNode=most)


def _create_head(body: Buffer) -> ua.CreateMonitoredItemsParameters:
    number, wanted = struct.unpack("<Ii", body.read(8))
    return ua.CreateMonitoredItemsParameters(
        SubscriptionId=number, TimestampsToReturn=_timestamps(wanted)
    )


def _timestamps(wanted: int) -> Any:
    try:
        return ua.TimestampsToReturn(wanted)
    except ValueError:
        return wanted  # the service refuses it


SERVICES: Final[Mapping[ua.NodeId, Sliced]] = {
    request("Read"): Sliced(
        _read_head,
        "NodesToRead",
        ua.ReadValueId,
        limits.MAX_NODES_PER_READ,
        CellSession.read,
        ua.ReadResponse,
    ),
    request("Browse"): Sliced(
        _browse_head,
        "NodesToBrowse",
        ua.BrowseDescription,
        limits.MAX_NODES_PER_BROWSE,
        CellSession.browse,
        ua.BrowseResponse,
    ),
    request("CreateMonitoredItems"): Sliced(
        _create_head,
        "ItemsToCreate",
        ua.MonitoredItemCreateRequest,
        limits.MAX_ITEMS_PER_CALL,
        CellSession.create_monitored_items,
        ua.CreateMonitoredItemsResponse,
    ),
}
