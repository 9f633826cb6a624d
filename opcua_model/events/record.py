"""One event, with every field that a client may select.

A field is found by its path of browse names from the event's type (OPC 10000-4, 7.7.4.5). Fields
are made when the event happens, so that every client sees the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asyncua import ua

from cellwright.opcua_model.address_space.ids import standard

Path = tuple[tuple[int, str], ...]
"""Namespace index and name of each step; empty for the event itself."""

_T = ua.VariantType
SERVER: Final = standard(ua.ObjectIds.Server)
ALWAYS: Final = frozenset(
    standard(number)
    for number in (
        ua.ObjectIds.RefreshStartEventType,
        ua.ObjectIds.RefreshEndEventType,
        ua.ObjectIds.EventQueueOverflowEventType,
    )
)
"""Types that no where clause holds back (OPC 10000-9, 5.5.7; OPC 10000-4, 7.22.3)."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event. ``fields`` does not change any more."""

    type: ua.NodeId
    notifiers: frozenset[ua.NodeId]
    """Nodes at which a client that subscribes gets it."""
    fields: Mapping[Path, ua.Variant]
    condition: ua.NodeId | None = None
    """NodeId of the condition whose state it tells."""
    audit: bool = False
    """Only auditors get it."""


def path(*names: str, namespace: int = 0) -> Path:
    """A path whose steps are all of one namespace."""
    return tuple((namespace, name) for name in names)


@dataclass(frozen=True, slots=True)
class Base:
    """What every event has (BaseEventType, OPC 10000-5, 6.4.2)."""

    type: ua.NodeId
    id: bytes
    time: datetime
    message: str
    severity: int
    """1 to 1000."""
    source: ua.NodeId = SERVER
    source_name: str = "Server"

    def fields(self) -> dict[Path, ua.Variant]:
        """The fields of BaseEventType."""
        return {
            path("EventId"): ua.Variant(self.id, _T.ByteString),
            path("EventType"): ua.Variant(self.type, _T.NodeId),
            path("SourceNode"): ua.Variant(self.source, _T.NodeId),
            path("SourceName"): ua.Variant(self.source_name, _T.String),
            path("Time"): ua.Variant(self.time, _T.DateTime),
            path("ReceiveTime"): ua.Variant(self.time, _T.DateTime),
            path("Message"): ua.Variant(ua.LocalizedText(self.message), _T.LocalizedText),
            path("Severity"): ua.Variant(self.severity, _T.UInt16),
        }
