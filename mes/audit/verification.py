"""Walks the audit chains and names the first record that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes.audit.chain import GENESIS, FirstForm, SecondForm, digest, written
from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.scope import scope_of

_record = Base.metadata.tables[AuditRecord.__tablename__]
_COLUMNS = [column for column in _record.c if column.name != "chain_id"]
_NAMES = [column.name for column in _COLUMNS]
_FIRST = [_NAMES.index(name) for name in FirstForm.__struct_fields__]
_SECOND = [_NAMES.index(name) if name != "chain" else -1 for name in SecondForm.__struct_fields__]
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


def verify(session: Session, *, chain: str | None = None) -> VerifyResult:
    """Walk every chain of the session's tenant, or one; stop at the first record that is wrong."""
    written(session)
    statement = (
        select(AuditChain.id, AuditChain.name, AuditChain.sequence, AuditChain.hash)
        .where(AuditChain.tenant_id == scope_of(session).tenant_id)
        .order_by(AuditChain.id)
    )
    if chain is not None:
        statement = statement.where(AuditChain.name == chain)
    records = 0
    for chain_id, name, sequence, head in session.execute(statement).all():
        found = _verify_chain(session, chain_id, name, (sequence, head))
        records += found.records
        if not found.ok:
            return VerifyResult(records, found.broken, found.problem, name)
    return VerifyResult(records)


def _verify_chain(
    session: Session, chain_id: int, name: str, head: tuple[int, str]
) -> VerifyResult:
    previous, expected, form = GENESIS, 1, 1
    statement = select(*_COLUMNS).where(_record.c.chain_id == chain_id).order_by(_record.c.sequence)
    # Closed also when the walk ends early: on PostgreSQL it is a cursor of the server.
    with session.connection().execute(statement.execution_options(yield_per=5_000)) as rows:
        for row in rows:
            problem = _fault(row, name, previous, expected, form)
            if problem:
                return VerifyResult(expected - 1, expected, problem)
            previous, expected, form = row[_AT["hash"]], expected + 1, row[_AT["format"]]
    if head != (expected - 1, previous):
        return VerifyResult(
            expected - 1,
            expected,
            f"chain {name} ends after record {expected - 1}, but its end stands at record "
            f"{head[0]}: records were cut off or the end was rewritten",
        )
    return VerifyResult(expected - 1)


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
