"""A client's write to a tag: checked here, sent to the scan, answered with the scan's verdict.

The session calls `WritePath.write_all`. Nothing is written to the address space on this path; the
new value appears there when the scan has published it.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog
from asyncua import ua

from cellwright.io.messages import MOST_WRITES, ReplyCode, TagValue, WriteTag, WriteTags
from cellwright.io.plan import Tag
from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.tag_paths import TagPaths
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


_NO_ANSWER: Final = frozenset({ua.StatusCodes.BadTimeout, ua.StatusCodes.BadResourceUnavailable})
_WRITTEN: Final = re.compile(r"(\d+) written; ")
"""How the scan's refusal of one of several begins."""
_BATCH_BYTES: Final = 14_000
"""Of the writes in one command; the smallest slot takes 16 kB."""


class WritePath:
    """Knows which nodes are tags, who may write them, and the way to the scan."""

    def __init__(self, commands: CommandSender, paths: TagPaths) -> None:
        self._commands = commands
        self._paths = paths
        self._turn = asyncio.Lock()
        """One command of writes at a time, whoever they come from: the scan's cycle stays short."""

    def may_write(self, user: CellUser, node_id: ua.NodeId) -> bool:
        """True when the tag's ``write`` roles include one of the user's."""
        tag = self._paths.tag_of(node_id)
        return tag is not None and not user.roles.isdisjoint(tag.write)

    async def write_all(
        self, caller: Caller, requests: Sequence[ua.WriteValue], deadline_s: float = math.inf
    ) -> list[ua.StatusCode]:
        """Write attributes in this order; each status says what became of its one.

        They travel together: as many in one cycle of the scan as one command holds. What is not
        begun at ``deadline_s`` (of `time.monotonic`) is not begun any more.
        """
        codes: list[int] = []
        pending: list[tuple[int, TagValue]] = []
        for place, request in enumerate(requests):
            found = self._checked(caller, request)
            if isinstance(found, int):
                codes.append(found)
            else:
                codes.append(ua.StatusCodes.BadTimeout)
                pending.append((place, found))
        while pending:
            count = _first_batch([write for _, write in pending])
            batch = pending[:count]
            async with self._turn:
                if time.monotonic() >= deadline_s:
                    break
                done, code = await self._send(caller, [write for _, write in batch])
            for place, _ in batch[:done]:
                codes[place] = ua.StatusCodes.Good
            if done < count:
                codes[batch[done][0]] = code
                if code in _NO_ANSWER:
                    for place, _ in batch[done:]:
                        codes[place] = code
                    done = count
                else:
                    done += 1
            pending = pending[done:]
        return [status_code(code) for code in codes]

    def _checked(self, caller: Caller, request: ua.WriteValue) -> TagValue | int:
        """What is to be sent, or the status code of a refusal."""
        tag = self._paths.tag_of(request.NodeId)
        refused = self._refusal(caller, request, tag)
        if refused is not None or tag is None:
            return refused or ua.StatusCodes.BadNotWritable
        try:
            value = from_client(tag.type, request.Value.Value or ua.Variant())
        except TypeError:
            return ua.StatusCodes.BadTypeMismatch
        except ValueError:
            return ua.StatusCodes.BadOutOfRange
        return TagValue(tag.name, value)

    def _refusal(self, caller: Caller, request: ua.WriteValue, tag: Tag | None) -> int | None:
        if caller.user.anonymous:
            return ua.StatusCodes.BadUserAccessDenied
        if tag is None or request.AttributeId != ua.AttributeIds.Value or not tag.write:
            return ua.StatusCodes.BadNotWritable
        if not self.may_write(caller.user, request.NodeId):
            _log.warning("write refused", tag=tag.name, actor=caller.actor)
            return ua.StatusCodes.BadUserAccessDenied
        given = request.Value
        # The image has no place for a client's status, and the scan's time is the source time:
        # the timestamps that client libraries send of their own accord are taken as advice.
        if request.IndexRange or (
            given.StatusCode is not None and given.StatusCode.value != ua.StatusCodes.Good
        ):
            return ua.StatusCodes.BadWriteNotSupported
        return None

    async def _send(self, caller: Caller, writes: Sequence[TagValue]) -> tuple[int, int]:
        """How many of them were written, and the status code of the one after."""
        names = [write.tag for write in writes]
        command: WriteTag | WriteTags
        if len(writes) == 1:
            command = WriteTag(tag=names[0], value=writes[0].value, actor=caller.actor)
        else:
            command = WriteTags(writes=tuple(writes), actor=caller.actor)
        shown = {"tag": names[0], "tags": len(names), "actor": caller.actor}
        try:
            async with asyncio.timeout(limits.WRITE_TIMEOUT_S):
                code, text = await self._commands.send(command)
        except TimeoutError:
            _log.warning("no answer from the scan", **shown)
            return 0, ua.StatusCodes.BadTimeout
        except CommandUnavailableError as error:
            _log.warning("write not sent", why=str(error), **shown)
            return 0, ua.StatusCodes.BadResourceUnavailable
        _log.info("write", code=int(code), answer=text, **shown)
        if code == ReplyCode.OK:
            return len(writes), ua.StatusCodes.Good
        written = _WRITTEN.match(text) if len(writes) > 1 else None
        done = 0 if written is None else min(int(written[1]), len(writes) - 1)
        return done, STATUS.get(code, ua.StatusCodes.BadUnexpectedError)


def _first_batch(writes: Sequence[TagValue]) -> int:
    """How many of them one command holds; at least one, for which a slot always has room."""
    size = 0
    for count, write in enumerate(writes[:MOST_WRITES]):
        size += len(msgspec.msgpack.encode(write))
        if size > _BATCH_BYTES:
            return max(1, count)
    return min(len(writes), MOST_WRITES)
