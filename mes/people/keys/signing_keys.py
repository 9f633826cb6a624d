"""The keys that access tokens are signed with, and the document of their public halves.

New tokens take the newest key; an older one goes on being accepted for as long as its tokens can
live. A key is found by its id in memory; the id of a token is never part of a path.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from joserfc.jwk import RSAKey

from cellwright.mes.people.keys.key_files import KeyFolder

LIFE_S: Final = 3600
"""How long an access token lives."""
LEEWAY_S: Final = 10
"""Tolerated difference of clocks."""
KEY_BITS: Final = 3072
LOOK_S: Final = 1.0
"""How often the folder is looked at for keys of other processes."""


@dataclass(frozen=True, slots=True)
class _Known:
    key: RSAKey
    until_s: float
    """Seconds since 1970 from which its signatures are no longer accepted."""


class SigningKeys:
    """The RSA keys of a folder. Threads may share it."""

    def __init__(
        self,
        folder: Path,
        *,
        bits: int = KEY_BITS,
        utc_s: Callable[[], float] = time.time,
    ) -> None:
        """Makes the first key. Raises MesError ``no_keys``."""
        self._utc_s = utc_s
        self._files = KeyFolder(folder, "token", lambda: _generate(bits))
        self._lock = threading.Lock()
        self._seen = -1
        self._looked = 0.0
        self._keys: dict[str, _Known] = {}
        self._newest = ""
        self._files.ensure(int(utc_s()))
        self._load()

    def signing(self) -> tuple[str, RSAKey]:
        """Id and key for a new token."""
        self._look()
        with self._lock:
            return self._newest, self._keys[self._newest].key

    def verifying(self, kid: str) -> RSAKey | None:
        """The key of that id as long as its signatures are accepted."""
        self._look()
        with self._lock:
            known = self._keys.get(kid)
        return known.key if known is not None and self._utc_s() < known.until_s else None

    def rotate(self, *, drop_older: bool = False) -> None:
        """Sign with a new key from now on. ``drop_older``: what the former ones signed is void at
        once (a key was lost); other processes notice within `LOOK_S`."""
        self._files.rotate(int(self._utc_s()))
        files = self._files.load()
        expired = sum(1 for file in files[1:] if self._utc_s() >= _end(file.created_utc_s))
        self._files.drop_before(len(files) - 1 if drop_older else expired)
        self._load()

    def jwks(self) -> dict[str, Any]:
        """The public keys that are accepted (RFC 7517)."""
        self._look()
        with self._lock:
            known = list(self._keys.items())
        now = self._utc_s()
        return {
            "keys": [
                {**item.key.as_dict(private=False), "kid": kid, "use": "sig", "alg": "RS256"}
                for kid, item in known
                if now < item.until_s
            ]
        }

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            if self._files.changed() != self._seen:
                self._load()

    def _load(self) -> None:
        seen = self._files.changed()
        files = self._files.ensure(int(self._utc_s()))
        keys: dict[str, _Known] = {}
        kid = ""
        for index, file in enumerate(files):
            key = RSAKey.import_key(file.key)
            kid = key.thumbprint()
            last = index == len(files) - 1
            keys[kid] = _Known(key, float("inf") if last else _end(files[index + 1].created_utc_s))
        with self._lock:
            self._seen, self._keys, self._newest = seen, keys, kid


def _end(successor_created_s: int) -> float:
    return successor_created_s + LIFE_S + 2 * LEEWAY_S


def _generate(bits: int) -> str:
    return RSAKey.generate_key(bits).as_pem(private=True).decode()
