"""Crowds of strangers: connections, sessions and bytes have bounds, and others still get in."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.common.connection import MessageChunk
from asyncua.ua.uaerrors import BadTooManySessions
from structlog.testing import capture_logs

from cellwright.opcua_model.security import admission
from cellwright.opcua_model.security.admission import (
    FEW,
    MAX_ANONYMOUS,
    MAX_ANONYMOUS_OF_CROWDS,
    MAX_UNPROVEN,
    MAX_UNPROVEN_BYTES,
    UNPROVEN_BYTES,
    Admission,
    Guest,
    Stage,
    may_be_anonymous,
)
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.subscriptions import shares

pytestmark = pytest.mark.asyncio(loop_scope="session")

CURRENT_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)


class Door:
    """An admission, and who was shown out."""

    def __init__(self) -> None:
        self.admission = Admission()
        self.out: list[str] = []

    def enter(self, name: str, address: str, stage: Stage = Stage.UNPROVEN) -> Guest:
        guest = Guest(address, lambda: stage, lambda why: self.out.append(name))
        self.admission.enter(guest)
        return guest


@pytest.fixture
def door() -> Door:
    return Door()


async def test_of_a_crowd_the_oldest_gives_way_and_the_newcomer_stays(door: Door) -> None:
    door.enter("operator", "10.0.0.5")
    for number in range(MAX_UNPROVEN + 50):
        door.enter(f"crowd {number}", "10.0.0.66")
    assert door.out == [f"crowd {number}" for number in range(51)]
    assert len(door.admission) == MAX_UNPROVEN


async def test_who_opened_a_channel_with_a_trusted_certificate_outlasts_those_who_did_not(
    door: Door,
) -> None:
    door.enter("trusted", "10.0.0.66", Stage.TRUSTED)
    for number in range(MAX_UNPROVEN + 20):
        door.enter(f"crowd {number}", "10.0.0.66")
    assert "trusted" not in door.out


async def test_sessions_take_no_place_of_those_who_have_none_yet(door: Door) -> None:
    for number in range(MAX_UNPROVEN):
        door.enter(f"reader {number}", "10.0.0.7", Stage.ANONYMOUS)
        door.enter(f"user {number}", "10.0.0.7", Stage.NAMED)
    door.enter("new", "10.0.0.7")
    assert door.out == []


async def test_who_makes_the_server_hold_most_is_closed_first(door: Door) -> None:
    door.admission.hold(door.enter("one alone", "10.0.0.1"), UNPROVEN_BYTES + 1)
    assert door.out == ["one alone"]
    for number in range(MAX_UNPROVEN_BYTES // UNPROVEN_BYTES):
        door.admission.hold(door.enter(f"part {number}", "10.0.0.66"), UNPROVEN_BYTES - number)
    assert door.out == ["one alone"]
    for number in range(8):
        door.admission.hold(door.enter(f"more {number}", "10.0.0.7"), UNPROVEN_BYTES // 2)
    assert door.out == ["one alone", "part 0", "part 1", "part 2", "part 3"]
    assert door.admission.unproven_bytes <= MAX_UNPROVEN_BYTES


async def test_small_holders_together_stay_within_the_bounds() -> None:
    assert MAX_UNPROVEN * admission.SMALL_BYTES <= MAX_UNPROVEN_BYTES
    assert limits.MAX_SESSIONS * admission.SMALL_BYTES <= admission.MAX_ANONYMOUS_BYTES


async def test_sessions_without_a_user_leave_places_for_few_of_an_address_and_for_users() -> None:
    crowd = ["10.0.0.66"] * MAX_ANONYMOUS_OF_CROWDS
    assert may_be_anonymous("10.0.0.66", crowd[1:])
    assert not may_be_anonymous("10.0.0.66", crowd)
    assert may_be_anonymous("10.0.0.5", crowd + ["10.0.0.5"] * (FEW - 1))
    assert not may_be_anonymous("10.0.0.5", crowd + ["10.0.0.5"] * FEW)
    many = [f"10.1.0.{number}" for number in range(MAX_ANONYMOUS)]
    assert not may_be_anonymous("10.0.0.5", many)
    assert MAX_ANONYMOUS < limits.MAX_SESSIONS


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def busy(make_cell: Any) -> AsyncIterator[Any]:
    """A server of its own; without security too, because channels then cost nothing."""
    async with make_cell(anonymous="read", insecure=True) as running:
        yield running


def elsewhere(monkeypatch: pytest.MonkeyPatch, address: str = "127.0.0.66") -> None:
    """Connections are made from this address from now on."""
    loop = asyncio.get_running_loop()
    make = functools.partial(loop.create_connection, local_addr=(address, 0))
    monkeypatch.setattr(loop, "create_connection", make)


async def open_channel(cell: Any) -> Client:
    client = Client(cell.url, timeout=10)
    client.session_timeout = 60_000
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    return client


async def gone(cell: Any) -> None:
    """Wait until nobody but activated sessions is there."""
    async with asyncio.timeout(30):
        while len(cell.server._internal.admission) > len(cell.server._internal.sessions):
            await asyncio.sleep(0.02)


async def test_a_thousand_half_open_connections_shut_nobody_out(busy: Any) -> None:
    writers = []
    try:
        async with busy.client("op") as before:
            for number in range(1000):
                _, writer = await asyncio.open_connection("127.0.0.1", busy.server.port)
                writers.append(writer)
                if number == 500:
                    async with busy.client(None):
                        pass
            async with busy.client("planner") as client:
                assert await client.get_node(CURRENT_TIME).read_value() is not None
            assert await before.get_node(CURRENT_TIME).read_value() is not None
            assert len(busy.server._internal.admission) <= MAX_UNPROVEN + 1
    finally:
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    await gone(busy)


async def test_a_hundred_sessions_without_a_user_shut_no_user_and_no_other_address_out(
    busy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd, refused = [], 0
    with monkeypatch.context() as there:
        elsewhere(there)
        for _ in range(100):
            client = await open_channel(busy)
            await client.create_session()
            try:
                await client.activate_session()
                crowd.append(client)
            except BadTooManySessions:
                refused += 1
                client.disconnect_socket()
    assert (len(crowd), refused) == (MAX_ANONYMOUS_OF_CROWDS, 100 - MAX_ANONYMOUS_OF_CROWDS)
    async with busy.client("op") as user, busy.client(None) as reader:
        for client in (user, reader):
            assert await client.get_node(CURRENT_TIME).read_value() is not None
    for client in crowd:
        client.disconnect_socket()
    await gone(busy)


async def test_unfinished_messages_of_strangers_are_bounded_in_total(busy: Any) -> None:
    internal = busy.server._internal
    part = UNPROVEN_BYTES - 2 * limits.MAX_CHUNK_BYTES
    strangers = [await open_channel(busy) for _ in range(MAX_UNPROVEN_BYTES // part + 5)]
    for client in strangers:
        protocol = client.uaclient.protocol
        chunks = MessageChunk.message_to_chunks(
            protocol._connection.security_policy,
            bytes(part + limits.MAX_CHUNK_BYTES),
            limits.MAX_CHUNK_BYTES,
            channel_id=protocol._connection.security_token.ChannelId,
            request_id=99,
            token_id=protocol._connection.security_token.TokenId,
        )
        for number, chunk in enumerate(chunks[:-1]):
            chunk.SequenceHeader.SequenceNumber = protocol._connection._sequence_number + 1 + number
            protocol.transport.write(chunk.to_binary())
        await asyncio.sleep(0)
        assert internal.admission.unproven_bytes <= MAX_UNPROVEN_BYTES
    async with asyncio.timeout(30):
        while all(client.uaclient.protocol.transport for client in strangers):
            assert internal.admission.unproven_bytes <= MAX_UNPROVEN_BYTES
            await asyncio.sleep(0.01)
    async with busy.client("op") as client:
        assert await client.get_node(CURRENT_TIME).read_value() is not None
    for client in strangers:
        client.disconnect_socket()
    await gone(busy)


async def test_one_stranger_sends_no_message_that_only_a_session_needs(busy: Any) -> None:
    client = await open_channel(busy)
    protocol = client.uaclient.protocol
    data = protocol._connection.message_to_binary(bytes(2 * UNPROVEN_BYTES), request_id=99)
    with capture_logs() as logs:
        protocol.transport.write(data)
        async with asyncio.timeout(30):
            while protocol.transport is not None:
                await asyncio.sleep(0.01)
    (why,) = [log["why"] for log in logs if log["event"] == "connection closed"]
    assert why.endswith(" bytes before it had a session")


async def test_who_has_no_session_after_some_seconds_is_closed(
    busy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits.IDLE_TIMEOUT_S <= 10
    monkeypatch.setattr(limits, "IDLE_TIMEOUT_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", busy.server.port)
    silent = await open_channel(busy)
    left = await open_channel(busy)
    await left.create_session()
    await left.activate_session()
    await left.close_session()
    async with busy.client("op") as client:
        async with asyncio.timeout(30):
            assert (await reader.read())[:3] == b"ERR"
            while silent.uaclient.protocol.transport or left.uaclient.protocol.transport:
                await asyncio.sleep(0.02)
        assert await client.get_node(CURRENT_TIME).read_value() is not None
    writer.close()


async def test_who_asks_and_does_not_read_is_let_go(
    busy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IDLE_TIMEOUT_S", 60.0)
    client = await open_channel(busy)
    protocol = client.uaclient.protocol
    protocol.transport.pause_reading()
    internal = busy.server._internal
    with capture_logs() as logs:
        async with asyncio.timeout(60):
            while len(internal.admission):
                for _ in range(20):
                    protocol._send_request(ua.GetEndpointsRequest())
                await asyncio.sleep(0.001)
    assert [log["why"] for log in logs if log["event"] == "connection closed"] == [
        "it does not read"
    ]
    protocol.transport.abort()
    protocol._callbackmap.clear()


async def test_who_does_not_even_read_that_it_is_closed_is_gone_all_the_same(
    busy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IDLE_TIMEOUT_S", 1.0)
    monkeypatch.setattr(limits, "MAX_UNREAD_UNPROVEN_BYTES", 1 << 30)
    client = await open_channel(busy)
    protocol = client.uaclient.protocol
    protocol.transport.pause_reading()
    clients = busy.server._server.bserver.clients
    async with asyncio.timeout(60):
        while not clients[0].transport.get_write_buffer_size():
            protocol._send_request(ua.GetEndpointsRequest())
            await asyncio.sleep(0)
        protocol.transport.write(b"no message of OPC UA")
        while clients:
            await asyncio.sleep(0.02)
    protocol.transport.abort()
    protocol._callbackmap.clear()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_session_without_a_user_gets_less(
    cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = shares.Share(2, 3), shares.Share(3, 5)
    monkeypatch.setattr(shares, "NAMELESS", small)
    monkeypatch.setattr(shares, "NAMED", large)
    for user, share in ((None, small), ("planner", large)):
        async with cell.client(user) as client, cell.client(user) as other:
            subscriptions = [
                await client.create_subscription(1000, Deaf()) for _ in range(share.subscriptions)
            ]
            with pytest.raises(ua.uaerrors.BadTooManySubscriptions):
                await client.create_subscription(1000, Deaf())
            if user is None:  # each session for itself
                await (await other.create_subscription(1000, Deaf())).delete()
            else:
                with pytest.raises(ua.uaerrors.BadTooManySubscriptions):
                    await other.create_subscription(1000, Deaf())
            node = client.get_node(ua.NodeId(ua.ObjectIds.Server_ServerStatus_State))
            made = await subscriptions[0].subscribe_data_change([node] * (share.items + 2))
            codes = [each.name if isinstance(each, ua.StatusCode) else "Good" for each in made]
            assert codes == ["Good"] * share.items + ["BadTooManyMonitoredItems"] * 2
            refused = await subscriptions[1].subscribe_data_change([node])
            assert refused[0].name == "BadTooManyMonitoredItems"
            for subscription in subscriptions:
                await subscription.delete()


class Deaf:
    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Nobody listens."""
