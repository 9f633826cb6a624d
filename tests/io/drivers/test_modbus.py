"""The Modbus TCP driver against pymodbus's server and against peers made of raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from cellwright.io.drivers.base import DriverError
from cellwright.io.drivers.modbus import ModbusOptions, ModbusTcp, frame_fault
from cellwright.io.plan import PollGroup

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def group(area: str, start: int, count: int, *, output: bool = False) -> PollGroup:
    bits = area in {"coils", "discrete_inputs"}
    size = (count + 7) // 8 if bits else count * 2
    return PollGroup(
        index=0, area=area, start=start, count=count, output=output, offset=0, size=size
    )


@contextlib.asynccontextmanager
async def pymodbus_server() -> AsyncIterator[int]:
    inputs = [bool(i % 3 == 0) for i in range(2100)]
    device = SimDevice(
        id=1,
        simdata=(
            [SimData(0, count=2000, values=False, datatype=DataType.BITS)],
            [SimData(0, values=inputs, datatype=DataType.BITS)],
            [SimData(0, count=200, values=0, datatype=DataType.REGISTERS)],
            [SimData(0, values=list(range(1000, 1200)), datatype=DataType.REGISTERS)],
        ),
    )
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.listen()
    assert isinstance(server.transport, asyncio.Server)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@contextlib.asynccontextmanager
async def raw_peer(talk: Peer) -> AsyncIterator[int]:
    """A server of a few lines that shares no code with the library."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(
                ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
            ):
                await talk(reader, writer)
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def driver_to(port: int, timeout_s: float = 20.0, unit: int = 1) -> AsyncIterator[ModbusTcp]:
    driver = ModbusTcp(
        "coupler", ModbusOptions(host="127.0.0.1", port=port, timeout_s=timeout_s, unit=unit)
    )
    try:
        await driver.connect()
        yield driver
    finally:
        await driver.close()


async def request_of(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    """Transaction, unit, function and data of the next request, parsed by hand."""
    transaction, _protocol, length = struct.unpack(">HHH", await reader.readexactly(6))
    body = await reader.readexactly(length)
    return transaction, body[0], body[1], body[2:]


def frame(transaction: int, unit: int, pdu: bytes, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


async def read_from(
    answer: Callable[[int, int, int, bytes], bytes], timeout_s: float = 20.0
) -> DriverError:
    """The error of reading four input registers from a peer that answers like this."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(*await request_of(reader)))
        await writer.drain()
        await reader.read()

    async with raw_peer(talk) as port, driver_to(port, timeout_s=timeout_s) as driver:
        with pytest.raises(DriverError) as caught:
            await driver.read(group("input_registers", 0, 4))
    return caught.value


async def test_input_registers_come_as_big_endian_words() -> None:
    async with pymodbus_server() as port, driver_to(port) as driver:
        payload = await driver.read(group("input_registers", 2, 125))
    assert payload == b"".join(struct.pack(">H", value) for value in range(1002, 1127))


@pytest.mark.parametrize(("start", "count"), [(0, 1), (0, 8), (1, 9), (5, 2000)])
async def test_bits_are_packed_least_significant_first_and_padded_with_zeros(
    start: int, count: int
) -> None:
    async with pymodbus_server() as port, driver_to(port) as driver:
        payload = await driver.read(group("discrete_inputs", start, count))
    number = sum(1 << i for i in range(count) if (start + i) % 3 == 0)
    assert payload == number.to_bytes((count + 7) // 8, "little")


async def test_written_coils_and_registers_read_back_as_written() -> None:
    coils = group("coils", 3, 1900, output=True)
    registers = group("holding_registers", 7, 123, output=True)
    bits = bytes((i * 37 + 5) & 0xFF for i in range(coils.size - 1)) + b"\x0a"
    words = bytes((i * 91 + 1) & 0xFF for i in range(registers.size))
    async with pymodbus_server() as port, driver_to(port) as driver:
        await driver.write(coils, bits)
        await driver.write(registers, words)
        assert await driver.read(coils) == bits
        assert await driver.read(registers) == words


async def test_requests_on_the_wire_are_those_of_the_specification() -> None:
    seen: list[tuple[int, int, bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            transaction, unit, function, data = await request_of(reader)
            seen.append((unit, function, data))
            body = b"\x02\x81\x01" if function == 1 else data[:4]
            writer.write(frame(transaction, unit, bytes([function]) + body))

    async with raw_peer(talk) as port, driver_to(port, unit=255) as driver:
        assert await driver.read(group("coils", 0x13, 9)) == b"\x81\x01"
        await driver.write(group("coils", 0x13, 10, output=True), b"\xcd\x01")
        await driver.write(group("holding_registers", 1, 2, output=True), b"\x00\x0a\x01\x02")
    assert seen == [
        (255, 1, bytes.fromhex("0013 0009")),
        (255, 15, bytes.fromhex("0013 000a 02 cd01")),
        (255, 16, bytes.fromhex("0001 0002 04 000a 0102")),
    ]


async def test_padding_bits_of_an_answer_do_not_reach_the_payload() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transaction, unit, _function, _data = await request_of(reader)
        writer.write(frame(transaction, unit, b"\x02\x01\xff"))
        await reader.read()

    async with raw_peer(talk) as port, driver_to(port) as driver:
        assert await driver.read(group("discrete_inputs", 0, 3)) == b"\x07"


async def test_an_illegal_address_names_the_exception_and_keeps_the_connection() -> None:
    async with pymodbus_server() as port, driver_to(port) as driver:
        with pytest.raises(DriverError, match=r"exception 2 \(ILLEGAL DATA ADDRESS\)") as caught:
            await driver.read(group("input_registers", 5000, 4))
        assert not caught.value.lost
        assert len(await driver.read(group("input_registers", 0, 1))) == 2


@pytest.mark.parametrize(
    ("code", "name"),
    [(1, "ILLEGAL FUNCTION"), (4, "SERVER DEVICE FAILURE"), (6, "SERVER DEVICE BUSY"),
     (11, "GATEWAY TARGET DEVICE FAILED TO RESPOND"), (99, "unknown code")],
)  # fmt: skip
async def test_exception_answers_are_told_by_name(code: int, name: str) -> None:
    error = await read_from(lambda t, u, f, d: frame(t, u, bytes([f | 0x80, code])))
    assert not error.lost
    assert f"exception {code} ({name})" in str(error)
    assert "input_registers[0..3]" in str(error)


GOOD = b"\x04\x08" + bytes(8)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda t, u: frame(t + 1, u, GOOD), "no answer within"),
        (lambda t, u: frame(t + 7, u, GOOD), "answer with transaction identifier 8 came.* has 1"),
        (lambda t, u: frame(9, u, GOOD) + frame(8, u, GOOD), "2 answers .*identifier 8 came"),
        (lambda t, u: frame(0, u, GOOD), "not Modbus"),
        (lambda t, u: frame(t, u + 1, GOOD), "unit 2"),
        (lambda t, u: frame(t, u, GOOD, protocol=1), "not Modbus"),
        (lambda t, u: frame(t, u, GOOD[:-2]), "length|long"),
        (lambda t, u: frame(t, u, b"\x04\x06" + bytes(6)), "3 registers came, not 4"),
        (lambda t, u: frame(t, u, b"\x03\x08" + bytes(8)), "function 3"),
        (lambda t, u: frame(t, u, b"\x83\x02"), "function 131"),
        (lambda t, u: frame(t, u, b"\x84"), "length of 2"),
        (lambda t, u: frame(t, u, b"\x84\x02\x00"), "long"),
        (lambda t, u: frame(t, u, GOOD)[:11], "no answer within .* only 11 bytes"),
        (lambda t, u: frame(t, u, GOOD)[:5], "no answer within .* only 5 bytes"),
        (lambda t, u: b"HTTP/1.1 400 Bad Request\r\n\r\n", "not Modbus"),
        (lambda t, u: b"", "no answer within"),
    ],
)
async def test_an_answer_that_is_none_loses_the_connection(
    answer: Callable[[int, int], bytes], why: str
) -> None:
    waits = re.search("no answer|identifier", why)
    error = await read_from(lambda t, u, f, d: answer(t, u), 0.2 if waits else 20.0)
    assert error.lost
    assert re.search(why, str(error)), str(error)


async def test_a_peer_that_closes_in_the_middle_of_a_frame_is_lost_at_once() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transaction, unit, _function, _data = await request_of(reader)
        writer.write(frame(transaction, unit, GOOD)[:9])
        await writer.drain()

    loop = asyncio.get_running_loop()
    async with raw_peer(talk) as port, driver_to(port, timeout_s=60) as driver:
        begin = loop.time()
        with pytest.raises(DriverError, match="closed the connection") as caught:
            await driver.read(group("input_registers", 0, 4))
        assert caught.value.lost
        assert loop.time() - begin < 30, "waited for the time-out instead of the closed socket"
        with pytest.raises(DriverError, match="not connected"):
            await driver.read(group("input_registers", 0, 4))


async def test_an_answer_in_single_bytes_is_put_together() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transaction, unit, _function, _data = await request_of(reader)
        for byte in frame(transaction, unit, b"\x04\x08" + bytes(range(8))):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.002)
        await reader.read()

    async with raw_peer(talk) as port, driver_to(port) as driver:
        assert await driver.read(group("input_registers", 0, 4)) == bytes(range(8))


async def test_a_request_given_up_does_not_disturb_the_next_one() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, unit, _function, _data = await request_of(reader)
        second, _unit, function, data = await request_of(reader)
        writer.write(frame(first, unit, GOOD))
        writer.write(frame(second, unit, bytes([function]) + data[:4]))
        await reader.read()

    async with raw_peer(talk) as port, driver_to(port) as driver:
        slow = asyncio.create_task(driver.read(group("input_registers", 0, 4)))
        await asyncio.sleep(0.02)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        await driver.write(group("coils", 0, 4, output=True), b"\x05")


async def test_a_write_confirmed_for_another_place_is_not_believed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transaction, unit, function, _data = await request_of(reader)
        writer.write(frame(transaction, unit, bytes([function]) + b"\x00\x09\x00\x04"))
        await reader.read()

    async with raw_peer(talk) as port, driver_to(port) as driver:
        with pytest.raises(DriverError, match="confirms 4 from 9") as caught:
            await driver.write(group("coils", 0, 4, output=True), b"\x05")
        assert caught.value.lost


async def test_a_refused_connection_says_why_and_what_to_check() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        driver = ModbusTcp("coupler", ModbusOptions(host="127.0.0.1", port=port))
        with pytest.raises(DriverError, match=r"coupler \(127\.0\.0\.1:\d+ unit 1\).*refused") as e:
            await driver.connect()
    assert e.value.lost


@pytest.mark.parametrize("host", ["no such host.invalid", "a..b", "x" * 300])
async def test_a_host_that_is_none_is_a_driver_error(host: str) -> None:
    driver = ModbusTcp("coupler", ModbusOptions(host=host, timeout_s=5))
    with pytest.raises(DriverError) as caught:
        await driver.connect()
    assert caught.value.lost


async def test_a_listener_that_never_accepts_is_given_up_after_the_time_out() -> None:
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # fill the queue: further connections hang as with a dead host
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        driver = ModbusTcp("coupler", ModbusOptions(host="127.0.0.1", port=port, timeout_s=0.1))
        with pytest.raises(DriverError, match=r"no connection within 0\.1 s"):
            await driver.connect()


async def test_small_requests_leave_at_once() -> None:
    async with pymodbus_server() as port, driver_to(port) as driver:
        client = driver._client
        assert client is not None
        peer = client.ctx.transport.get_extra_info("socket")
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_driver_connects_again_after_it_was_closed() -> None:
    async with pymodbus_server() as port, driver_to(port) as driver:
        await driver.close()
        await driver.close()
        with pytest.raises(DriverError, match="not connected"):
            await driver.read(group("input_registers", 0, 1))
        await driver.connect()
        assert await driver.read(group("input_registers", 0, 1)) == b"\x03\xe8"


@pytest.mark.parametrize("unit", [248, 254, 256, -1])
def test_reserved_unit_identifiers_are_refused(unit: int) -> None:
    with pytest.raises(ValidationError, match="unit"):
        ModbusOptions(host="coupler", unit=unit)


def test_every_option_is_described() -> None:
    assert all(field.description for field in ModbusOptions.model_fields.values())


def test_limits_of_a_request_are_those_of_the_protocol() -> None:
    limits = {area.name: (area.bits, area.writable, area.per_request) for area in ModbusTcp.areas}
    assert limits == {
        "coils": (True, True, 1968),
        "discrete_inputs": (True, False, 2000),
        "input_registers": (False, False, 125),
        "holding_registers": (False, True, 123),
    }


@given(st.binary(max_size=300), st.integers(1, 65000), st.sampled_from([1, 2, 3, 4, 15, 16]))
def test_the_frame_check_never_fails_on_any_bytes(
    data: bytes, transaction: int, function: int
) -> None:
    assert isinstance(frame_fault(data, transaction, function, 1), str)


@st.composite
def almost_answers(draw: st.DrawFn) -> bytes:
    """Bytes near a good answer to transaction 1: right header and any body, or bit flips."""
    body = draw(st.one_of(st.binary(min_size=1, max_size=40), st.just(GOOD)))
    if draw(st.booleans()):
        body = draw(st.sampled_from([1, 2, 3, 4, 15, 16, 0x81, 0x84, 43, 8])).to_bytes() + body[1:]
    data = bytearray(frame(1, 1, body))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


@given(
    answer=st.one_of(almost_answers(), st.binary(max_size=60)),
    kind=st.sampled_from(["read", "bits", "write"]),
)
def test_any_answer_gives_the_right_payload_or_a_driver_error(answer: bytes, kind: str) -> None:
    complaints: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer)
        await writer.drain()

    async def attempt() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: complaints.append(str(context["message"]))
        )
        async with raw_peer(talk) as port, driver_to(port) as driver:
            try:
                if kind == "read":
                    payload = await driver.read(group("input_registers", 0, 4))
                    assert payload == answer[9:17]
                elif kind == "bits":
                    payload = await driver.read(group("coils", 0, 16))
                    assert payload == answer[9:11]
                else:
                    await driver.write(group("coils", 0, 4, output=True), b"\x05")
                    assert answer[7:12] == b"\x0f\x00\x00\x00\x04"
            except DriverError:
                return

    asyncio.run(attempt())
    assert complaints == []
