"""The server's own certificate and key: read from the pki folder, or made there on first start.

Called once, when the server is built. The key never leaves its file, which only the owner may read.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cellwright.opcua_model.errors import CertificateError

KEY_BITS: Final = 2048
VALID_DAYS: Final = 3652
"""Ten years."""
VALID_BEFORE_DAYS: Final = 365
"""So long before it is made: a certificate that was made while the PC's clock was ahead is valid
all the same when that is mended, and for clients whose clocks are behind."""
NOT_EARLIER: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""A PC that says it is earlier has a wrong clock; its certificate must not have expired already
when that is mended."""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What the secure channel needs."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def own_certificate(pki: Path, application_uri: str, cell: str, now_ns: int) -> OwnCertificate:
    """Read ``pki/own/certificate.der`` and ``pki/own/key.pem``, or make both.

    ``now_ns`` is wall-clock time in nanoseconds. Raises CertificateError with a remedy when the
    files are unreadable, do not fit together, or name another application.
    """
    own = pki / "own"
    certificate_file, key_file = own / "certificate.der", own / "key.pem"
    try:
        if not certificate_file.exists() and not key_file.exists():
            _make(certificate_file, key_file, application_uri, cell, now_ns)
        certificate = x509.load_der_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(
            f"cannot use the server's certificate in {own}: {error}; "
            "restore both files, or remove both and a new pair is made"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise CertificateError(
            f"{key_file} is not the RSA key of {certificate_file}; "
            "restore the pair, or remove both files and a new pair is made"
        )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if application_uri not in names.get_values_for_type(x509.UniformResourceIdentifier):
        raise CertificateError(
            f"{certificate_file} was made for another application, not for {application_uri}; "
            "remove both files in that folder and a new pair is made"
        )
    return OwnCertificate(certificate, key)


def _make(
    certificate_file: Path, key_file: Path, application_uri: str, cell: str, now_ns: int
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    host = socket.gethostname()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"{cell} OPC UA server"[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Cellwright"),
        ]
    )
    now = max(datetime.fromtimestamp(now_ns / 1e9, UTC), NOT_EARLIER)
    start = now - timedelta(days=VALID_BEFORE_DAYS)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.UniformResourceIdentifier(application_uri),
                    x509.DNSName(host),
                    x509.DNSName("localhost"),
                    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                ]
            ),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=True,
                key_encipherment=True,
                data_encipherment=True,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    certificate = builder.sign(key, hashes.SHA256())
    key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
