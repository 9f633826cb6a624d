"""A Modbus TCP coupler of raw bytes for tests: it shares no code with the driver or its library.

It logs every request with its time and can be told to be silent, slow, gone or to refuse.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

BIT_READS = (1, 2)


@dataclass(frozen=True)
class Request:
    """One request as it arrived; ``data`` is the payload of a write, empty for a read."""

    at_ns: int
    function: int
    start: int
    count: int
    data: bytes


@dataclass
class Coupler:
    """64 coils (read back by function 1), 64 discrete inputs, 64 words of each kind."""

    port: int = 0
    coils: int = 0
    discrete: int = 0
    inputs: list[int] = field(default_factory=lambda: [0] * 64)
    holding: list[int] = field(default_factory=lambda: [0] * 64)
    log: list[Request] = field(default_factory=list)
    silent: bool = False
    refuse: dict[int, int] = field(default_factory=dict)
    """Function code to the exception code that it is answered with."""
    absent: dict[int, set[int]] = field(default_factory=dict)
    """Function code to addresses that do not exist: exception 2 for a request that has one."""
    mute: set[int] = field(default_factory=set)
    """Function codes that are never answered."""
    forget: set[int] = field(default_factory=set)
    """Holding registers that are confirmed and not kept."""
    forget_coils: list[bool] = field(default_factory=list)
    """Not empty: coils are confirmed and not kept."""
    delay_s: float = 0.0
    connections: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen, on the same port as before when there was one."""
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections and drop the present ones."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0)
        self._server = None

    def writes(self, function: int = 15) -> list[Request]:
        """The writes so far."""
        return [request for request in self.log if request.function == function]

    def _put_one(self, function: int, address: int, value: int) -> bytes:
        if function == 6:
            self.holding[address] = value
        else:
            assert value in (0, 0xFF00), f"function 5 takes no {value:#06x}"
            self.coils = self.coils & ~(1 << address) | bool(value) << address
        return struct.pack(">BHH", function, address, value)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                transaction, _protocol, length = struct.unpack(">HHH", await reader.readexactly(6))
                body = await reader.readexactly(length)
                unit, pdu = body[0], self._answer(body[1], body[2:])
                if self.silent or body[1] in self.mute:
                    continue
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # `stop` cancels; a cancelled callback of start_server would be reported
        finally:
            writer.close()
            self._tasks.discard(task)

    def _answer(self, function: int, data: bytes) -> bytes:
        start, count = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        self.log.append(Request(time.monotonic_ns(), function, start, count, data[5:]))
        if function in self.refuse:
            return bytes([function | 0x80, self.refuse[function]])
        asked = range(start, start + (count if function not in (5, 6) else 1))
        if self.absent.get(function, set()).intersection(asked):
            return bytes([function | 0x80, 2])
        if function in (5, 6):
            return self._put_one(function, start, count)
        if function in BIT_READS:
            bits = self.coils if function == 1 else self.discrete
            size = (count + 7) // 8
            body = (bits >> start & (1 << count) - 1).to_bytes(size, "little")
        elif function in (3, 4):
            words = self.holding if function == 3 else self.inputs
            body = struct.pack(f">{count}H", *words[start : start + count])
        elif function == 15:
            mask = (1 << count) - 1
            value = int.from_bytes(data[5:], "little") & mask
            if not self.forget_coils:
                self.coils = self.coils & ~(mask << start) | value << start
            return struct.pack(">BHH", function, start, count)
        else:
            for place, word in enumerate(struct.unpack(f">{count}H", data[5:]), start):
                if place not in self.forget:
                    self.holding[place] = word
            return struct.pack(">BHH", function, start, count)
        return bytes([function, len(body)]) + body


@contextlib.asynccontextmanager
async def coupler() -> AsyncIterator[Coupler]:
    """A running coupler; stopped at the end."""
    device = Coupler()
    await device.start()
    try:
        yield device
    finally:
        await device.stop()
