"""Logging in without tokens: for a door that keeps sessions of its own, as the OPC UA server does.

The rules are those of `logins`: the same password, the same lock, the same one-time code, and who
is inactive does not get in. What such a door does with a person is on record elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from cellwright.mes.kernel import utc
from cellwright.mes.kernel.actions import Sessions
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.people.accounts import Who, import_users
from cellwright.mes.people.logins import hasher, settle
from cellwright.mes.people.roles import short_name
from cellwright.mes.people.tables import User

CODE_DIGITS: Final = 6
"""Of a one-time code: such a door has no field for it, so that it follows the password."""


@dataclass(frozen=True, slots=True)
class Person:
    """An active user of the default tenant."""

    username: str
    password_hash: str
    """argon2id; for comparison, and for a login while the database is away."""
    roles: frozenset[str]
    """Short names: ``Admin``, ``Operator``."""
    one_time_codes: bool


class People:
    """The people of one store, for one door. Its methods wait: call them in a thread."""

    def __init__(self, store: Sessions) -> None:
        self._store = store
        self._seen: tuple[int, int] | None = None

    def changed(self) -> dict[str, Person] | None:
        """The active users by name, or None while nobody has changed since the call before.

        Raises StoreError.
        """
        with self._store.reading() as session:
            # Users are never deleted and each change counts up, so that these two tell of any.
            count, versions = session.execute(
                select(func.count(), func.coalesce(func.sum(User.version), 0)).select_from(User)
            ).one()
            seen = int(count), int(versions)
            if seen == self._seen:
                return None
            users = session.scalars(select(User).where(User.active.is_(True)))
            people = {user.username: _person(user) for user in users}
        self._seen = seen
        return people

    def prove(self, username: str, password: str, *, spared: bool = False) -> Person:
        """Whose password it is, with the code behind it where the user has one-time codes.

        ``spared`` lets in where the name is locked: from a place that it got in from before. Raises
        MesError ``unauthenticated`` with the reason, which is for the log alone; StoreError.
        """
        with self._store.reading() as session:
            found = session.scalars(select(User).where(User.username == username)).one_or_none()
            kept = None if found is None else found.password_hash
            coded = found is not None and found.totp_active
        otp = password[-CODE_DIGITS:] if coded else ""
        right = hasher().matches(kept, password[:-CODE_DIGITS] if coded else password)
        problem = "unknown user"
        if kept is not None:
            with self._store.session() as session:
                user, problem = settle(
                    session, username, right=right, otp=otp, at=utc.now(session), spared=spared
                )
                if user is not None:
                    return _person(user)
        raise MesError("unauthenticated", problem)

    def take_over(self, entries: Mapping[str, tuple[str, Sequence[str]]]) -> list[str]:
        """Take over those of a file (hash and roles by name) who are not known yet; their names.

        Raises MesError for a name that cannot be one, StoreError.
        """
        with self._store.session() as session:
            who = Who("commissioning", "users of the OPC UA server", utc.now(session))
            return import_users(session, who, entries)


def _person(user: User) -> Person:
    roles = frozenset(short_name(role) for role in user.roles)
    return Person(user.username, user.password_hash, roles, user.totp_active)
