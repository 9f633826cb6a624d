"""A client's write to a tag: checked here, sent to the scan, answered with the scan's verdict.

The session calls `WritePath.write`. Nothing is written to the address space on this path; the new
value appears there when the scan has published it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from asyncua import ua

from cellwright.io.messages import ReplyCode, WriteTag
from cellwright.io.plan import Tag
from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.values import from_client
from cellwright.opcua_model.errors import CommandUnavailableError
from cellwright.opcua_model.security.access import Caller, CellUser
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.command_sender import CommandSender

_log = structlog.get_logger(__name__)

STATUS: Final[Mapping[int, int]] = {
    ReplyCode.OK: ua.StatusCodes.Good,
    ReplyCode.MALFORMED: ua.StatusCodes.BadInternalError,
    ReplyCode.UNKNOWN_TAG: ua.StatusCodes.BadNodeIdUnknown,
    ReplyCode.NOT_WRITABLE: ua.StatusCodes.BadNotWritable,
    ReplyCode.TYPE_MISMATCH: ua.StatusCodes.BadTypeMismatch,
    ReplyCode.OUT_OF_RANGE: ua.StatusCodes.BadOutOfRange,
    ReplyCode.INVALID_STATE: ua.StatusCodes.BadInvalidState,
    ReplyCode.UNKNOWN_TASK: ua.StatusCodes.BadInvalidArgument,
    ReplyCode.UNKNOWN_REQUEST: ua.StatusCodes.BadInvalidArgument,
}
"""The scan's answers as status codes."""


class WritePath:
    """Knows which nodes are tags, who may write them, and the way to the scan."""

    def __init__(self, commands: CommandSender) -> None:
        self._commands = commands
        self._tags: dict[ua.NodeId, Tag] = {}

    def add(self, node_id: ua.NodeId, tag: Tag) -> None:
        """Make a tag known; called while the tree is built."""
        self._tags[node_id] = tag

    def may_write(self, user: CellUser, node_id: ua.NodeId) -> bool:
        """True when the tag's ``write`` roles include one of the user's."""
        tag = self._tags.get(node_id)
        return tag is not None and not user.roles.isdisjoint(tag.write)

    async def write(self, caller: Caller, request: ua.WriteValue) -> ua.StatusCode:
        """Write one attribute; the status code says what became of it."""
        return status_code(await self._write(caller, request))

    async def _write(self, caller: Caller, request: ua.WriteValue) -> int:
        tag = self._tags.get(request.NodeId)
        refused = self._refusal(caller, request, tag)
        if refused is not None or tag is None:
            return refused or ua.StatusCodes.BadNotWritable
        try:
            value = from_client(tag.type, request.Value.Value or ua.Variant())
        except TypeError:
            return ua.StatusCodes.BadTypeMismatch
        except ValueError:
            return ua.StatusCodes.BadOutOfRange
        return await self._send(tag, WriteTag(tag=tag.name, value=value, actor=caller.actor))

    def _refusal(self, caller: Caller, request: ua.WriteValue, tag: Tag | None) -> int | None:
        if caller.user.anonymous:
            return ua.StatusCodes.BadUserAccessDenied
        if tag is None or request.AttributeId != ua.AttributeIds.Value or not tag.write:
            return ua.StatusCodes.BadNotWritable
        if not self.may_write(caller.user, request.NodeId):
            _log.warning("write refused", tag=tag.name, actor=caller.actor)
            return ua.StatusCodes.BadUserAccessDenied
        given = request.Value
        # Only the value can be written: the image has no place for a client's status or times.
        if (
            request.IndexRange
            or given.SourceTimestamp is not None
            or given.ServerTimestamp is not None
            or (given.StatusCode is not None and given.StatusCode.value != ua.StatusCodes.Good)
        ):
            return ua.StatusCodes.BadWriteNotSupported
        return None

    async def _send(self, tag: Tag, command: WriteTag) -> int:
        try:
            async with asyncio.timeout(limits.WRITE_TIMEOUT_S):
                code, text = await self._commands.send(command)
        except TimeoutError:
            _log.warning("no answer from the scan", tag=tag.name, actor=command.actor)
            return ua.StatusCodes.BadTimeout
        except CommandUnavailableError as error:
            _log.warning("write not sent", tag=tag.name, actor=command.actor, why=str(error))
            return ua.StatusCodes.BadResourceUnavailable
        _log.info("write", tag=tag.name, actor=command.actor, code=int(code), answer=text)
        return STATUS.get(code, ua.StatusCodes.BadUnexpectedError)
