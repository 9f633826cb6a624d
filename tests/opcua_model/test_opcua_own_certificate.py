"""The server's own certificate: whom it names, when it is made anew, and IPv6 throughout."""

from __future__ import annotations

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509

from cellwright.opcua_model.security import addresses
from cellwright.opcua_model.security.addresses import Names, reached_by
from cellwright.opcua_model.security.certificate import (
    RENEW_DAYS,
    VALID_BEFORE_DAYS,
    VALID_DAYS,
    OwnCertificate,
    own_certificate,
)
from support.opcua_certificates import URI, Workshop

NOW_NS = 1_790_000_000_000_000_000
DAY_NS = 24 * 3600 * 1_000_000_000
HERE = Names(("localhost", "line3"), (ipaddress.ip_address("127.0.0.1"),))
CURRENT_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)


def names_of(own: OwnCertificate | x509.Certificate) -> set[str]:
    certificate = own.certificate if isinstance(own, OwnCertificate) else own
    value = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        *value.get_values_for_type(x509.DNSName),
        *map(str, value.get_values_for_type(x509.IPAddress)),
    }


def made(folder: Path, names: Names = HERE, now_ns: int = NOW_NS) -> OwnCertificate:
    return own_certificate(folder, "urn:test:a", "A", now_ns, names)


@pytest.mark.parametrize(
    ("endpoint", "named"),
    [
        ("opc.tcp://127.0.0.1:4840", {"line3", "localhost", "127.0.0.1", "::1"}),
        ("opc.tcp://cell.plant:4840", {"cell.plant", "line3", "localhost", "127.0.0.1", "::1"}),
        ("opc.tcp://[fd00::7]:4840", {"fd00::7", "line3", "localhost", "127.0.0.1", "::1"}),
        ("opc.tcp://0.0.0.0:4840", {"10.0.0.7", "line3", "localhost", "127.0.0.1", "::1"}),
        ("opc.tcp://[::]:4840", {"10.0.0.7", "fd00::7", "line3", "localhost", "127.0.0.1", "::1"}),
    ],
)
def test_clients_reach_the_computer_by_these_names(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, named: set[str]
) -> None:
    found = [ipaddress.ip_address(text) for text in ("10.0.0.7", "fd00::7", "127.0.0.1")]
    monkeypatch.setattr(addresses, "interfaces", lambda: found)
    monkeypatch.setattr(socket, "gethostname", lambda: "line3")
    names = reached_by(endpoint)
    assert {*names.dns, *map(str, names.ips)} == named


def test_the_kernel_names_the_loopback_and_no_address_that_is_good_on_one_wire_only() -> None:
    found = addresses.interfaces()
    assert ipaddress.ip_address("127.0.0.1") in found
    assert not any(each.is_link_local for each in found)


def test_a_new_address_makes_it_anew_with_the_same_key_and_the_former_names(tmp_path: Path) -> None:
    first = made(tmp_path)
    assert (first.renewed, first.warning) == ("", "")
    assert names_of(first) == {"localhost", "line3", "127.0.0.1"}
    moved = Names(HERE.dns, (ipaddress.ip_address("10.0.0.9"),))
    second = made(tmp_path, moved)
    assert "10.0.0.9" in second.renewed
    assert second.certificate.public_key() == first.certificate.public_key()
    assert names_of(second) == {"localhost", "line3", "127.0.0.1", "10.0.0.9"}
    for names in (HERE, moved):
        again = made(tmp_path, names)
        assert (again.renewed, again.certificate) == ("", second.certificate)


def test_it_is_made_anew_some_time_before_it_expires(tmp_path: Path) -> None:
    first = made(tmp_path)
    days = VALID_DAYS - VALID_BEFORE_DAYS - RENEW_DAYS
    assert made(tmp_path, now_ns=NOW_NS + (days - 1) * DAY_NS).certificate == first.certificate
    renewed = made(tmp_path, now_ns=NOW_NS + (days + 1) * DAY_NS)
    assert renewed.renewed.startswith("it expires on ")
    assert renewed.certificate.not_valid_after_utc > first.certificate.not_valid_after_utc


@pytest.mark.parametrize(
    ("days", "told"), [((-10, 20), "it expires on"), ((-10, -1), "it expired on"), ((-1, 400), "")]
)
def test_one_that_people_put_there_is_told_about_and_left(
    tmp_path: Path, days: tuple[int, int], told: str
) -> None:
    now = datetime.fromtimestamp(NOW_NS / 1e9, UTC) + timedelta(hours=1)
    workshop = Workshop(now)
    theirs = workshop.client("ours by contract", uri="urn:test:a", days=days)
    certificate, key = theirs.write(tmp_path / "own")
    certificate.rename(tmp_path / "own" / "certificate.der")
    key.rename(tmp_path / "own" / "key.pem")
    found = own_certificate(tmp_path, "urn:test:a", "A", NOW_NS)
    assert found.certificate == theirs.certificate
    assert found.renewed == ""
    assert found.warning.startswith(told)
    assert bool(found.warning) == bool(told)


async def read_time(url: str, keys: Any) -> tuple[list[ua.EndpointDescription], Any]:
    client = Client(url, timeout=10)
    client.application_uri = URI
    client.session_timeout = 60_000
    await client.set_security(
        SecurityPolicyBasic256Sha256, keys.client_certificate, keys.client_key
    )
    async with client:
        return await client.get_endpoints(), await client.get_node(CURRENT_TIME).read_value()


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("host", "reached"), [("[::1]", ["[::1]"]), ("[::]", ["[::1]", "127.0.0.1"])]
)
async def test_ipv6_works_and_stands_in_brackets_everywhere(
    make_cell: Any, host: str, reached: list[str]
) -> None:
    async with make_cell(anonymous="read", host=host) as cell:
        shown = "[::1]" if host == "[::1]" else socket.gethostname()
        assert cell.server.endpoint == f"opc.tcp://{shown}:{cell.server.port}"
        for each in reached:
            url = f"opc.tcp://{each}:{cell.server.port}"
            endpoints, now = await read_time(url, cell.keys)
            assert now is not None
            assert {endpoint.EndpointUrl for endpoint in endpoints} == {url}
            assert {tuple(endpoint.Server.DiscoveryUrls) for endpoint in endpoints} == {(url,)}
        certificate = x509.load_der_x509_certificate(endpoints[0].ServerCertificate)
        assert {"::1", "127.0.0.1", "localhost"} <= names_of(certificate)
        mangle = cell.server._internal._mangle_endpoint_url
        ours = f"opc.tcp://[::1]:{cell.server.port}"
        for asked in ("opc.tcp://::1:4842", "", None, "opc.tcp://[::1"):
            assert mangle("opc.tcp://[::]:0", asked, ("::1", cell.server.port, 0, 0)) == ours


@pytest.mark.asyncio(loop_scope="session")
async def test_a_running_server_takes_another_certificate_and_open_sessions_go_on(
    make_cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_cell(anonymous="read") as cell, cell.client(None) as open_before:
        former = cell.server._internal.certificate
        monkeypatch.setattr(socket, "gethostname", lambda: "renamed-pc")
        await cell.server.look_at_certificate()
        current = cell.server._internal.certificate
        assert current != former
        assert "renamed-pc" in names_of(current)
        async with cell.client("op") as later:
            endpoints = await later.get_endpoints()
            shown = x509.load_der_x509_certificate(endpoints[0].ServerCertificate)
            assert shown == current
        assert await open_before.get_node(CURRENT_TIME).read_value() is not None
        (cell.server._pki / "own" / "key.pem").write_text("damaged")
        await cell.server.look_at_certificate()
        assert cell.server._internal.certificate == current
