"""Walks the audit chains and names the first record that is wrong.

Each record must follow its predecessor and have the hash of its content, and all together must be
those of the stored tree and of every checkpoint (`evidence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes.audit.chain import GENESIS, FirstForm, SecondForm, digest, written
from cellwright.mes.audit.checkpoints import Signed, origin_of
from cellwright.mes.audit.evidence import Evidence, Fault, Root
from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.scope import scope_of

_record = Base.metadata.tables[AuditRecord.__tablename__]
_COLUMNS = [column for column in _record.c if column.name != "chain_id"]
_NAMES = [column.name for column in _COLUMNS]
_FIRST = [_NAMES.index(name) for name in FirstForm.__struct_fields__]
_SECOND = [_NAMES.index(name) if name != "chain" else -1 for name in SecondForm.__struct_fields__]
_BATCH: Final = 5_000
"""Records that are read at a time."""
_AT = {name: place for place, name in enumerate(_NAMES)}


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
    previous, expected, form = GENESIS, 1, 1
    statement = select(*_COLUMNS).where(_record.c.chain_id == chain_id).order_by(_record.c.sequence)
    # Closed also when the walk ends early: on PostgreSQL it is a cursor of the server.
    with session.connection().execute(statement.execution_options(yield_per=_BATCH)) as rows:
        for batch in rows.partitions():
            hashes: list[str] = []
            problem = ""
            for row in batch:
                problem = _fault(row, name, previous, expected, form)
                if problem:
                    break
                previous, expected, form = row[_AT["hash"]], expected + 1, row[_AT["format"]]
                hashes.append(previous)
            fault = evidence.add(hashes) or (Fault(expected, problem) if problem else None)
            if fault is not None:
                return fault.record - 1, fault
    if head != (expected - 1, previous):
        return expected - 1, Fault(
            expected,
            f"chain {name} ends after record {expected - 1}, but its end stands at record "
            f"{head[0]}: records were cut off or the end was rewritten",
        )
    fault = evidence.close()
    return (expected - 1, None) if fault is None else (fault.record - 1, fault)


def _fault(row: Any, chain: str, previous: str, expected: int, form: int) -> str:
    where = f"record {expected} of chain {chain}"
    if row[_AT["sequence"]] != expected:
        return f"{where} is missing: the next one is {row[_AT['sequence']]}"
    if row[_AT["prev_hash"]] != previous:
        return (
            f"{where} does not continue its predecessor: its prev_hash differs from the "
            "predecessor's hash"
        )
    content: FirstForm | SecondForm
    if row[_AT["format"]] == 1 and form == 1:
        content = FirstForm(*[row[place] for place in _FIRST])
    else:
        fields: list[Any] = [chain if place < 0 else row[place] for place in _SECOND]
        content = SecondForm(*fields)
    if digest(previous, content) != row[_AT["hash"]]:
        return f"{where} was changed: its content does not have its hash"
    return ""
