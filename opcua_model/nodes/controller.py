"""MethodSet of the controller: clients start, pause, stop and reset the cell.

Each method is a command on its way to the scan, which decides: its state machine, its health and
the keyswitch. The call itself stays Good so that the answer in words is not lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from asyncua import ua

from cellwright.io.messages import ReplyCode, SetMode
from cellwright.opcua_model.address_space.builder import Builder
from cellwright.opcua_model.address_space.ids import below, standard
from cellwright.opcua_model.errors import CommandUnavailableError
from cellwright.opcua_model.security.access import CONTROL_CELL, Caller
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.command_sender import CommandSender
from cellwright.opcua_model.services.methods import Argument, CellMethods, Method, MethodOutcome

_log = structlog.get_logger(__name__)
_T = ua.VariantType

REQUESTS: Final = (
    ("Start", "start", "Warm start: programs restart, retained values are kept"),
    ("ColdStart", "cold_start", "Cold start: programs restart, all values are initial"),
    ("Pause", "pause", "Pause the tasks; outputs keep their values"),
    ("Resume", "hot_start", "Resume after a pause (hot start)"),
    ("Stop", "stop", "Stop the tasks; outputs take their safe values"),
    ("Reset", "reset", "Reset a fault whose cause is gone"),
)
"""Method, the request it makes of the scan, and what that means. Start and Stop are named as OPC
30000 names them."""

_REASON: Final = Argument(
    "Reason", standard(ua.ObjectIds.String), _T.String, text="Reason, recorded in the audit trail"
)
_ACCEPTED: Final = Argument("Accepted", standard(ua.ObjectIds.Boolean), _T.Boolean)
_ANSWER: Final = Argument(
    "Answer",
    standard(ua.ObjectIds.String),
    _T.String,
    text="Why it was refused, or the fault that came in the first cycles after it; else empty",
)
REASON_LENGTH: Final = 200


class CellControl:
    """Builds the methods and answers them."""

    def __init__(self, commands: CommandSender) -> None:
        self._commands = commands

    def build(self, builder: Builder, methods: CellMethods, resource: ua.NodeId) -> None:
        """Add MethodSet below the controller's resource."""
        owner = builder.folder(resource, below(resource, "MethodSet"), "MethodSet")
        for name, request, text in REQUESTS:
            method = Method(self._calling(request), (_REASON,), (_ACCEPTED, _ANSWER), CONTROL_CELL)
            node_id = below(owner, name)
            builder.method(
                owner,
                node_id,
                name,
                inputs=[item.description() for item in method.inputs],
                outputs=[item.description() for item in method.outputs],
                text=text,
            )
            methods.methods[node_id] = method

    def _calling(self, request: str) -> Callable[[Caller, list[Any]], Awaitable[MethodOutcome]]:
        async def call(caller: Caller, inputs: list[Any]) -> MethodOutcome:
            reason = str(inputs[0] or "")[:REASON_LENGTH]
            command = SetMode(request=request, actor=caller.actor, reason=reason)
            try:
                async with asyncio.timeout(limits.METHOD_TIMEOUT_S):
                    code, text = await self._commands.send(command)
            except TimeoutError:
                _log.warning("no answer from the scan", request=request, actor=caller.actor)
                return MethodOutcome(status=ua.StatusCodes.BadTimeout)
            except CommandUnavailableError as error:
                _log.warning(
                    "request not sent", request=request, actor=caller.actor, why=str(error)
                )
                return MethodOutcome(status=ua.StatusCodes.BadResourceUnavailable)
            return MethodOutcome(
                [ua.Variant(code == ReplyCode.OK, _T.Boolean), ua.Variant(text, _T.String)]
            )

        return call
