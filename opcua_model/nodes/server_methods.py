"""The two methods of the Server object that this server has: GetMonitoredItems and ResendData.

Registered once at start (OPC 10000-5, 9.1 and 9.2). Both act only on the caller's own
subscriptions.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua

from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.security.access import Caller
from cellwright.opcua_model.services.internal_server import CellInternalServer
from cellwright.opcua_model.services.methods import Argument, Method, MethodOutcome
from cellwright.opcua_model.services.subscriptions.subscription import CellSubscription

_T = ua.VariantType
_UINT32 = standard(ua.ObjectIds.UInt32)


class ServerMethods:
    """Puts the two methods behind their standard nodes."""

    def __init__(self, server: CellInternalServer) -> None:
        self._server = server

    def register(self) -> None:
        """Make the methods callable."""
        subscription = Argument("SubscriptionId", _UINT32, _T.UInt32)
        handles = (
            Argument("ServerHandles", _UINT32, _T.UInt32, is_array=True),
            Argument("ClientHandles", _UINT32, _T.UInt32, is_array=True),
        )
        self._server.methods.methods.update(
            {
                standard(ua.ObjectIds.Server_GetMonitoredItems): Method(
                    self._items, (subscription,), handles
                ),
                standard(ua.ObjectIds.Server_ResendData): Method(self._resend, (subscription,)),
            }
        )

    def find(self, caller: Caller, number: int) -> CellSubscription | int:
        """The caller's own subscription of that number, or why it is not to be had."""
        subscription = self._server.subscriptions.subscriptions.get(number)
        if not isinstance(subscription, CellSubscription):
            return ua.StatusCodes.BadSubscriptionIdInvalid
        if subscription.session_id.to_string() != caller.session_id:
            return ua.StatusCodes.BadUserAccessDenied
        return subscription

    async def _items(self, caller: Caller, inputs: list[Any]) -> MethodOutcome:
        found = self.find(caller, inputs[0])
        if isinstance(found, int):
            return MethodOutcome(status=found)
        items = found.items
        return MethodOutcome(
            [
                ua.Variant(list(items), _T.UInt32, is_array=True),
                ua.Variant(
                    [item.client_handle for item in items.values()], _T.UInt32, is_array=True
                ),
            ]
        )

    async def _resend(self, caller: Caller, inputs: list[Any]) -> MethodOutcome:
        found = self.find(caller, inputs[0])
        if isinstance(found, int):
            return MethodOutcome(status=found)
        await found.resend()
        return MethodOutcome()
