"""Passwords: the hash, the policy, and the lock after failures in a row.

Only argon2id hashes are kept. An unknown user costs one verification like any other, so that
neither the answer nor its time tells who exists. Counts stand in the user's row: they hold for all
processes and outlive a restart.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import argon2
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import update
from sqlalchemy.orm import Session

from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.text import storable
from cellwright.mes.people.tables import User

MIN_CHARACTERS: Final = 8
MAX_BYTES: Final = 1024
LOCK_AFTER: Final = 5
"""Failures in a row that lock a user."""
LOCK: Final = timedelta(seconds=30)
"""The first lock; each further failure doubles it up to `LONGEST_LOCK`."""
LONGEST_LOCK: Final = timedelta(minutes=15)

STRONG: Final = argon2.PasswordHasher()
"""The library's defaults (RFC 9106, low memory)."""


def check_policy(password: str, username: str) -> None:
    """Raises MesError ``weak_password``; the message never shows the password."""
    complaint = ""
    if len(password) < MIN_CHARACTERS:
        complaint = f"must have at least {MIN_CHARACTERS} characters"
    elif not storable(password) or len(password.encode()) > MAX_BYTES:
        complaint = f"must be text of at most {MAX_BYTES} bytes without NUL characters"
    elif password.strip().casefold() == username.casefold():
        complaint = "must not be the user name"
    elif not password.strip():
        complaint = "must not be blank"
    if complaint:
        raise MesError(
            "weak_password",
            f"the password of {username!r:.100} {complaint}",
            [Detail("password", complaint)],
        )


class Passwords:
    """Hashes and verifies. Threads may share it."""

    def __init__(self, hasher: argon2.PasswordHasher = STRONG) -> None:
        self._hasher = hasher
        self._decoy = hasher.hash(secrets.token_hex(16))

    def hash(self, password: str, username: str) -> str:
        """The hash of a new password. Raises MesError ``weak_password``."""
        check_policy(password, username)
        return self._hasher.hash(password)

    def matches(self, password_hash: str | None, password: str) -> bool:
        """True for the right password; None as the hash costs the same and is never right."""
        possible = storable(password) and len(password.encode()) <= MAX_BYTES
        try:
            self._hasher.verify(
                password_hash if password_hash and possible else self._decoy,
                password if possible else "",
            )
        except (VerificationError, InvalidHashError):
            return False
        return bool(password_hash) and possible

    def renewed(self, password_hash: str, password: str) -> str | None:
        """A new hash of the right password when the parameters have changed since."""
        if self._hasher.check_needs_rehash(password_hash):
            return self._hasher.hash(password)
        return None


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failure did to the user."""

    failures: int
    locked_until: datetime | None


def locked(user: User, at: datetime) -> bool:
    """True while logins of the user are refused without regard to the password."""
    return user.locked_until_utc is not None and at < user.locked_until_utc


def lock_time(failures: int) -> timedelta:
    """How long that many failures in a row lock a user."""
    if failures < LOCK_AFTER:
        return timedelta(0)
    doublings = min(failures - LOCK_AFTER, 10)
    return min(LOCK * int(2**doublings), LONGEST_LOCK)


def count_failure(session: Session, user: User, at: datetime) -> Failure:
    """One more failure in a row; the caller holds the row's lock.

    The row's version stays: who tries passwords must not disturb who edits the user.
    """
    failures = user.failed_logins + 1
    time = lock_time(failures)
    until = at + time if time else None
    _set(session, user, failures, until)
    return Failure(failures, until)


def count_success(session: Session, user: User) -> bool:
    """Begin anew; True when there were failures."""
    if not user.failed_logins and user.locked_until_utc is None:
        return False
    _set(session, user, 0, None)
    return True


def _set(session: Session, user: User, failures: int, until: datetime | None) -> None:
    session.execute(
        update(User)
        .where(User.id == user.id)
        .values(failed_logins=failures, locked_until_utc=until)
        .execution_options(synchronize_session=False)
    )
    session.refresh(user, ["failed_logins", "locked_until_utc"])
