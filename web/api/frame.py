"""What surrounds every request: its trace id, its time, headers of safety, and the last resort.

The outermost ASGI application. Whatever fails below, the client gets JSON with a trace id, and the
cause goes to the log with the same id.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from cellwright.web.api.bodies import ClientGoneError
from cellwright.web.api.operations import JSON
from cellwright.web.api.problems import RefusalError, unexpected
from cellwright.web.metrics.http import UNMATCHED, HttpMetrics

EXCHANGE: Final = "cellwright"
"""Key of the `Exchange` in the scope."""
SEND_S: Final = 30.0
"""Longest wait for a client that does not read its answer."""
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
_SAFETY: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(slots=True)
class Exchange:
    """One request and its answer."""

    trace_id: str
    route: str = UNMATCHED
    """Template of the route, for the metrics."""
    status: int = 0
    """0 until the answer begins."""


def trace_id_of(headers: list[tuple[bytes, bytes]]) -> str:
    """That of the caller's trace (W3C Trace Context), or a new one."""
    for name, value in headers:
        if name == b"traceparent":
            match = _TRACEPARENT.fullmatch(value)
            if match and match[1].strip(b"0") and not value.startswith(b"ff"):
                return match[1].decode()
    return secrets.token_hex(16)


class Frame:
    """Wraps the application."""

    def __init__(self, inner: Application, metrics: HttpMetrics) -> None:
        self._inner = inner
        self._metrics = metrics
        self._log = structlog.get_logger(__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other kinds of connection go through."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        exchange = Exchange(trace_id_of(scope["headers"]))
        scope[EXCHANGE] = exchange
        own = [(b"x-trace-id", exchange.trace_id.encode()), *_SAFETY]
        if scope["scheme"] == "https":
            own.append(_HSTS)

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"],
                                      *(pair for pair in own if pair[0] not in given)]  # fmt: skip
            async with asyncio.timeout(SEND_S):
                await send(message)

        begun = time.perf_counter()
        self._metrics.begin()
        try:
            await self._answered(scope, receive, answer, exchange)
        finally:
            self._metrics.end(
                scope["method"], exchange.route, exchange.status, time.perf_counter() - begun
            )

    async def _answered(
        self, scope: Scope, receive: Receive, answer: Send, exchange: Exchange
    ) -> None:
        try:
            await self._inner(scope, receive, answer)
        except ClientGoneError:
            return
        except TimeoutError:
            # The client does not read what it has asked for.
            abort = scope.get("extensions", {}).get("cellwright.abort")
            if abort is not None:
                abort()
        except Exception:  # noqa: BLE001 - the outermost edge of a request
            self._log.exception(
                "a request failed", method=scope["method"], route=exchange.route,
                trace_id=exchange.trace_id,
            )  # fmt: skip
            if not exchange.status:
                await send_refusal(unexpected(), answer, exchange.trace_id)


async def send_refusal(refusal: RefusalError, send: Send, trace_id: str) -> None:
    """Send it as JSON."""
    body = refusal.body(trace_id)
    headers = [(b"content-type", JSON.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
