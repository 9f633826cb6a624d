"""User certificates: whether the one who logs in holds the key of the certificate that is shown.

Pure functions; whose certificate it is, the `Authenticator` knows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from asyncua import ua
from asyncua.crypto import security_policies, uacrypto
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

from cellwright.opcua_model.security import checks

_VERIFY: Final[dict[str, Any]] = {
    security_policies.SecurityPolicyBasic256Sha256.AsymmetricSignatureURI: uacrypto.verify_sha256,
    security_policies.SecurityPolicyAes256Sha256RsaPss.AsymmetricSignatureURI: (
        uacrypto.verify_pss_sha256
    ),
}
"""By the algorithms of the policies that are offered; RSA with SHA-1 is none of them."""


class TokenRefusedError(Exception):
    """The token proves nothing. ``code`` is for the client, the text for the log."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate in hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def proven(
    token: ua.X509IdentityToken, signature: ua.SignatureData, challenge: bytes, now: datetime
) -> x509.Certificate:
    """The certificate whose key signed ``challenge`` (OPC 10000-4, 7.41.5), valid at ``now``.

    Raises TokenRefusedError.
    """
    try:
        certificate = checks.split(token.CertificateData)[0]
        checks.check_key(certificate)
    except checks.CertificateRefusedError as error:
        raise TokenRefusedError(ua.StatusCodes.BadIdentityTokenInvalid, str(error)) from error
    verify = _VERIFY.get(str(signature.Algorithm))
    if verify is None:
        raise TokenRefusedError(
            ua.StatusCodes.BadUserSignatureInvalid, f"signed with {signature.Algorithm}"
        )
    try:
        verify(certificate, challenge, signature.Signature or b"")
    except (InvalidSignature, ValueError) as error:
        raise TokenRefusedError(
            ua.StatusCodes.BadUserSignatureInvalid, "the signature is not that of its key"
        ) from error
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise TokenRefusedError(
            ua.StatusCodes.BadIdentityTokenRejected, "the certificate is not valid at this time"
        )
    return certificate
