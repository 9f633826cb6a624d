"""What the door asks of those who know the people: is this token good, whose is this certificate.

`mes.people` has the implementation; the door never opens a token or looks up a user itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cellwright.mes.kernel.actions import Caller


class Verifier(Protocol):
    """Proves who asks. Called in worker threads, several at once."""

    def verify(self, token: str) -> Caller:
        """Whose token it is; raises MesError ``unauthenticated``."""

    def holder(self, common_name: str) -> Caller:
        """The user whose client certificate has this common name; raises MesError
        ``unauthenticated``. The certificate itself was verified by TLS."""

    def jwks(self) -> Mapping[str, Any]:
        """The public keys that tokens are signed with (RFC 7517)."""
