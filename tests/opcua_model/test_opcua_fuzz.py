"""Whatever bytes arrive, only the connection that sent them suffers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from typing import Any

import pytest
from asyncua import ua

from cellwright.opcua_model.services import limits
from support.campaign import times

pytestmark = pytest.mark.asyncio(loop_scope="session")

CURRENT_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
URL = b"opc.tcp://127.0.0.1"


def hello(buffer: int = 65535) -> bytes:
    body = struct.pack("<IIIII", 0, buffer, buffer, 0, 0) + struct.pack("<i", len(URL)) + URL
    return b"HELF" + struct.pack("<I", 8 + len(body)) + body


async def exchange(cell: Any, *parts: bytes) -> bytes:
    """Send, then read until the server closes; fails when it does not within thirty seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", cell.server.port)
    try:
        for part in parts:
            writer.write(part)
        await writer.drain()
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"HELX" + bytes(60),
        b"HELF" + struct.pack("<I", 8),
        b"HELF" + struct.pack("<I", 0xFFFFFFFF),
        b"MSGF" + struct.pack("<I", 100_000_000),
        b"MSGF" + struct.pack("<I", 32) + bytes(24),
        b"OPNF" + struct.pack("<I", 32) + b"\xff" * 24,
        hello()[:28] + b"\xff\xff\xff\x7f" + hello()[32:],
        hello(buffer=0),
        hello(buffer=100),
        hello() + hello(),
        hello() + b"MSGF" + struct.pack("<IIIII", 28, 0, 0, 1, 1) + b"\x01\x00\x00\x00",
        hello() + b"CLOF" + struct.pack("<IIIII", 28, 0, 0, 1, 1) + b"\x01\x00\x00\x00",
        hello() + b"OPNF" + struct.pack("<II", 16, 0) + b"\xff\xff\xff\x7f",
        hello() + b"ACKF" + struct.pack("<I", 28) + bytes(20),
    ],
)
async def test_malformed_bytes_end_that_connection(cell: Any, data: bytes) -> None:
    async with cell.client() as witness:
        answer = await exchange(cell, data)
        assert answer[:3] in (b"", b"ERR", b"ACK")
        assert await witness.get_node(CURRENT_TIME).read_value() is not None


@pytest.mark.campaign
async def test_random_bytes_and_broken_messages_leave_the_server_standing(cell: Any) -> None:
    chance = random.Random(20261120)
    good = hello()
    async with cell.client() as witness:
        for round_ in range(times(30)):
            if round_ % 2:
                data = chance.randbytes(chance.randrange(8, 400))
            else:
                broken = bytearray(good + b"OPNF" + struct.pack("<II", 80, 0) + bytes(68))
                for _ in range(chance.randrange(1, 6)):
                    broken[chance.randrange(len(broken))] = chance.randrange(256)
                data = bytes(broken)
            reader, writer = await asyncio.open_connection("127.0.0.1", cell.server.port)
            writer.write(data)
            await writer.drain()
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            assert reader is not None
        assert await witness.get_node(CURRENT_TIME).read_value() is not None


async def test_a_garbled_request_inside_a_good_channel_ends_only_that_session(cell: Any) -> None:
    async with cell.client() as witness:
        victim = await cell.unconnected()
        await victim.connect()
        protocol = victim.uaclient.protocol
        protocol.transport.write(b"MSGF" + struct.pack("<I", 64) + bytes(56))
        async with asyncio.timeout(30):
            while protocol.transport is not None:
                await asyncio.sleep(0.02)
        assert await witness.get_node(CURRENT_TIME).read_value() is not None
        victim.disconnect_socket()
        await asyncio.gather(victim.disconnect(), return_exceptions=True)


async def test_a_frame_larger_than_the_limit_is_refused_by_its_header(cell: Any) -> None:
    frame = b"MSGF" + struct.pack("<I", limits.MAX_CHUNK_BYTES + 1)
    answer = await exchange(cell, hello(), frame)
    error = answer[answer.index(b"ERR") :]
    (code,) = struct.unpack_from("<I", error, 8)
    assert code == ua.StatusCodes.BadTcpMessageTooLarge
