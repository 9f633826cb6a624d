"""Users who log in with a certificate and the key that belongs to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)
from typer.testing import CliRunner

from cellwright.opcua_model.errors import UsersError
from cellwright.opcua_model.security.lockout import LOCK_AFTER, Place
from cellwright.opcua_model.security.user_tokens import fingerprint
from cellwright.opcua_model.security.users import add_certificate, add_user, load_users
from cellwright.runtime.cli import main
from cellwright.runtime.cli.templates.first_cell import write_template
from support.opcua_certificates import Made, Workshop

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECIPE = "ns=4;s=BladeMarking.IO.Memory.recipe"
C = ua.StatusCodes


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture(scope="module")
def badge(workshop: Workshop) -> Made:
    """What the operator has on a card."""
    return workshop.client("op", uri=None, purposes=None)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plant(make_cell: Any, badge: Made) -> AsyncIterator[Any]:
    async with make_cell(anonymous="none") as running:
        add_certificate(running.server._users.path, "op", fingerprint(badge.certificate))
        yield running


async def with_badge(cell: Any, badge: Made, **more: Any) -> Client:
    client: Client = await cell.unconnected(None, **more)
    client.user_certificate, client.user_private_key = badge.certificate, badge.key
    return client


async def refusal(client: Client) -> str:
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await client.connect()
    return ua.StatusCode(ua.UInt32(caught.value.code)).name


@pytest.mark.parametrize(
    "policy",
    [
        SecurityPolicyBasic256Sha256,
        SecurityPolicyAes128Sha256RsaOaep,
        SecurityPolicyAes256Sha256RsaPss,
    ],
)
async def test_a_user_logs_in_with_a_certificate_over_every_policy_and_has_the_roles(
    plant: Any, badge: Made, policy: Any
) -> None:
    for mode in (ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt):
        async with await with_badge(plant, badge, policy=policy, mode=mode) as client:
            await client.get_node(RECIPE).write_value(ua.Variant(7, ua.VariantType.Int16))
            assert plant.scan.received[-1].actor == "op"


async def test_a_certificate_of_nobody_and_one_that_expired_are_refused(
    plant: Any, workshop: Workshop
) -> None:
    stranger = workshop.client("op", uri=None)
    assert await refusal(await with_badge(plant, stranger)) == "BadIdentityTokenRejected"
    former = workshop.client("former", days=(-20, -1))
    add_certificate(plant.server._users.path, "planner", fingerprint(former.certificate))
    assert await refusal(await with_badge(plant, former)) == "BadIdentityTokenRejected"


async def test_a_certificate_without_its_key_is_worth_nothing(
    plant: Any, badge: Made, workshop: Workshop
) -> None:
    stolen = Made(badge.certificate, workshop.ca_key)
    assert await refusal(await with_badge(plant, stolen)) == "BadUserSignatureInvalid"
    short = workshop.client("op", key=workshop.short_key)
    assert await refusal(await with_badge(plant, short)) == "BadIdentityTokenInvalid"


async def test_a_signature_of_another_login_is_worth_nothing(plant: Any, badge: Made) -> None:
    client = await with_badge(plant, badge)
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    await client.create_session()
    server = client.security_policy.peer_certificate
    params = ua.ActivateSessionParameters()
    client._add_certificate_auth(params, badge.certificate, server + bytes(32))
    params.ClientSignature.Signature = client.security_policy.asymmetric_cryptography.signature(
        server + client._server_nonce
    )
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await client.uaclient.session.activate_session(params)
    assert caught.value.code == C.BadUserSignatureInvalid
    client.disconnect_socket()


async def test_a_name_that_is_locked_gets_in_by_certificate(plant: Any, badge: Made) -> None:
    locks = plant.server._authenticator.lockout
    for _ in range(LOCK_AFTER):
        locks.failed("op", Place("127.0.0.1"))
    assert locks.locked("op", Place("127.0.0.1"))
    async with await with_badge(plant, badge) as client:
        assert await client.get_node(RECIPE).read_data_value(raise_on_bad_status=False)


async def test_a_new_password_keeps_certificates_and_a_stranger_gets_none(tmp_path: Path) -> None:
    users = tmp_path / "users.yaml"
    add_user(users, "anna", "correct horse", ["Operator"])
    add_certificate(users, "anna", "a1" * 32)
    add_user(users, "anna", "another horse", ["Planner"])
    assert load_users(users)["anna"].certificates == {"a1" * 32}
    with pytest.raises(UsersError, match="there is no user 'bert'"):
        add_certificate(users, "bert", "a1" * 32)
    users.write_text(users.read_text().replace("a1a1", "?!", 1))
    with pytest.raises(UsersError, match="must be a list of SHA-256 fingerprints"):
        load_users(users)


async def test_the_command_line_writes_the_fingerprint(tmp_path: Path, badge: Made) -> None:
    folder = tmp_path / "cell"
    write_template(folder)
    file = folder / "cell.yaml"
    file.write_text(file.read_text().replace("anonymous: read\n", "users: users.yaml\n", 1))
    add_user(folder / "users.yaml", "op", "correct horse", ["Operator"])
    certificate, key = badge.write(tmp_path)
    words = ["user", "certificate", "op", str(certificate), str(folder)]
    done = CliRunner().invoke(main.app, words)
    expected = fingerprint(badge.certificate)
    assert done.stdout == f"op: logs in with the certificate {expected[:12]}... too\n"
    assert load_users(folder / "users.yaml")["op"].certificates == {expected}
    words[3] = str(key)
    done = CliRunner().invoke(main.app, words)
    assert done.exit_code == 1
    assert "holds no certificate" in done.stderr
