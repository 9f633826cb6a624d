"""Wrong passwords: who has to wait, who gets in all the same, and that nobody else is held up."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator
from typing import Any

import argon2
import pytest
from asyncua import Client, ua
from asyncua.ua.uaerrors import BadServerTooBusy, BadUserAccessDenied

from cellwright.io.timing.clock import SimulatedClock
from cellwright.opcua_model.security import lockout
from cellwright.opcua_model.security.lockout import (
    LOCK_ADDRESS_AFTER,
    LOCK_AFTER,
    LOCK_NAME_AFTER,
    LOCK_NS,
    LONGEST_LOCK_NS,
    LockOut,
    Place,
)
from cellwright.opcua_model.security.turns import (
    MOST_KNOWN,
    MOST_OF_AN_ADDRESS,
    MOST_STRANGERS,
    TooManyError,
    Turns,
)

CURRENT_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
PANEL = Place("10.0.0.5", "aa")
STRANGER = Place("10.0.0.66", "ee")
LONGEST_S = 30


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def locks(clock: SimulatedClock) -> LockOut:
    return LockOut(clock)


def fail(locks: LockOut, name: str, place: Place, times: int = LOCK_AFTER) -> None:
    for _ in range(times):
        locks.failed(name, place)


def test_five_failures_lock_a_name_at_that_address_and_nothing_else(locks: LockOut) -> None:
    fail(locks, "op", STRANGER, LOCK_AFTER - 1)
    assert not locks.locked("op", STRANGER)
    fail(locks, "op", STRANGER, 1)
    assert locks.locked("op", STRANGER)
    assert not locks.locked("op", PANEL)
    assert not locks.locked("planner", STRANGER)


def test_each_further_failure_doubles_the_wait_up_to_half_an_hour(
    locks: LockOut, clock: SimulatedClock
) -> None:
    fail(locks, "op", STRANGER)
    for wait_ns in [LOCK_NS << n for n in range(6)] + [LONGEST_LOCK_NS] * 2:
        clock.advance(wait_ns - 1)
        assert locks.locked("op", STRANGER)
        clock.advance(1)
        assert not locks.locked("op", STRANGER)
        fail(locks, "op", STRANGER, 1)


def test_quiet_for_an_hour_begins_anew(locks: LockOut, clock: SimulatedClock) -> None:
    fail(locks, "op", STRANGER, LOCK_AFTER + 4)
    clock.advance(lockout.FORGET_NS)
    fail(locks, "op", STRANGER, LOCK_AFTER - 1)
    assert not locks.locked("op", STRANGER)


def test_a_success_forgets_the_failures_before_it(locks: LockOut) -> None:
    fail(locks, "op", PANEL, LOCK_AFTER - 1)
    locks.succeeded("op", PANEL)
    fail(locks, "op", PANEL, 1)
    assert not locks.locked("op", PANEL)


def test_names_tried_in_turn_lock_the_address(locks: LockOut) -> None:
    locks.succeeded("op", PANEL)
    for number in range(LOCK_ADDRESS_AFTER):
        fail(locks, f"name{number}", STRANGER, 1)
    assert locks.locked("never tried", STRANGER)
    assert not locks.locked("op", PANEL)


def test_addresses_used_in_turn_lock_the_name_but_not_where_it_got_in_before(
    locks: LockOut,
) -> None:
    locks.succeeded("op", PANEL)
    for number in range(LOCK_NAME_AFTER):
        fail(locks, "op", Place(f"10.1.0.{number}"), 1)
    assert locks.locked("op", Place("10.2.0.1"))
    assert not locks.locked("op", PANEL)
    assert not locks.locked("op", Place("10.0.0.5"))
    assert not locks.locked("op", Place("10.2.0.1", "aa")), "the certificate travels"
    assert not locks.locked("planner", Place("10.2.0.1"))


def test_who_sits_at_the_same_address_cannot_keep_a_known_certificate_out(locks: LockOut) -> None:
    locks.succeeded("op", PANEL)
    fail(locks, "op", Place(PANEL.address, "ee"), 100)
    assert locks.locked("op", Place(PANEL.address, "ee"))
    assert not locks.locked("op", PANEL)
    fail(locks, "op", PANEL)
    assert locks.locked("op", PANEL), "not without end either"


def test_of_ipv6_a_customer_s_whole_network_is_one_address(locks: LockOut) -> None:
    for number in range(LOCK_AFTER):
        fail(locks, "op", Place(f"2001:db8::{number}"), 1)
    assert locks.locked("op", Place("2001:db8::ffff"))
    assert not locks.locked("op", Place("2001:db8:0:1::1"))


def test_counters_are_bounded(locks: LockOut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "REMEMBERED", 10)
    for number in range(50):
        fail(locks, f"name{number}", Place(f"10.1.0.{number}"), 1)
        locks.succeeded(f"user{number}", Place(f"10.1.0.{number}", "aa"))
    assert len(locks._failures) == len(locks._places) == 10


async def test_who_is_known_comes_first_and_the_lanes_are_bounded() -> None:
    turns, order = Turns(), []

    async def log_in(who: str, address: str, *, known: bool = False) -> None:
        async with turns.turn(address, known=known):
            order.append(who)
            await asyncio.sleep(0)

    async with turns.turn("10.0.0.1"):
        tasks = [
            asyncio.create_task(log_in("stranger", f"10.1.0.{number // MOST_OF_AN_ADDRESS}"))
            for number in range(MOST_STRANGERS)
        ]
        tasks += [
            asyncio.create_task(log_in("known", "10.0.0.5", known=True)) for _ in range(MOST_KNOWN)
        ]
        await asyncio.sleep(0)
        for known in (False, True):
            with pytest.raises(TooManyError):
                async with turns.turn("10.9.0.1", known=known):
                    pass
        tasks.pop().cancel()
        tasks.pop(0).cancel()
    await asyncio.gather(*tasks)
    assert order == ["known"] * (MOST_KNOWN - 1) + ["stranger"] * (MOST_STRANGERS - 1)
    assert turns.waiting == 0
    async with turns.turn():
        pass


async def test_an_address_waits_with_few_at_a_time() -> None:
    turns = Turns()
    async with turns.turn("10.0.0.1"):
        tasks = [
            asyncio.create_task(turns.turn("10.0.0.66").__aenter__())
            for _ in range(MOST_OF_AN_ADDRESS)
        ]
        await asyncio.sleep(0)
        with pytest.raises(TooManyError):
            async with turns.turn("10.0.0.66"):
                pass
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class HeldHasher(argon2.PasswordHasher):
    """Holds the first check, in whichever thread it runs, until it is let go."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go = threading.Event()

    def verify(self, *args: Any) -> Any:
        assert self.go.wait(LONGEST_S), "the check held up the one who was to let it go"
        return super().verify(*args)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldHasher]:
    hasher = HeldHasher()
    yield hasher
    hasher.go.set()


async def session(cell: Any, user: str, password: str) -> Client:
    """A client that has a session and has not logged in."""
    client: Client = await cell.unconnected(user, password)
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    await client.create_session()
    return client


async def outcome(client: Client, user: str, password: str) -> str:
    try:
        await client.activate_session(username=user, password=password)
    except (BadUserAccessDenied, BadServerTooBusy) as error:
        return type(error).__name__
    finally:
        client.disconnect_socket()
    return "in"


@pytest.mark.asyncio(loop_scope="session")
async def test_a_crowd_of_wrong_logins_holds_no_reader_up_and_the_operator_comes_first(
    make_cell: Any, held: HeldHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_cell(anonymous="read") as cell, cell.client(None) as reader:
        async with cell.client("op"):
            pass  # from here on its place is known
        monkeypatch.setattr(cell.server._authenticator, "_hasher", held)
        crowd = [await session(cell, "op", "wrong") for _ in range(20)]
        operator = await session(cell, "op", "operator-1")
        stranger = [
            asyncio.create_task(outcome(client, f"guess{number}", "wrong"))
            for number, client in enumerate(crowd)
        ]
        turns = cell.server._internal._logins
        async with asyncio.timeout(LONGEST_S):
            while turns.waiting < MOST_OF_AN_ADDRESS:
                await asyncio.sleep(0)
        welcome = asyncio.create_task(outcome(operator, "op", "operator-1"))
        for _ in range(50):
            assert await reader.get_node(CURRENT_TIME).read_value() is not None
        held.go.set()
        outcomes = await asyncio.gather(*stranger, welcome)
        assert outcomes.pop() == "in"
        waited = 1 + MOST_OF_AN_ADDRESS
        assert sorted(outcomes) == ["BadServerTooBusy"] * (len(crowd) - waited) + (
            ["BadUserAccessDenied"] * waited
        )


@pytest.mark.asyncio(loop_scope="session")
async def test_who_guesses_from_elsewhere_does_not_keep_the_operator_out(
    make_cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    from_elsewhere = functools.partial(loop.create_connection, local_addr=("127.0.0.66", 0))
    async with make_cell(anonymous="read") as cell:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(loop, "create_connection", from_elsewhere)
            for _ in range(LOCK_AFTER):
                guess = await session(cell, "op", "wrong")
                assert await outcome(guess, "op", "wrong") == "BadUserAccessDenied"
            lucky = await session(cell, "op", "operator-1")
            assert await outcome(lucky, "op", "operator-1") == "BadUserAccessDenied"
        async with cell.client("op") as client:
            assert await client.get_node(CURRENT_TIME).read_value() is not None
