"""One-time codes (RFC 6238): 6 digits, 30 s, one step of tolerance either way; each works once.

The secret lies sealed in the user's row (AES-256-GCM), the key in a file beside the other keys.
"""

from __future__ import annotations

import base64
import binascii
import os
from datetime import datetime
from pathlib import Path
from typing import Final

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyotp.utils import strings_equal

from cellwright.mes.kernel.errors import MesError
from cellwright.mes.people.keys.key_files import KeyFolder

ISSUER: Final = "Cellwright"
STEP_S: Final = 30
WINDOW: Final = 1
"""Steps before and after the present one whose codes are taken."""
_NONCE_BYTES: Final = 12


class Seal:
    """Seals secrets at rest. Several processes may share the folder."""

    def __init__(self, folder: Path) -> None:
        """Raises MesError ``no_keys``."""
        keys = KeyFolder(folder, "seal", lambda: AESGCM.generate_key(256).hex())
        self._cipher = AESGCM(bytes.fromhex(keys.ensure(0)[-1].key))

    def close(self, secret: str, owner: str) -> str:
        """The sealed secret; only the same ``owner`` can open it."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.encode(), owner.encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, owner: str) -> str:
        """The secret. Raises MesError ``no_keys`` when the key file is not the one that sealed."""
        try:
            data = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], owner.encode())\
                .decode()  # fmt: skip
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise MesError(
                "no_keys",
                "a one-time secret cannot be opened with the key in the secrets folder; restore "
                "the key file, or let the user enrol again",
            ) from error


def new_secret() -> str:
    """160 random bits in base 32."""
    return pyotp.random_base32()


def uri(secret: str, username: str) -> str:
    """The otpauth URI for an authenticator."""
    return pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=username, issuer_name=ISSUER)


def accepted_step(secret: str, code: str, at: datetime, last_step: int) -> int | None:
    """The step that the code belongs to; None for a wrong code or one of a step used before."""
    totp = pyotp.TOTP(secret, interval=STEP_S)
    now = int(at.timestamp()) // STEP_S
    found = None
    for step in range(now - WINDOW, now + WINDOW + 1):
        if strings_equal(totp.generate_otp(step), code) and step > last_step:
            found = step
    return found
