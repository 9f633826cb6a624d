"""Whether a client's certificate may be accepted: the steps of OPC 10000-4, 6.1.3, in their order.

Called when a channel is opened and, for the ApplicationUri, when a session is created. It reads no
file and knows no clock: both come with the call. Each step has its own status code; the reason is
for the log, in words that name the certificate.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from asyncua import ua
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MIN_KEY_BITS: Final = 2048
MAX_KEY_BITS: Final = 4096
"""Of the three policies that are offered (OPC 10000-7, MinAsymmetricKeyLength and Max...)."""
MAX_CHAIN: Final = 8
"""Certificates from the client's to the root."""
MAX_CHAIN_BYTES: Final = 32_768
VALIDITY: Final = "validity"
USAGE: Final = "usage"
REVOCATION: Final = "revocation"
SUPPRESSIBLE: Final = (VALIDITY, USAGE, REVOCATION)
"""What a configuration may leave unchecked (OPC 10000-4, 6.1.3). Of revocation only that a list is
missing or out of date; what a list says always counts."""

_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_DECODING: Final = (ValueError, TypeError, UnsupportedAlgorithm)
_C: Final = ua.StatusCodes


class CertificateRefusedError(Exception):
    """A step failed. ``code`` is for the client, the text for the log."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Known:
    """What the trust list holds, by thumbprint (`thumbprint`)."""

    trusted: Mapping[str, x509.Certificate] = field(default_factory=dict)
    issuers: Mapping[str, x509.Certificate] = field(default_factory=dict)
    rejected: frozenset[str] = frozenset()
    lists: tuple[x509.CertificateRevocationList, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the cell's file says."""

    trusted_only: bool = True
    """False: a certificate need not be in the trust list; one that was rejected is refused."""
    suppress: frozenset[str] = frozenset()
    """Of `SUPPRESSIBLE`."""


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the certificate in hexadecimal digits, as OPC 10000-6, 6.2.2 has it."""
    return certificate.fingerprint(hashes.SHA1()).hex()


def application_uris(certificate: x509.Certificate) -> list[str]:
    """The URIs of the SubjectAltName; empty without one. Raises CertificateRefusedError."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    except _DECODING as error:
        raise _invalid(f"its extensions cannot be read: {error}") from error
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def split(blob: bytes | None) -> list[x509.Certificate]:
    """The certificates of a SenderCertificate, the client's own first.

    Raises CertificateRefusedError (Bad_CertificateInvalid).
    """
    rest = memoryview(blob or b"")
    if not rest:
        raise _invalid("there is none")
    if len(rest) > MAX_CHAIN_BYTES:
        raise _invalid(f"it and its issuers have more than {MAX_CHAIN_BYTES} bytes")
    found: list[x509.Certificate] = []
    while rest:
        if len(found) == MAX_CHAIN:
            raise _invalid(f"more than {MAX_CHAIN} certificates were sent")
        size = _der_size(rest)
        try:
            found.append(x509.load_der_x509_certificate(bytes(rest[:size])))
        except _DECODING as error:
            raise _invalid(f"it is not an X.509 certificate in DER: {error}") from error
        rest = rest[size:]
    return found


def check(sent: list[x509.Certificate], known: Known, rules: Rules, now: datetime) -> list[str]:
    """Whether the first of ``sent`` may be accepted; the others are its issuers, not yet trusted.

    ``now`` is in UTC. Gives what was found and let pass because it is suppressed. Raises
    CertificateRefusedError at the first step that fails.
    """
    leaf = sent[0]
    _check_readable(leaf)
    chain = _chain(sent, known, must_be_whole=rules.trusted_only)
    _check_policy(chain)
    _check_trust(chain, known, rules)
    passed: list[str] = []
    for step in (_validity(chain, now), _uri(leaf), _usage(chain), _revocation(chain, known, now)):
        for kind, code, why in step:
            if kind not in rules.suppress:
                raise CertificateRefusedError(code, why)
            passed.append(why)
    return passed


def check_key(leaf: x509.Certificate) -> None:
    """Whether its key can be used at all, before anything is verified with it (step 4).

    Raises CertificateRefusedError.
    """
    _check_readable(leaf)
    _check_policy([leaf])


def check_uri(leaf: x509.Certificate, uri: str | None) -> None:
    """Whether the client is the application that the certificate names (Part 4, 5.6.2).

    Raises CertificateRefusedError (Bad_CertificateUriInvalid).
    """
    named = application_uris(leaf)
    if uri not in named:
        raise CertificateRefusedError(
            _C.BadCertificateUriInvalid,
            f"it was made for {', '.join(named)}, and the client calls itself {uri}",
        )


_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_Found = Iterator[tuple[str, int, str]]
"""What does not hold: its kind, of `SUPPRESSIBLE` or empty; the code; the reason."""


def _invalid(why: str) -> CertificateRefusedError:
    return CertificateRefusedError(_C.BadCertificateInvalid, why)


def _der_size(data: memoryview) -> int:
    """Bytes of the ASN.1 SEQUENCE at the beginning (X.690, 8.1.3)."""
    if len(data) < 2 or data[0] != 0x30:
        raise _invalid("it is not an X.509 certificate in DER: no SEQUENCE")
    size = data[1]
    if size < 0x80:
        return 2 + size
    digits = size & 0x7F
    return 2 + digits + int.from_bytes(data[2 : 2 + digits], "big")


def _check_readable(leaf: x509.Certificate) -> None:
    """Step 1, the structure."""
    try:
        version, _ = leaf.version, leaf.extensions
        leaf.public_key()
        leaf.subject.rfc4514_string()
    except _DECODING as error:
        raise _invalid(f"it cannot be read: {error}") from error
    if version is not x509.Version.v3:
        raise _invalid("it is not of X.509 version 3")


def _chain(
    sent: list[x509.Certificate], known: Known, *, must_be_whole: bool
) -> list[x509.Certificate]:
    """Steps 2 and 3: from the client's certificate up to the root, every signature verified."""
    pool = [*known.trusted.values(), *known.issuers.values(), *sent[1:]]
    chain = [sent[0]]
    while not _self_issued(chain[-1]):
        below = chain[-1]
        issuers = [each for each in pool if each.subject == below.issuer and each not in chain]
        if not issuers and must_be_whole:
            raise CertificateRefusedError(
                _C.BadCertificateChainIncomplete,
                f"the certificate of its issuer {name_of(below, of_issuer=True)} is missing; "
                "put it into issuers/certs of the trust list",
            )
        if not issuers:
            return chain
        signer = next((each for each in issuers if _signed_by(below, each)), None)
        if signer is None:
            raise _invalid(f"it is not signed by {name_of(below, of_issuer=True)}")
        chain.append(signer)
        if len(chain) > MAX_CHAIN:
            raise _invalid(f"there are more than {MAX_CHAIN} certificates up to its root")
    if not _signed_by(chain[-1], chain[-1]):
        raise _invalid(f"the signature of {name_of(chain[-1])} is wrong")
    return chain


def _self_issued(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_DECODING):
        return False
    return True


def _check_policy(chain: list[x509.Certificate]) -> None:
    """Step 4: keys and hashes that the offered security policies allow."""
    for each in chain:
        key = each.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            why = "its key is no RSA key"
        elif not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
            why = f"its key has {key.key_size} bits, allowed are {MIN_KEY_BITS} to {MAX_KEY_BITS}"
        elif not isinstance(_hash(each), _HASHES):
            why = "it is signed with a hash that is weaker than SHA-256"
        else:
            continue
        raise CertificateRefusedError(_C.BadCertificatePolicyCheckFailed, f"{name_of(each)}: {why}")


def _hash(certificate: x509.Certificate) -> hashes.HashAlgorithm | None:
    try:
        return certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None


def _check_trust(chain: list[x509.Certificate], known: Known, rules: Rules) -> None:
    """Step 5: it, or an issuer of it, is trusted."""
    names = [thumbprint(each) for each in chain]
    if not known.rejected.isdisjoint(names) and names[0] not in known.trusted:
        why = "it was rejected"
    elif rules.trusted_only and known.trusted.keys().isdisjoint(names):
        why = "neither it nor an issuer of it is in the trust list"
    else:
        return
    raise CertificateRefusedError(
        _C.BadCertificateUntrusted, f"{why}; `cellwright trust add {names[0][:12]}` accepts it"
    )


def _validity(chain: list[x509.Certificate], now: datetime) -> _Found:
    """Step 6."""
    for number, each in enumerate(chain):
        code = _C.BadCertificateIssuerTimeInvalid if number else _C.BadCertificateTimeInvalid
        if now < each.not_valid_before_utc:
            yield (
                VALIDITY,
                code,
                (
                    f"{name_of(each)} is not valid before "
                    f"{each.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; look at both clocks"
                ),
            )
        elif now > each.not_valid_after_utc:
            yield (
                VALIDITY,
                code,
                (f"{name_of(each)} expired on {each.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"),
            )


def _uri(leaf: x509.Certificate) -> _Found:
    """Step 8, as far as the certificate alone tells; `check_uri` does the rest."""
    if not application_uris(leaf):
        yield "", _C.BadCertificateUriInvalid, "it names no ApplicationUri in a SubjectAltName"


def _usage(chain: list[x509.Certificate]) -> _Found:
    """Step 9, after the table of OPC 10000-6, 6.2.2."""
    leaf, *issuers = chain
    bad = _C.BadCertificateUseNotAllowed
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not (
        usage.digital_signature
        and usage.content_commitment
        and usage.key_encipherment
        and usage.data_encipherment
    ):
        yield (
            USAGE,
            bad,
            ("its key may not be used for signatures, non-repudiation, key and data encipherment"),
        )
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    if extended is None or not {
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }.intersection(extended):
        yield USAGE, bad, "its extended key usage does not name clients (clientAuth)"
    limits = _extension(leaf, x509.BasicConstraints)
    if issuers and limits is not None and limits.ca:
        yield USAGE, bad, "it is the certificate of a certificate authority"
    for below, issuer in enumerate(issuers):
        limits, usage = _extension(issuer, x509.BasicConstraints), _extension(issuer, x509.KeyUsage)
        if (
            limits is None
            or not limits.ca
            or (limits.path_length is not None and limits.path_length < below)
            or (usage is not None and not usage.key_cert_sign)
        ):
            yield (
                USAGE,
                _C.BadCertificateIssuerUseNotAllowed,
                (f"{name_of(issuer)} is not allowed to issue it"),
            )


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _revocation(chain: list[x509.Certificate], known: Known, now: datetime) -> _Found:
    """Steps 10 and 11: the revocation list of each issuer, and what it says."""
    for number, (each, issuer) in enumerate(itertools.pairwise(chain)):
        unknown = _C.BadCertificateIssuerRevocationUnknown
        revoked = _C.BadCertificateIssuerRevoked
        if number == 0:
            unknown, revoked = _C.BadCertificateRevocationUnknown, _C.BadCertificateRevoked
        lists = [one for one in known.lists if _of_issuer(one, issuer)]
        if any(
            one.get_revoked_certificate_by_serial_number(each.serial_number) is not None
            for one in lists
        ):
            yield "", revoked, f"{name_of(each)} was revoked by {name_of(issuer)}"
        elif not any(one.next_update_utc is None or now <= one.next_update_utc for one in lists):
            state = "out of date" if lists else "missing"
            yield REVOCATION, unknown, f"the revocation list of {name_of(issuer)} is {state}"


def _of_issuer(one: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if one.issuer != issuer.subject or not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        return one.is_signature_valid(key)
    except (InvalidSignature, *_DECODING):
        return False


def name_of(certificate: x509.Certificate, *, of_issuer: bool = False) -> str:
    """The common name, or all of the name without one; at most 100 characters."""
    name = certificate.issuer if of_issuer else certificate.subject
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[0].value) if common else name.rfc4514_string()
    return text[:100]
