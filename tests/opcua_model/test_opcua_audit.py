"""Who was refused and who logged in is on record, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from cellwright.io.messages import AccessAudited, decode_event
from cellwright.io.timing.clock import SimulatedClock
from cellwright.opcua_model.security import audit
from cellwright.opcua_model.security.audit import AuditTrail
from support.opcua_certificates import Made, Workshop

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Journal:
    """What was put into the ring."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.data: list[bytes] = []
        self.trail = AuditTrail(self.data.append, self.clock)

    def told(self) -> list[tuple[str, str, str, int, str]]:
        found = [decode_event(data) for data in self.data]
        assert all(isinstance(event, AccessAudited) for event in found)
        return [(e.step, e.status, e.user, e.times, e.actor) for e in found]  # type: ignore[union-attr]


@pytest.fixture
def journal() -> Journal:
    return Journal()


async def test_equal_records_of_a_minute_are_one_with_a_number(journal: Journal) -> None:
    for _ in range(1000):
        journal.trail.record("login", "BadUserAccessDenied", "10.0.0.66", user="op")
    journal.trail.record("login", "Good", "10.0.0.5", user="op")
    refused = ("login", "BadUserAccessDenied", "op")
    assert journal.told() == [(*refused, 1, ""), ("login", "Good", "op", 1, "op")]
    journal.clock.advance(audit.WINDOW_NS)
    journal.trail.flush()
    assert journal.told()[2:] == [(*refused, 999, "")]
    journal.clock.advance(audit.WINDOW_NS)
    journal.trail.flush()
    assert len(journal.data) == 3


async def test_names_made_up_in_their_thousands_are_bounded_and_counted(journal: Journal) -> None:
    for number in range(5000):
        journal.trail.record("login", "BadUserAccessDenied", "10.0.0.66", user=f"guess{number}")
    assert len(journal.data) == audit.MOST
    journal.clock.advance(audit.WINDOW_NS)
    journal.trail.flush()
    assert len(journal.data) == audit.MOST + 1
    assert journal.told()[-1] == ("login", "BadUserAccessDenied", "", 5000 - audit.MOST, "")


async def test_what_a_stranger_wrote_steers_no_terminal_and_has_a_length(journal: Journal) -> None:
    journal.trail.record("login", "BadUserAccessDenied", "::1", user="\x1b[31m\0" + "x" * 1000)
    ((_, _, user, _, _),) = journal.told()
    assert user == "?[31m?" + "x" * (audit.LENGTH - 6)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict(make_cell: Any) -> AsyncIterator[Any]:
    async with make_cell(clients="trusted") as running:
        yield running


def records(cell: Any) -> list[tuple[str, str, str, str]]:
    cell.server._internal.audit._windows.clear()
    ring = cell.image.image.events["gateway"]
    found = [decode_event(data) for _, data in ring.peek()]
    return [
        (event.step, event.status, event.user, event.subject)
        for event in found
        if isinstance(event, AccessAudited)
    ]


async def connect(cell: Any, made: Made, folder: Path, user: str, password: str) -> str:
    certificate, key = made.write(folder)
    client = await cell.unconnected(user, password)
    own = cell.server._pki / "own" / "certificate.der"
    await client.set_security(
        SecurityPolicyBasic256Sha256, certificate, key, server_certificate=own.read_bytes()
    )
    try:
        async with client:
            return "Good"
    except ua.UaStatusCodeError as error:
        return ua.StatusCode(ua.UInt32(error.code)).name


async def test_refusals_of_every_step_and_logins_of_users_are_on_record(
    strict: Any, tmp_path: Path
) -> None:
    workshop = Workshop()
    stranger, friend = workshop.client("stranger"), workshop.client("friend")
    renamed = workshop.client("renamed", uri="urn:somebody:else")
    trusted = strict.server._pki / "trusted" / "certs"
    friend.write(trusted)
    (trusted / "client.pem").unlink()
    (trusted / "client.der").rename(trusted / "friend.der")
    renamed.write(trusted)
    (trusted / "client.pem").unlink()
    forged = Made(friend.certificate, workshop.ca_key)
    cases = [(stranger, "operator-1"), (renamed, "operator-1"), (forged, "operator-1")]
    cases += [(friend, "wrong"), (friend, "operator-1")]
    outcomes = [await connect(strict, made, tmp_path, "op", word) for made, word in cases]
    assert outcomes == [
        "BadCertificateUntrusted",
        "BadCertificateUriInvalid",
        "BadSecurityChecksFailed",
        "BadUserAccessDenied",
        "Good",
    ]
    found = records(strict)
    assert ("certificate", "BadCertificateUntrusted", "", "stranger") in found
    assert ("certificate", "BadCertificateUriInvalid", "", "renamed") in found
    assert ("session", "BadCertificateUriInvalid", "", "renamed") in found
    assert ("channel", "BadSecurityChecksFailed", "", "friend") in found
    logins = [(status, user) for step, status, user, _ in found if step == "login"]
    assert logins == [("BadUserAccessDenied", "op"), ("Good", "op")]
