"""A TCP port of the plant: listens, runs one handler a connection, and ends without loose ends.

Shared by the marker and the control port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

_END_S: Final = 2.0
"""Time that handlers have to end after their connections were closed."""


class TcpPort:
    """Serves ``handler`` at ``port`` of 127.0.0.1 (0: any; the actual one after `start`)."""

    def __init__(self, handler: Handler, port: int) -> None:
        self.port = port
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, drop all connections and wait until their handlers have ended."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._connections.values():
            writer.close()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=_END_S)
        await self._server.wait_closed()
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function: the library's own tasks complain aloud when they are cancelled at the
        # end before they have begun.
        task = asyncio.get_running_loop().create_task(self._handler(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).close()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a fault of ours: the loop reports it with its trace
