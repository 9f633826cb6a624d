"""The plant's control port: JSON lines over TCP to inject faults, ask for the status or stop.

For tests and the demo, never for the cell. Each line of the client is one object and gets one line
back: ``{"ok": true, …}`` or ``{"ok": false, "error": sentence}``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from plant.tcp import TcpPort

Command = Callable[[Any], dict[str, Any]]


class ControlPort:
    """Serves ``commands`` by their key; a command raises ValueError to refuse its argument."""

    def __init__(self, commands: dict[str, Command], port: int) -> None:
        self.tcp = TcpPort(self._serve, port)
        self._commands = commands

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self.handle(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            return  # the client is gone, or its line was longer than any command

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
