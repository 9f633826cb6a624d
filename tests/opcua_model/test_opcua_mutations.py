"""Captured messages, mutated, against a server that runs: nobody gets in, and nobody is disturbed.

``make fuzz-opcua SECONDS=600`` does it for that long and prints what it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from asyncua import Client, ua
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary

from support.opcua_certificates import URI, Workshop
from support.opcua_target import PASSWORD, USER

SECONDS: Final = float(os.environ.get("CELLWRIGHT_FUZZ_SECONDS") or 2)
SEED: Final = int(os.environ.get("CELLWRIGHT_SEED") or 20261201)
MEMORY_BYTES: Final = 64 * 1024 * 1024
"""What the attack may leave behind, for the allocator's sake more than the bounds of the server."""
CURRENT_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
RECIPE = "ns=4;s=BladeMarking.IO.Memory.recipe"
EXTREMES: Final = tuple(
    struct.pack("<I", number)
    for number in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 65_536, 10_001)
)


TYPE_BYTES: Final = 4
"""Of the NodeId before each request, which has a number beyond 255."""


def without_token(message: bytes) -> bytes:
    """A request whose header begins after the authentication token."""
    rest = Buffer(message[TYPE_BYTES:])
    nodeid_from_binary(rest)
    return message[:TYPE_BYTES] + rest.read(len(rest))


def guessed_token(chance: random.Random) -> bytes:
    """As long as a right one."""
    return nodeid_to_binary(ua.NodeId(chance.randbytes(32), 0, ua.NodeIdType.ByteString))


@contextlib.contextmanager
def target(folder: Path) -> Iterator[tuple[psutil.Process, int, Any]]:
    """The server's process, its port, and how to end it and hear what came of it."""
    here = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, str(here / "support" / "opcua_target.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(here)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def end(witness_port: int) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{witness_port}\n")
        process.stdin.flush()
        report: dict[str, Any] = json.loads(process.stdout.readline())
        return report

    try:
        yield psutil.Process(process.pid), int(process.stdout.readline()), end
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


class Fuzzer:
    """Sends mutations of what a good client sent."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.url = f"opc.tcp://127.0.0.1:{port}"
        self.port, self.chance = port, chance
        self.bodies: list[bytes] = []
        """Requests of a good session, without their authentication token."""
        self.stream: list[bytes] = []
        """Frames of the same session as they went over the wire."""
        self.sent: Counter[str] = Counter()

    async def capture(self) -> None:
        """Do what clients do, and keep it."""
        client = Client(self.url, timeout=10)
        client.session_timeout = 60_000
        await client.connect_socket()
        protocol = client.uaclient.protocol
        connection, write = protocol._connection, protocol.transport.write
        encode = connection.message_to_binary

        def kept(message: bytes, *words: Any, **more: Any) -> bytes:
            self.bodies.append(without_token(message))
            return encode(message, *words, **more)

        connection.message_to_binary = kept
        protocol.transport.write = lambda data: (self.stream.append(bytes(data)), write(data))
        await client.send_hello()
        await client.open_secure_channel()
        await client.create_session()
        await client.activate_session()
        await everything(client)
        with contextlib.suppress(ua.UaError):
            await client.activate_session(username=USER, password="wrong")
        await client.close_session()
        client.disconnect_socket()

    def mutated(self, data: bytes) -> bytes:
        """The same with one to four things wrong."""
        chance, found = self.chance, bytearray(data)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(found) + 1)
            end = min(len(found), place + chance.randint(1, 16))
            match chance.randrange(7):
                case 0 if place < len(found):
                    found[place] ^= 1 << chance.randrange(8)
                case 1 if place < len(found):
                    found[place] = chance.randrange(256)
                case 2:
                    found[place : place + 4] = chance.choice(EXTREMES)
                case 3:
                    del found[place:end]
                case 4:
                    found[place:place] = found[place:end] * chance.randint(1, 8)
                case 5:
                    other = chance.choice(self.bodies)
                    found[place:] = other[chance.randrange(len(other)) :]
                case _:
                    found[place:place] = chance.randbytes(chance.randint(1, 32))
        return bytes(found)

    async def attack_the_wire(self) -> None:
        """A stream of frames, some mutated, left out, sent twice or in another order."""
        frames = [
            self.mutated(frame) if self.chance.random() < 0.15 else frame for frame in self.stream
        ]
        for _ in range(self.chance.randrange(3)):
            place = self.chance.randrange(len(frames))
            frames[place : place + 2] = reversed(frames[place : place + 2])
        if self.chance.random() < 0.3:
            frames.insert(self.chance.randrange(len(frames)), self.chance.choice(frames))
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(ConnectionError):
            for frame in frames:
                writer.write(frame)
                self.sent["frames"] += 1
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def attack_the_services(self, *, logged_in: bool) -> None:
        """Mutated requests inside a good channel, with the right token or none."""
        client = Client(self.url, timeout=10)
        client.session_timeout = 60_000
        try:
            await client.connect_socket()
            await client.send_hello()
            await client.open_secure_channel()
            if logged_in:
                await client.create_session()
                await client.activate_session()
            await self._requests(client)
        except (ua.UaError, ConnectionError, OSError, TimeoutError):
            self.sent["refused"] += 1  # its own number of sessions is bounded too
        finally:
            client.disconnect_socket()

    async def _requests(self, client: Client) -> None:
        protocol = client.uaclient.protocol
        token = nodeid_to_binary(client.uaclient.session.authentication_token)
        for _ in range(40):
            if protocol.transport is None:
                return
            body = self.mutated(self.chance.choice(self.bodies))
            used = token if self.chance.random() < 0.9 else guessed_token(self.chance)
            body = body[:TYPE_BYTES] + used + body[TYPE_BYTES:]
            protocol._request_id += 1
            number = protocol._request_id
            answer = protocol._callbackmap[number] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            protocol.transport.write(
                protocol._connection.message_to_binary(body, request_id=number)
            )
            self.sent["requests"] += 1
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)


class Recorder:
    """Takes notifications and does nothing with them."""

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        pass


async def everything(client: Client) -> None:
    """One request of each service; what is refused is a capture too."""
    node, recipe = client.get_node(CURRENT_TIME), client.get_node(RECIPE)
    session = client.uaclient.session
    await client.get_endpoints()
    await client.find_servers()
    await node.read_value()
    await recipe.read_attributes([ua.AttributeIds.Value, ua.AttributeIds.AccessLevel])
    children = await client.nodes.objects.get_children()
    await client.nodes.root.get_child(["0:Objects", "0:Server"])
    await client.register_nodes(children)
    await client.unregister_nodes(children)
    with contextlib.suppress(ua.UaError):
        await recipe.write_value(ua.Variant(1, ua.VariantType.Int16))
    subscription = await client.create_subscription(100, Recorder())
    items = await subscription.subscribe_data_change([node, recipe])
    await session.set_publishing_mode(
        ua.SetPublishingModeParameters(SubscriptionIds=[subscription.subscription_id])
    )
    await subscription.modify_monitored_item(items[0], 200)
    await subscription.set_monitoring_mode(ua.MonitoringMode.Sampling)
    await subscription.unsubscribe(items)
    with contextlib.suppress(ua.UaError):
        await client.get_node(ua.ObjectIds.Server).call_method(
            ua.NodeId(ua.ObjectIds.Server_GetMonitoredItems),
            ua.Variant(subscription.subscription_id, ua.VariantType.UInt32),
        )
    params = ua.BrowseParameters(RequestedMaxReferencesPerNode=ua.Counter(1))
    params.NodesToBrowse = [
        ua.BrowseDescription(
            NodeId=client.nodes.objects.nodeid,
            BrowseDirection=ua.BrowseDirection.Both,
            ResultMask=ua.UInt32(63),
        )
    ]
    (found,) = await session.browse(params)
    await session.browse_next(ua.BrowseNextParameters(False, [found.ContinuationPoint]))
    await subscription.delete()


async def witness(port: int, folder: Path) -> tuple[Client, Any]:
    """A client that works all the while, with security and a user."""
    made = Workshop().client()
    certificate, key = made.write(folder)
    # The library gives a connection up that does not answer within its watchdog's interval.
    client = Client(f"opc.tcp://127.0.0.1:{port}", timeout=30, watchdog_intervall=30)
    client.application_uri, client.session_timeout = URI, 60_000
    await client.set_security(SecurityPolicyBasic256Sha256, certificate, key)
    client.set_user(USER)
    client.set_password(PASSWORD)
    await client.connect()
    return client, client.uaclient.session.authentication_token


async def read_on(client: Client, stop: asyncio.Event, times_s: list[float]) -> None:
    node = client.get_node(CURRENT_TIME)
    while not stop.is_set():
        begun = time.perf_counter()
        assert await node.read_value() is not None
        times_s.append(time.perf_counter() - begun)
        await asyncio.sleep(0.005)


@pytest.fixture
def quiet_client(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="asyncua.client")


@pytest.mark.campaign
@pytest.mark.timeout(SECONDS + 120)
async def test_mutated_captures_let_nobody_in_disturb_nobody_and_leave_no_memory_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(100, logger="asyncua")
    with target(tmp_path) as (process, port, end):
        client, token = await witness(port, tmp_path)
        own_port = client.uaclient.protocol.transport.get_extra_info("sockname")[1]
        fuzzer = Fuzzer(port, random.Random(SEED))
        await fuzzer.capture()
        stop, times_s = asyncio.Event(), list[float]()
        reading = asyncio.create_task(read_on(client, stop, times_s))
        before = most = process.memory_info().rss
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and not reading.done():
            await asyncio.gather(
                fuzzer.attack_the_wire(),
                fuzzer.attack_the_services(logged_in=True),
                fuzzer.attack_the_services(logged_in=False),
            )
            most = max(most, process.memory_info().rss)
        stop.set()
        await asyncio.wait([reading])
        report = end(own_port)
        assert (reading.exception(), report["witness"]) == (None, []), report
        assert client.uaclient.session.authentication_token == token
        await asyncio.gather(client.disconnect(), return_exceptions=True)
    times_s.sort()
    p99_ms, longest_ms = times_s[len(times_s) * 99 // 100] * 1e3, times_s[-1] * 1e3
    with capsys.disabled():
        print(
            f"\n{SECONDS:g} s, seed {SEED}: {dict(fuzzer.sent)}; {report['closed']} connections "
            f"closed; reads {len(times_s)}, p99 {p99_ms:.1f} ms, longest {longest_ms:.0f} ms; "
            f"memory {before >> 20} MiB, at most {most >> 20} MiB"
        )
    assert (report["logins"], report["commands"]) == (1, 0)
    assert report["unhandled"] == {}
    assert most - before < MEMORY_BYTES
    assert fuzzer.sent["requests"] > 20 * fuzzer.sent["refused"]  # most of it is looked into
