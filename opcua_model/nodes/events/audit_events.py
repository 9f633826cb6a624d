"""Audit events (OPC 10000-5, 6.4.3 ff.): who connected, who was refused, who wrote, who called."""

from __future__ import annotations

import os
from typing import Final

from asyncua import ua

from cellwright.io.messages import AccessAudited, TagWritten
from cellwright.io.plan import Tag, Value
from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.address_space.values import utc_datetime, utc_now, wire_type
from cellwright.opcua_model.events.record import SERVER, Base, EventRecord, Path, path
from cellwright.opcua_model.security.access import Caller

_T = ua.VariantType
_O = ua.ObjectIds
_STEPS: Final = {
    "channel": standard(_O.AuditOpenSecureChannelEventType),
    "certificate": standard(_O.AuditCertificateEventType),
    "session": standard(_O.AuditCreateSessionEventType),
    "login": standard(_O.AuditActivateSessionEventType),
}
_WRITE: Final = standard(_O.AuditWriteUpdateEventType)
_METHOD: Final = standard(_O.AuditUpdateMethodEventType)
_ONLY_SERVER: Final = frozenset({SERVER})
_REFUSED: Final = 600
_DONE: Final = 100
"""Severities."""


class AuditEvents:
    """Makes audit events for one server."""

    def __init__(self, server_uri: str) -> None:
        self._server = server_uri

    def access(self, event_id: bytes, event: AccessAudited) -> EventRecord:
        """Somebody logged in or was refused."""
        good = event.status == "Good"
        words = (f"{event.step}: {event.status}", event.reason)
        base = Base(
            _STEPS[event.step],
            event_id,
            utc_datetime(event.utc_ns),
            " - ".join(word for word in words if word),
            _DONE if good else _REFUSED,
            source_name=f"{event.step}/{event.address}",
        )
        code = getattr(ua.StatusCodes, event.status, ua.StatusCodes.Bad)
        own = {path("StatusCodeId"): ua.Variant(ua.StatusCode(ua.UInt32(code)), _T.StatusCode)}
        return self._record(base, event.user, own, good=good)

    def write(
        self, event_id: bytes, event: TagWritten, tag: Tag, node_id: ua.NodeId
    ) -> EventRecord:
        """A command wrote a tag, whatever door it came through."""
        base = Base(
            _WRITE,
            event_id,
            utc_datetime(event.utc_ns),
            f"{event.tag} written",
            _DONE,
            node_id,
            "Attribute/Write",
        )
        own = {
            path("AttributeId"): ua.Variant(int(ua.AttributeIds.Value), _T.UInt32),
            path("IndexRange"): ua.Variant(None, _T.String),
            path("OldValue"): _wire(tag, event.old),
            path("NewValue"): _wire(tag, event.new),
        }
        return self._record(base, event.actor, own)

    def call(
        self, caller: Caller, request: ua.CallMethodRequest, result: ua.CallMethodResult
    ) -> EventRecord:
        """A client called a method."""
        good = bool(result.StatusCode.is_good())
        base = Base(
            _METHOD,
            os.urandom(16),
            utc_now(),
            f"{request.MethodId.Identifier} called: {result.StatusCode.name}",
            _DONE if good else _REFUSED,
            request.ObjectId,
            "Attribute/Call",
        )
        arguments = list(request.InputArguments or [])
        own = {
            path("MethodId"): ua.Variant(request.MethodId, _T.NodeId),
            path("StatusCodeId"): ua.Variant(result.StatusCode, _T.StatusCode),
            path("InputArguments"): ua.Variant(arguments, _T.Variant, is_array=True),
            path("OutputArguments"): ua.Variant([], _T.Variant, is_array=True),
        }
        return self._record(base, caller.actor, own, good=good)

    def _record(
        self, base: Base, user: str, own: dict[Path, ua.Variant], *, good: bool = True
    ) -> EventRecord:
        fields = {
            **base.fields(),
            path("ActionTimeStamp"): ua.Variant(base.time, _T.DateTime),
            path("Status"): ua.Variant(good, _T.Boolean),
            path("ServerId"): ua.Variant(self._server, _T.String),
            path("ClientAuditEntryId"): ua.Variant(None, _T.String),
            path("ClientUserId"): ua.Variant(user, _T.String),
            **own,
        }
        return EventRecord(base.type, _ONLY_SERVER, fields, audit=True)


def _wire(tag: Tag, value: Value) -> ua.Variant:
    wire = wire_type(tag.type)
    return ua.Variant(wire.encode(value), wire.variant, is_array=tag.type.is_array)
