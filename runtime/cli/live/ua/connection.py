"""How the client connects: the server's address, the channel's security, who logs in.

The client has a certificate of its own, made at first use. The certificate of a server is kept when
it is first seen, with its fingerprint told; another one later is refused until a person says so.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import typer
from asyncua import Client, ua
from asyncua.crypto import security_policies as policies
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from cellwright.io.files.replace import replace_file
from cellwright.opcua_model.errors import CertificateError
from cellwright.opcua_model.security.addresses import Names
from cellwright.opcua_model.security.certificate import own_certificate
from cellwright.runtime.cli.common import fail
from cellwright.runtime.cli.live.ua.words import explained

POLICIES: Final = (
    policies.SecurityPolicyAes256Sha256RsaPss,
    policies.SecurityPolicyAes128Sha256RsaOaep,
    policies.SecurityPolicyBasic256Sha256,
)
"""The best first."""
_SECURED: Final = (ua.MessageSecurityMode.SignAndEncrypt, ua.MessageSecurityMode.Sign)


@dataclass(frozen=True, slots=True)
class Connect:
    """What was typed about the connection."""

    url: str
    user: str | None
    password: str
    insecure: bool
    """Connect without security; what is sent can be read and changed on the way."""
    trust_new: bool
    """Take a server's other certificate for good."""
    timeout_s: float


def home() -> Path:
    """The client's folder: its certificate and those of the servers it has seen."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "cellwright" / "opcua"


def application_uri() -> str:
    """The client's name for servers: one for each computer."""
    host = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())
    return f"urn:cellwright:client:{host}"


@asynccontextmanager
async def connected(how: Connect) -> AsyncIterator[Client]:
    """A session; whatever the server or the network refuses ends with exit code 1 and a remedy."""
    client = Client(how.url, timeout=how.timeout_s)
    client.name = client.description = "cellwright ua"
    client.application_uri = application_uri()
    client.session_timeout = 60_000
    try:
        if not how.insecure:
            await _secure(client, how)
        if how.user is not None:
            client.set_user(how.user)
            client.set_password(how.password)
        async with client:
            yield client
    except ua.UaError as error:
        fail(explained(error, how.url, own_file()))
    except BrokenPipeError:
        raise  # whoever reads what is printed has had enough
    except (TimeoutError, ConnectionError, socket.gaierror) as error:
        why = str(error) or "timeout"
        fail(f"{how.url}: no answer ({why}); is the server running and the port right?")
    except OSError as error:
        fail(f"{how.url}: cannot connect: {error.strerror or error}; is the server running?")


def own_file() -> Path:
    """The client's certificate, to be trusted by servers."""
    return home() / "own" / "certificate.der"


async def _secure(client: Client, how: Connect) -> None:
    endpoints = await client.connect_and_get_server_endpoints()
    chosen = next(
        (
            (policy, endpoint)
            for policy in POLICIES
            for mode in _SECURED
            for endpoint in endpoints
            if endpoint.SecurityPolicyUri == policy.URI and endpoint.SecurityMode == mode
        ),
        None,
    )
    if chosen is None:
        fail(
            f"{how.url} offers no security that this client takes; --insecure connects without, "
            "then anybody on the way can read and change what is sent"
        )
    policy, endpoint = chosen
    server = x509.load_der_x509_certificate(endpoint.ServerCertificate)
    _known(how, server, endpoint.ServerCertificate)
    try:
        names = Names((socket.gethostname(),), ())
        own_certificate(home(), application_uri(), "cellwright ua", time.time_ns(), names)
    except CertificateError as error:
        fail(str(error))
    await client.set_security(
        policy,
        own_file(),
        home() / "own" / "key.pem",
        server_certificate=endpoint.ServerCertificate,
        mode=endpoint.SecurityMode,
    )


def _known(how: Connect, certificate: x509.Certificate, der: bytes) -> None:
    """Trust on first use, and refuse a change."""
    place = urlsplit(how.url)
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{place.hostname}_{place.port or 4840}")
    file = home() / "servers" / f"{name}.der"
    print_ = fingerprint(certificate)
    if file.exists() and file.read_bytes() == der:
        return
    if file.exists() and not how.trust_new:
        known = fingerprint(x509.load_der_x509_certificate(file.read_bytes()))
        fail(
            f"{how.url} shows another certificate than before: {print_}, not {known}; if the "
            "server's certificate was renewed, add --trust-new, else somebody is between"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, der)
    typer.echo(f"the server's certificate is kept: SHA-1 {print_}", err=True)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-1, as OPC UA tools show certificates."""
    return certificate.fingerprint(hashes.SHA1()).hex()
