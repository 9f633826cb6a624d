"""uvicorn's HTTP protocol with what a server on a plant network needs besides.

A client that takes its time over the head of a request, or sends a head without end, is let go; an
application learns who the client's certificate says it is, and can end a connection at once.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from cellwright.web.api.operations import JSON
from cellwright.web.api.problems import RefusalError

HEAD_S: Final = 10.0
"""Longest time for the head of a request, and for the first one after the connection stands."""
MAX_HEAD: Final = 64 * 1024
"""Most bytes of a head."""
MAX_CONNECTIONS: Final = 1000
"""Of one worker; further ones are closed at once."""


class PlantProtocol(HttpToolsProtocol):
    """One connection."""

    head_s = HEAD_S
    """Tests make it shorter."""

    _late: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True
    _tls: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection stands, TLS included."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is not None:
            self._tls = {"client_common_name": common_name(encrypted.getpeercert() or {})}
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD + 4096 and b"\r\n\r\n" not in data:
                self._refuse(
                    431, "head_too_large", f"the head of a request may have {MAX_HEAD} bytes"
                )
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        if self._late is None:
            self._await_head()
        extensions: dict[str, Any] = {"cellwright.abort": self.transport.abort}
        if self._tls is not None:
            extensions["tls"] = self._tls
        self.scope["extensions"] = extensions

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._in_head, self._head_bytes = False, 0
        self._head_is_there()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Its body is there; what comes now is the head of the next one."""
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "bad_request", "the request is not HTTP/1.1")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer without the application, and end the connection."""
        if self.transport.is_closing():
            return
        trace_id = secrets.token_hex(16)
        body = RefusalError(status, code, message).body(trace_id)
        head = (
            f"content-type: {JSON}\r\ncontent-length: {len(body)}\r\nx-trace-id: {trace_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()

    def _await_head(self) -> None:
        self._late = self.loop.call_later(self.head_s, self._is_late)

    def _head_is_there(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_late(self) -> None:
        self._late = None
        if self._head_bytes:
            self._refuse(408, "request_timeout", f"the head did not come within {self.head_s:g} s")
        else:
            self.transport.close()


def common_name(certificate: dict[str, Any]) -> str:
    """Of the subject of a verified certificate, as ``ssl`` gives it; empty when it has none."""
    for names in certificate.get("subject", ()):
        for kind, value in names:
            if kind == "commonName":
                return str(value)
    return ""
