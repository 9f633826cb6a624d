"""The users of the server: the user file, password checks, and lock-out after failed logins.

Called when a session is activated, now and then in between (`FileUsers.look`), and by the command
line (`add_user`, `remove_user`). Passwords
are only ever kept as argon2 hashes; an unknown user costs the same work and gets the same answer as
a wrong password.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import argon2
from argon2.exceptions import InvalidHashError, VerificationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cellwright.io.timing.clock import Clock
from cellwright.opcua_model.errors import UsersError
from cellwright.opcua_model.security.lockout import LockOut, Place

_FINGERPRINT: Final = re.compile(r"[0-9a-fA-F]{64}")
MAX_CERTIFICATES: Final = 10
"""Of one user; the oldest gives way."""
NOWHERE: Final = Place()
MAX_PASSWORD_BYTES: Final = 1024

STRONG: Final = argon2.PasswordHasher()
"""The library's defaults (RFC 9106, low memory); tests take a cheaper one."""


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One user of the file."""

    name: str
    password_hash: str
    roles: frozenset[str]
    certificates: frozenset[str] = frozenset()
    """SHA-256 fingerprints in hexadecimal digits; with the key of one of them the user logs in."""


def load_users(path: Path) -> dict[str, UserRecord]:
    """The users of a file; an absent file means that nobody may log in.

    Raises UsersError that names the file, the entry and the remedy.
    """
    return {name: _record(path, name, entry) for name, entry in _read(path).items()}


def add_user(
    path: Path,
    name: str,
    password: str,
    roles: list[str],
    *,
    hasher: argon2.PasswordHasher = STRONG,
) -> None:
    """Add a user or give an existing one a new password and roles.

    A new file gets mode 0600; one that is there keeps owner, group and mode. Raises UsersError for
    an empty name, a password shorter than 8 characters or no role.
    """
    if not name or name != name.strip():
        raise UsersError(f"user name {name!r} is empty or has spaces around it; give another")
    if len(password) < 8 or len(password.encode()) > MAX_PASSWORD_BYTES:
        raise UsersError(
            f"the password of {name} must have at least 8 characters "
            f"and at most {MAX_PASSWORD_BYTES} bytes"
        )
    if not roles or not all(roles):
        raise UsersError(f"user {name} has no role; give at least one, for example Operator")
    entries = _read(path)
    former = entries.get(name)
    entries[name] = {"password": hasher.hash(password), "roles": list(roles)}
    if isinstance(former, Mapping) and former.get("certificates"):
        entries[name]["certificates"] = list(former["certificates"])
    _write(path, entries)


def add_certificate(path: Path, name: str, fingerprint: str) -> None:
    """Let a user log in with the key of a certificate too. Raises UsersError for a stranger."""
    record = load_users(path).get(name)
    if record is None:
        raise UsersError(
            f"there is no user '{name}' in {path}; `cellwright user add {name}` makes one"
        )
    entries = _read(path)
    former = [each for each in entries[name].get("certificates", []) if each != fingerprint]
    entries[name] = {**entries[name], "certificates": [*former, fingerprint][-MAX_CERTIFICATES:]}
    _write(path, entries)


def remove_user(path: Path, name: str) -> None:
    """Take a user away. Raises UsersError when there is none of that name."""
    entries = _read(path)
    if name not in entries:
        known = ", ".join(sorted(entries)) or "nobody"
        raise UsersError(f"there is no user '{name}' in {path}; it names {known}")
    del entries[name]
    _write(path, entries)


def _write(path: Path, entries: dict[str, Any]) -> None:
    """Replace the file as a whole. Raises UsersError."""
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # what a kill left may have another mode
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            if path.exists():
                was = path.stat()
                os.fchown(descriptor, was.st_uid, was.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(was.st_mode))
            YAML().dump({"users": entries}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UsersError(
            f"cannot write the user file {path}: {error}; check the folder's permissions"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsersError(
            f"cannot read the user file {path}: {error}; check its permissions"
        ) from error
    try:
        content = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise UsersError(f"{path} is not YAML: {error}; correct it or create a new one") from error
    users = content.get("users") if isinstance(content, Mapping) else None
    if not isinstance(users, Mapping) or not all(isinstance(name, str) for name in users):
        raise UsersError(
            f"{path}: expected 'users:' with one entry for each user name;"
            " `cellwright user add NAME FOLDER --role ROLE` writes it"
        )
    return dict(users)


def _record(path: Path, name: str, entry: object) -> UserRecord:
    where = f"{path}: user {name}"
    if not isinstance(entry, Mapping):
        raise UsersError(f"{where}: expected 'password' and 'roles'")
    unknown = set(entry) - {"password", "roles", "certificates"}
    if unknown:
        raise UsersError(
            f"{where}: unknown key {', '.join(sorted(map(str, unknown)))}; "
            "a user has 'password', 'roles' and, with a certificate, 'certificates'"
        )
    password, roles = entry.get("password"), entry.get("roles")
    if not isinstance(password, str) or not password.startswith("$argon2"):
        raise UsersError(
            f"{where}: 'password' must be an argon2 hash; "
            f"it is never written here by hand: run `cellwright user add {name} FOLDER --role ROLE`"
            " with the folder of the cell"
        )
    if not isinstance(roles, list) or not roles or not all(isinstance(r, str) and r for r in roles):
        raise UsersError(f"{where}: 'roles' must be a list of at least one role name")
    try:
        argon2.extract_parameters(password)
    except InvalidHashError as error:
        raise UsersError(f"{where}: the argon2 hash is damaged; set the password anew") from error
    return UserRecord(name, password, frozenset(roles), _fingerprints(where, entry))


def _fingerprints(where: str, entry: Mapping[Any, Any]) -> frozenset[str]:
    found = entry.get("certificates", [])
    if not isinstance(found, list) or not all(
        isinstance(each, str) and _FINGERPRINT.fullmatch(each) for each in found
    ):
        raise UsersError(
            f"{where}: 'certificates' must be a list of SHA-256 fingerprints; "
            "`cellwright user certificate` writes them"
        )
    return frozenset(each.lower() for each in found)


@dataclass(frozen=True, slots=True)
class UsersChange:
    """What is different between two readings of the users. Never with a password or a hash."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    """Names of those who have other roles now."""
    passwords: tuple[str, ...] = ()
    """Names of those whose password was changed, or their certificates."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.roles or self.passwords)


def changes(old: Mapping[str, UserRecord], new: Mapping[str, UserRecord]) -> UsersChange:
    """By name, in order."""
    both = sorted(old.keys() & new.keys())
    return UsersChange(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        roles=tuple(name for name in both if old[name].roles != new[name].roles),
        passwords=tuple(
            name
            for name in both
            if (old[name].password_hash, old[name].certificates)
            != (new[name].password_hash, new[name].certificates)
        ),
    )


class UserSource(Protocol):
    """Where an `Authenticator` finds users; a mapping of names is one."""

    def get(self, name: str, /) -> UserRecord | None:
        """The user of that name, None where there is none. Must not wait."""

    def values(self) -> Iterable[UserRecord]:
        """All users. Must not wait."""


class WatchedUsers(UserSource, Protocol):
    """A source whose users may change while the server runs."""

    @property
    def place(self) -> str:
        """Where they come from, for people."""

    def look(self) -> UsersChange:
        """Read what has changed, and what is different since the look before.

        It may wait: call it in a thread, one at a time. Raises UsersError when they cannot be read;
        then those known before stay.
        """


class FileUsers:
    """The users of a file, which is read again when it is another one or was written to.

    While it cannot be read, or is gone after it was there, the users known before stay: a slip of
    an editor locks nobody out, and who is to be locked out is taken out of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._users: dict[str, UserRecord] = {}
        self._seen: tuple[int, ...] | None = None
        self._read = False

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self.path)

    def get(self, name: str, /) -> UserRecord | None:
        """The user of that name as of the last look."""
        return self._users.get(name)

    def values(self) -> Iterable[UserRecord]:
        """The users as of the last look."""
        return list(self._users.values())

    def look(self) -> UsersChange:
        """Read the file if it has changed. Raises UsersError at each look until it can be read."""
        seen = self._signature()
        if seen is not None and seen == self._seen:
            return UsersChange()
        if seen is None and self._read:
            raise UsersError(
                f"the user file {self.path} is gone; the users that it named stay until it is "
                "back, or until the cell is started again"
            )
        users = load_users(self.path)
        change = changes(self._users, users)
        # What was written to between the two is read again at the next look.
        self._users, self._seen, self._read = users, seen, seen is not None
        return change

    def _signature(self) -> tuple[int, ...] | None:
        """Differs for a file that was written to, replaced, or given other rights."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsersError(
                f"cannot read the user file {self.path}: {error}; check its permissions"
            ) from error
        return (
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mode,
        )


class Authenticator:
    """Checks names and passwords, and lets wait who failed too often (`LockOut`).

    `check` works for some tens of milliseconds on purpose: call it in a thread, one at a time.
    """

    def __init__(
        self,
        users: UserSource,
        clock: Clock,
        hasher: argon2.PasswordHasher = STRONG,
    ) -> None:
        """``hasher`` sets what an unknown user costs; it should be the one of the user file."""
        self._users = users
        self.lockout = LockOut(clock)
        self._hasher = hasher
        self._decoy = hasher.hash(secrets.token_hex(16))

    def check(self, name: str, password: str, place: Place = NOWHERE) -> UserRecord | None:
        """The user, or None for a wrong password, an unknown name or one that has to wait."""
        if self.lockout.locked(name, place) or len(password.encode()) > MAX_PASSWORD_BYTES:
            return None
        user = self._users.get(name)
        try:
            self._hasher.verify(self._decoy if user is None else user.password_hash, password)
        except VerificationError:
            user = None
        if user is None:
            self.lockout.failed(name, place)
        else:
            self.lockout.succeeded(name, place)
        return user

    def owner(self, fingerprint: str) -> UserRecord | None:
        """Whose certificate it is, by its SHA-256 fingerprint."""
        return next(
            (each for each in self._users.values() if fingerprint in each.certificates), None
        )

    def why_refused(self, name: str, place: Place = NOWHERE) -> str:
        """For the log, never for the client: what was wrong with the last login of that name."""
        if self.lockout.locked(name, place):
            return "locked after too many failures from there"
        return "unknown user" if self._users.get(name) is None else "wrong password"
