"""The user file, password checks and lock-out, on a clock that the test moves."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import argon2
import pytest

from cellwright.io.timing.clock import SimulatedClock
from cellwright.opcua_model.errors import CertificateError, UsersError
from cellwright.opcua_model.security.certificate import own_certificate
from cellwright.opcua_model.security.lockout import LOCK_AFTER
from cellwright.opcua_model.security.users import (
    Authenticator,
    FileUsers,
    UserRecord,
    UsersChange,
    add_user,
    load_users,
    remove_user,
)

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
NOW_NS = 1_790_000_000_000_000_000


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> dict[str, UserRecord]:
    path = tmp_path_factory.mktemp("users") / "users.yaml"
    add_user(path, "anna", "correct horse", ["Operator", "Supervisor"], hasher=CHEAP)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "correct" not in path.read_text()
    return load_users(path)


def test_the_right_password_gives_the_user_with_roles(users: dict[str, UserRecord]) -> None:
    user = Authenticator(users, SimulatedClock(), CHEAP).check("anna", "correct horse")
    assert user is not None
    assert user.roles == {"Operator", "Supervisor"}


def test_wrong_passwords_and_unknown_names_give_nobody(users: dict[str, UserRecord]) -> None:
    authenticator = Authenticator(users, SimulatedClock(), CHEAP)
    assert authenticator.check("anna", "wrong") is None
    assert authenticator.check("Anna", "correct horse") is None
    assert authenticator.check("", "") is None
    assert authenticator.check("anna", "x" * 5000) is None


def test_the_log_may_say_what_was_wrong_and_the_answer_does_not(
    users: dict[str, UserRecord],
) -> None:
    authenticator = Authenticator(users, SimulatedClock(), CHEAP)
    assert authenticator.check("anna", "wrong") is authenticator.check("ana", "wrong") is None
    assert authenticator.why_refused("anna") == "wrong password"
    assert authenticator.why_refused("ana") == "unknown user"
    for _ in range(LOCK_AFTER):
        authenticator.check("anna", "wrong")
    assert authenticator.why_refused("anna") == "locked after too many failures from there"


def test_an_absent_file_has_no_users(tmp_path: Path) -> None:
    assert load_users(tmp_path / "users.yaml") == {}


def test_adding_a_user_again_replaces_password_and_roles(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    add_user(path, "anna", "first password", ["Operator"], hasher=CHEAP)
    add_user(path, "bert", "other password", ["Planner"], hasher=CHEAP)
    add_user(path, "anna", "second password", ["Admin"], hasher=CHEAP)
    found = load_users(path)
    authenticator = Authenticator(found, SimulatedClock(), CHEAP)
    assert authenticator.check("anna", "first password") is None
    assert authenticator.check("anna", "second password") is not None
    assert found["anna"].roles == {"Admin"}
    assert found["bert"].roles == {"Planner"}


def test_a_user_who_was_removed_cannot_log_in_and_the_others_can(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    add_user(path, "anna", "first password", ["Operator"], hasher=CHEAP)
    add_user(path, "bert", "other password", ["Planner"], hasher=CHEAP)
    remove_user(path, "anna")
    assert set(load_users(path)) == {"bert"}
    with pytest.raises(UsersError, match=r"no user 'anna' in .*users.yaml; it names bert"):
        remove_user(path, "anna")


def test_a_new_file_is_private_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    add_user(path, "anna", "first password", ["Operator"], hasher=CHEAP)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    (tmp_path / "users.yaml.new").write_text("left by a kill")
    add_user(path, "bert", "other password", ["Planner"], hasher=CHEAP)
    assert path.stat().st_mode & 0o777 == 0o640
    assert set(load_users(path)) == {"anna", "bert"}
    assert [file.name for file in tmp_path.iterdir()] == ["users.yaml"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("users: [", "not YAML"),
        ("anna: {}", "expected 'users:'"),
        ("users: {1: {}}", "expected 'users:'"),
        ("users: {anna: secret}", "user anna: expected 'password' and 'roles'"),
        ("users: {anna: {password: secret, roles: [A]}}", "must be an argon2 hash"),
        ("users: {anna: {password: $argon2id$x, roles: [A]}}", "damaged"),
        ("users: {anna: {password: $argon2id$x, roles: []}}", "at least one role"),
        ("users: {anna: {password: $argon2id$x, roles: [A], mail: x}}", "unknown key mail"),
    ],
)
def test_a_bad_user_file_is_told_by_entry_and_remedy(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "users.yaml"
    path.write_text(text)
    with pytest.raises(UsersError, match=told) as caught:
        load_users(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "password", "roles"),
    [("", "long enough", ["A"]), (" x", "long enough", ["A"]), ("x", "short", ["A"]),
     ("x", "long enough", []), ("x", "y" * 2000, ["A"])],
)  # fmt: skip
def test_a_user_that_cannot_be_is_refused(
    tmp_path: Path, name: str, password: str, roles: list[str]
) -> None:
    with pytest.raises(UsersError):
        add_user(tmp_path / "users.yaml", name, password, roles, hasher=CHEAP)
    assert not (tmp_path / "users.yaml").exists()


def test_a_certificate_is_made_once_and_kept(tmp_path: Path) -> None:
    first = own_certificate(tmp_path, "urn:test:a", "A", NOW_NS)
    again = own_certificate(tmp_path, "urn:test:a", "A", NOW_NS)
    assert first.certificate == again.certificate
    assert first.key.key_size >= 2048
    days = (first.certificate.not_valid_after_utc - first.certificate.not_valid_before_utc).days
    assert days == 3652
    assert stat.S_IMODE((tmp_path / "own" / "key.pem").stat().st_mode) == 0o600


MONTH_NS = 30 * 24 * 3600 * 1_000_000_000


@pytest.mark.parametrize("clock_ns", [NOW_NS + MONTH_NS, NOW_NS - MONTH_NS, 0])
def test_a_certificate_that_was_made_while_the_clock_was_wrong_is_valid_when_it_is_right(
    tmp_path: Path, clock_ns: int
) -> None:
    made = own_certificate(tmp_path, "urn:test:a", "A", clock_ns).certificate
    right = datetime.fromtimestamp(NOW_NS / 1e9, UTC)
    assert made.not_valid_before_utc < right
    assert (made.not_valid_after_utc - right).days > 8 * 365


def test_a_certificate_that_does_not_fit_is_refused_with_a_remedy(tmp_path: Path) -> None:
    own_certificate(tmp_path, "urn:test:a", "A", NOW_NS)
    with pytest.raises(CertificateError, match="another application"):
        own_certificate(tmp_path, "urn:test:b", "A", NOW_NS)
    (tmp_path / "own" / "certificate.der").write_bytes(b"not a certificate")
    with pytest.raises(CertificateError, match="remove both"):
        own_certificate(tmp_path, "urn:test:a", "A", NOW_NS)
    (tmp_path / "own" / "certificate.der").unlink()
    with pytest.raises(CertificateError, match="restore both files"):
        own_certificate(tmp_path, "urn:test:a", "A", NOW_NS)


def users_file(folder: Path) -> Path:
    path = folder / "users.yaml"
    for name in ("anna", "bert", "carl"):
        add_user(path, name, "correct horse", ["Operator"], hasher=CHEAP)
    return path


def test_a_file_that_is_changed_is_read_again_and_tells_what_is_different(tmp_path: Path) -> None:
    path = users_file(tmp_path)
    users = FileUsers(path)
    assert users.look() == UsersChange(added=("anna", "bert", "carl"))
    assert users.look() == UsersChange()
    remove_user(path, "anna")
    add_user(path, "bert", "another horse", ["Operator"], hasher=CHEAP)
    add_user(path, "dora", "correct horse", ["Admin"], hasher=CHEAP)
    path.write_text(path.read_text().replace("- Operator", "- Planner", 1))
    change = users.look()
    assert (change.added, change.removed) == (("dora",), ("anna",))
    assert "bert" in change.passwords
    assert len(change.roles) == 1
    authenticator = Authenticator(users, SimulatedClock(), CHEAP)
    assert authenticator.check("anna", "correct horse") is None
    assert authenticator.check("bert", "another horse") is not None
    assert authenticator.check("dora", "correct horse") is not None


@pytest.mark.parametrize(
    "damage", ["deleted", "no rights", "a folder", "emptied", "garbage", "half of it", "no users"]
)
def test_users_stay_while_their_file_cannot_be_read_and_it_is_read_when_it_is_back(
    tmp_path: Path, damage: str
) -> None:
    path = users_file(tmp_path)
    users = FileUsers(path)
    users.look()
    text = path.read_bytes()
    match damage:
        case "deleted":
            path.unlink()
        case "no rights":
            if os.geteuid() == 0:
                pytest.skip("root reads every file")
            path.chmod(0)
        case "a folder":
            path.unlink()
            path.mkdir()
        case "emptied":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(os.urandom(4096))
        case "half of it":
            path.write_bytes(text[: len(text) // 2])
        case "no users":
            path.write_text("cell: {}")
    for _ in range(2):
        with pytest.raises(UsersError, match=r"users\.yaml"):
            users.look()
        assert users.get("anna") is not None
    if path.is_dir():
        path.rmdir()
    if path.exists():
        path.chmod(0o600)
    path.write_bytes(text)
    remove_user(path, "carl")
    assert users.look() == UsersChange(removed=("carl",))


def test_a_file_that_comes_only_later_is_read_then(tmp_path: Path) -> None:
    users = FileUsers(tmp_path / "users.yaml")
    assert users.look() == UsersChange()
    assert users.get("anna") is None
    users_file(tmp_path)
    assert users.look().added == ("anna", "bert", "carl")
