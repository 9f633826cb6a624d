"""The plant's control port: JSON lines over TCP to inject faults, ask for the status or stop.

For tests and the demo, never for the cell. Each line of the client is one object and gets one line
back: ``{"ok": true, …}`` or ``{"ok": false, "error": sentence}``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

_LONGEST_LINE: Final = 4096

Command = Callable[[Any], dict[str, Any]]


class ControlPort:
    """Serves ``commands`` by their key; a command raises ValueError to refuse its argument."""

    def __init__(self, commands: dict[str, Command], port: int) -> None:
        self.port = port
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=_LONGEST_LINE
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Drop all connections and stop listening."""
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self.handle(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            return  # the client is gone, or its line was longer than any command
        finally:
            self._writers.discard(writer)
            writer.close()

    def handle(self, line: bytes) -> dict[str, Any]:
        """Carry out one line and return the answer."""
        try:
            request = json.loads(line)
        except ValueError as error:
            return _refusal(f"not a JSON object: {error}")
        known = ", ".join(self._commands)
        if not isinstance(request, dict) or len(request) != 1:
            return _refusal(f'write one object with one key out of {known}: {{"status": true}}')
        ((name, argument),) = request.items()
        command = self._commands.get(name)
        if command is None:
            return _refusal(f"'{name}' is no command; use one of {known}")
        try:
            return {"ok": True, **command(argument)}
        except ValueError as error:
            return _refusal(str(error))


def _refusal(error: str) -> dict[str, Any]:
    return {"ok": False, "error": error}
