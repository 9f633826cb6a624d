"""Who gets in, and what a session may do."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)
from asyncua.ua.uaerrors import (
    BadIdentityTokenRejected,
    BadSecureChannelIdInvalid,
    BadSecurityPolicyRejected,
    BadServiceUnsupported,
    BadSessionIdInvalid,
    BadUserAccessDenied,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECIPE = "ns=4;s=BladeMarking.IO.Memory.recipe"
CURRENT_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)


async def refused(client: Client, *errors: type[Exception]) -> None:
    with pytest.raises(errors):
        await client.connect()


async def channel(cell: Any, *, other: bool = False) -> Client:
    """A client with an open secure channel and no session."""
    client: Client = await cell.unconnected(other=other)
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    return client


@pytest.mark.parametrize(
    "policy",
    [
        SecurityPolicyBasic256Sha256,
        SecurityPolicyAes128Sha256RsaOaep,
        SecurityPolicyAes256Sha256RsaPss,
    ],
)
async def test_a_user_reads_over_every_policy_signed_and_encrypted(cell: Any, policy: Any) -> None:
    for mode in (ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt):
        async with cell.client(policy=policy, mode=mode) as client:
            assert await client.get_node(CURRENT_TIME).read_value() is not None


async def test_a_wrong_password_and_an_unknown_user_get_the_same_refusal(cell: Any) -> None:
    await refused(await cell.unconnected("op", "wrong"), BadUserAccessDenied)
    await refused(await cell.unconnected("nobody", "wrong"), BadUserAccessDenied)
    await refused(await cell.unconnected("admin", "admin"), BadUserAccessDenied)
    await refused(await cell.unconnected("op", ""), BadUserAccessDenied)


async def test_anonymous_reads_but_neither_writes_nor_calls(cell: Any) -> None:
    async with cell.client(None) as client:
        node = client.get_node(RECIPE)
        cell.scan.received.clear()
        assert (await node.read_data_value(raise_on_bad_status=False)).StatusCode is not None
        with pytest.raises(BadUserAccessDenied):
            await node.write_value(ua.DataValue(ua.Variant(1, ua.VariantType.Int16)))
        assert not cell.scan.received
        level = await node.read_attribute(ua.AttributeIds.UserAccessLevel)
        assert not level.Value.Value & 2


async def test_anonymous_may_not_run_job_orders(cell: Any) -> None:
    async with cell.client(None) as client:
        control = client.get_node("ns=3;s=BladeMarking.JobManagement.JobOrderControl")
        with pytest.raises(BadUserAccessDenied):
            await control.call_method("3:Start", ua.Variant("J1"), comment())


def comment() -> ua.Variant:
    return ua.Variant([], ua.VariantType.LocalizedText, is_array=True)


async def test_nobody_changes_the_address_space_from_outside(cell: Any) -> None:
    async with cell.client("super") as client:
        with pytest.raises(BadServiceUnsupported):
            await client.nodes.objects.add_folder(3, "Mine")
        with pytest.raises(BadServiceUnsupported):
            await client.delete_nodes([client.get_node(RECIPE)])
        for node_id in ("i=2256", "ns=3;s=BladeMarking.Status.State"):
            with pytest.raises(ua.UaStatusCodeError) as caught:
                await client.get_node(node_id).write_value(
                    ua.DataValue(ua.Variant(1, ua.VariantType.Int32))
                )
            assert caught.value.code == ua.StatusCodes.BadNotWritable


async def test_five_failed_logins_lock_that_user_and_no_other(cell: Any) -> None:
    for _ in range(5):
        await refused(await cell.unconnected("clumsy", "wrong"), BadUserAccessDenied)
    await refused(await cell.unconnected("clumsy"), BadUserAccessDenied)
    async with cell.client("planner") as client:
        assert await client.get_node(CURRENT_TIME).read_value() is not None


async def test_a_guessed_token_opens_nothing(cell: Any) -> None:
    async with cell.client() as victim:
        token = victim.uaclient.session.authentication_token
        assert token.NodeIdType is ua.NodeIdType.ByteString
        assert len(token.Identifier) == 32
        intruder = await channel(cell)
        for guess in (ua.NodeId(1000), ua.NodeId(1001), ua.NodeId(), ua.NodeId(bytes(32))):
            intruder.uaclient.session.restore_authentication_token(guess)
            with pytest.raises(BadSessionIdInvalid):
                await intruder.get_node(CURRENT_TIME).read_value()
            with pytest.raises(BadSessionIdInvalid):
                await intruder.activate_session(username="op", password="operator-1")
        intruder.disconnect_socket()


async def test_a_token_is_worth_nothing_on_another_channel(cell: Any) -> None:
    async with cell.client() as victim:
        token = victim.uaclient.session.authentication_token
        intruder = await channel(cell, other=True)
        intruder.uaclient.session.restore_authentication_token(token)
        with pytest.raises(BadSessionIdInvalid):
            await intruder.get_node(CURRENT_TIME).read_value()
        # Even with the right password: the session belongs to another certificate.
        intruder._server_nonce = victim._server_nonce
        with pytest.raises(BadSecureChannelIdInvalid):
            await intruder.activate_session(username="op", password="operator-1")
        intruder.disconnect_socket()
        assert await victim.get_node(CURRENT_TIME).read_value() is not None


async def test_another_session_s_token_is_refused_on_an_own_channel(cell: Any) -> None:
    async with cell.client() as victim, cell.client("planner") as intruder:
        own = intruder.uaclient.session.authentication_token
        intruder.uaclient.session.restore_authentication_token(
            victim.uaclient.session.authentication_token
        )
        with pytest.raises(BadSecureChannelIdInvalid):
            await intruder.get_node(CURRENT_TIME).read_value()
        intruder.uaclient.session.restore_authentication_token(own)


async def test_a_session_moves_to_a_new_channel_of_the_same_client_and_user(cell: Any) -> None:
    first = await cell.unconnected()
    await first.connect()
    await first.create_subscription(100, Recorder())  # a session without one ends with its socket
    token, nonce = first.uaclient.session.authentication_token, first._server_nonce
    second = await channel(cell)
    second.uaclient.session.restore_authentication_token(token)
    second._server_nonce = nonce
    second._policy_ids = first._policy_ids
    await second.activate_session(username="op", password="operator-1")
    second.uaclient.session._state = first.uaclient.session._state
    assert await second.get_node(CURRENT_TIME).read_value() is not None
    with pytest.raises((BadSessionIdInvalid, BadSecureChannelIdInvalid)):
        await first.get_node(CURRENT_TIME).read_value()
    second.disconnect_socket()
    await first.disconnect()


async def test_a_silent_session_times_out_and_a_torn_one_is_an_abort(
    cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    internal = cell.server._internal
    monkeypatch.setattr(internal, "min_session_timeout_ms", 300.0)
    before = dataclasses.replace(internal.counters)
    silent = await channel(cell)
    silent.session_timeout = 300
    await silent.create_session()
    token = silent.uaclient.session.authentication_token
    torn = await channel(cell)
    await torn.create_session()
    torn.disconnect_socket()
    async with asyncio.timeout(30):
        while (
            internal.counters.session_timeouts == before.session_timeouts
            or internal.counters.session_aborts == before.session_aborts
        ):
            await asyncio.sleep(0.05)
    assert internal.lookup_external_session(token) is None
    silent.disconnect_socket()


async def test_a_client_that_only_reads_or_browses_shows_that_it_lives(cell: Any) -> None:
    async with cell.client() as client:
        channel = cell.server._internal.sessions[-1].channel
        for act in (client.get_node(CURRENT_TIME).read_value, client.nodes.root.get_children):
            channel.session_last_activity = 0.0  # the library ends the session by this one
            assert await act() is not None
            assert channel.session_last_activity > 0.0


class Recorder:
    """Keeps what a subscription delivers."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.values.append(value)


async def test_no_session_without_security_unless_configured(cell: Any) -> None:
    client = Client(cell.url, timeout=10)
    assert len(await client.connect_and_get_server_endpoints()) == 6
    with pytest.raises((BadSecurityPolicyRejected, ua.UaError)) as caught:
        await client.connect()
    assert getattr(caught.value, "code", ua.StatusCodes.BadSecurityPolicyRejected) == (
        ua.StatusCodes.BadSecurityPolicyRejected
    )


async def test_create_session_is_refused_on_a_channel_without_security(cell: Any) -> None:
    client = Client(cell.url, timeout=10)
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    with pytest.raises(BadSecurityPolicyRejected):
        await client.uaclient.session.create_session(ua.CreateSessionParameters())
    client.disconnect_socket()


async def test_what_is_configured_decides_about_policy_none_and_anonymous(make_cell: Any) -> None:
    async with make_cell(anonymous="none", insecure=True) as cell:
        client = Client(cell.url, timeout=10)
        client.session_timeout = 60_000
        client.set_user("op")
        client.set_password("operator-1")
        async with client:
            assert await client.get_node(CURRENT_TIME).read_value() is not None
        # The endpoints do not even name the anonymous token, so the client has to insist.
        client = await channel(cell)
        await client.create_session()
        params = ua.ActivateSessionParameters()
        params.UserIdentityToken = ua.AnonymousIdentityToken()
        data = client.security_policy.peer_certificate + client._server_nonce
        params.ClientSignature.Signature = client.security_policy.asymmetric_cryptography.signature(
            data
        )
        with pytest.raises(BadIdentityTokenRejected):
            await client.uaclient.session.activate_session(params)
        client.disconnect_socket()


async def test_subscriptions_of_another_session_look_unknown(cell: Any) -> None:
    async with cell.client() as owner, cell.client("planner") as other:
        subscription = await owner.create_subscription(50, Recorder())
        params = ua.ModifySubscriptionParameters()
        params.SubscriptionId = subscription.subscription_id
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await other.uaclient.session.modify_subscription(params)
        assert caught.value.code == ua.StatusCodes.BadSubscriptionIdInvalid
        results = await other.uaclient.session.delete_subscriptions([subscription.subscription_id])
        assert results[0].value == ua.StatusCodes.BadSubscriptionIdInvalid
        await subscription.delete()


async def test_the_endpoints_name_the_cell_and_offer_no_open_one(cell: Any) -> None:
    async with asyncio.timeout(30), cell.client() as client:
        endpoints = await client.get_endpoints()
    uris = {endpoint.Server.ApplicationUri for endpoint in endpoints}
    assert uris == {"urn:cellwright:Plant1:BladeMarking"}
    assert all(endpoint.SecurityMode != ua.MessageSecurityMode.None_ for endpoint in endpoints)


async def test_a_session_timeout_that_is_no_number_is_revised_to_one(cell: Any) -> None:
    client = await cell.unconnected()
    client.session_timeout = math.nan
    async with client:
        session = cell.server._internal.sessions[-1]
        assert session.session_timeout is not None
        assert 0.0 < session.session_timeout < math.inf
