"""The trust list: certificates and revocation lists in folders, read again when they change.

The server asks it at each new channel; `cellwright trust` and people with a file manager change it,
whether the cell runs or not. The folders are those that OPC UA tools know (OPC 10000-12, 7.8)::

    pki/trusted/certs   clients that may connect, and authorities whose clients may
    pki/trusted/crl     revocation lists of those authorities
    pki/issuers/certs   authorities that only complete a chain
    pki/issuers/crl     their revocation lists
    pki/rejected        clients that were refused, the newest `MAX_REJECTED`
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cellwright.io.files.replace import replace_file
from cellwright.io.log_once import LogOnce
from cellwright.opcua_model.errors import CertificateError
from cellwright.opcua_model.security.checks import (
    CertificateRefusedError,
    Known,
    application_uris,
    name_of,
    thumbprint,
)

MAX_REJECTED: Final = 50
MAX_FILES: Final = 1_000
"""Files of one folder that are looked at."""
MAX_FILE_BYTES: Final = 1 << 20
SHORTEST: Final = 6
"""Digits of a thumbprint that name a certificate, if no other begins with them."""
State = Literal["trusted", "issuer", "rejected"]
_FOLDERS: Final[dict[State, str]] = {
    "trusted": "trusted/certs",
    "issuer": "issuers/certs",
    "rejected": "rejected",
}
_LISTS: Final = ("trusted/crl", "issuers/crl")

_DER: Final = Encoding.DER

_log = structlog.get_logger(__name__)


class Entry(NamedTuple):
    """A certificate of the list, for people."""

    state: State
    thumbprint: str
    name: str
    uri: str
    """Its ApplicationUri; empty for an authority."""
    expires: datetime
    file: Path


class TrustList:
    """The folders below ``pki``. They are made by `make`, and an absent one is empty."""

    def __init__(self, pki: Path) -> None:
        self.pki = pki
        self.known = Known()
        self._seen: dict[str, tuple[tuple[str, int, int, int], ...]] = {}
        self._once = LogOnce(_log)

    def make(self) -> None:
        """Make the folders that are not there. Raises CertificateError."""
        try:
            for name in (*_FOLDERS.values(), *_LISTS):
                (self.pki / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise CertificateError(
                f"cannot make the folders of the trust list in {self.pki}: {error}; "
                "check the permissions of the data folder"
            ) from error

    def look(self) -> bool:
        """Read what has changed; True when something had. It may wait for the disk."""
        seen = {name: tuple(self._signs(name)) for name in (*_FOLDERS.values(), *_LISTS)}
        if seen == self._seen:
            return False
        self._seen = seen
        trusted, issuers, rejected = (
            {thumbprint(each): each for _, each in self._certificates(name)}
            for name in _FOLDERS.values()
        )
        lists = tuple(one for name in _LISTS for one in self._revocations(name))
        self.known = Known(trusted, issuers, frozenset(rejected), lists)
        return True

    def keep_rejected(self, certificate: x509.Certificate) -> None:
        """Put a refused client's certificate where `add` finds it; the oldest give way.

        It may wait for the disk; a failure is logged and nothing else.
        """
        folder = self.pki / _FOLDERS["rejected"]
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(folder / f"{thumbprint(certificate)}.der", certificate.public_bytes(_DER))
            files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
            for old in files[:-MAX_REJECTED]:
                old.unlink()
        except OSError as error:
            self._once.trouble(
                "rejected", "a refused certificate is not kept", cause=str(error), error=str(error)
            )
        else:
            self._once.well("rejected")

    def entries(self) -> list[Entry]:
        """All certificates, in the order of their states and names."""
        return [
            Entry(
                state,
                thumbprint(each),
                name_of(each),
                _uri(each),
                each.not_valid_after_utc.astimezone(UTC),
                file,
            )
            for state, name in _FOLDERS.items()
            for file, each in sorted(self._certificates(name), key=lambda found: name_of(found[1]))
        ]

    def find(self, text: str) -> list[Entry]:
        """Where the certificate lies whose thumbprint begins so. Raises CertificateError."""
        wanted = text.lower().replace(":", "")
        found = [each for each in self.entries() if each.thumbprint.startswith(wanted)]
        if len(wanted) < SHORTEST:
            raise CertificateError(
                f"'{text}' is too short for a thumbprint; give at least {SHORTEST} of its digits"
            )
        if not found:
            raise CertificateError(
                f"no certificate in {self.pki} has a thumbprint that begins with '{text}'; "
                "`cellwright trust list` shows them"
            )
        if len({each.thumbprint for each in found}) > 1:
            raise CertificateError(
                f"several thumbprints begin with '{text}'; give more of its digits"
            )
        return found

    def move(self, text: str, state: State) -> Entry:
        """Give the certificate with that thumbprint another state. Raises CertificateError."""
        found = self.find(text)
        certificate = next(
            each
            for _, each in self._certificates(_FOLDERS[found[0].state])
            if thumbprint(each) == found[0].thumbprint
        )
        self._put(_FOLDERS[state], certificate)
        for entry in found:
            if entry.state != state:
                entry.file.unlink(missing_ok=True)
        return next(each for each in self.find(found[0].thumbprint) if each.state == state)

    def take(self, file: Path, state: State) -> list[str]:
        """Take the certificates or the revocation list of a file, DER or PEM; gives their names.

        Raises CertificateError when it is neither.
        """
        content = _content(file)
        revocation = _revocation_list(content)
        if revocation is not None:
            folder = _LISTS[0] if state == "trusted" else _LISTS[1]
            stem = revocation.issuer.rfc4514_string().encode().hex()[:40]
            self._write(folder, f"{stem}.crl", content)
            return [f"revocation list of {revocation.issuer.rfc4514_string()}"]
        found = _decoded(content)
        if not found:
            raise CertificateError(
                f"{file} holds neither certificates nor a revocation list, in DER or PEM; "
                "export it from the client or its authority once more"
            )
        for each in found:
            self._put(_FOLDERS[state], each)
            for entry in self.find(thumbprint(each)):
                if entry.state != state:
                    entry.file.unlink(missing_ok=True)
        return [name_of(each) for each in found]

    def remove(self, text: str) -> Entry:
        """Forget the certificate with that thumbprint. Raises CertificateError."""
        found = self.find(text)
        for entry in found:
            entry.file.unlink(missing_ok=True)
        return found[0]

    def _put(self, folder: str, certificate: x509.Certificate) -> None:
        self._write(folder, f"{thumbprint(certificate)}.der", certificate.public_bytes(_DER))

    def _write(self, folder: str, name: str, content: bytes) -> None:
        self.make()
        try:
            replace_file(self.pki / folder / name, content, durable=True)
        except OSError as error:
            raise CertificateError(
                f"cannot write {self.pki / folder / name}: {error}; check the folder's permissions"
            ) from error

    def _files(self, name: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.pki / name) as found:
                files = [each for each in found if each.is_file() and not _passing(each.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            self._once.trouble(
                name, "a folder of the trust list cannot be read", cause=str(error), why=str(error)
            )
            return []
        self._once.well(name, "a folder of the trust list is read again", folder=name)
        return sorted(files, key=lambda each: each.name)[:MAX_FILES]

    def _signs(self, name: str) -> Iterator[tuple[str, int, int, int]]:
        for each in self._files(name):
            try:
                found = each.stat()
            except OSError:
                continue  # it is gone by now
            yield each.name, found.st_mtime_ns, found.st_size, found.st_ino

    def _certificates(self, name: str) -> Iterator[tuple[Path, x509.Certificate]]:
        for each in self._files(name):
            for certificate in self._parsed(each):
                yield Path(each.path), certificate

    def _parsed(self, file: os.DirEntry[str]) -> list[x509.Certificate]:
        try:
            found = _decoded(_content(Path(file.path)))
        except CertificateError:
            found = []
        if found:
            self._once.well(file.path)
        else:
            self._once.trouble(
                file.path,
                "a file of the trust list is no certificate; it counts for nothing",
                level="warning",
                file=file.path,
            )
        return found

    def _revocations(self, name: str) -> Iterator[x509.CertificateRevocationList]:
        for each in self._files(name):
            try:
                found = _revocation_list(_content(Path(each.path)))
            except CertificateError:
                found = None
            if found is not None:
                yield found
            else:
                self._once.trouble(
                    each.path,
                    "a file of the trust list is no revocation list; it counts for nothing",
                    level="warning",
                    file=each.path,
                )


def _passing(name: str) -> bool:
    return name.startswith(".") or name.endswith(".new")


def certificates_of(file: Path) -> list[x509.Certificate]:
    """The certificates of a file, DER or PEM. Raises CertificateError when there is none."""
    found = _decoded(_content(file))
    if not found:
        raise CertificateError(f"{file} holds no certificate, in DER or PEM; export it once more")
    return found


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content: bytes = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CertificateError(f"cannot read {file}: {error}; check its permissions") from error
    if len(content) > MAX_FILE_BYTES:
        raise CertificateError(f"{file} has more than 1 MiB: that is no certificate")
    return content


def _decoded(content: bytes) -> list[x509.Certificate]:
    """The certificates of a file, DER or PEM; none when it holds no certificate."""
    try:
        if b"-----BEGIN" in content:
            found = list(x509.load_pem_x509_certificates(content))
        else:
            found = [x509.load_der_x509_certificate(content)]
        for each in found:
            name_of(each)
    except ValueError:
        return []
    return found


def _revocation_list(content: bytes) -> x509.CertificateRevocationList | None:
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_crl(content)
        return x509.load_der_x509_crl(content)
    except ValueError:
        return None


def _uri(certificate: x509.Certificate) -> str:
    try:
        return next(iter(application_uris(certificate)), "")
    except CertificateRefusedError:
        return ""
