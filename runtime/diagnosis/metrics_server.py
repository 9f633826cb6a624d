"""Serves the metrics page over HTTP/1.1 in the gateway's event loop: one address, one path.

Reads a request's head with a limit in size and time, answers, closes. It opens no threads and
knows nothing of what the page says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from cellwright.runtime.diagnosis.metrics import CONTENT_TYPE

PATH: Final = "/metrics"
HEAD_LIMIT: Final = 8192
TIMEOUT_S: Final = 5.0
HANDOVER_STEPS: Final = 5
"""Rounds of the event loop in which a connection just accepted is handed over, to be closed."""
RETRY_S: Final = 5.0
CONNECTIONS: Final = 16
"""Scrapers at once; more are answered 503."""


class MetricsServer:
    """Listens until it is told to stop; a port that is taken is tried again."""

    def __init__(self, host: str, port: int, page: Callable[[], str]) -> None:
        self._host = host
        self._port = port
        self._page = page
        self._log = structlog.get_logger(__name__)
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.address: tuple[str, int] | None = None
        """Host and port it listens on, None while it does not."""

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop``."""
        told = False
        while not stop.is_set():
            try:
                server = await asyncio.start_server(
                    self._accept, self._host, self._port, limit=HEAD_LIMIT
                )
            except OSError as error:
                if not told:
                    self._log.error(
                        "metrics are not served; trying again",
                        address=f"{self._host}:{self._port}",
                        error=str(error),
                    )
                told = True
                await _wait(stop, RETRY_S)
                continue
            host, port = server.sockets[0].getsockname()[:2]
            self.address = (host, port)
            self._log.info("metrics are served", address=f"{host}:{port}", path=PATH)
            try:
                await stop.wait()
            finally:
                self.address = None
                for _ in range(HANDOVER_STEPS):
                    await asyncio.sleep(0)
                server.close()
                for connection in self._connections:
                    connection.cancel()
                writers = list(self._writers)
                await asyncio.gather(*self._connections, return_exceptions=True)
                for writer in writers:
                    writer.close()
                closed = (writer.wait_closed() for writer in writers)
                await asyncio.gather(*closed, return_exceptions=True)
                await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        # Here and not in the task: one that is cancelled before it begins does not run at all.
        self._writers.add(writer)
        connection.add_done_callback(lambda _: self._hang_up(writer))

    def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                crowded = len(self._connections) > CONNECTIONS
                head = await _head(reader)
                if crowded:
                    writer.write(response(503, "too many scrapers at once\n"))
                else:
                    writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            self._log.debug("a scraper went away or was too slow")
        except Exception:  # noqa: BLE001 - the connection's outermost edge
            self._log.error("metrics page failed", exc_info=True)
            writer.write(response(500, "the page could not be made; see the gateway's log\n"))

    def _answer(self, head: bytes | None) -> bytes:
        if head is None:
            return response(431, f"a request's head is at most {HEAD_LIMIT} bytes\n")
        method, target = request_line(head)
        if method not in ("GET", "HEAD"):
            if not method:
                return response(400, "this is not an HTTP request\n")
            return response(405, "the metrics are only read\n", "Allow: GET, HEAD\r\n")
        if target.partition("?")[0] != PATH:
            return response(404, f"the metrics are at {PATH}\n")
        answer = response(200, self._page(), content_type=CONTENT_TYPE)
        return answer if method == "GET" else answer[: answer.index(b"\r\n\r\n") + 4]


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    """A request up to its empty line; None when it is too long."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return None


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def request_line(head: bytes) -> tuple[str, str]:
    """Method and target of a request's first line (RFC 9112, 3); empty when it is none."""
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[0].isalpha():
        return "", ""
    return words[0], words[1]


_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def response(
    status: int, body: str, headers: str = "", content_type: str = "text/plain; charset=utf-8"
) -> bytes:
    """A whole answer; the connection ends with it."""
    data = body.encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(data)}\r\n"
        f"{headers}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + data
