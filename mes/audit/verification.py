"""Walks the audit chains and names the first record that is wrong.

Each record must follow its predecessor and have the hash of its content, and all together must be
those of the stored tree and of every checkpoint (`evidence`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes.audit.chain import GENESIS, written
from cellwright.mes.audit.checkpoints import Signed, origin_of
from cellwright.mes.audit.evidence import Evidence, Fault, Root
from cellwright.mes.audit.reading import Link, Records, UnreadableError
from cellwright.mes.audit.tables import AuditChain
from cellwright.mes.kernel.scope import scope_of

_BATCH: Final = 1_000
"""Records that are read at a time."""
_BEFORE_ALL: Final = -(2**63)
_FIRST_KEY: Final = 3
"""Of the first record of a chain that begins with format 1; see `Link`."""


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Outcome of a walk over the chains; ``broken`` is the first record that is wrong."""

    records: int
    """Records that were read and are right."""
    broken: int | None = None
    """Sequence of the first record that is wrong or missing."""
    problem: str = ""
    chain: str = ""
    """The chain of that record."""

    @property
    def ok(self) -> bool:
        """True when every link holds."""
        return self.broken is None


def verify(
    session: Session, *, chain: str | None = None, checkpoint: Signed | None = None
) -> VerifyResult:
    """Walk every chain of the session's tenant, or one; stop at the first record that is wrong.

    ``checkpoint`` is one that was kept elsewhere.
    """
    written(session)
    tenant_id = scope_of(session).tenant_id
    statement = (
        select(
            AuditChain.id, AuditChain.site_id, AuditChain.name, AuditChain.sequence, AuditChain.hash
        )
        .where(AuditChain.tenant_id == tenant_id)
        .order_by(AuditChain.id)
    )
    if chain is not None:
        statement = statement.where(AuditChain.name == chain)
    records, kept = 0, checkpoint
    for chain_id, site_id, name, sequence, head in session.execute(statement).all():
        roots: dict[int, list[Root]] = {}
        if kept is not None and kept.origin == origin_of(tenant_id, site_id, name):
            named = Root(kept.root_hash, f"the checkpoint of {kept.time.isoformat()}")
            roots, kept = {kept.tree_size: [named]}, None
        evidence = Evidence(session, chain_id, name, roots)
        right, fault = _walk(session, chain_id, name, (sequence, head), evidence)
        records += right
        if fault is not None:
            return VerifyResult(records, fault.record, fault.problem, name)
    if kept is not None:
        problem = (
            f"there is no chain {kept.origin}, of which the checkpoint of {kept.time.isoformat()} "
            f"knows {kept.tree_size} records: it was removed, or this is another database"
        )
        return VerifyResult(records, 1, problem, kept.chain)
    return VerifyResult(records)


def _walk(
    session: Session, chain_id: int, name: str, head: tuple[int, str], evidence: Evidence
) -> tuple[int, Fault | None]:
    """How many records are right, and what is wrong with the next one."""
    records = Records(session, chain_id, name)
    previous, key, hashes = GENESIS, _FIRST_KEY, [""]
    while hashes:
        hashes, key, problem = _read_on(records, key, previous)
        previous = hashes[-1] if hashes else previous
        fault = evidence.add(hashes)
        if fault is None and problem:
            fault = Fault(key >> 1, f"record {key >> 1} of chain {name} {problem}")
        if fault is not None:
            return fault.record - 1, fault
    count = (key >> 1) - 1
    if head != (count, previous):
        return count, Fault(
            count + 1,
            f"chain {name} ends after record {count}, but its end stands at record {head[0]}: "
            "records were cut off or the end was rewritten",
        )
    fault = evidence.close()
    return (count, None) if fault is None else (fault.record - 1, fault)


def _read_on(records: Records, key: int, previous: str) -> tuple[list[str], int, str]:
    """The hashes of the next records, the key behind them, and what is wrong with that record.

    No hashes and no problem: the chain ends here.
    """
    hashes: list[str] = []
    try:
        batch = records.read(_before(key), _BATCH)
        hashes, key = _follow(batch, key, previous)
        if len(hashes) == len(batch):
            return hashes, key, ""
        previous = hashes[-1] if hashes else previous
        again = records.encoded(_before(key), 1)
        more, key = _follow(again, key, previous)
    except UnreadableError as error:
        return hashes, key, f"cannot be read: {error}"
    if more:
        return hashes + more, key, ""
    return hashes, key, _problem(Link(*again[0]), key >> 1, previous)


def _before(key: int) -> int:
    return (key >> 1) - 1 or _BEFORE_ALL


def _follow(
    batch: Sequence[tuple[int, bytes, str, str]], key: int, previous: str
) -> tuple[list[str], int]:
    """The hashes of the records that are right, and the key of the next one."""
    hashes: list[str] = []
    before = previous.encode()
    for found, content, prev_hash, hash_ in batch:
        if found != key:
            # A chain may go from format 1 to 2, and never back.
            if found != key - (key & 1):
                break
            key = found
        if prev_hash != previous or sha256(before + content).hexdigest() != hash_:
            break
        previous, key = hash_, key + 2
        before = hash_.encode()
        hashes.append(hash_)
    return hashes, key


def _problem(link: Link, number: int, previous: str) -> str:
    if link.key >> 1 != number:
        return f"is missing: the next one is {link.key >> 1}"
    if link.prev_hash != previous:
        return (
            "does not continue its predecessor: its prev_hash differs from the predecessor's hash"
        )
    return "was changed: its content does not have its hash"
