"""The users of a cell that has a MES: those of its database, by its rules, for OPC UA as for REST.

The user file gives each name once, when the MES does not know it, and the certificates. While the
database is away, those last seen get in by their passwords, or a cell could not be operated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import argon2
import structlog

from cellwright.io.timing.clock import Clock
from cellwright.mes.kernel.errors import Kind, MesError
from cellwright.mes.people.sign_in import People, Person
from cellwright.opcua_model.errors import UsersError
from cellwright.opcua_model.security.lockout import Place
from cellwright.opcua_model.security.users import (
    MAX_PASSWORD_BYTES,
    NOWHERE,
    STRONG,
    Authenticator,
    FileUsers,
    UserRecord,
    UsersChange,
    changes,
)

PLACE: Final = "the MES's database"

_log = structlog.get_logger(__name__)


class MesUsers:
    """The active users of the MES, as of the last look at which its database answered."""

    def __init__(self, people: People, file: FileUsers | None) -> None:
        self.people = people
        self._file = file
        self._users: dict[str, UserRecord] = {}
        self._persons: Mapping[str, Person] | None = None
        self._asked: set[str] = set()
        """Names of the file that the MES was offered."""

    @property
    def place(self) -> str:
        """For people."""
        return PLACE

    def get(self, name: str, /) -> UserRecord | None:
        """The user of that name as of the last look."""
        return self._users.get(name)

    def values(self) -> Iterable[UserRecord]:
        """The users as of the last look."""
        return list(self._users.values())

    @property
    def read(self) -> bool:
        """False until the database has answered once."""
        return self._persons is not None

    def coded(self, name: str) -> bool:
        """True for a user whose password alone is not enough."""
        person = (self._persons or {}).get(name)
        return person is not None and person.one_time_codes

    def look(self) -> UsersChange:
        """See who is known now; what the first look brings is no change.

        A database that does not answer is told by those who watch it, and changes nothing here.
        Raises UsersError when the file cannot be read, once what the MES says has been taken.
        """
        trouble = self._look_at_file()
        first = self._persons is None
        try:
            self._read()
            if self._take_over():
                self._read()
        except MesError as error:
            if error.kind is not Kind.UNAVAILABLE:
                raise UsersError(f"the users of the MES cannot be read: {error.message}") from error
        users = {name: self._record(person) for name, person in (self._persons or {}).items()}
        change = changes(self._users, users)
        self._users = users
        if trouble is not None and (first or not change):
            raise trouble
        return UsersChange() if first else change

    def _read(self) -> None:
        people = self.people.changed()
        if people is not None:
            self._persons = people

    def _look_at_file(self) -> UsersError | None:
        if self._file is None:
            return None
        try:
            self._file.look()
        except UsersError as error:
            return error
        return None

    def _take_over(self) -> bool:
        """Give the MES the names of the file that it does not know; True when one was new.

        A name is asked about once: whoever is inactive is known, too, and stays so.
        """
        news = False
        for each in () if self._file is None else self._file.values():
            if each.name in (self._persons or {}) or each.name in self._asked:
                continue
            try:
                new = self.people.take_over({each.name: (each.password_hash, sorted(each.roles))})
            except MesError as error:
                if error.kind is Kind.UNAVAILABLE:
                    raise
                new = []
                _log.error("user not taken over into the MES", user=each.name, why=error.message)
            self._asked.add(each.name)
            if new:
                news = True
                _log.info("user taken over into the MES", user=each.name)
        return news

    def _record(self, person: Person) -> UserRecord:
        held = None if self._file is None else self._file.get(person.username)
        certificates = frozenset[str]() if held is None else held.certificates
        return UserRecord(person.username, person.password_hash, person.roles, certificates)


class MesAuthenticator(Authenticator):
    """Asks the MES whether a password is right; failures count there, and here by place too."""

    def __init__(
        self, users: MesUsers, clock: Clock, hasher: argon2.PasswordHasher = STRONG
    ) -> None:
        super().__init__(users, clock, hasher)
        self._mes = users
        self._reasons: dict[str, str] = {}
        """Of the last refusal alone: its name and why."""

    def check(self, name: str, password: str, place: Place = NOWHERE) -> UserRecord | None:
        """As of the base, by the rules of the MES while its database answers."""
        self._reasons = {}
        if self.lockout.locked(name, place) or len(password.encode()) > MAX_PASSWORD_BYTES:
            return None
        try:
            # Who knows the name alone must not keep its owner out where the owner got in before.
            spared = self.lockout.known(name, place)
            person = self._mes.people.prove(name, password, spared=spared)
        except MesError as error:
            if error.kind is not Kind.UNAVAILABLE:
                self.lockout.failed(name, place)
                self._reasons = {name: error.message}
                return None
            if not self._mes.read or self._mes.coded(name):
                self._reasons = {name: f"{PLACE} is away: {error.message}"}
                return None
            return super().check(name, password, place)
        self.lockout.succeeded(name, place)
        record = self._users.get(name) or UserRecord(name, person.password_hash, person.roles)
        return replace(record, roles=person.roles)

    def why_refused(self, name: str, place: Place = NOWHERE) -> str:
        """As of the base, in the words of the MES."""
        if name in self._reasons and not self.lockout.locked(name, place):
            return self._reasons[name]
        return super().why_refused(name, place)
