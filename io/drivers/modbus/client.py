"""Modbus TCP master: one connection to one coupler or controller.

Called by the poll loop (`cellwright.io.drivers.poll_loop`). It moves bytes in wire form and decides
nothing: it never retries, never reconnects by itself and never lets an answer through that is not
exactly the one that the request asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from typing import Final, TypeVar

import structlog
from pydantic import Field, field_validator
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadCoilsResponse,
    ReadDiscreteInputsRequest,
    ReadDiscreteInputsResponse,
    WriteMultipleCoilsRequest,
    WriteMultipleCoilsResponse,
    WriteSingleCoilRequest,
    WriteSingleCoilResponse,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterRequest,
    WriteSingleRegisterResponse,
)

from cellwright.io.drivers.base import AddressArea, Driver, DriverError, DriverOptions, SafeOutputs
from cellwright.io.drivers.modbus.frames import frame_fault, passed_over
from cellwright.io.drivers.modbus.watchdog import (
    WATCHDOG_EXCEPTION,
    ModbusWatchdog,
    arm,
    trigger_group,
    values_given_up,
)
from cellwright.io.log_once import LogOnce
from cellwright.io.options import Host
from cellwright.io.plan import PollGroup

EXCEPTION_NAMES: Final = {
    1: "ILLEGAL FUNCTION",
    2: "ILLEGAL DATA ADDRESS",
    3: "ILLEGAL DATA VALUE",
    4: "SERVER DEVICE FAILURE",
    5: "ACKNOWLEDGE",
    6: "SERVER DEVICE BUSY",
    8: "MEMORY PARITY ERROR",
    10: "GATEWAY PATH UNAVAILABLE",
    11: "GATEWAY TARGET DEVICE FAILED TO RESPOND",
}
"""Names of the exception codes (Modbus Application Protocol V1.1b3, clause 7)."""

_READS: Final[dict[str, tuple[type[ModbusPDU], type[ModbusPDU]]]] = {
    "coils": (ReadCoilsRequest, ReadCoilsResponse),
    "discrete_inputs": (ReadDiscreteInputsRequest, ReadDiscreteInputsResponse),
    "input_registers": (ReadInputRegistersRequest, ReadInputRegistersResponse),
    "holding_registers": (ReadHoldingRegistersRequest, ReadHoldingRegistersResponse),
}
_SINGLE_WRITES: Final[dict[str, tuple[type[ModbusPDU], type[ModbusPDU]]]] = {
    "coils": (WriteSingleCoilRequest, WriteSingleCoilResponse),
    "holding_registers": (WriteSingleRegisterRequest, WriteSingleRegisterResponse),
}
_BIT_AREAS: Final = frozenset({"coils", "discrete_inputs"})
_NO_SUCH_PLACE: Final = frozenset({2, 3})
"""Exceptions that speak of an address, or of how many there were: less of it may do."""
_REMEDIES: Final = {
    (1, 15): "set `single: true` if it knows only functions 5 and 6",
    (1, 16): "set `single: true` if it knows only functions 5 and 6",
}
"""By exception and function."""

P = TypeVar("P", bound=ModbusPDU)

# Every failure reaches the poll loop as a DriverError, which logs a lost device once; the
# library's own lines would repeat it at every attempt.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)


class ModbusOptions(DriverOptions):
    """How to reach a Modbus TCP device."""

    host: Host
    """Address or name of the device or gateway."""
    port: int = Field(502, ge=1, le=65535)
    """TCP port; 502 is the registered one."""
    unit: int = Field(1, ge=0, le=255)
    """Unit identifier. Devices with an own IP address usually ignore it or want 255 (0xFF) or 1;
    behind a gateway it is the station's address on the serial line, 1 to 247. 248 to 254 are
    reserved (Modbus over serial line V1.02, 2.2)."""
    timeout_s: float = Field(0.2, gt=0, le=60)
    """Longest wait for the connection and for each answer, in seconds. Nothing is retried here:
    after a time-out the connection is made anew with a growing pause."""
    single: bool = False
    """`true`: write with functions 5 and 6, one coil or register a request, for devices that do not
    know 15 and 16. What changed is written first; values wider than a word arrive in pieces."""
    watchdog: ModbusWatchdog | None = None
    """The coupler's own watchdog; it is armed after each connection and read back. A device that
    does not keep it is not driven."""

    @field_validator("unit")
    @classmethod
    def _not_reserved(cls, unit: int) -> int:
        if 248 <= unit <= 254:
            raise ValueError(
                f"unit {unit} is reserved; use 1 to 247 behind a gateway, "
                "or 255 for a device with an IP address of its own"
            )
        return unit


class ModbusTcp(Driver[ModbusOptions]):
    """Modbus TCP by way of pymodbus's asyncio client.

    A pending request may be cancelled: the answer that still comes carries an old transaction
    identifier and is passed over.
    """

    Options = ModbusOptions
    areas = (
        AddressArea("coils", bits=True, writable=True, size=65536, per_request=1968),
        AddressArea("discrete_inputs", bits=True, writable=False, size=65536, per_request=2000),
        AddressArea("input_registers", bits=False, writable=False, size=65536, per_request=125),
        AddressArea("holding_registers", bits=False, writable=True, size=65536, per_request=123),
    )

    def __init__(self, name: str, options: ModbusOptions) -> None:
        super().__init__(name, options)
        self._client: AsyncModbusTcpClient | None = None
        self._awaited: tuple[int, int] = (0, 0)
        self._came = b""
        self._fed = 0
        self._once = LogOnce(structlog.get_logger(__name__))
        self._singles: dict[str, dict[int, int]] = {}
        """By area and address, what this connection has written and the device confirmed."""

    @property
    def feed_ns(self) -> int:
        """A third of the watchdog's time."""
        return self.options.watchdog.feed_ns if self.options.watchdog is not None else 0

    async def connect(self) -> None:
        """Open the connection; raises DriverError with the system's reason."""
        await self.close()
        options = self.options
        client = AsyncModbusTcpClient(
            options.host,
            port=options.port,
            name=self.name,
            timeout=options.timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._inspect,
            trace_connect=self._noticed,
        )
        try:
            # The client's own connect() answers only "no"; this is what it calls, and it tells why.
            await asyncio.wait_for(client.ctx.call_create(), options.timeout_s)
        except TimeoutError as error:
            raise DriverError(
                f"{self._where()}: no connection within {options.timeout_s} s; check power, "
                "cable and address",
                lost=True,
            ) from error
        except (OSError, UnicodeError) as error:
            raise DriverError(
                f"{self._where()}: cannot connect: {_system_reason(error)}; check address, "
                "port and that the device accepts another connection",
                lost=True,
            ) from error
        self._client = client
        peer = client.ctx.transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def arm(self, outputs: Sequence[SafeOutputs]) -> None:
        """Arm the coupler's watchdog with the declared safe values and read it back."""
        watchdog = self.options.watchdog
        if watchdog is None:
            return
        if given_up := values_given_up(watchdog, outputs):
            self._once.trouble(
                "values",
                "safe values other than off are not in the device's own watchdog",
                level="warning",
                device=self.name,
                outputs=given_up,
            )
        try:
            trouble = await arm(watchdog, outputs, self.read, self._put)
        except DriverError as error:
            await self.close()
            raise DriverError(f"its watchdog cannot be armed: {error}", lost=True) from error
        if trouble:
            raise await self._lost(
                f"its watchdog is not armed: {trouble}; check `watchdog` against the device's "
                "manual, the outputs are not driven without it"
            )

    async def read(self, group: PollGroup) -> bytes:
        """Read one group: bits packed least significant first, or big-endian words."""
        what = f"read {group.area}[{group.start}..{group.start + group.count - 1}]"
        request_type, response_type = _READS[group.area]
        request = request_type(address=group.start, count=group.count, dev_id=self.options.unit)
        response = await self._exchange(request, response_type, what)
        if group.area in _BIT_AREAS:
            if len(response.bits) != group.size * 8:
                raise await self._lost(
                    f"{what}: {len(response.bits) // 8} bytes of bits came, not {group.size}"
                )
            return _pack(response.bits[: group.count], group.size)
        if len(response.registers) != group.count:
            raise await self._lost(
                f"{what}: {len(response.registers)} registers came, not {group.count}"
            )
        return b"".join(word.to_bytes(2, "big") for word in response.registers)

    async def write(self, group: PollGroup, payload: bytes) -> None:
        """Write one group with function 15 (coils) or 16 (holding registers), or item by item."""
        await self._put(group, payload)
        watchdog = self.options.watchdog
        if watchdog is not None and watchdog.trigger is not None:
            self._fed = self._fed % 65535 + 1
            await self._put(trigger_group(watchdog.trigger), self._fed.to_bytes(2, "big"))

    async def _put(self, group: PollGroup, payload: bytes) -> None:
        if len(payload) != group.size:
            raise ValueError(
                f"{self.name}: payload of {len(payload)} bytes for a group of {group.size}"
            )
        if self.options.single and group.area in _SINGLE_WRITES:
            await self._put_singly(group, _items(group, payload))
            return
        what = f"write {group.area}[{group.start}..{group.start + group.count - 1}]"
        unit = self.options.unit
        response: ModbusPDU
        if group.area == "coils":
            bits = [bool(item) for item in _items(group, payload)]
            response = await self._exchange(
                WriteMultipleCoilsRequest(address=group.start, bits=bits, dev_id=unit),
                WriteMultipleCoilsResponse,
                what,
            )
        elif group.area == "holding_registers":
            words = _items(group, payload)
            response = await self._exchange(
                WriteMultipleRegistersRequest(address=group.start, registers=words, dev_id=unit),
                WriteMultipleRegistersResponse,
                what,
            )
        else:
            raise ValueError(f"{self.name}: {group.area} cannot be written")
        if (response.address, response.count) != (group.start, group.count):
            raise await self._lost(
                f"{what}: the device confirms {response.count} from {response.address}"
            )

    async def _put_singly(self, group: PollGroup, items: list[int]) -> None:
        """Write what differs from what this connection wrote last, or all when nothing does."""
        kept = self._singles.setdefault(group.area, {})
        changed = [n for n, item in enumerate(items) if kept.get(group.start + n) != item]
        request_type, response_type = _SINGLE_WRITES[group.area]
        for number in changed or range(len(items)):
            address, item = group.start + number, items[number]
            what = f"write {group.area}[{address}]"
            kept.pop(address, None)
            value = {"bits": [bool(item)]} if group.area in _BIT_AREAS else {"registers": [item]}
            request = request_type(address=address, dev_id=self.options.unit, **value)
            response = await self._exchange(request, response_type, what)
            confirmed = response.bits[0] if group.area in _BIT_AREAS else response.registers[0]
            if (response.address, confirmed) != (address, item):
                raise await self._lost(
                    f"{what}: the device confirms {int(confirmed)} in {response.address}, "
                    f"{item} was written"
                )
            kept[address] = item

    async def close(self) -> None:
        """Drop the connection at once; never raises."""
        client, self._client = self._client, None
        self._singles.clear()
        if client is None:
            return
        transport = client.ctx.transport
        client.close()
        if isinstance(transport, asyncio.Transport):
            # A peer that no longer reads must not keep the socket open.
            transport.abort()
            await asyncio.sleep(0)

    async def _exchange(self, request: ModbusPDU, expected: type[P], what: str) -> P:
        client = self._client
        if client is None or not client.connected:
            raise await self._lost(f"{what}: not connected")
        # The client counts up from here inside execute(); frames with another number are stale.
        following = client.ctx.next_tid + 1 if client.ctx.next_tid < 65000 else 1
        self._awaited = following, request.function_code
        self._came = b""
        try:
            response = await client.execute(False, request)
        except ModbusException as error:
            reason = str(error)
            if "No response received" in reason:
                reason = f"no answer within {self.options.timeout_s} s"
                came = passed_over(self._came, request.transaction_id)
                reason += f": {came}" if came else ""
            raise await self._lost(f"{what}: {reason}") from error
        if isinstance(response, ExceptionResponse):
            code = response.exception_code
            name = EXCEPTION_NAMES.get(code, "unknown code")
            if code == WATCHDOG_EXCEPTION and self.options.watchdog and what.startswith("write"):
                raise await self._lost(
                    f"{what}: the device refuses with exception {code} ({name}), as after its "
                    "watchdog has run out; it is armed again on a new connection"
                )
            raise DriverError(
                f"{self._where()}: {what}: the device refuses with exception {code} ({name}); "
                + _REMEDIES.get(
                    (code, request.function_code),
                    "check the addresses against the device's manual",
                ),
                lost=False,
                divisible=code in _NO_SUCH_PLACE,
            )
        if type(response) is not expected or response.transaction_id != request.transaction_id:
            raise await self._lost(
                f"{what}: the answer ({type(response).__name__}, transaction "
                f"{response.transaction_id}) is not one to this request"
            )
        return response

    async def _lost(self, reason: str) -> DriverError:
        await self.close()
        return DriverError(f"{self._where()}: {reason}", lost=True)

    def _where(self) -> str:
        options = self.options
        return f"{self.name} ({options.host}:{options.port} unit {options.unit})"

    def _noticed(self, connected: bool) -> None:
        """Called by the client; a lost connection ends the pending request at once."""
        if not connected:
            self._fail("the device closed the connection")

    def _inspect(self, sending: bool, data: bytes) -> bytes:
        """Called by the client with what was received so far; refuses what is no answer."""
        if sending:
            return data
        fault = frame_fault(data, *self._awaited, self.options.unit)
        if fault:
            self._fail(fault)
            return b""
        self._came = data
        return data

    def _fail(self, reason: str) -> None:
        client = self._client
        if client is not None and not client.ctx.response_future.done():
            client.ctx.response_future.set_exception(ModbusException(reason))


def _system_reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError):
        # asyncio replaces the system's text but keeps its number; name look-ups have negative ones.
        number = error.errno or 0
        return os.strerror(number) if number > 0 else error.strerror or str(error)
    return str(error)


def _pack(bits: Sequence[bool], size: int) -> bytes:
    number = 0
    for bit in reversed(bits):
        number = number << 1 | bit
    return number.to_bytes(size, "little")


def _items(group: PollGroup, payload: bytes) -> list[int]:
    """The payload's coils (0 or 1) or words."""
    if group.area in _BIT_AREAS:
        return [payload[i >> 3] >> (i & 7) & 1 for i in range(group.count)]
    return [int.from_bytes(payload[i : i + 2], "big") for i in range(0, len(payload), 2)]
