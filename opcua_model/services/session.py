"""Sessions: random tokens, the user behind them, and every service call on that user's behalf.

asyncua's connection handler calls these methods. A session touches only its own subscriptions
and continuation points; writes go to the write path, never into the address space.
"""

from __future__ import annotations

import dataclasses
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from asyncua import ua
from asyncua.common.utils import ServiceError, create_nonce
from asyncua.server.internal_session import InternalSession, SessionState

from cellwright.opcua_model.address_space import ranges
from cellwright.opcua_model.address_space.builder import READ, WRITE
from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.tag_values import TagValues
from cellwright.opcua_model.address_space.values import utc_now
from cellwright.opcua_model.security.access import ANONYMOUS, AUDITORS, Caller, CellUser
from cellwright.opcua_model.security.permissions import Permissions
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.history.service import HistoryPoints
from cellwright.opcua_model.services.methods import CellMethods
from cellwright.opcua_model.services.subscriptions.service import CellSubscriptionService
from cellwright.opcua_model.services.subscriptions.subscription import CellSubscription
from cellwright.opcua_model.services.views import CellViews, ContinuationPoints
from cellwright.opcua_model.services.writes import WritePath

_A = ua.AttributeIds
_DEFAULT_ENCODINGS: Final = (None, "", "Default Binary")


@dataclass(slots=True)
class Counters:
    """What ServerDiagnosticsSummary shows, since the start."""

    sessions: int = 0
    rejected_sessions: int = 0
    security_rejected_sessions: int = 0
    rejected_requests: int = 0
    security_rejected_requests: int = 0
    session_timeouts: int = 0
    session_aborts: int = 0


class SessionHost(Protocol):
    """What a session needs of the server that it belongs to."""

    aspace: Any
    subscription_service: Any
    counters: Counters
    methods: CellMethods
    views: CellViews
    writes: WritePath
    tags: TagValues
    subscriptions: CellSubscriptionService
    permissions: Permissions
    secrets: frozenset[ua.NodeId]
    """Nodes that only auditors see."""

    def rights_on(self, node_id: ua.NodeId) -> list[ua.RolePermissionType]:
        """Permissions of every role on a node."""

    def next_session_number(self) -> int:
        """Number in a session's NodeId; not a secret."""

    def subscription_owner(self, subscription: Any) -> CellSession | None:
        """The live session that a subscription belongs to."""

    def register_external_session(self, session: CellSession) -> None:
        """A client has this session from now on."""


class CellSession(InternalSession):
    """One client's session."""

    def __init__(self, host: SessionHost, name: str) -> None:
        super().__init__(
            cast(Any, host), host.aspace, host.subscription_service, name, ANONYMOUS, external=False
        )
        self.host = host
        self.session_id = ua.NodeId(ua.Int32(host.next_session_number()), ua.Int16(1))
        self.auth_token = ua.NodeId(
            ua.ByteString(secrets.token_bytes(32)), ua.Int16(0), ua.NodeIdType.ByteString
        )
        self.external = True
        self.channel: Any = None
        """The connection that the session is bound to."""
        self.encrypted = False
        """It was activated over a channel that encrypts."""
        self.client_certificate: bytes | None = None
        self.address = ""
        """The client's IP address when it made the session."""
        self.description = ua.ApplicationDescription()
        self.timed_out = False
        """The session was closed because its client had been silent for too long."""
        self.label = ""
        self.endpoint_url = ""
        self.created = utc_now()
        self.last_contact = self.created
        self.deadline_s = math.inf
        """When the client stops waiting for the present request, of `time.monotonic`."""
        self._points = ContinuationPoints()
        self.history_points = HistoryPoints()
        host.register_external_session(self)

    @property
    def caller(self) -> Caller:
        """Who asks, for access and audit."""
        user = self.user
        assert isinstance(user, CellUser)
        return Caller(user, self.session_id.to_string(), self.label, self.encrypted)

    def touch(self) -> None:
        """The client has given a sign of life."""
        super().touch()
        self.last_contact = utc_now()

    async def create_session(
        self, params: ua.CreateSessionParameters, sockname: tuple[str, int] | None = None
    ) -> ua.CreateSessionResult:
        """Answer CreateSession; the timeout watch starts here, not only at activation."""
        self.description = params.ClientDescription
        self.label = params.SessionName or ""
        self.endpoint_url = params.EndpointUrl or ""
        if math.isnan(params.RequestedSessionTimeout):
            # Every comparison with it is false, so that no limit would hold.
            params.RequestedSessionTimeout = 0.0
        result = await super().create_session(params, sockname)
        result.MaxRequestMessageSize = ua.UInt32(limits.MAX_MESSAGE_BYTES)
        self.touch()
        self._start_timeout_watchdog()
        return result

    async def close_session(self, delete_subs: bool = True) -> None:
        """End the session; its token is worth nothing from here on."""
        if self.state is not SessionState.Closed:
            self.channel = None
            idle_s = time.monotonic() - self._last_activity
            self.timed_out = idle_s >= (self.session_timeout or math.inf)
            self.host.counters.session_timeouts += self.timed_out
            await super().close_session(delete_subs)
            for number in self.host.subscriptions.expired(self.session_id):
                self.host.subscriptions.subscriptions.pop(number, None)

    def activate(self, user: CellUser) -> ua.ActivateSessionResult:
        """The user was checked: the session is theirs. Raises ServiceError."""
        if self.state is SessionState.Closed:
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        if self.state is SessionState.Activated:
            if user != self.user:
                raise ServiceError(ua.StatusCodes.BadIdentityChangeNotSupported)
        else:
            InternalSession._current_connections += 1
        self.user = user
        self.state = SessionState.Activated
        self.nonce = create_nonce(32)
        self.touch()
        result = ua.ActivateSessionResult()
        result.ServerNonce = ua.ByteString(self.nonce)
        return result

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Read attributes with index ranges, access levels and the wanted timestamps."""
        limits.check_count(params.NodesToRead, limits.MAX_NODES_PER_READ)
        if params.MaxAge < 0:
            raise ServiceError(ua.StatusCodes.BadMaxAgeInvalid)
        wanted = _timestamps(params.TimestampsToReturn)
        self.host.tags.refresh()
        now = utc_now()
        return [self._read_one(item, wanted, now) for item in params.NodesToRead]

    def _read_one(
        self, item: ua.ReadValueId, wanted: tuple[bool, bool], now: ua.DateTime
    ) -> ua.DataValue:
        encoding = item.DataEncoding.Name if item.DataEncoding is not None else None
        if encoding not in _DEFAULT_ENCODINGS:
            return _bad(ua.StatusCodes.BadDataEncodingUnsupported)
        if item.AttributeId in _RIGHTS:
            return self._read_rights(item)
        if item.AttributeId == _A.Value:
            index = self.host.tags.index_of(item.NodeId)
            if index is not None:
                return _chosen(item, self.host.tags.data_value(index), wanted, now)
        held = self.aspace.read_attribute_value(item.NodeId, item.AttributeId)
        if item.AttributeId != _A.Value:
            return self._read_other(item, held)
        if held.StatusCode is not None and held.StatusCode.value in _NO_VALUE:
            return held
        return self._read_value(item, held, wanted, now)

    def _read_rights(self, item: ua.ReadValueId) -> ua.DataValue:
        """Who may do what with the node (OPC 10000-3, 5.2.9 to 5.2.11)."""
        if item.NodeId not in self.aspace:
            return _bad(ua.StatusCodes.BadNodeIdUnknown)
        if item.IndexRange:
            return _bad(ua.StatusCodes.BadIndexRangeNoData)
        if item.AttributeId == _A.AccessRestrictions:
            return ua.DataValue(ua.Variant(0, ua.VariantType.UInt16))
        user, everyone = self.caller.user, self.host.rights_on(item.NodeId)
        if item.AttributeId == _A.UserRolePermissions:
            everyone = self.host.permissions.of_user(user, everyone)
        elif not user.may(AUDITORS):
            return _bad(ua.StatusCodes.BadUserAccessDenied)
        return ua.DataValue(ua.Variant(everyone, ua.VariantType.ExtensionObject, is_array=True))

    def _secret(self, node_id: ua.NodeId) -> bool:
        """True for a node that is not for this user."""
        return node_id in self.host.secrets and not self.caller.user.may(AUDITORS)

    def _read_other(self, item: ua.ReadValueId, held: ua.DataValue) -> ua.DataValue:
        if item.AttributeId in _PER_USER:
            return self._per_user(item, held)
        if item.IndexRange:
            return _bad(ua.StatusCodes.BadIndexRangeNoData)
        return ua.DataValue(held.Value, held.StatusCode)

    def _read_value(
        self, item: ua.ReadValueId, held: ua.DataValue, wanted: tuple[bool, bool], now: ua.DateTime
    ) -> ua.DataValue:
        if self._secret(item.NodeId):
            return _bad(ua.StatusCodes.BadUserAccessDenied)
        level = self.aspace.read_attribute_value(item.NodeId, _A.AccessLevel).Value
        if level is not None and level.Value is not None and not level.Value & READ:
            return _bad(ua.StatusCodes.BadNotReadable)
        return _chosen(item, held, wanted, now)

    def _per_user(self, item: ua.ReadValueId, held: ua.DataValue) -> ua.DataValue:
        if held.Value is None or held.Value.Value is None:
            return held
        user = self.caller.user
        if item.AttributeId == _A.UserExecutable:
            method = self.host.methods.methods.get(item.NodeId)
            allowed = method is not None and user.may(method.callers)
            return ua.DataValue(ua.Variant(allowed, ua.VariantType.Boolean))
        level = int(held.Value.Value)
        if not self.host.writes.may_write(user, item.NodeId):
            level &= ~WRITE
        return ua.DataValue(ua.Variant(level, ua.VariantType.Byte))

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Hand the writes to the write path, in order."""
        limits.check_count(params.NodesToWrite, limits.MAX_NODES_PER_WRITE)
        refused = [self._unknown(item) for item in params.NodesToWrite]
        known = [
            item
            for item, code in zip(params.NodesToWrite, refused, strict=True)
            if code == ua.StatusCodes.Good
        ]
        written = iter(await self.host.writes.write_all(self.caller, known, self.deadline_s))
        return [
            next(written) if code == ua.StatusCodes.Good else status_code(code) for code in refused
        ]

    def _unknown(self, item: ua.WriteValue) -> int:
        """Why there is nothing to write to, as a status code; Good when there is."""
        node = self.aspace.get(item.NodeId)
        if node is None:
            return ua.StatusCodes.BadNodeIdUnknown
        if item.AttributeId not in node.attributes:
            return ua.StatusCodes.BadAttributeIdInvalid
        return ua.StatusCodes.Good

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """Browse within the wanted maximum."""
        limits.check_count(params.NodesToBrowse, limits.MAX_NODES_PER_BROWSE)
        auditor = self.caller.user.may(AUDITORS)
        hidden = frozenset[ua.NodeId]() if auditor else self.host.secrets
        return self.host.views.browse_for(params, self._points, hidden)

    def begin_request(self) -> None:
        """A request begins that may be served in slices."""
        self._points.begin()

    async def browse_next(self, parameters: ua.BrowseNextParameters) -> list[ua.BrowseResult]:
        """Go on with a Browse, or let it go."""
        limits.check_count(parameters.ContinuationPoints, limits.MAX_BROWSE_CONTINUATION_POINTS)
        self._points.begin()
        return self.host.views.next_for(parameters, self._points)

    async def translate_browsepaths_to_nodeids(
        self, params: list[ua.BrowsePath]
    ) -> list[ua.BrowsePathResult]:
        """NodeIds at the ends of paths."""
        limits.check_count(params, limits.MAX_NODES_PER_TRANSLATE)
        results = await super().translate_browsepaths_to_nodeids(params)
        for result in results:
            shown = [each for each in result.Targets if not self._secret(each.TargetId)]
            if result.Targets and not shown:
                result.StatusCode = status_code(ua.StatusCodes.BadNoMatch)
            result.Targets = shown
        return results

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call methods as this session's user."""
        limits.check_count(params, limits.MAX_NODES_PER_CALL)
        return await self.host.methods.call_as(self.caller, params)

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        """Create items in a subscription of this session."""
        limits.check_count(params.ItemsToCreate, limits.MAX_ITEMS_PER_CALL)
        _timestamps(params.TimestampsToReturn)
        self._own(params.SubscriptionId)
        refused = [self._secret(item.ItemToMonitor.NodeId) for item in params.ItemsToCreate]
        if not any(refused):
            return await super().create_monitored_items(params)
        pairs = zip(params.ItemsToCreate, refused, strict=True)
        allowed = dataclasses.replace(params, ItemsToCreate=[each for each, no in pairs if not no])
        made = iter(await super().create_monitored_items(allowed) if not all(refused) else [])
        denied = status_code(ua.StatusCodes.BadUserAccessDenied)
        return [
            ua.MonitoredItemCreateResult(StatusCode=denied) if no else next(made) for no in refused
        ]

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        """Modify items in a subscription of this session."""
        limits.check_count(params.ItemsToModify, limits.MAX_ITEMS_PER_CALL)
        self._own(params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(
        self, params: ua.DeleteMonitoredItemsParameters
    ) -> list[ua.StatusCode]:
        """Delete items of a subscription of this session."""
        limits.check_count(params.MonitoredItemIds, limits.MAX_ITEMS_PER_CALL)
        self._own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    def set_triggering(
        self, params: ua.SetTriggeringParameters
    ) -> tuple[list[ua.StatusCode], list[ua.StatusCode]]:
        """Link items of this session; statuses of the links added and of those removed."""
        links = [*(params.LinksToAdd or []), *(params.LinksToRemove or [])]
        limits.check_count(links, limits.MAX_ITEMS_PER_CALL)
        subscription = self._own(params.SubscriptionId)
        try:
            added, removed = subscription.items_service.set_triggering(
                params.TriggeringItemId, params.LinksToAdd or [], params.LinksToRemove or []
            )
        except KeyError as error:
            raise ServiceError(ua.StatusCodes.BadMonitoredItemIdInvalid) from error
        return added, removed

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[Any]:
        """Change the mode of items of this session."""
        limits.check_count(params.MonitoredItemIds, limits.MAX_ITEMS_PER_CALL)
        self._own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(
        self, params: ua.SetPublishingModeParameters
    ) -> list[ua.StatusCode]:
        """Switch publishing of this session's subscriptions."""
        limits.check_count(params.SubscriptionIds, limits.MAX_ITEMS_PER_CALL)
        return await self._each(
            params.SubscriptionIds,
            lambda number: super(CellSession, self).set_publishing_mode(
                dataclasses.replace(params, SubscriptionIds=[number])
            ),
        )

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """Delete this session's subscriptions; another's look unknown."""
        if self.state is not SessionState.Closed:
            limits.check_count(ids, limits.MAX_ITEMS_PER_CALL)
        delete = super().delete_subscriptions
        return await self._each(ids, lambda number: delete([number]))

    async def _each(
        self, ids: list[int], act: Callable[[int], Awaitable[list[ua.StatusCode]]]
    ) -> list[ua.StatusCode]:
        mine = self.host.subscriptions.of_session(self.session_id)
        return [
            (await act(number))[0]
            if number in mine
            else status_code(ua.StatusCodes.BadSubscriptionIdInvalid)
            for number in ids
        ]

    def modify_subscription(
        self, params: ua.ModifySubscriptionParameters
    ) -> ua.ModifySubscriptionResult:
        """Change a subscription of this session."""
        self._own(params.SubscriptionId)
        return super().modify_subscription(params)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """A message of this session's subscription that was sent before and is still held."""
        subscription = self._own(params.SubscriptionId)
        held = subscription._not_acknowledged_results.get(params.RetransmitSequenceNumber)
        if held is None:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        message: ua.NotificationMessage = held.NotificationMessage
        return message

    def publish(
        self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None
    ) -> tuple[int, list[ua.StatusCode]]:
        """Take the acknowledgements; gives the number of this session's subscriptions."""
        mine = self.host.subscriptions.of_session(self.session_id)
        if not mine and not self.host.subscriptions.expired(self.session_id):
            raise ServiceError(ua.StatusCodes.BadNoSubscription)
        results = []
        for ack in acks or []:
            subscription = mine.get(ack.SubscriptionId)
            if subscription is None:
                code = ua.StatusCodes.BadSubscriptionIdInvalid
            elif ack.SequenceNumber not in subscription._not_acknowledged_results:
                code = ua.StatusCodes.BadSequenceNumberUnknown
            else:
                subscription.publish([ack.SequenceNumber])
                code = ua.StatusCodes.Good
            results.append(status_code(code))
        return len(mine), results

    async def transfer_subscriptions(  # type: ignore[override]
        self, params: ua.TransferSubscriptionsParameters, callback: Callable[..., Any]
    ) -> list[ua.TransferResult]:
        """Take over subscriptions of a session of the same user (OPC 10000-4, 5.13.7)."""
        limits.check_count(params.SubscriptionIds, limits.MAX_ITEMS_PER_CALL)
        results = []
        for number in params.SubscriptionIds:
            result = ua.TransferResult()
            subscription = self.host.subscriptions.subscriptions.get(int(number))
            owner = self.host.subscription_owner(subscription)
            if subscription is None:
                result.StatusCode = status_code(ua.StatusCodes.BadSubscriptionIdInvalid)
            elif owner is None or owner.user != self.user or self.caller.user.anonymous:
                result.StatusCode = status_code(ua.StatusCodes.BadUserAccessDenied)
            else:
                subscription.session_id = self.session_id
                subscription.pub_result_callback = callback
                subscription.pub_request_callback = self.channel.get_publish_request
                result.AvailableSequenceNumbers = sorted(subscription._not_acknowledged_results)
                if params.SendInitialValues and isinstance(subscription, CellSubscription):
                    await subscription.resend()
            results.append(result)
        return results

    def _own(self, number: int) -> Any:
        subscription = self.host.subscriptions.of_session(self.session_id).get(number)
        if subscription is None:
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
        return subscription


_PER_USER: Final = frozenset({_A.UserExecutable, _A.UserAccessLevel})
_RIGHTS: Final = frozenset({_A.RolePermissions, _A.UserRolePermissions, _A.AccessRestrictions})
_NO_VALUE: Final = frozenset(
    {ua.StatusCodes.BadAttributeIdInvalid, ua.StatusCodes.BadNodeIdUnknown}
)


def _bad(code: int) -> ua.DataValue:
    return ua.DataValue(StatusCode=status_code(code))


def _chosen(
    item: ua.ReadValueId, held: ua.DataValue, wanted: tuple[bool, bool], now: ua.DateTime
) -> ua.DataValue:
    """The part of a value, and those of its times, that a client wants."""
    value = held.Value
    has_value = value is not None and value.Value is not None
    if item.IndexRange and (has_value or held.StatusCode is None or held.StatusCode.is_good()):
        try:
            value = ranges.cut(value, item.IndexRange)
        except ranges.RangeError as error:
            return _bad(error.code)
    return ua.DataValue(
        value,
        held.StatusCode,
        held.SourceTimestamp if wanted[0] else None,
        (held.ServerTimestamp or now) if wanted[1] else None,
    )


def _timestamps(wanted: ua.TimestampsToReturn) -> tuple[bool, bool]:
    """Whether source and server timestamps are wanted."""
    known = ua.TimestampsToReturn
    if wanted not in (known.Source, known.Server, known.Both, known.Neither):
        raise ServiceError(ua.StatusCodes.BadTimestampsToReturnInvalid)
    return wanted in (known.Source, known.Both), wanted in (known.Server, known.Both)
