"""A cell with a MES: its people log in over OPC UA by the rules of REST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import argon2
import pyotp
import pytest
from asyncua import ua
from asyncua.ua.uaerrors import BadUserAccessDenied

from cellwright.io.timing.clock import SimulatedClock
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.actions import ANONYMOUS, Outside
from cellwright.mes.kernel.errors import MesError, StoreError
from cellwright.mes.kernel.secrets import secrets_folder
from cellwright.mes.kernel.store import Store
from cellwright.mes.people import accounts, logins
from cellwright.mes.people.accounts import Who
from cellwright.mes.people.credentials import totp
from cellwright.mes.people.sign_in import People
from cellwright.mes.service.catalogue import open_store
from cellwright.opcua_model.errors import UsersError
from cellwright.opcua_model.isa95.mes_users import MesAuthenticator, MesUsers
from cellwright.opcua_model.security.lockout import LOCK_AFTER, Place
from cellwright.opcua_model.security.users import FileUsers, add_certificate, add_user

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PANEL, STRANGER = Place("10.0.0.5"), Place("10.0.0.66")
PASSWORD = "correct horse"
session_loop = pytest.mark.asyncio(loop_scope="session")


def add(store: Store, name: str, *roles: str, password: str = PASSWORD) -> None:
    with store.session() as session:
        who = Who("tests", "", utc.now(session))
        accounts.create(
            session, who, username=name, password_hash=CHEAP.hash(password), given=roles
        )


def change(store: Store, name: str, **wanted: Any) -> None:
    with store.session() as session:
        who = Who("tests", "", utc.now(session))
        accounts.change(session, who, accounts.find(session, name, lock=True), wanted)


def over_rest(store: Store, name: str, password: str) -> None:
    """The login of REST as far as the password; raises MesError when it is refused."""
    outside = Outside(store=store, caller=ANONYMOUS)
    logins.log_in(outside, name, password, "", "")


class Door:
    """The users of a store as the OPC UA server has them, and a database that can go away."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.file = store, folder / "users.yaml"
        self.away = False
        self.users = MesUsers(People(self), FileUsers(self.file))
        self.clock = SimulatedClock()
        self.authenticator = MesAuthenticator(self.users, self.clock, CHEAP)

    @contextmanager
    def session(self, scope: Any = None) -> Iterator[Any]:
        if self.away:
            raise StoreError("store_unreachable", "the database is away")
        with self.store.session(scope) as session:
            yield session

    @contextmanager
    def reading(self, scope: Any = None) -> Iterator[Any]:
        if self.away:
            raise StoreError("store_unreachable", "the database is away")
        with self.store.reading(scope) as session:
            yield session

    def gets_in(self, name: str, password: str = PASSWORD, place: Place = PANEL) -> bool:
        return self.authenticator.check(name, password, place) is not None


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    store = open_store(f"sqlite:///{tmp_path / 'mes.db'}", secrets=tmp_path / "keys")
    yield Door(store, tmp_path)
    store.close()


def test_a_name_of_the_file_is_taken_over_once_and_then_the_file_says_nothing(door: Door) -> None:
    add_user(door.file, "anna", PASSWORD, ["Planner", "QualityEngineer"], hasher=CHEAP)
    assert not door.users.look(), "what is there at the start is no change"
    record = door.users.get("anna")
    assert record is not None
    assert record.roles == {"Planner", "QualityEngineer"}
    add_user(door.file, "anna", "another horse", ["Admin"], hasher=CHEAP)
    add_user(door.file, "bert", PASSWORD, ["Operator"], hasher=CHEAP)
    assert door.users.look().added == ("bert",)
    assert door.gets_in("anna")
    assert not door.gets_in("anna", "another horse")
    change(door.store, "bert", active=False)
    assert door.users.look().removed == ("bert",)
    assert not door.users.look(), "the file does not bring back whom the MES has let go"
    assert not door.gets_in("bert")


def test_a_name_that_cannot_be_a_user_keeps_nobody_else_out(door: Door) -> None:
    add_user(door.file, "a" * 300, PASSWORD, ["Operator"], hasher=CHEAP)
    add_user(door.file, "bert", PASSWORD, ["Operator"], hasher=CHEAP)
    door.users.look()
    assert [each.name for each in door.users.values()] == ["bert"]


def test_the_certificates_of_the_file_stay_good(door: Door) -> None:
    add_user(door.file, "anna", PASSWORD, ["Planner"], hasher=CHEAP)
    door.users.look()
    add_certificate(door.file, "anna", "ab" * 32)
    assert door.users.look().passwords == ("anna",)
    change(door.store, "anna", roles=["Operator"])
    door.users.look()
    owner = door.authenticator.owner("ab" * 32)
    assert owner is not None
    assert owner.roles == {"Operator"}
    change(door.store, "anna", active=False)
    door.users.look()
    assert door.authenticator.owner("ab" * 32) is None


def test_a_file_that_is_damaged_holds_up_no_change_of_the_mes(door: Door) -> None:
    add(door.store, "anna", "Planner")
    door.users.look()
    door.file.write_text("users: [")
    change(door.store, "anna", roles=["Operator"])
    assert door.users.look().roles == ("anna",)
    with pytest.raises(UsersError, match="not YAML"):
        door.users.look()


def test_failures_over_either_door_lock_both_and_spare_where_the_name_got_in(
    door: Door,
) -> None:
    add(door.store, "anna", "Planner")
    door.users.look()
    assert door.gets_in("anna", place=PANEL)
    for _ in range(LOCK_AFTER):
        assert not door.gets_in("anna", "wrong horse", STRANGER)
    assert door.authenticator.why_refused("anna", STRANGER).startswith("locked")
    with pytest.raises(MesError, match="user name or password is wrong"):
        over_rest(door.store, "anna", PASSWORD)
    assert not door.gets_in("anna", place=Place("10.0.0.7"))
    assert door.authenticator.why_refused("anna", Place("10.0.0.7")) == "locked"
    assert door.gets_in("anna", place=PANEL), "whoever knows the name alone keeps nobody out"
    over_rest(door.store, "anna", PASSWORD)
    for _ in range(LOCK_AFTER):
        with pytest.raises(MesError):
            over_rest(door.store, "anna", "wrong horse")
    assert not door.gets_in("anna", place=Place("10.0.0.7"))


def test_a_one_time_code_follows_the_password_and_works_once(door: Door) -> None:
    add(door.store, "anna", "Planner")
    with door.store.session() as session:
        user = accounts.find(session, "anna", lock=True)
        secret = totp.new_secret()
        user.totp_secret = totp.Seal(secrets_folder(session)).close(secret, "anna")
        user.totp_active = True
        code = pyotp.TOTP(secret).at(utc.now(session))
    door.users.look()
    assert not door.gets_in("anna")
    assert door.gets_in("anna", PASSWORD + code)
    assert not door.gets_in("anna", PASSWORD + code)
    assert door.authenticator.why_refused("anna", PANEL) == "the one-time code is wrong"
    door.away = True
    assert not door.gets_in("anna", PASSWORD)
    assert "database is away" in door.authenticator.why_refused("anna", PANEL)


def test_while_the_database_is_away_those_last_seen_get_in_and_nobody_before(door: Door) -> None:
    add(door.store, "anna", "Planner")
    door.away = True
    assert not door.users.look()
    assert not door.gets_in("anna")
    assert "database is away" in door.authenticator.why_refused("anna", PANEL)
    door.away = False
    door.users.look()
    door.away = True
    assert not door.users.look()
    assert door.gets_in("anna")
    assert not door.gets_in("anna", "wrong horse")
    assert not door.gets_in("bert")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


@session_loop
async def test_running_sessions_follow_the_mes(cell: Any) -> None:
    add(cell.store, "zoe", "Production Planner")
    async with cell.client("zoe", PASSWORD) as client:
        session = next(each for each in cell.server._internal.sessions if each.user.name == "zoe")
        assert session.caller.user.roles == {"Planner"}
        change(cell.store, "zoe", roles=["Operator"])
        await until(lambda: session.caller.user.roles == {"Operator"})
        change(cell.store, "zoe", active=False)
        await until(lambda: session not in cell.server._internal.sessions)
        with pytest.raises((ua.UaError, ConnectionError)):
            await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value()
    with pytest.raises(BadUserAccessDenied):
        async with cell.client("zoe", PASSWORD):
            pass
