"""Users, passwords, keys and codes, on both databases where there is one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import argon2
import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.mes import audit
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import DEFAULT_SCOPE
from cellwright.mes.kernel.store import Store
from cellwright.mes.people import accounts, roles
from cellwright.mes.people.accounts import Who
from cellwright.mes.people.credentials import passwords, refresh
from cellwright.mes.people.credentials.passwords import Passwords
from cellwright.mes.people.credentials.tokens import AccessTokens
from cellwright.mes.people.keys import totp
from cellwright.mes.people.keys.signing_keys import SigningKeys
from cellwright.mes.people.roles import Role
from cellwright.mes.people.tables import User

CHEAP = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
AT = datetime(2026, 3, 14, 12, tzinfo=UTC)
WHO = Who("ann", "because", AT)


def add(store: Store, name: str, *given: str) -> None:
    with store.session() as session:
        hashed = CHEAP.hash("a password", name)
        accounts.create(session, WHO, username=name, password_hash=hashed, given=given)


def change(store: Store, name: str, **wanted: Any) -> None:
    with store.session() as session:
        accounts.change(session, WHO, accounts.find(session, name, lock=True), wanted)


def test_a_change_of_a_user_is_audited_without_a_secret(empty_store: Store) -> None:
    add(empty_store, "bob", "Operator")
    change(empty_store, "bob", roles=["Supervisor", "operator"], email="bob@plant.example")
    with empty_store.reading() as session:
        first, second = audit.trail(session, entity_type="user", entity_id="bob")
        assert accounts.find(session, "bob").roles == ["Operator", "Production Supervisor"]
    assert "argon2" not in first.new + second.old + second.new
    assert '"roles":["Operator","Production Supervisor"]' in second.new
    assert '"email":""' in second.old


def test_the_last_administrator_stays(empty_store: Store) -> None:
    add(empty_store, "root", "Admin")
    for wanted in ({"roles": ["Operator"]}, {"active": False}):
        with pytest.raises(MesError, match="the last active Administrator") as caught:
            change(empty_store, "root", **wanted)
        assert caught.value.code == "last_administrator"
    add(empty_store, "other", "System Administrator")
    change(empty_store, "root", active=False)


def test_a_role_that_is_none_is_refused_with_the_nearest(empty_store: Store) -> None:
    with pytest.raises(MesError, match="did you mean Quality Inspector"):
        add(empty_store, "eve", "Quality Inspektor")


def test_users_of_a_file_are_taken_over_once(empty_store: Store) -> None:
    entries = {
        "op": (CHEAP.hash("operator-1", "op"), ["Operator"]),
        "old": (CHEAP.hash("something", "old"), ["Welder"]),
    }
    with empty_store.session() as session:
        assert accounts.import_users(session, WHO, entries) == ["old", "op"]
        assert accounts.find(session, "old").roles == []
    change(empty_store, "op", roles=["Planner"])
    with empty_store.session() as session:
        assert accounts.import_users(session, WHO, entries) == []
        assert accounts.find(session, "op").roles == ["Production Planner"]


def test_each_failure_beyond_the_fifth_locks_for_longer(empty_store: Store) -> None:
    add(empty_store, "bob", "Operator")
    locks = []
    with empty_store.session() as session:
        user = accounts.find(session, "bob")
        version = user.version
        for _ in range(12):
            until = passwords.count_failure(session, user, AT).locked_until
            locks.append(until and (until - AT).total_seconds())
        assert passwords.locked(user, AT + timedelta(seconds=899))
        assert not passwords.locked(user, AT + timedelta(seconds=900))
        assert passwords.count_success(session, user)
        assert (user.failed_logins, user.locked_until_utc, user.version) == (0, None, version)
    assert locks == [None] * 4 + [30, 60, 120, 240, 480, 900, 900, 900]


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("short", "at least 8 characters"),
        ("x" * 1025, "at most 1024 bytes"),
        ("nul\0" * 3, "without NUL"),
        ("BobTheBuilder", "must not be the user name"),
        (" " * 9, "must not be blank"),
    ],
)
def test_a_password_that_will_not_do_is_refused_and_not_shown(
    password: str, complaint: str
) -> None:
    with pytest.raises(MesError, match=complaint) as caught:
        CHEAP.hash(password, "bobthebuilder")
    assert password.strip() not in caught.value.message or not password.strip()


def test_an_unknown_user_costs_a_verification_and_is_never_right() -> None:
    assert not CHEAP.matches(None, "anything")
    assert CHEAP.matches(CHEAP.hash("a password", "bob"), "a password")
    assert not CHEAP.matches(CHEAP.hash("a password", "bob"), "another one")
    assert not CHEAP.matches("not a hash", "a password")


@given(st.lists(st.sampled_from(list(Role)), max_size=4))
def test_rights_of_several_roles_add_up(some: list[Role]) -> None:
    together = roles.permissions(some)
    assert together == frozenset().union(*(roles.permissions([role]) for role in some))


def test_the_matrix_has_128_cells() -> None:
    cells = [
        getattr(row, right)
        for row in roles.matrix()
        for right in ("create", "read", "update", "delete")
    ]
    assert (len(cells), sum(cells)) == (128, 68)


def test_a_key_is_replaced_with_overlap(tmp_path: Path) -> None:
    now = 1_000_000.0
    keys = SigningKeys(tmp_path, bits=2048, utc_s=lambda: now)
    tokens = AccessTokens(keys, utc_s=lambda: now)
    user = User(id=7, username="bob", email="", roles=["Operator"])
    before = tokens.issue(user, DEFAULT_SCOPE, "login", ["pwd"])
    keys.rotate()
    after = tokens.issue(user, DEFAULT_SCOPE, "login", ["pwd"])
    assert tokens.read(before).username == tokens.read(after).username == "bob"
    assert len(keys.jwks()["keys"]) == 2
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    now += 3700
    for token in (before, after):
        with pytest.raises(MesError, match="not valid"):
            tokens.read(token)
    assert len(keys.jwks()["keys"]) == 1


def test_processes_that_begin_together_have_one_key(tmp_path: Path) -> None:
    found: list[str] = []

    def begin() -> None:
        found.append(SigningKeys(tmp_path / "keys", bits=2048).signing()[0])

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_refresh_token_works_once_and_its_second_use_ends_the_login(empty_store: Store) -> None:
    add(empty_store, "bob", "Operator")
    with empty_store.session() as session:
        user = accounts.find(session, "bob")
        first = refresh.issue(session, user, "login", AT)
        assert refresh.tenant_of(first) == 1
        assert refresh.exchange(session, first, AT).problem == ""
        second = refresh.issue(session, user, "login", AT)
        assert refresh.exchange(session, first, AT).problem == "used before"
        assert refresh.exchange(session, second, AT).problem == "ended"
        late = refresh.issue(session, user, "other", AT)
        assert refresh.exchange(session, late, AT + timedelta(days=31)).problem == "expired"
        assert refresh.exchange(session, "1." + "x" * 43, AT).row is None
    assert refresh.tenant_of("nonsense") is None


def test_a_code_works_once_and_its_secret_is_sealed(tmp_path: Path) -> None:
    secret = totp.new_secret()
    seal = totp.Seal(tmp_path)
    sealed = seal.close(secret, "bob")
    assert secret not in sealed
    assert totp.Seal(tmp_path).open(sealed, "bob") == secret
    with pytest.raises(MesError, match="cannot be opened"):
        seal.open(sealed, "eve")
    code = pyotp.TOTP(secret).at(AT)
    step = totp.accepted_step(secret, code, AT, 0)
    assert step is not None
    assert totp.accepted_step(secret, code, AT, step) is None
    assert totp.accepted_step(secret, code, AT + timedelta(minutes=5), 0) is None
