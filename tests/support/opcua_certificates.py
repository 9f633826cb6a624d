"""Certificates of clients as they come: right ones, and each kind of wrong one.

Keys cost more than the tests that use them, so one is shared by all clients and one by all
authorities; the names tell who is who.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

URI = "urn:cellwright:tests:client"
DAY = timedelta(days=1)
DER = serialization.Encoding.DER


def key_usage(*, ca: bool = False, **changed: bool) -> x509.KeyUsage:
    """All that a client needs, or an authority; ``changed`` by name."""
    given = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        not ca,
    )
    rest = {"key_agreement": False, "encipher_only": False, "decipher_only": False}
    return x509.KeyUsage(**given | rest | {"key_cert_sign": ca, "crl_sign": ca} | changed)


@dataclass
class Made:
    """A certificate and the key that belongs to it."""

    certificate: x509.Certificate
    key: Any

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Both as files: certificate in DER, key in PEM."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = folder / "client.der", folder / "client.pem"
        certificate.write_bytes(self.certificate.public_bytes(DER))
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, key


@dataclass
class Workshop:
    """Makes certificates. ``now`` is the time of the server that they are for."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    serial: int = 1000

    @cached_property
    def client_key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def ca_key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def short_key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 1024)

    @cached_property
    def elliptic_key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    def client(
        self,
        name: str = "client",
        *,
        issuer: Made | None = None,
        key: Any = None,
        uri: str | None = URI,
        days: tuple[int, int] = (-10, 10),
        usage: x509.KeyUsage | None = None,
        purposes: Iterable[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        ca: bool = False,
        path_length: int | None = None,
        hash_: hashes.HashAlgorithm | None = None,
    ) -> Made:
        """A certificate; self-signed without ``issuer``. ``days`` are from and until, from now."""
        key = key or self.client_key
        self.serial += 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(name) if issuer is None else issuer.certificate.subject)
            .public_key(key.public_key())
            .serial_number(self.serial)
            .not_valid_before(self.now + days[0] * DAY)
            .not_valid_after(self.now + days[1] * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
            .add_extension(usage or key_usage(ca=ca), critical=True)
        )
        if uri is not None:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
            )
        if purposes is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        signer = key if issuer is None else issuer.key
        return Made(builder.sign(signer, hash_ or hashes.SHA256()), key)

    def authority(self, name: str = "plant CA", issuer: Made | None = None, **more: Any) -> Made:
        """An authority; its own root without ``issuer``."""
        key = self.ca_key if issuer is None else rsa.generate_private_key(65537, 2048)
        given: dict[str, Any] = {"ca": True, "uri": None, "purposes": None, "key": key}
        return self.client(name, issuer=issuer, **given | more)

    def revocations(
        self, issuer: Made, revoked: Iterable[Made] = (), *, days: int = 5
    ) -> x509.CertificateRevocationList:
        """A list of that authority, valid until in ``days``."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.certificate.subject)
            .last_update(self.now - 10 * DAY)
            .next_update(self.now + days * DAY)
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(each.certificate.serial_number)
                .revocation_date(self.now - DAY)
                .build()
            )
        return builder.sign(issuer.key, hashes.SHA256())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def damaged(made: Made) -> Made:
    """The same with a signature that does not fit."""
    content = bytearray(made.certificate.public_bytes(DER))
    content[-20] ^= 0xFF
    return Made(x509.load_der_x509_certificate(bytes(content)), made.key)
