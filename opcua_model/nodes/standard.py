"""Makes the standard Server object true: limits that are enforced, counters that count.

Optional nodes for what this server does not do (history, roles as nodes, certificate management)
are taken out, so that a client that reads every variable finds none without a value.
"""

from __future__ import annotations

import calendar
import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData

from cellwright.opcua_model.address_space.builder import Builder, attribute, node_class, replace
from cellwright.opcua_model.address_space.ids import CELL_URI, IO_URI, TYPES_URI, standard
from cellwright.opcua_model.address_space.values import NO_TIME, utc_now
from cellwright.opcua_model.events.filters import MOST_CLAUSES
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.internal_server import CellInternalServer

_T = ua.VariantType
_A = ua.AttributeIds
_ID = ua.ObjectIds

_HIERARCHY: Final = frozenset(
    standard(number)
    for number in (_ID.HasComponent, _ID.HasProperty, _ID.Organizes, _ID.HasOrderedComponent)
)

_SURPLUS: Final = (
    "Server_EstimatedReturnTime",
    "Server_UrisVersion",
    "Server_RequestServerStateChange",
    "Server_SetSubscriptionDurable",
    "Server_ServerCapabilities_ConformanceUnits",
    "Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData",
    "Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadEvents",
    "Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryUpdateData",
    "Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryUpdateEvents",
    "Server_ServerCapabilities_OperationLimits_MaxNodesPerNodeManagement",
    "Server_ServerDiagnostics_SamplingIntervalDiagnosticsArray",
    "Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray",
    "Server_ServerRedundancy_RedundantServerArray",
    "HistoryServerCapabilities",
)
"""Optional nodes, each with its subtree, of services that this server does not have."""
_OF_HISTORY: Final = frozenset(
    {
        "Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData",
        "HistoryServerCapabilities",
    }
)
"""Those of them that a cell with a history has."""
_SURPLUS_NAMES: Final = ("ServerConfiguration", "DefaultHAConfiguration", "DefaultHEConfiguration")
_SURPLUS_METADATA: Final = ("DefaultUserRolePermissions",)
"""A variable has one value for everybody; each node's UserRolePermissions is true of the reader."""

_LIMITS: Final[dict[str, int]] = {
    "MaxNodesPerRead": limits.MAX_NODES_PER_READ,
    "MaxNodesPerWrite": limits.MAX_NODES_PER_WRITE,
    "MaxNodesPerMethodCall": limits.MAX_NODES_PER_CALL,
    "MaxNodesPerBrowse": limits.MAX_NODES_PER_BROWSE,
    "MaxNodesPerRegisterNodes": limits.MAX_NODES_PER_REGISTER,
    "MaxNodesPerTranslateBrowsePathsToNodeIds": limits.MAX_NODES_PER_TRANSLATE,
    "MaxMonitoredItemsPerCall": limits.MAX_ITEMS_PER_CALL,
}
_SUMMARY: Final = "Server_ServerDiagnostics_ServerDiagnosticsSummary"
_SESSIONS: Final = "Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray"
_SUBSCRIPTIONS: Final = "Server_ServerDiagnostics_SubscriptionDiagnosticsArray"


def _id(name: str) -> ua.NodeId:
    return standard(getattr(_ID, name))


class StandardNodes:
    """The nodes below Objects/Server, and the null values of the standard's types."""

    def __init__(self, builder: Builder, server: CellInternalServer) -> None:
        self._builder = builder
        self._server = server
        self._space: AddressSpace = builder.space

    def prepare(self, application_uri: str, profile: Iterable[str] = ()) -> None:
        """Once, after the standard address space was loaded and before the port opens."""
        self._take_out()
        array = [standard_uri(), application_uri, TYPES_URI, CELL_URI, IO_URI]
        self._set("Server_NamespaceArray", ua.Variant(array, _T.String))
        self._set("Server_ServerArray", ua.Variant([application_uri], _T.String))
        self._set("Server_Auditing", ua.Variant(True, _T.Boolean))
        self._set("Server_ServerRedundancy_RedundancySupport", ua.Variant(0, _T.Int32))
        self._capabilities()
        self._set("Server_ServerDiagnostics_EnabledFlag", ua.Variant(True, _T.Boolean))
        self._set("Server_ServerStatus_SecondsTillShutdown", ua.Variant(0, _T.UInt32))
        self._set(
            "Server_ServerStatus_ShutdownReason",
            ua.Variant(ua.LocalizedText(""), _T.LocalizedText),
        )
        self.refresh()
        self._make_whole()

    def refresh(self) -> None:
        """Write the counters and the lists of sessions and subscriptions; about once a second."""
        server = self._server
        self._status()
        sessions = server.sessions
        subscriptions = server.subscriptions.subscriptions
        counters = server.counters
        summary = ua.ServerDiagnosticsSummaryDataType()
        for name, value in (
            ("CurrentSessionCount", len(sessions)),
            ("CumulatedSessionCount", counters.sessions),
            ("SecurityRejectedSessionCount", counters.security_rejected_sessions),
            ("RejectedSessionCount", counters.rejected_sessions),
            ("PublishingIntervalCount", len({
                item.data.RevisedPublishingInterval for item in subscriptions.values()
            })),
            ("CurrentSubscriptionCount", len(subscriptions)),
            ("CumulatedSubscriptionCount", server.subscriptions.created),
            ("SecurityRejectedRequestsCount", counters.security_rejected_requests),
            ("RejectedRequestsCount", counters.rejected_requests),
            ("ServerViewCount", 0),
            ("SessionTimeoutCount", counters.session_timeouts),
            ("SessionAbortCount", counters.session_aborts),
        ):  # fmt: skip
            setattr(summary, name, ua.UInt32(value))
            self._set(f"{_SUMMARY}_{name}", ua.Variant(value, _T.UInt32))
        self._set(_SUMMARY, ua.Variant(summary, _T.ExtensionObject))
        self._set(_SESSIONS, _array([_session_diagnostics(item, server) for item in sessions]))
        self._set(
            _SUBSCRIPTIONS,
            _array([_subscription_diagnostics(item) for item in subscriptions.values()]),
        )

    def _status(self) -> None:
        held = self._space[_id("Server_ServerStatus")].attributes[_A.Value].value
        if held is None or held.Value is None or held.Value.Value is None:
            return
        now = utc_now()
        status = dataclasses.replace(held.Value.Value, CurrentTime=now)
        self._set("Server_ServerStatus", ua.Variant(status, _T.ExtensionObject))
        self._set("Server_ServerStatus_CurrentTime", ua.Variant(now, _T.DateTime))
        zone = time_zone(time.localtime(calendar.timegm(now.timetuple())))
        self._set("Server_LocalTime", ua.Variant(zone, _T.ExtensionObject))

    def _capabilities(self) -> None:
        base = "Server_ServerCapabilities"
        for name, value in _LIMITS.items():
            self._set(f"{base}_OperationLimits_{name}", ua.Variant(value, _T.UInt32))
        for name, number in (
            ("MaxBrowseContinuationPoints", limits.MAX_BROWSE_CONTINUATION_POINTS),
            ("MaxQueryContinuationPoints", 0),
            (
                "MaxHistoryContinuationPoints",
                limits.MAX_HISTORY_CONTINUATION_POINTS if self._server.history.offered else 0,
            ),
        ):
            self._set(f"{base}_{name}", ua.Variant(number, _T.UInt16))
        for name, number in (
            ("MaxSessions", limits.MAX_SESSIONS),
            ("MaxSubscriptions", limits.MAX_SUBSCRIPTIONS),
            ("MaxMonitoredItems", limits.MAX_SUBSCRIPTIONS * limits.MAX_ITEMS_PER_SUBSCRIPTION),
            ("MaxSubscriptionsPerSession", limits.MAX_SUBSCRIPTIONS_PER_SESSION),
            ("MaxSelectClauseParameters", MOST_CLAUSES),
            ("MaxWhereClauseParameters", MOST_CLAUSES),
            ("MaxMonitoredItemsPerSubscription", limits.MAX_ITEMS_PER_SUBSCRIPTION),
            ("MaxMonitoredItemsQueueSize", limits.MAX_QUEUE_SIZE),
            ("MaxByteStringLength", limits.MAX_MESSAGE_BYTES),
            ("MaxStringLength", limits.MAX_MESSAGE_BYTES),
            ("MaxArrayLength", limits.MAX_MESSAGE_BYTES),
        ):
            self._set(f"{base}_{name}", ua.Variant(number, _T.UInt32))
        self._set(
            f"{base}_MinSupportedSampleRate",
            ua.Variant(limits.MIN_PUBLISHING_INTERVAL_MS, _T.Double),
        )
        self._set(f"{base}_LocaleIdArray", ua.Variant(["en"], _T.String))
        self._set(
            f"{base}_ServerProfileArray",
            ua.Variant(["http://opcfoundation.org/UA-Profile/Server/StandardUA2017"], _T.String),
        )
        self._set(f"{base}_SoftwareCertificates", _array([]))

    def _take_out(self) -> None:
        roots = [
            _id(name)
            for name in _SURPLUS
            if hasattr(_ID, name) and not (self._server.history.offered and name in _OF_HISTORY)
        ]
        server = self._space[_id("Server")]
        roots += [
            item.NodeId
            for item in server.references
            if item.IsForward and item.BrowseName.Name in _SURPLUS_NAMES
        ]
        for reference in self._space[_id("Server_Namespaces")].references:
            if reference.IsForward and reference.ReferenceTypeId in _HIERARCHY:
                roots += [
                    item.NodeId
                    for item in self._space[reference.NodeId].references
                    if item.IsForward and item.BrowseName.Name in _SURPLUS_METADATA
                ]
        everything: list[ua.NodeId] = []
        for root in roots:
            everything += self._builder.subtree(root)
        self._builder.remove(everything)

    def _set(self, name: str, value: ua.Variant) -> None:
        number = getattr(_ID, name, None)
        node = self._space.get(standard(number)) if number is not None else None
        if node is None:
            raise LookupError(f"the standard address space has no {name}")
        held = node.attributes[_A.Value].value
        if held is not None and held.Value == value and held.SourceTimestamp is not None:
            return
        now = utc_now()
        replace(node, ua.DataValue(value, SourceTimestamp=now, ServerTimestamp=now))

    def _make_whole(self) -> None:
        """What the standard's listing leaves out: values, their times, AccessLevelEx."""
        made = self._builder.made
        for node_id in list(self._space.keys()):
            node = self._space[node_id]
            kind = node_class(node)
            if kind in (ua.NodeClass.Variable, ua.NodeClass.VariableType):
                held = node.attributes.get(_A.Value)
                if held is not None and (held.value is None or _is_null(held.value)):
                    held.value = ua.DataValue(self._default(node))
                value = None if held is None else held.value
                if held is not None and value is not None and value.SourceTimestamp is None:
                    held.value = ua.DataValue(value.Value, value.StatusCode, made)
            if kind == ua.NodeClass.Variable:
                self._builder.extend_access(node, int(attribute(node, _A.AccessLevel) or 0))

    def _default(self, node: NodeData) -> ua.Variant:
        """A value of the declared type for an instance declaration that the standard left null."""
        variant = self._built_in(attribute(node, _A.DataType))
        rank = attribute(node, _A.ValueRank)
        if variant is None:
            return ua.Variant(None, _T.Null)
        if isinstance(rank, int) and rank >= 1:
            return ua.Variant([], variant, is_array=True)
        return _SCALARS.get(variant, lambda: ua.Variant(None, _T.Null))()

    def _built_in(self, data_type: ua.NodeId | None) -> ua.VariantType | None:
        seen = 0
        while data_type is not None and seen < 20:
            seen += 1
            number = data_type.Identifier
            if data_type.NamespaceIndex == 0 and isinstance(number, int):
                if number == _ID.Enumeration:
                    return _T.Int32
                if number == _ID.Structure:
                    return _T.ExtensionObject
                if 1 <= number <= 21:
                    return _T(number)
            node = self._space.get(data_type)
            data_type = None
            for item in node.references if node is not None else ():
                if not item.IsForward and item.ReferenceTypeId == standard(_ID.HasSubtype):
                    data_type = item.NodeId
        return None


def _is_null(value: ua.DataValue) -> bool:
    return value.Value is None or value.Value.Value is None


def _scalar(variant: ua.VariantType, value: Any) -> Callable[[], ua.Variant]:
    return lambda: ua.Variant(value, variant)


_SCALARS: Final[dict[ua.VariantType, Callable[[], ua.Variant]]] = {
    _T.Boolean: _scalar(_T.Boolean, False),
    **{_T(number): _scalar(_T(number), 0) for number in range(2, 10)},
    _T.Float: _scalar(_T.Float, 0.0),
    _T.Double: _scalar(_T.Double, 0.0),
    _T.String: _scalar(_T.String, ""),
    _T.DateTime: _scalar(_T.DateTime, NO_TIME),
    _T.ByteString: _scalar(_T.ByteString, b""),
    _T.NodeId: _scalar(_T.NodeId, ua.NodeId()),
    _T.StatusCode: _scalar(_T.StatusCode, ua.StatusCode()),
    _T.QualifiedName: _scalar(_T.QualifiedName, ua.QualifiedName("")),
    _T.LocalizedText: _scalar(_T.LocalizedText, ua.LocalizedText("")),
}


def standard_uri() -> str:
    """Namespace 0."""
    return "http://opcfoundation.org/UA/"


def time_zone(local: time.struct_time) -> ua.TimeZoneDataType:
    """The offset to UTC in minutes, daylight saving time included (OPC UA Part 3, 8.28)."""
    return ua.TimeZoneDataType(ua.Int16(local.tm_gmtoff // 60), local.tm_isdst > 0)


def _array(values: list[Any]) -> ua.Variant:
    return ua.Variant(values, _T.ExtensionObject, is_array=True)


def _session_diagnostics(session: Any, server: CellInternalServer) -> Any:
    mine = server.subscriptions.of_session(session.session_id)
    out = ua.SessionDiagnosticsDataType()
    out.SessionId = session.session_id
    out.SessionName = session.label
    out.ClientDescription = session.description
    out.EndpointUrl = session.endpoint_url
    out.ActualSessionTimeout = float((session.session_timeout or 0) * 1000)
    out.ClientConnectionTime = session.created
    out.ClientLastContactTime = session.last_contact
    out.CurrentSubscriptionsCount = ua.UInt32(len(mine))
    out.CurrentMonitoredItemsCount = ua.UInt32(
        sum(len(item.monitored_item_srv._monitored_items) for item in mine.values())
    )
    return out


def _subscription_diagnostics(subscription: Any) -> Any:
    out = ua.SubscriptionDiagnosticsDataType()
    out.SessionId = subscription.session_id
    out.SubscriptionId = subscription.data.SubscriptionId
    out.PublishingInterval = subscription.data.RevisedPublishingInterval
    out.MaxKeepAliveCount = subscription.data.RevisedMaxKeepAliveCount
    out.MaxLifetimeCount = subscription.data.RevisedLifetimeCount
    out.PublishingEnabled = subscription._publishing_enabled
    out.MonitoredItemCount = ua.UInt32(len(subscription.monitored_item_srv._monitored_items))
    out.UnacknowledgedMessageCount = ua.UInt32(len(subscription._not_acknowledged_results))
    return out
