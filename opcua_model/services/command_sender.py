"""The server's only way to the scan: writes and methods become commands in the ring."""

from __future__ import annotations

import msgspec

from cellwright.io.image.aftermath import Outcome, after_request
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.messages import AnyCommand, ReplyCode, SetMode
from cellwright.io.plan import CellState
from cellwright.opcua_model.errors import CommandUnavailableError


class CommandSender:
    """Marks commands as coming over the network and gives the scan's answer."""

    def __init__(self, client: CommandClient) -> None:
        self._client = client

    async def send(self, command: AnyCommand) -> tuple[int, str]:
        """`ReplyCode` and a sentence; raises CommandUnavailableError when there is no answer.

        After a change of mode the sentence says what befell the cell in its first cycles. The
        server waits a limited time and cancels the wait.
        """
        try:
            await self._client.send_async(msgspec.structs.replace(command, remote=True))
        except CommandFailed as error:
            if error.code is None:
                raise CommandUnavailableError(str(error)) from error
            return error.code, str(error)
        if not isinstance(command, SetMode):
            return ReplyCode.OK, ""
        image = self._client.image
        return ReplyCode.OK, _befell(await after_request(image.plan, image).wait_async())


def _befell(outcome: Outcome) -> str:
    if outcome.restarted:
        return "the scan process ended right after it and was started again"
    if outcome.state is CellState.FAULT:
        return f"the cell is in FAULT: {outcome.fault}"
    return ""
