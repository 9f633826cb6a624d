"""Who asks, from what the request carries: a bearer token (RFC 6750), or a client certificate.

A token goes before a certificate. What is there but wrong is refused and never passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from cellwright.mes.kernel.actions import ANONYMOUS, Caller
from cellwright.mes.kernel.errors import MesError
from cellwright.web.identity.verifier import Verifier

MAX_TOKEN: Final = 8192
"""Most characters of a token."""

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request carries to prove who asks."""

    token: str = ""
    common_name: str = ""
    """Of the client certificate."""
    complaint: str = ""
    """Why what it carries cannot be read."""

    @property
    def given(self) -> bool:
        """False for a request of nobody."""
        return bool(self.token or self.common_name or self.complaint)


def credentials_of(headers: Headers, extensions: Mapping[str, Any]) -> Credentials:
    """What the request carries; ``extensions`` are ASGI's, with ``tls`` behind TLS."""
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        return Credentials(common_name=_common_name(extensions.get("tls") or {}))
    if len(values) > 1:
        return Credentials(complaint="the header Authorization is given twice")
    scheme, _, token = values[0].decode("latin-1").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer":
        return Credentials(complaint="the header Authorization must be Bearer and a token")
    if not token or len(token) > MAX_TOKEN or not token.isascii() or " " in token:
        return Credentials(complaint="the token is none that this server gives")
    return Credentials(token=token)


def caller_of(credentials: Credentials, verifier: Verifier | None, address: str) -> Caller:
    """Who asks; raises MesError ``unauthenticated``."""
    if not credentials.given:
        return replace(ANONYMOUS, address=address)
    if credentials.complaint:
        raise MesError("unauthenticated", f"Unauthorized: {credentials.complaint}")
    if verifier is None:
        raise MesError("unauthenticated", "Unauthorized: this server has no keys to prove users by")
    if credentials.token:
        caller = verifier.verify(credentials.token)
    else:
        caller = verifier.holder(credentials.common_name)
    return replace(caller, address=address)


def _common_name(tls: Mapping[str, Any]) -> str:
    return str(tls.get("client_common_name") or "")
