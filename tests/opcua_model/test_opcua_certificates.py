"""Certificates of clients: every check of OPC 10000-4, 6.1.3, in its order, with its own code.

The server trusts a list here. Its folders are emptied between the tests, and the certificates are
real ones that a real client connects with.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto import security_policies, uacrypto
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from cellwright.opcua_model.security import trust_list
from cellwright.opcua_model.security.checks import thumbprint
from support.opcua_certificates import DER, URI, Made, Workshop, damaged, key_usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

CURRENT_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
C = ua.StatusCodes


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    return Workshop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict(make_cell: Any) -> AsyncIterator[Any]:
    """A server that trusts only what is in its list."""
    async with make_cell(anonymous="read", clients="trusted") as running:
        yield running


@pytest.fixture
def pki(strict: Any) -> Iterator[Path]:
    folder: Path = strict.server._pki
    yield folder
    for name in ("trusted", "issuers", "rejected"):
        for file in (folder / name).rglob("*.*"):
            file.unlink()


def put(folder: Path, *found: x509.Certificate | x509.CertificateRevocationList) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for each in found:
        content = each.public_bytes(DER)
        (folder / f"{hash(content):x}.der").write_bytes(content)


async def connect(
    cell: Any,
    made: Made,
    folder: Path,
    *,
    uri: str = URI,
    chain: tuple[Made, ...] = (),
    policy: Any = SecurityPolicyBasic256Sha256,
) -> None:
    """Connect, read and go. Raises UaStatusCodeError with the server's code."""
    made.write(folder)
    client = Client(cell.url, timeout=10)
    client.application_uri = uri
    client.session_timeout = 60_000
    server = x509.load_der_x509_certificate(
        (cell.server._pki / "own" / "certificate.der").read_bytes()
    )
    client.security_policy = policy(
        server,
        made.certificate,
        made.key,
        ua.MessageSecurityMode.SignAndEncrypt,
        host_cert_chain=[each.certificate for each in chain],
    )
    client.uaclient.set_security(client.security_policy)
    async with client:
        assert await client.get_node(CURRENT_TIME).read_value() is not None


@dataclass
class Case:
    """What a client comes with, and what the server has been given."""

    client: Made
    trusted: list[Any] = field(default_factory=list)
    issuers: list[Any] = field(default_factory=list)
    lists: list[Any] = field(default_factory=list)
    chain: tuple[Made, ...] = ()
    uri: str = URI


def trusted(made: Made, **more: Any) -> Case:
    return Case(made, [made.certificate], **more)


def of_authority(w: Workshop, *, lists: int = 1, days: int = 5, revoked: bool = False, **more: Any):
    """A client whose authority is trusted."""
    root = w.authority()
    client = w.client(issuer=root, **more)
    found = [w.revocations(root, [client] if revoked else [], days=days)] * lists
    return Case(client, [root.certificate], lists=found)


def of_intermediate(
    w: Workshop,
    *,
    root_list: bool = True,
    revoked: bool = False,
    leaf_days: tuple[int, int] = (-10, 10),
    **more: Any,
) -> Case:
    """A client below an authority below the trusted root."""
    root = w.authority()
    middle = w.authority("line CA", root, **more)
    client = w.client(issuer=middle, days=leaf_days)
    lists = [w.revocations(middle)]
    if root_list:
        lists.append(w.revocations(root, [middle] if revoked else []))
    return Case(client, [root.certificate], [middle.certificate], lists)


def sends_its_authority(w: Workshop) -> Case:
    root = w.authority()
    middle = w.authority("line CA", root)
    return Case(
        w.client(issuer=middle),
        [root.certificate],
        lists=[w.revocations(root), w.revocations(middle)],
        chain=(middle, root),
    )


def stranger_of_same_name(w: Workshop) -> Case:
    """Signed by somebody who calls himself like the trusted authority."""
    root = w.authority()
    imitation = Made(root.certificate, w.client_key)
    return Case(w.client(issuer=imitation), [root.certificate], lists=[w.revocations(root)])


def elliptic_authority(w: Workshop) -> Case:
    root = w.authority(key=w.elliptic_key)
    return Case(w.client(issuer=root), [root.certificate])


def untrusted_authority(w: Workshop) -> Case:
    root = w.authority()
    return Case(w.client(issuer=root), [], [root.certificate], [w.revocations(root)])


GOOD: dict[str, Callable[[Workshop], Case]] = {
    "trusted itself": lambda w: trusted(w.client()),
    "its authority is trusted": of_authority,
    "below an authority that is known": of_intermediate,
    "it sends its authority along": sends_its_authority,
    "signed with SHA-384": lambda w: trusted(w.client(hash_=hashes.SHA384())),
}


BAD: dict[str, tuple[Callable[[Workshop], Case], int]] = {
    "its own signature is wrong": (lambda w: trusted(damaged(w.client())), C.BadCertificateInvalid),
    "signed by a namesake": (stranger_of_same_name, C.BadCertificateInvalid),
    "unknown authority": (
        lambda w: Case(w.client(issuer=w.authority("nobody's CA"))),
        C.BadCertificateChainIncomplete,
    ),
    "trusted, but of an unknown authority": (
        lambda w: trusted(w.client(issuer=w.authority("nobody's CA"))),
        C.BadCertificateChainIncomplete,
    ),
    "key of 1024 bits": (
        lambda w: trusted(w.client(key=w.short_key)),
        C.BadCertificatePolicyCheckFailed,
    ),
    "its authority's key is elliptic": (
        elliptic_authority,
        C.BadCertificatePolicyCheckFailed,
    ),
    "weak hash": (
        lambda w: trusted(w.client(hash_=hashes.SHA224())),
        C.BadCertificatePolicyCheckFailed,
    ),
    "not in the list": (lambda w: Case(w.client()), C.BadCertificateUntrusted),
    "its authority only completes chains": (
        untrusted_authority,
        C.BadCertificateUntrusted,
    ),
    "untrusted comes before expired": (
        lambda w: Case(w.client(days=(-20, -1))),
        C.BadCertificateUntrusted,
    ),
    "expired": (lambda w: trusted(w.client(days=(-20, -1))), C.BadCertificateTimeInvalid),
    "not yet valid": (lambda w: trusted(w.client(days=(1, 20))), C.BadCertificateTimeInvalid),
    "its authority expired": (
        lambda w: of_intermediate(w, days=(-20, -1)),
        C.BadCertificateIssuerTimeInvalid,
    ),
    "no SubjectAltName": (lambda w: trusted(w.client(uri=None)), C.BadCertificateUriInvalid),
    "another ApplicationUri": (
        lambda w: trusted(w.client(uri="urn:somebody:else")),
        C.BadCertificateUriInvalid,
    ),
    "no digital signature": (
        lambda w: trusted(w.client(usage=key_usage(digital_signature=False))),
        C.BadCertificateUseNotAllowed,
    ),
    "no key encipherment": (
        lambda w: trusted(w.client(usage=key_usage(key_encipherment=False))),
        C.BadCertificateUseNotAllowed,
    ),
    "for servers only": (
        lambda w: trusted(w.client(purposes=[ExtendedKeyUsageOID.SERVER_AUTH])),
        C.BadCertificateUseNotAllowed,
    ),
    "an authority itself": (
        lambda w: of_authority(w, ca=True, usage=key_usage()),
        C.BadCertificateUseNotAllowed,
    ),
    "its issuer is no authority": (
        lambda w: of_intermediate(w, ca=False),
        C.BadCertificateIssuerUseNotAllowed,
    ),
    "no revocation list": (
        lambda w: of_authority(w, lists=0),
        C.BadCertificateRevocationUnknown,
    ),
    "the revocation list is out of date": (
        lambda w: of_authority(w, days=-1),
        C.BadCertificateRevocationUnknown,
    ),
    "no revocation list of the root": (
        lambda w: of_intermediate(w, root_list=False),
        C.BadCertificateIssuerRevocationUnknown,
    ),
    "revoked": (lambda w: of_authority(w, revoked=True), C.BadCertificateRevoked),
    "its authority was revoked": (
        lambda w: of_intermediate(w, revoked=True),
        C.BadCertificateIssuerRevoked,
    ),
}


def arrange(pki: Path, case: Case) -> None:
    put(pki / "trusted" / "certs", *case.trusted)
    put(pki / "issuers" / "certs", *case.issuers)
    put(pki / "trusted" / "crl", *case.lists)


@pytest.mark.parametrize("kind", GOOD)
async def test_a_client_whose_certificate_is_right_connects(
    strict: Any, pki: Path, workshop: Workshop, tmp_path: Path, kind: str
) -> None:
    case = GOOD[kind](workshop)
    arrange(pki, case)
    await connect(strict, case.client, tmp_path, chain=case.chain)


@pytest.mark.parametrize("kind", BAD)
async def test_each_kind_of_bad_certificate_is_refused_with_its_own_code(
    strict: Any, pki: Path, workshop: Workshop, tmp_path: Path, kind: str
) -> None:
    make, code = BAD[kind]
    case = make(workshop)
    arrange(pki, case)
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await connect(strict, case.client, tmp_path)
    assert ua.StatusCode(ua.UInt32(caught.value.code)).name == ua.StatusCode(ua.UInt32(code)).name


async def test_a_refused_certificate_is_kept_and_trusted_without_a_restart(
    strict: Any, pki: Path, workshop: Workshop, tmp_path: Path
) -> None:
    made = workshop.client("engineer's laptop")
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await connect(strict, made, tmp_path)
    assert caught.value.code == C.BadCertificateUntrusted
    trust = trust_list.TrustList(pki)
    (entry,) = trust.entries()
    assert entry[:4] == ("rejected", thumbprint(made.certificate), "engineer's laptop", URI)
    assert trust.move(entry.thumbprint[:8], "trusted").state == "trusted"
    await connect(strict, made, tmp_path)
    trust.move(entry.thumbprint[:8], "rejected")
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await connect(strict, made, tmp_path)
    assert caught.value.code == C.BadCertificateUntrusted


async def test_of_refused_certificates_the_newest_are_kept(
    strict: Any, pki: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_list, "MAX_REJECTED", 3)
    trust = trust_list.TrustList(pki)
    made = [workshop.client(f"client {number}") for number in range(5)]
    for each in made:
        trust.keep_rejected(each.certificate)
    assert [entry.name for entry in trust.entries()] == ["client 2", "client 3", "client 4"]


async def test_who_is_trusted_no_more_loses_the_session(
    strict: Any, pki: Path, workshop: Workshop, tmp_path: Path
) -> None:
    made = workshop.client()
    put(pki / "trusted" / "certs", made.certificate)
    internal = strict.server._internal

    async def taken_away() -> None:
        shutil.rmtree(pki / "trusted" / "certs")
        async with asyncio.timeout(30):
            while internal.sessions:
                await asyncio.sleep(0.02)

    with pytest.raises((ua.UaError, ConnectionError)):
        await connect_and(strict, made, taken_away)
    assert not internal.sessions


async def connect_and(cell: Any, made: Made, act: Callable[[], Any]) -> None:
    client = Client(cell.url, timeout=10)
    client.application_uri = URI
    client.session_timeout = 60_000
    server = uacrypto.x509_from_der((cell.server._pki / "own" / "certificate.der").read_bytes())
    policy = security_policies.SecurityPolicyBasic256Sha256(
        server, made.certificate, made.key, ua.MessageSecurityMode.Sign
    )
    client.security_policy = policy
    client.uaclient.set_security(policy)
    await client.connect()
    try:
        await act()
        await client.get_node(CURRENT_TIME).read_value()
    finally:
        client.disconnect_socket()


@pytest.mark.parametrize(
    ("suppress", "kinds"),
    [
        ("validity", ["expired", "not yet valid", "its authority expired"]),
        ("usage", ["no digital signature", "for servers only", "its issuer is no authority"]),
        ("revocation", ["no revocation list", "no revocation list of the root"]),
    ],
)
async def test_what_is_suppressed_is_let_pass_and_nothing_else(
    make_cell: Any, workshop: Workshop, tmp_path: Path, suppress: str, kinds: list[str]
) -> None:
    async with make_cell(anonymous="read", clients="trusted", suppress=(suppress,)) as cell:
        for kind in kinds:
            case = BAD[kind][0](workshop)
            arrange(cell.server._pki, case)
            await connect(cell, case.client, tmp_path)
            shutil.rmtree(cell.server._pki / "trusted")
        case = BAD["revoked"][0](workshop)
        arrange(cell.server._pki, case)
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await connect(cell, case.client, tmp_path)
        assert caught.value.code == C.BadCertificateRevoked


async def test_where_any_client_may_come_the_other_checks_and_rejection_count(
    make_cell: Any, workshop: Workshop, tmp_path: Path
) -> None:
    async with make_cell(anonymous="read", clients="any") as cell:
        await connect(cell, workshop.client(), tmp_path)
        await connect(cell, workshop.client(issuer=workshop.authority("unknown CA")), tmp_path)
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await connect(cell, workshop.client(days=(-20, -1)), tmp_path)
        assert caught.value.code == C.BadCertificateTimeInvalid
        unwanted = workshop.client("unwanted")
        put(cell.server._pki / "rejected", unwanted.certificate)
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await connect(cell, unwanted, tmp_path)
        assert caught.value.code == C.BadCertificateUntrusted


async def test_a_file_that_is_no_certificate_takes_nothing_from_the_others(
    strict: Any, pki: Path, workshop: Workshop, tmp_path: Path
) -> None:
    made = workshop.client()
    put(pki / "trusted" / "certs", made.certificate)
    (pki / "trusted" / "certs" / "notes.txt").write_text("from the supplier")
    (pki / "trusted" / "crl" / "notes.txt").write_text("from the supplier")
    await connect(strict, made, tmp_path)
