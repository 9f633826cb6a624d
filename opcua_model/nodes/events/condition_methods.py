"""The methods of conditions: acknowledge, comment, shelve, enable, refresh (OPC 10000-9, 5).

What changes an alarm is a command to the scan, which decides; what an operator writes is an event
of the journal. The methods are those of the types, called on a condition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from asyncua import ua

from cellwright.io.image import AlarmState
from cellwright.io.messages import (
    AcknowledgeAlarm,
    AnyCommand,
    DisableAlarm,
    EnableAlarm,
    ReplyCode,
    ShelveAlarm,
    UnshelveAlarm,
)
from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.errors import CommandUnavailableError
from cellwright.opcua_model.events.record import EventRecord
from cellwright.opcua_model.nodes.events.conditions import LONGEST_SHELF_MS, Condition
from cellwright.opcua_model.security.access import ANYONE, CONTROL_CELL, Caller
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.command_sender import CommandSender
from cellwright.opcua_model.services.methods import Argument, Method, MethodOutcome, ObjectMethod
from cellwright.opcua_model.services.subscriptions.subscription import CellSubscription

_T = ua.VariantType
_O = ua.ObjectIds
_CODES = ua.StatusCodes
_EVENT_ID: Final = Argument("EventId", standard(_O.ByteString), _T.ByteString)
_COMMENT: Final = Argument("Comment", standard(_O.LocalizedText), _T.LocalizedText)
_SHELVING_TIME: Final = Argument("ShelvingTime", standard(_O.Duration), _T.Double)
_SUBSCRIPTION: Final = Argument("SubscriptionId", standard(_O.UInt32), _T.UInt32)
_ITEM: Final = Argument("MonitoredItemId", standard(_O.UInt32), _T.UInt32)
COMMENT_LENGTH: Final = 500


class ConditionMethods:
    """Answers the methods. ``find`` gives the condition of a node, or None."""

    def __init__(
        self,
        find: Callable[[ua.NodeId], Condition | None],
        commands: CommandSender,
        note: Callable[[str, str, str], bool],
        subscription: Callable[[Caller, int], CellSubscription | int],
        refresh: Callable[[], Iterable[EventRecord]],
    ) -> None:
        """``note`` records alarm, text and actor and says whether that was possible.

        ``subscription`` gives a caller's own one or a status code, ``refresh`` what is to be told.
        """
        self._find, self._commands, self._note = find, commands, note
        self._subscription, self._refresh = subscription, refresh

    def methods(self) -> dict[ua.NodeId, Method]:
        """Method node to what stands behind it."""
        on, roles = self._is_condition, CONTROL_CELL
        return {
            standard(number): ObjectMethod(call, inputs, (), roles, owns=on)
            for number, inputs, call in (
                (_O.AcknowledgeableConditionType_Acknowledge, (_EVENT_ID, _COMMENT), self._ack),
                (_O.ConditionType_AddComment, (_EVENT_ID, _COMMENT), self._comment),
                (_O.ConditionType_Enable, (), self._enable),
                (_O.ConditionType_Disable, (), self._disable),
                (_O.ShelvedStateMachineType_TimedShelve, (_SHELVING_TIME,), self._timed),
                (_O.ShelvedStateMachineType_OneShotShelve, (), self._one_shot),
                (_O.ShelvedStateMachineType_Unshelve, (), self._unshelve),
            )
        } | {
            standard(_O.ConditionType_ConditionRefresh): Method(
                self._refresh_all, (_SUBSCRIPTION,), (), ANYONE
            ),
            standard(_O.ConditionType_ConditionRefresh2): Method(
                self._refresh_one, (_SUBSCRIPTION, _ITEM), (), ANYONE
            ),
        }

    def _is_condition(self, node_id: ua.NodeId) -> bool:
        return self._find(node_id) is not None

    def _condition(self, node_id: ua.NodeId) -> Condition:
        condition = self._find(node_id)
        assert condition is not None  # looked at before
        return condition

    # --- acknowledge and comment ------------------------------------------------------------------

    async def _ack(self, caller: Caller, node_id: ua.NodeId, inputs: list[Any]) -> MethodOutcome:
        condition = self._condition(node_id)
        refused = _refusal(condition, inputs[0])
        if refused != _CODES.Good:
            return MethodOutcome(status=refused)
        command = AcknowledgeAlarm(
            alarm=condition.rule.name, actor=caller.actor, reason=_plain(inputs[1])
        )
        return await self._send(command, _CODES.BadConditionBranchAlreadyAcked)

    async def _comment(
        self, caller: Caller, node_id: ua.NodeId, inputs: list[Any]
    ) -> MethodOutcome:
        condition = self._condition(node_id)
        refused = _refusal(condition, inputs[0])
        if refused != _CODES.Good:
            return MethodOutcome(status=refused)
        if self._note(condition.rule.name, _plain(inputs[1]), caller.actor):
            return MethodOutcome()
        return MethodOutcome(status=_CODES.BadResourceUnavailable)

    # --- shelve and enable ------------------------------------------------------------------------

    async def _timed(self, caller: Caller, node_id: ua.NodeId, inputs: list[Any]) -> MethodOutcome:
        time_ms = float(inputs[0])
        if not 0 < time_ms <= LONGEST_SHELF_MS:
            return MethodOutcome(status=_CODES.BadShelvingTimeOutOfRange)
        return await self._shelve(caller, node_id, time_ms, once=False)

    async def _one_shot(
        self, caller: Caller, node_id: ua.NodeId, inputs: list[Any]
    ) -> MethodOutcome:
        return await self._shelve(caller, node_id, LONGEST_SHELF_MS, once=True)

    async def _shelve(
        self, caller: Caller, node_id: ua.NodeId, time_ms: float, *, once: bool
    ) -> MethodOutcome:
        condition = self._condition(node_id)
        if condition.state is AlarmState.SHELVED and once and condition.shelf[1]:
            return MethodOutcome(status=_CODES.BadConditionAlreadyShelved)
        command = ShelveAlarm(
            alarm=condition.rule.name,
            duration_s=time_ms / 1000.0,
            once=once,
            actor=caller.actor,
            reason=f"shelved over OPC UA, session '{caller.session_name}'",
        )
        return await self._send(command, _CODES.BadInvalidState)

    async def _unshelve(
        self, caller: Caller, node_id: ua.NodeId, inputs: list[Any]
    ) -> MethodOutcome:
        name = self._condition(node_id).rule.name
        command = UnshelveAlarm(alarm=name, actor=caller.actor)
        return await self._send(command, _CODES.BadConditionNotShelved)

    async def _enable(self, caller: Caller, node_id: ua.NodeId, inputs: list[Any]) -> MethodOutcome:
        name = self._condition(node_id).rule.name
        command = EnableAlarm(alarm=name, actor=caller.actor)
        return await self._send(command, _CODES.BadConditionAlreadyEnabled)

    async def _disable(
        self, caller: Caller, node_id: ua.NodeId, inputs: list[Any]
    ) -> MethodOutcome:
        condition = self._condition(node_id)
        if condition.state is AlarmState.SUPPRESSED:
            return MethodOutcome(status=_CODES.BadConditionAlreadyDisabled)
        command = DisableAlarm(alarm=condition.rule.name, actor=caller.actor)
        return await self._send(command, _CODES.BadInvalidState)

    async def _send(self, command: AnyCommand, invalid_state: int) -> MethodOutcome:
        try:
            async with asyncio.timeout(limits.WRITE_TIMEOUT_S):
                code, _ = await self._commands.send(command)
        except TimeoutError:
            return MethodOutcome(status=_CODES.BadTimeout)
        except CommandUnavailableError:
            return MethodOutcome(status=_CODES.BadResourceUnavailable)
        return MethodOutcome(
            status={
                ReplyCode.OK: _CODES.Good,
                ReplyCode.INVALID_STATE: invalid_state,
                ReplyCode.OUT_OF_RANGE: _CODES.BadOutOfRange,
            }.get(ReplyCode(code), _CODES.BadInvalidState)
        )

    # --- refresh ----------------------------------------------------------------------------------

    async def _refresh_all(self, caller: Caller, inputs: list[Any]) -> MethodOutcome:
        found = self._subscription(caller, inputs[0])
        if isinstance(found, int):
            return MethodOutcome(status=found)
        found.items_service.event_items.refresh(self._refresh())
        return MethodOutcome()

    async def _refresh_one(self, caller: Caller, inputs: list[Any]) -> MethodOutcome:
        found = self._subscription(caller, inputs[0])
        if isinstance(found, int):
            return MethodOutcome(status=found)
        items = found.items_service.event_items
        if inputs[1] not in items:
            return MethodOutcome(status=_CODES.BadMonitoredItemIdInvalid)
        items.refresh(self._refresh(), inputs[1])
        return MethodOutcome()


def _refusal(condition: Condition, event_id: bytes | None) -> int:
    """Why an event cannot be acknowledged or commented; Good when it can (5.7.3, 5.5.6)."""
    if condition.state is AlarmState.SUPPRESSED:
        return _CODES.BadConditionDisabled
    if event_id != condition.event_id and event_id not in condition.ids:
        return _CODES.BadEventIdUnknown
    return _CODES.Good


def _plain(comment: ua.LocalizedText | None) -> str:
    return ((comment.Text if comment is not None else None) or "")[:COMMENT_LENGTH]
