"""The server's own certificate and key: read from the pki folder, or made there on first start.

Called when the server is built, and now and then while it runs: a certificate that the server made
itself is made anew, with the same key, when clients reach the computer by a name or an address that
it does not know, and before it expires. One that people put there is theirs, and only told about.
The key never leaves its file, which only the owner may read.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cellwright.io.files.replace import replace_file
from cellwright.opcua_model.errors import CertificateError
from cellwright.opcua_model.security.addresses import MOST, Names

KEY_BITS: Final = 2048
VALID_DAYS: Final = 3652
"""Ten years."""
VALID_BEFORE_DAYS: Final = 365
"""So long before it is made: a certificate that was made while the PC's clock was ahead is valid
all the same when that is mended, and for clients whose clocks are behind."""
RENEW_DAYS: Final = 60
"""So long before it expires it is made anew, or people are told to."""
MAKER: Final = "Cellwright"
"""Organization of the certificates that are made here."""
NO_NAMES: Final = Names((), ())
NOT_EARLIER: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""A PC that says it is earlier has a wrong clock; its certificate must not have expired already
when that is mended."""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What the secure channel needs."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    renewed: str = ""
    """Why it was made anew just now."""
    warning: str = ""
    """Why people should make it anew, who put it there."""


def own_certificate(
    pki: Path, application_uri: str, cell: str, now_ns: int, names: Names = NO_NAMES
) -> OwnCertificate:
    """Read ``pki/own/certificate.der`` and ``pki/own/key.pem``; make or renew what has to be.

    ``now_ns`` is wall-clock time in nanoseconds; ``names`` are those that it must have. Raises
    CertificateError with a remedy when the files are unreadable, do not fit together, or name
    another application.
    """
    own = pki / "own"
    certificate_file, key_file = own / "certificate.der", own / "key.pem"
    maker = _Maker(application_uri, cell, now_ns)
    try:
        if not certificate_file.exists() and not key_file.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
            _write_key(key_file, key)
            replace_file(certificate_file, _der(maker.certificate(key, names)), durable=True)
        pair = _read(certificate_file, key_file)
        found = _checked(pair, certificate_file, key_file, application_uri)
        why = _why_renew(found.certificate, names, now_ns)
        if why and _made_here(found.certificate):
            renewed = maker.certificate(found.key, _united(names, found.certificate))
            replace_file(certificate_file, _der(renewed), durable=True)
            return OwnCertificate(renewed, found.key, renewed=why)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(
            f"cannot use the server's certificate in {own}: {error}; "
            "restore both files, or remove both and a new pair is made"
        ) from error
    return OwnCertificate(found.certificate, found.key, warning=why)


def _read(certificate_file: Path, key_file: Path) -> tuple[x509.Certificate, Any]:
    certificate = x509.load_der_x509_certificate(certificate_file.read_bytes())
    return certificate, serialization.load_pem_private_key(key_file.read_bytes(), password=None)


def _checked(
    found: tuple[x509.Certificate, Any], certificate_file: Path, key_file: Path, uri: str
) -> OwnCertificate:
    certificate, key = found
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise CertificateError(
            f"{key_file} is not the RSA key of {certificate_file}; "
            "restore the pair, or remove both files and a new pair is made"
        )
    if uri not in _alternative(certificate).get_values_for_type(x509.UniformResourceIdentifier):
        raise CertificateError(
            f"{certificate_file} was made for another application, not for {uri}; "
            "remove both files in that folder and a new pair is made"
        )
    return OwnCertificate(certificate, key)


def _alternative(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _made_here(certificate: x509.Certificate) -> bool:
    makers = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return certificate.issuer == certificate.subject and any(m.value == MAKER for m in makers)


def _why_renew(certificate: x509.Certificate, names: Names, now_ns: int) -> str:
    """Empty while it will do."""
    known = _names(certificate)
    missing = [*names.dns, *map(str, names.ips)]
    missing = [name for name in missing if name not in {*known.dns, *map(str, known.ips)}]
    if missing:
        return f"clients that connect to {', '.join(missing[:5])} will not find that name in it"
    days = (certificate.not_valid_after_utc - datetime.fromtimestamp(now_ns / 1e9, UTC)).days
    if days < RENEW_DAYS:
        end = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        return f"it expires on {end}" if days >= 0 else f"it expired on {end}"
    return ""


def _names(certificate: x509.Certificate) -> Names:
    alternative = _alternative(certificate)
    ips = [
        each
        for each in alternative.get_values_for_type(x509.IPAddress)
        if isinstance(each, ipaddress.IPv4Address | ipaddress.IPv6Address)
    ]
    return Names(tuple(alternative.get_values_for_type(x509.DNSName)), tuple(ips))


def _united(names: Names, certificate: x509.Certificate) -> Names:
    """With those that it had, so that an address that comes and goes renews it once."""
    former = _names(certificate)
    dns = tuple(dict.fromkeys([*names.dns, *former.dns]))[:MOST]
    return Names(dns, tuple(dict.fromkeys([*names.ips, *former.ips]))[: MOST - len(dns)])


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _write_key(key_file: Path, key: rsa.RSAPrivateKey) -> None:
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
        stream.flush()
        os.fsync(stream.fileno())


@dataclass(frozen=True, slots=True)
class _Maker:
    application_uri: str
    cell: str
    now_ns: int

    def certificate(self, key: rsa.RSAPrivateKey, names: Names) -> x509.Certificate:
        """A new one, signed by its own key."""
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, f"{self.cell} OPC UA server"[:64]),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, MAKER),
            ]
        )
        now = max(datetime.fromtimestamp(self.now_ns / 1e9, UTC), NOT_EARLIER)
        start = now - timedelta(days=VALID_BEFORE_DAYS)
        alternative: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(self.application_uri),
            *(x509.DNSName(each) for each in names.dns),
            *(x509.IPAddress(each) for each in names.ips),
        ]
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=VALID_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
            .add_extension(_USAGE, critical=True)
            .add_extension(_PURPOSES, critical=False)
            .add_extension(identifier, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
                critical=False,
            )
        )
        return builder.sign(key, hashes.SHA256())


_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=True,
    data_encipherment=True,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_PURPOSES: Final = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)
