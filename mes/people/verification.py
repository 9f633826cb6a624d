"""Who stands behind an access token: asked by the doors for every request, in worker threads.

Signatures are checked once a token. Whether its login still stands and which roles the user has now
is asked of the database at most every `FRESH_S`, and at once after what `told` says.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select

from cellwright.mes.kernel.actions import Caller, Sessions
from cellwright.mes.kernel.domain_events import DomainEvent
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.people.credentials.tokens import AccessTokens, Claims, refused
from cellwright.mes.people.events import LoginEnded, UserChanged
from cellwright.mes.people.keys.signing_keys import LEEWAY_S
from cellwright.mes.people.roles import permissions
from cellwright.mes.people.tables import RefreshToken, User

FRESH_S: Final = 3.0
"""Longest time that another process's logout or change of roles goes unnoticed here."""
MOST: Final = 10_000
"""Tokens and logins that are remembered."""


def caller_of(user: User, scope: Scope, *, authentication: str, login: str = "") -> Caller:
    """The user as the actions see them."""
    return Caller(
        username=user.username,
        user_id=user.id,
        printed_name=user.printed_name,
        roles=frozenset(user.roles),
        permissions=permissions(user.roles),
        scope=scope,
        authentication=authentication,
        session=login,
    )


@dataclass(frozen=True, slots=True)
class _Login:
    caller: Caller | None
    """None: it has ended, or its user is not active."""
    checked_s: float


class TokenVerifier:
    """Proves who asks. Threads may share it."""

    def __init__(
        self,
        tokens: AccessTokens,
        store: Sessions,
        *,
        utc_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._store = store
        self._utc_s = utc_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._claims: OrderedDict[bytes, Claims] = OrderedDict()
        self._logins: OrderedDict[str, _Login] = OrderedDict()
        self._changes = 0

    def verify(self, token: str) -> Caller:
        """Whose token it is. Raises MesError ``unauthenticated``, StoreError."""
        claims = self._known(token)
        login = self._login(claims)
        if login.caller is None:
            raise refused()
        return login.caller

    def holder(self, common_name: str) -> Caller:
        """The active user of the default tenant whose client certificate has this common name.

        Raises MesError ``unauthenticated``.
        """
        with self._store.reading() as session:
            user = session.scalars(select(User).where(User.username == common_name)).one_or_none()
            if user is None or not user.active:
                raise MesError(
                    "unauthenticated", "Unauthorized: the certificate belongs to no active user"
                )
            scope = Scope(tenant_id=user.tenant_id, site_id=user.site_id)
            return caller_of(user, scope, authentication="certificate")

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return self._tokens.keys.jwks()

    def told(self, events: Iterable[DomainEvent]) -> None:
        """Take note of what this process has committed; call it before the answer goes out."""
        with self._lock:
            for event in events:
                if isinstance(event, LoginEnded):
                    self._changes += 1
                    self._logins.pop(event.login, None)
                    gone = [key for key, item in self._claims.items() if item.sid == event.login]
                    for key in gone:
                        del self._claims[key]
                elif isinstance(event, UserChanged):
                    self._changes += 1
                    self._logins.clear()

    def _known(self, token: str) -> Claims:
        key = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        with self._lock:
            claims = self._claims.get(key)
        if (
            claims is None
            or self._utc_s() >= claims.exp + LEEWAY_S
            or claims.nbf > self._utc_s() + LEEWAY_S
        ):
            claims = self._tokens.read(token)
        with self._lock:
            _remember(self._claims, key, claims)
        return claims

    def _login(self, claims: Claims) -> _Login:
        now = self._monotonic_s()
        with self._lock:
            known = self._logins.get(claims.sid)
            changes = self._changes
        if known is not None and now - known.checked_s < FRESH_S:
            return known
        found = _Login(self._asked(claims), now)
        with self._lock:
            if changes == self._changes:  # else it may have been read before the change
                _remember(self._logins, claims.sid, found)
        return found

    def _asked(self, claims: Claims) -> Caller | None:
        scope = Scope(tenant_id=claims.tenant_id, site_id=claims.site_id)
        with self._store.reading(scope) as session:
            rows, ended = session.execute(
                select(func.count(), func.count(RefreshToken.ended_utc)).where(
                    RefreshToken.family == claims.sid
                )
            ).one()
            user = session.get(User, int(claims.sub))
            if not rows or ended or user is None or not user.active:
                return None
            way = "password+totp" if "otp" in claims.amr else "password"
            return caller_of(user, scope, authentication=way, login=claims.sid)


def _remember(memory: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MOST:
        memory.popitem(last=False)
