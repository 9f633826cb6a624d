"""Users that change while the server runs: what becomes of their sessions, and who is told.

The server looks at every login and once a second. A session of a user who is no more, or whose
password is another one, is closed; other roles count from the next request on. Each change is an
event of the journal, and a source that cannot be read is told once, in the log and in the status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from cellwright.io.image import Image, RingError
from cellwright.io.log_once import LogOnce
from cellwright.io.messages import UsersChanged, encode
from cellwright.io.timing.clock import Clock
from cellwright.opcua_model.errors import UsersError
from cellwright.opcua_model.security.access import AUDITORS, CellUser
from cellwright.opcua_model.security.users import UsersChange, WatchedUsers
from cellwright.opcua_model.services.session import CellSession

LOOK_S: Final = 1.0
"""Between two looks whether the users have changed."""
NAMED: Final = 50
"""Users of one kind of change that an event names."""
NAME_LENGTH: Final = 64
TASK: Final = "gateway"

_log = structlog.get_logger(__name__)


class UserChanges:
    """Keeps the sessions of one server as the users are."""

    def __init__(
        self,
        users: WatchedUsers,
        image: Image,
        clock: Clock,
        sessions: Callable[[], Iterable[CellSession]],
    ) -> None:
        self.users, self.image, self.clock, self.sessions = users, image, clock, sessions
        self._once = LogOnce(_log)
        self._begun = False

    async def look(self) -> None:
        """Take what has changed. One at a time; a login must not come in between."""
        begun, self._begun = self._begun, True
        try:
            change = await asyncio.to_thread(self.users.look)
        except UsersError as error:
            self.image.gateway.users_error = str(error)
            self._once.trouble(
                "users",
                "users cannot be read; those known before stay",
                cause=str(error),
                error=str(error),
            )
            return
        self.image.gateway.users_error = ""
        self._once.well("users", "users are read again", source=self.users.place)
        if change and begun:
            self._record(change)
            await self._apply(change)

    async def _apply(self, change: UsersChange) -> None:
        gone = {*change.removed, *change.passwords}
        for session in list(self.sessions()):
            user = session.user
            if not isinstance(user, CellUser) or user.name is None:
                continue
            if user.name in gone:
                _log.info("session closed: its user changed", user=user.name)
                await session.close_session(True)
            elif user.name in change.roles:
                record = self.users.get(user.name)
                audits = user.may(AUDITORS)
                user.roles = frozenset() if record is None else record.roles
                if audits and not user.may(AUDITORS):
                    # It may hold monitored items of what its user may not see any more.
                    _log.info("session closed: its user sees less now", user=user.name)
                    await session.close_session(True)

    def _record(self, change: UsersChange) -> None:
        kinds = (change.added, change.removed, change.roles, change.passwords)
        unnamed = sum(max(0, len(names) - NAMED) for names in kinds)
        event = UsersChanged(
            task=TASK,
            utc_ns=self.clock.utc_ns(),
            source=self.users.place,
            added=[self._with_roles(name) for name in change.added[:NAMED]],
            removed=[name[:NAME_LENGTH] for name in change.removed[:NAMED]],
            roles=[self._with_roles(name) for name in change.roles[:NAMED]],
            passwords=[name[:NAME_LENGTH] for name in change.passwords[:NAMED]],
            reason=f"and {unnamed} more changes" if unnamed else "",
        )
        _log.info("users changed", **{k: list(getattr(event, k)) for k in _LISTS})
        try:
            self.image.events[TASK].put(encode(event))
        except RingError as error:
            _log.error("event not recorded", error=str(error))

    def _with_roles(self, name: str) -> str:
        record = self.users.get(name)
        roles = [] if record is None else sorted(record.roles)
        return f"{name[:NAME_LENGTH]}: {', '.join(roles)[:NAME_LENGTH]}"


_LISTS: Final = ("added", "removed", "roles", "passwords")
