"""Access tokens: RS256 and nothing else, one hour, all claims of the interface.

The login issues them; `verification.TokenVerifier` asks `AccessTokens.read` whether one is good.
Every reason for refusal has one message, so that an attacker learns nothing from it.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError

from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.people.keys.signing_keys import LEEWAY_S, LIFE_S, SigningKeys
from cellwright.mes.people.roles import permissions
from cellwright.mes.people.tables import User

ALGORITHM: Final = "RS256"
ISSUER: Final = "cellwright"
AUDIENCE: Final = "cellwright-mes"
MAX_TOKEN: Final = 8192
"""Most characters of a token."""

_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a header may say: no key, no address of a key, no extension."""

    alg: str
    kid: str
    typ: str


class Claims(msgspec.Struct, frozen=True):
    """What a token says; all of it must be there."""

    sub: str
    """Key of the user."""
    username: str
    email: str
    roles: list[str]
    permissions: list[str]
    tenant_id: int
    site_id: int
    iss: str
    aud: str
    exp: int
    iat: int
    nbf: int
    sid: str
    """Id of the login."""
    jti: str
    amr: list[str]
    """``pwd``, and ``otp`` when a one-time code was given (RFC 8176)."""


def refused() -> MesError:
    """The one answer to every token that is not good."""
    return MesError("unauthenticated", "Unauthorized: the token is not valid; log in again")


class AccessTokens:
    """Issues and reads access tokens. Threads may share it."""

    def __init__(
        self,
        keys: SigningKeys,
        *,
        issuer: str = ISSUER,
        audience: str = AUDIENCE,
        utc_s: Callable[[], float] = time.time,
    ) -> None:
        self.keys = keys
        self._issuer = issuer
        self._audience = audience
        self._utc_s = utc_s

    def issue(self, user: User, scope: Scope, login: str, amr: list[str]) -> str:
        """A token of one hour for the user."""
        now = int(self._utc_s())
        claims = Claims(
            sub=str(user.id),
            username=user.username,
            email=user.email,
            roles=sorted(user.roles),
            permissions=sorted(permissions(user.roles)),
            tenant_id=scope.tenant_id,
            site_id=scope.site_id,
            iss=self._issuer,
            aud=self._audience,
            exp=now + LIFE_S,
            iat=now,
            nbf=now,
            sid=login,
            jti=secrets.token_urlsafe(16),
            amr=amr,
        )
        kid, key = self.keys.signing()
        header = {"alg": ALGORITHM, "kid": kid, "typ": "JWT"}
        return jwt.encode(header, msgspec.to_builtins(claims), key, algorithms=[ALGORITHM])

    def read(self, token: str) -> Claims:
        """What a good token says. Raises MesError ``unauthenticated``."""
        if len(token) > MAX_TOKEN or not _SHAPE.fullmatch(token):
            raise refused()
        try:
            claims = msgspec.convert(self._verified(token), type=Claims)
        except (JoseError, msgspec.MsgspecError, ValueError) as error:
            raise refused() from error
        now = self._utc_s()
        good = (
            claims.iss == self._issuer
            and claims.aud == self._audience
            and now < claims.exp + LEEWAY_S
            and claims.nbf <= now + LEEWAY_S
            and claims.iat <= now + LEEWAY_S
            and claims.exp - claims.iat <= LIFE_S
        )
        if not good:
            raise refused()
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        encoded = token.partition(".")[0]
        header = msgspec.json.decode(_base64url(encoded), type=_Header)
        key = self.keys.verifying(header.kid)
        if header.alg != ALGORITHM or header.typ != "JWT" or key is None:
            raise refused()
        return jwt.decode(token, key, algorithms=[ALGORITHM]).claims


def _base64url(text: str) -> bytes:
    return msgspec.convert(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), bytes)


@lru_cache(maxsize=8)
def tokens_of(folder: Path) -> AccessTokens:
    """The tokens whose keys lie in the folder; one for all threads of a process."""
    return AccessTokens(SigningKeys(folder))
