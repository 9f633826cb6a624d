"""The Ed25519 keys that electronic signatures are sealed with.

The newest signs; all of them stay, because a signature is verified for as long as its record lives.
"""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cellwright.mes.people.keys.key_files import KeyFolder

_RAW: Final = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class SignatureKeys:
    """The keys of a folder. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Makes the first key. Raises MesError ``no_keys``."""
        self._files = KeyFolder(folder, "signature", _generate)
        self._keys: dict[str, Ed25519PrivateKey] = {}
        self._newest = ""
        self._files.ensure(int(time.time()))
        self._seen = self._files.changed()
        self._load_all()

    @property
    def newest(self) -> str:
        """Id of the key that signs."""
        self._look()
        return self._newest

    def sign(self, key_id: str, text: str) -> str:
        """Signature of the text by that key, hexadecimal."""
        return self._keys[key_id].sign(text.encode()).hex()

    def holds(self, key_id: str, text: str, signature: str) -> bool:
        """True when the key of that id has signed the text."""
        self._look()
        key = self._keys.get(key_id)
        try:
            if key is not None:
                key.public_key().verify(bytes.fromhex(signature), text.encode())
                return True
        except (InvalidSignature, ValueError):
            pass
        return False

    def _look(self) -> None:
        """Take note of keys that came since."""
        changed = self._files.changed()
        if changed != self._seen:
            self._seen = changed
            self._load_all()

    def _load_all(self) -> None:
        for file in self._files.load():
            self._newest = self._load(file.key)

    def _load(self, text: str) -> str:
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
        key_id = hashlib.sha256(key.public_key().public_bytes(*_RAW)).hexdigest()[:16]
        self._keys[key_id] = key
        return key_id


def _generate() -> str:
    return Ed25519PrivateKey.generate().private_bytes_raw().hex()


@lru_cache(maxsize=8)
def signature_keys(folder: Path) -> SignatureKeys:
    """The keys in the folder; one for all threads of a process."""
    return SignatureKeys(folder)
