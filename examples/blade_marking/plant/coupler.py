"""The Modbus TCP coupler: pymodbus's server in front of the cell's inputs and outputs.

Run by `simulator`. It answers unit identifiers 1 and 255 with the same points, stamps each write
with the time at which its bytes arrived, and can fall dead and come back on the same port.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from plant.log import PlantLog
from plant.physics import Cell
from plant.points import COILS, HOLDING_REGISTERS, INPUT_REGISTERS, Outputs
from plant.watchdog import BASE, REGISTERS, SAFE_COILS, CouplerWatchdog, WatchdogState

UNITS = (1, 255)
_BITS = 16
"""pymodbus keeps bits in words, so that many can be read; those without a point are 0."""

_READ_COILS, _READ_INPUTS, _READ_HOLDING, _READ_INPUT_REGISTERS = 1, 2, 3, 4
_WRITE_COILS = frozenset({5, 15})
SECOND_LOOK_S = 0.001
_SAFE_WORD = SAFE_COILS // _BITS


class _Connection(ServerRequestHandler):
    """pymodbus's connection, with the peer's comings and goings in the plant's log."""

    server: _Server

    def callback_connected(self) -> None:
        super().callback_connected()
        host, port = self.transport.get_extra_info("peername")[:2]
        self._peer = f"{host}:{port}"
        self.server.log.write("coupler_connected", peer=self._peer)

    def callback_disconnected(self, exc: Exception | None) -> None:
        super().callback_disconnected(exc)
        reason = str(exc) if exc else "closed"
        self.server.log.write("coupler_disconnected", peer=self._peer, reason=reason)

    def callback_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:
        self.server.arrived_ns = self.server.log.now_ns()
        return int(super().callback_data(data, addr))

    def handle_later(self) -> None:
        # The library goes through the loop's wake-up pipe here, as if from another thread, which
        # doubles the cost of a request.
        self._task = self.loop.create_task(self._handle())

    async def _handle(self) -> None:
        await self.handle_request()  # type: ignore[no-untyped-call]


class _Server(ModbusTcpServer):
    """pymodbus's server with our connections; ``arrived_ns`` is when the last bytes came in."""

    def __init__(self, devices: list[SimDevice], address: tuple[str, int], log: PlantLog) -> None:
        super().__init__(devices, address=address)
        self.log = log
        self.arrived_ns = 0

    def callback_new_connection(self) -> _Connection:
        return _Connection(self, None, None, None)  # type: ignore[no-untyped-call]

    async def end(self) -> None:
        await self.shutdown()  # type: ignore[no-untyped-call]


class Coupler:
    """The coupler at ``port`` (0: any; see `port` after `start`)."""

    def __init__(self, cell: Cell, outputs: Outputs, log: PlantLog, port: int) -> None:
        self.port = port
        self._cell = cell
        self._outputs = outputs
        self._log = log
        self._server: _Server | None = None
        self.watchdog = CouplerWatchdog(len(COILS))
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        devices = [self._device(unit) for unit in UNITS]
        server = _Server(devices, ("127.0.0.1", self.port), self._log)
        if not await server.listen():
            raise OSError(f"the coupler cannot listen on 127.0.0.1:{self.port}; is it taken?")
        assert isinstance(server.transport, asyncio.Server)
        self.port = server.transport.sockets[0].getsockname()[1]
        self._server = server

    async def stop(self) -> None:
        """Drop all connections and stop listening; `start` brings it back on the same port."""
        self.watchdog.reset()
        if self._server is not None:
            await self._server.end()
            self._server = None

    def _device(self, unit: int) -> SimDevice:
        bits = SimData(0, values=[False] * _BITS, datatype=DataType.BITS)
        safe = SimData(SAFE_COILS, values=[False] * _BITS, datatype=DataType.BITS)
        holding = SimData(0, values=[0] * len(HOLDING_REGISTERS), datatype=DataType.REGISTERS)
        watchdog = SimData(BASE, values=[0] * REGISTERS, datatype=DataType.REGISTERS)
        inputs = SimData(0, values=[0] * INPUT_REGISTERS, datatype=DataType.REGISTERS)
        return SimDevice(
            unit, ([bits, safe], [bits], [holding, watchdog], [inputs]), action=self._access
        )

    async def _access(  # noqa: PLR0917 - pymodbus passes them by position
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called by pymodbus before each access: refresh what is read, take what is written.

        ``registers`` is the library's whole block with a spare word at its end; ``count`` is in
        words for bits, too. The library lets through what lies between two assigned ranges.
        """
        assert self._server is not None
        if not _assigned(function, address, count):
            return ExcCodes.ILLEGAL_ADDRESS
        if function == _READ_INPUTS:
            registers[0] = self._cell.discrete_inputs()
        elif function == _READ_INPUT_REGISTERS:
            registers[:INPUT_REGISTERS] = self._cell.input_registers()
        elif values is None:
            self._refresh(function, registers)
        else:
            return self._take(function, address, values)
        return None

    def _refresh(self, function: int, registers: list[int]) -> None:
        if function == _READ_COILS:
            registers[0] = _word(self._outputs.coils)
            registers[_SAFE_WORD] = _word(self.watchdog.safe)
        else:
            registers[: len(HOLDING_REGISTERS)] = self._outputs.registers
            registers[BASE : BASE + REGISTERS] = self.watchdog.read()

    def _take(self, function: int, address: int, values: list[int] | list[bool]) -> ExcCodes | None:
        assert self._server is not None
        at_ns = self._server.arrived_ns
        if function in _WRITE_COILS and address >= SAFE_COILS:
            for place, value in enumerate(values, address - SAFE_COILS):
                if place < len(self.watchdog.safe):
                    self.watchdog.safe[place] = bool(value)
            return None
        if function not in _WRITE_COILS and address >= BASE:
            for place, value in enumerate(values, address):
                if not self.watchdog.write(place, int(value), at_ns):
                    return ExcCodes.ILLEGAL_VALUE
            if self.watchdog.state is WatchdogState.RUNS:
                self._watch()
            return None
        if self.watchdog.refuses:
            return ExcCodes.DEVICE_FAILURE
        self.watchdog.feed(at_ns)
        if function in _WRITE_COILS:
            self._outputs.write_coils(address, [bool(v) for v in values], at_ns)
        else:
            self._outputs.write_registers(address, [int(v) for v in values], at_ns)
        return None

    def _watch(self, *, late: bool = False) -> None:
        """Look at the watchdog when it would run out, and again as long as somebody feeds it.

        ``late``: a second look, after what had arrived while this process stood still was taken;
        a real coupler does not stand still.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_ns = self._log.now_ns()
        loop = asyncio.get_running_loop()
        runs = self.watchdog.state is WatchdogState.RUNS
        if runs and now_ns >= self.watchdog.due_ns and not late:
            self._timer = loop.call_later(SECOND_LOOK_S, lambda: self._watch(late=True))
        elif self.watchdog.ran_out(now_ns):
            self._log.write("coupler_watchdog", at_ns=now_ns, time_ms=self.watchdog.time_ms)
            self._outputs.write_coils(0, self.watchdog.safe, now_ns)
        elif runs:
            delay_s = max(0, self.watchdog.due_ns - now_ns) / 1e9
            self._timer = loop.call_later(delay_s, self._watch)


def _assigned(function: int, address: int, count: int) -> bool:
    if function in _WRITE_COILS or function == _READ_COILS:
        return count == 1 and address // _BITS in (0, _SAFE_WORD)
    if function in (_READ_INPUTS, _READ_INPUT_REGISTERS):
        return True
    end = address + count
    return end <= len(HOLDING_REGISTERS) or (address >= BASE and end <= BASE + REGISTERS)


def _word(bits: list[bool]) -> int:
    return sum(bit << place for place, bit in enumerate(bits))
