"""The certificates of clients, as the running server asks about them: list, rules and clock.

The trust list is looked at before each new channel and once a second, always in a thread.
"""

from __future__ import annotations

import asyncio

import structlog
from cryptography import x509

from cellwright.io.timing.clock import Clock
from cellwright.opcua_model.address_space.values import utc_datetime
from cellwright.opcua_model.security import checks
from cellwright.opcua_model.security.trust_list import TrustList

_log = structlog.get_logger(__name__)


class ClientCertificates:
    """Which clients may connect."""

    def __init__(self, trust: TrustList, rules: checks.Rules, clock: Clock) -> None:
        self._trust, self._rules, self.clock = trust, rules, clock
        self._disk = asyncio.Lock()

    async def look(self) -> bool:
        """Take what has changed in the folders; True when something had."""
        async with self._disk:
            return await asyncio.to_thread(self._trust.look)

    def check(self, sent: list[x509.Certificate]) -> None:
        """Whether the first may connect (`checks.check`); what is suppressed is logged.

        Raises CertificateRefusedError.
        """
        now = utc_datetime(self.clock.utc_ns())
        for why in checks.check(sent, self._trust.known, self._rules, now):
            _log.warning(
                "client certificate accepted although a check failed, as configured",
                why=why,
                certificate=checks.name_of(sent[0]),
                thumbprint=checks.thumbprint(sent[0]),
            )

    async def refused(self, certificate: x509.Certificate) -> None:
        """Keep it, so that somebody may decide to trust it."""
        async with self._disk:
            await asyncio.to_thread(self._trust.keep_rejected, certificate)
