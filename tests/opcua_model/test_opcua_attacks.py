"""Attacks inside a channel: guessed tokens, messages sent again or in another order, cut chunks."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua

from support.campaign import times

pytestmark = pytest.mark.asyncio(loop_scope="session")

CURRENT_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plant(make_cell: Any) -> AsyncIterator[Any]:
    async with make_cell(anonymous="read") as running:
        yield running


def request() -> ua.ReadRequest:
    found = ua.ReadRequest()
    found.Parameters.NodesToRead = [ua.ReadValueId(NodeId=CURRENT_TIME, AttributeId=13)]
    return found


def encoded(protocol: Any, number: int) -> bytes:
    """A Read as the client would send it next."""
    asked = request()
    protocol._setup_request_header(asked.RequestHeader, 5)
    body = ua.ua_binary.struct_to_binary(asked)
    data: bytes = protocol._connection.message_to_binary(body, request_id=number)
    return data


async def closed(protocol: Any) -> None:
    async with asyncio.timeout(30):
        while protocol.transport is not None:
            await asyncio.sleep(0.005)


@pytest.mark.campaign
async def test_guessed_tokens_open_nothing(plant: Any) -> None:
    intruder = await plant.unconnected(None)
    intruder._watchdog_intervall = 3600.0  # the library looks after itself with the same token
    async with plant.client("op") as victim, intruder:
        session = intruder.uaclient.session
        own, counters = session.authentication_token, plant.server._internal.counters
        before = counters.security_rejected_requests
        for _ in range(times(1000)):
            token = ua.NodeId(ua.utils.create_nonce(32), 0, ua.NodeIdType.ByteString)
            session.restore_authentication_token(token)
            with pytest.raises(ua.UaStatusCodeError) as caught:
                await session.read(request().Parameters)
            assert caught.value.code == ua.StatusCodes.BadSecureChannelIdInvalid
        assert counters.security_rejected_requests - before == times(1000)
        session.restore_authentication_token(own)
        assert await victim.get_node(CURRENT_TIME).read_value() is not None


@pytest.mark.parametrize("order", ["again", "swapped", "left out"])
async def test_messages_sent_again_or_in_another_order_end_the_channel(
    plant: Any, order: str
) -> None:
    async with plant.client("planner") as witness:
        client: Client = await plant.unconnected("op")
        await client.connect()
        protocol = client.uaclient.protocol
        first, second, third = (encoded(protocol, 900 + number) for number in range(3))
        for number in range(3):
            answer = protocol._callbackmap[900 + number] = asyncio.Future()
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        match order:
            case "again":
                protocol.transport.write(first + first)
            case "swapped":
                protocol.transport.write(second + first)
            case _:
                protocol.transport.write(first + third)
        await closed(protocol)
        assert await witness.get_node(CURRENT_TIME).read_value() is not None
        await asyncio.gather(client.disconnect(), return_exceptions=True)


async def test_a_message_of_one_channel_is_worth_nothing_in_another(plant: Any) -> None:
    async with plant.client("op") as victim:
        intruder: Client = await plant.unconnected("planner")
        await intruder.connect()
        taken = encoded(victim.uaclient.protocol, 901)
        victim.uaclient.protocol._connection._sequence_number -= 1
        intruder.uaclient.protocol.transport.write(taken)
        await closed(intruder.uaclient.protocol)
        assert await victim.get_node(CURRENT_TIME).read_value() is not None
        await asyncio.gather(intruder.disconnect(), return_exceptions=True)


@pytest.mark.parametrize("left", [9, 12, 24, 40])
async def test_a_chunk_that_is_cut_and_called_whole_ends_the_channel(plant: Any, left: int) -> None:
    async with plant.client("planner") as witness:
        client: Client = await plant.unconnected("op")
        await client.connect()
        protocol = client.uaclient.protocol
        cut = bytearray(encoded(protocol, 901)[:left])
        struct.pack_into("<I", cut, 4, left)
        protocol.transport.write(bytes(cut))
        await closed(protocol)
        assert await witness.get_node(CURRENT_TIME).read_value() is not None
        await asyncio.gather(client.disconnect(), return_exceptions=True)


async def test_a_request_that_does_not_decode_is_told_so_and_the_channel_goes_on(
    plant: Any,
) -> None:
    async with plant.client("op") as client:
        protocol = client.uaclient.protocol
        asked = request()
        protocol._setup_request_header(asked.RequestHeader, 5)
        asked.RequestHeader.AuthenticationToken = client.uaclient.session.authentication_token
        protocol._request_id += 1
        answer = protocol._callbackmap[protocol._request_id] = asyncio.Future()
        body = ua.ua_binary.struct_to_binary(asked)[:-3]
        protocol.transport.write(
            protocol._connection.message_to_binary(body, request_id=protocol._request_id)
        )
        response = await asyncio.wait_for(answer, 30)
        with pytest.raises(ua.UaStatusCodeError) as caught:
            protocol.check_answer(response, "")
        assert caught.value.code == ua.StatusCodes.BadDecodingError
        assert await client.get_node(CURRENT_TIME).read_value() is not None


async def test_who_does_not_sign_for_the_session_does_not_get_it(plant: Any) -> None:
    client: Client = await plant.unconnected("op")
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    await client.create_session()
    params = ua.ActivateSessionParameters()
    params.UserIdentityToken = ua.AnonymousIdentityToken()
    for signature in (None, b"", bytes(256)):
        params.ClientSignature.Signature = signature
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await client.uaclient.session.activate_session(params)
        assert caught.value.code == ua.StatusCodes.BadApplicationSignatureInvalid
    client.disconnect_socket()
