"""Sends commands to a running scan and waits for its answer. Used by gateway and command line."""

from __future__ import annotations

import time
from collections.abc import Callable

from cellwright.io.image.image import Image
from cellwright.io.image.rings import RingError
from cellwright.io.messages import Command, ReplyCode, encode

POLL_S = 0.002
LOOK_S = 0.2
"""Between two looks whether an answer can still come."""


class CommandFailed(Exception):  # noqa: N818 - reads as what happened
    """The scan refused, or did not answer in time."""

    def __init__(self, code: ReplyCode | None, text: str) -> None:
        super().__init__(text)
        self.code = code
        """None when there was no answer."""


class CommandClient:
    """The command ring of one cell, with answers.

    Waits at most ``timeout_s`` for one; by default a second, or three cycles of a slower scan.
    """

    def __init__(self, image: Image, timeout_s: float | None = None) -> None:
        self.image = image
        self._ring = image.commands
        self.timeout_s = (
            max(1.0, 3e-9 * image.plan.scan.base_ns) if timeout_s is None else timeout_s
        )

    def post(self, command: Command) -> int:
        """Send without waiting; returns the ticket. Raises CommandFailed when nobody reads."""
        try:
            return self._ring.send(encode(command))
        except RingError as error:
            raise CommandFailed(None, str(error)) from error

    def send(self, command: Command, hopeless: Callable[[], str] = str) -> None:
        """Send and wait until the scan has obeyed; raises CommandFailed.

        ``hopeless`` is asked now and then why no answer will come, and gives an empty string while
        one may.
        """
        ticket = self.post(command)
        deadline = time.monotonic() + self.timeout_s
        while not self._answered(ticket, min(LOOK_S, max(0.0, deadline - time.monotonic()))):
            if why := hopeless():
                raise CommandFailed(None, why)
            if time.monotonic() >= deadline:
                raise self._silence()

    async def send_async(self, command: Command) -> None:
        """The same without blocking the event loop."""
        # Whoever has a loop has loaded it, and who types a command waits for no more than he needs.
        import asyncio  # noqa: PLC0415

        ticket = self.post(command)
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            if self._answered(ticket):
                return
            await asyncio.sleep(POLL_S)
        raise self._silence()

    def _answered(self, ticket: int, timeout_s: float = 0.0) -> bool:
        try:
            reply = self._ring.result(ticket, timeout_s)
        except RingError as error:
            raise CommandFailed(None, str(error)) from error
        if reply is None:
            return False
        if reply.code != ReplyCode.OK:
            raise CommandFailed(_code(reply.code), reply.text)
        return True

    def _silence(self) -> CommandFailed:
        return CommandFailed(
            None,
            f"the scan did not answer within {self.timeout_s:g} s; see 'cellwright status'",
        )


def _code(number: int) -> ReplyCode:
    """The scan's code; the ring itself answers a damaged command with a negative errno."""
    try:
        return ReplyCode(number)
    except ValueError:
        return ReplyCode.MALFORMED
