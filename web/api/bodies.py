"""Reads the body of a request from the connection: not more than allowed, not for longer than so.

It knows ASGI's messages and nothing of what is in the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cellwright.web.api.problems import RefusalError

BODY_S: Final = 30.0
"""Longest time for the whole body; a client that sends slower gets 408."""
DRAIN_S: Final = 5.0
"""How long a body that is too large is still taken in, so that its sender can read the refusal."""
DRAIN_FACTOR: Final = 4
"""How much of it, as a multiple of what is allowed."""

Receive = Callable[[], Awaitable[Any]]


class ClientGoneError(Exception):
    """Nobody waits for an answer any more."""


async def read_body(
    receive: Receive, headers: list[tuple[bytes, bytes]], most: int, body_s: float = BODY_S
) -> bytes:
    """All of it, at most ``most`` bytes. Raises RefusalError 408 and 413, and `ClientGoneError`."""
    declared = next((value for name, value in headers if name == b"content-length"), b"")
    waits = any(name == b"expect" for name, _ in headers)
    if declared.isdigit() and int(declared) > most:
        if not waits:  # whoever waits for a sign to go on has sent nothing yet
            await _drain(receive, most)
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(body_s):
            while True:
                data, more = await _next(receive)
                parts.append(data)
                size += len(data)
                if size > most:
                    break
                if not more:
                    return b"".join(parts)
    except TimeoutError:
        raise RefusalError(
            408,
            "request_timeout",
            f"the body did not come within {body_s:g} s",
            headers=[("Connection", "close")],
        ) from None
    parts.clear()
    if more:
        await _drain(receive, most)
    raise _too_large(most)


async def _drain(receive: Receive, most: int) -> None:
    """Take in some of the rest and forget it."""
    taken = 0
    try:
        async with asyncio.timeout(DRAIN_S):
            more = True
            while more and taken < DRAIN_FACTOR * most:
                data, more = await _next(receive)
                taken += len(data)
    except TimeoutError:
        return


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


def _too_large(most: int) -> RefusalError:
    return RefusalError(
        413,
        "too_large",
        f"the body has more than {most} bytes, the most that web.max_body_mb allows",
        headers=[("Connection", "close")],
    )
