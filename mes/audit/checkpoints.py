"""Signed checkpoints of an audit chain, to be kept outside the database.

The text has the shape of a C2SP tlog checkpoint: origin, tree size, root (base 64), and a line with
the time. It is signed with Ed25519; the key lies in the folder of secrets. Whoever holds an old
checkpoint can show that records were cut off or that the chain was written anew.
"""

from __future__ import annotations

import base64
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes.audit import merkle
from cellwright.mes.audit.chain import written
from cellwright.mes.audit.tables import AuditChain, AuditCheckpoint
from cellwright.mes.audit.tree import ChainTree, store_tiles
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import scope_of

KEY_FILE: Final = "audit-checkpoint.pem"
_RAW: Final = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class CheckpointKey:
    """The key that signs checkpoints, made at its first use."""

    def __init__(self, folder: Path) -> None:
        """Raises MesError ``no_keys`` when the folder cannot be written or the file is no key."""
        file = folder / KEY_FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                _create(file)
            key = serialization.load_pem_private_key(file.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise MesError(
                "no_keys",
                f"cannot use the key of the audit's checkpoints {file}: {error}; restore it from "
                "a backup, or move it away to begin with a new one",
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise MesError("no_keys", f"{file} is no Ed25519 key; move it away")
        self._key = key
        self.public = key.public_key().public_bytes(*_RAW)
        """32 bytes."""
        self.id = hashlib.sha256(self.public).hexdigest()[:16]

    def sign(self, text: str) -> str:
        """Signature of the text; hexadecimal."""
        return self._key.sign(text.encode()).hex()


def _create(file: Path) -> None:
    """Write a new key as a whole, unless another process was faster."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as it is given away."""

    chain: str
    tree_size: int
    root_hash: str
    """Hexadecimal."""
    time: datetime
    signed_text: str
    signature: str
    """Ed25519 over ``signed_text``; hexadecimal."""
    public_key: str
    """Hexadecimal."""
    key_id: str

    @property
    def origin(self) -> str:
        """Of which chain of which tenant and site; see `origin_of`."""
        return self.signed_text.partition("\n")[0]

    def to_file(self) -> bytes:
        """JSON for a file, as REST answers it; `read` takes it back."""
        given = _Given(**{each.name: getattr(self, each.name) for each in fields(self)})
        return msgspec.json.format(msgspec.json.encode(given), indent=2) + b"\n"


def read(data: bytes, where: str) -> Signed:
    """A checkpoint from a file or an answer of REST.

    Raises MesError ``invalid_checkpoint`` when it is none, or its signature does not hold.
    """
    try:
        found = msgspec.json.decode(data, type=_Given)
        signed = Signed(**{name: getattr(found, name) for name in found.__struct_fields__})
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed.public_key))
        key.verify(bytes.fromhex(signed.signature), signed.signed_text.encode())
        lines = signed.signed_text.splitlines()
        chain = lines[0].split("/", 5)[5]
        size, root = int(lines[1]), base64.b64decode(lines[2], validate=True).hex()
        at = datetime.fromisoformat(lines[3])
    except (msgspec.MsgspecError, ValueError, IndexError, InvalidSignature) as error:
        why = "its signature does not hold" if isinstance(error, InvalidSignature) else str(error)
        raise MesError(
            "invalid_checkpoint", f"{where} is no checkpoint of an audit chain: {why}"
        ) from error
    beside = signed.chain, signed.tree_size, signed.root_hash, signed.time
    if (chain, size, root, at) != beside:
        raise MesError(
            "invalid_checkpoint", f"{where}: what is signed differs from what stands beside it"
        )
    return signed


def read_file(file: Path) -> Signed:
    """A checkpoint from a file; raises MesError ``invalid_checkpoint``."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise MesError(
            "invalid_checkpoint", f"cannot read the checkpoint {file}: {error.strerror}"
        ) from error
    return read(data, str(file))


class _Given(msgspec.Struct, frozen=True, rename="camel"):
    chain: str
    tree_size: int
    root_hash: str
    time: datetime
    signed_text: str
    signature: str
    public_key: str
    key_id: str


def origin_of(tenant_id: int, site_id: int, chain: str) -> str:
    """The first line of a checkpoint."""
    return f"cellwright/tenant/{tenant_id}/site/{site_id}/{chain}"


def find_chain(session: Session, name: str) -> tuple[int, int]:
    """Key and length of the site's chain; raises MesError ``unknown_record``."""
    row = session.execute(
        select(AuditChain.id, AuditChain.sequence).where(
            AuditChain.site_id == scope_of(session).site_id, AuditChain.name == name
        )
    ).one_or_none()
    if row is None:
        raise MesError("unknown_record", f"there is no audit chain {name!r:.80}")
    return row[0], row[1]


def make(session: Session, key: CheckpointKey, name: str) -> Signed:
    """The checkpoint of a chain as it is now; a new one only when the chain has grown."""
    written(session)
    chain_id, size = find_chain(session, name)
    last = session.scalars(
        select(AuditCheckpoint)
        .where(AuditCheckpoint.chain_id == chain_id)
        .order_by(AuditCheckpoint.id.desc())
        .limit(1)
    ).one_or_none()
    if last is None or last.tree_size != size or last.key_id != key.id:
        last = _sign(session, key, name, chain_id, size)
    return Signed(
        chain=name,
        tree_size=last.tree_size,
        root_hash=last.root_hash,
        time=last.utc,
        signed_text=last.signed_text,
        signature=last.signature,
        public_key=key.public.hex(),
        key_id=last.key_id,
    )


def _sign(
    session: Session, key: CheckpointKey, name: str, chain_id: int, size: int
) -> AuditCheckpoint:
    store_tiles(session, chain_id, size)
    root = merkle.root(ChainTree(session, chain_id), size)
    scope, at = scope_of(session), utc.now(session)
    origin = origin_of(scope.tenant_id, scope.site_id, name)
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n{at.isoformat()}\n"
    checkpoint = AuditCheckpoint(
        chain_id=chain_id,
        tree_size=size,
        root_hash=root.hex(),
        utc=at,
        signed_text=text,
        signature=key.sign(text),
        key_id=key.id,
    )
    session.add(checkpoint)
    session.flush()
    return checkpoint
