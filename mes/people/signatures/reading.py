"""Shows signatures as people read them, and says whether they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import and_, select, tuple_
from sqlalchemy.orm import Session

from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.kernel.secrets import secrets_folder
from cellwright.mes.people.keys.signature_keys import signature_keys
from cellwright.mes.people.signatures.signing import SIGN, content_hash, signed_text
from cellwright.mes.people.tables import Signature, User


@dataclass(frozen=True, slots=True)
class Shown:
    """A signature, its signer's user name, and what became of it."""

    row: Signature
    signer: str
    action: str
    """What was signed; empty when its record is gone."""
    invalidated_by: int | None
    """Number of the signature that takes it back."""
    problem: str
    """Why it does not hold; empty when it does."""


def shown(session: Session, rows: Sequence[Signature]) -> list[Shown]:
    """The signatures with what stands beside them. Raises MesError ``no_keys``."""
    signers = _by_id(
        session, select(User.id, User.username).where(User.id.in_({row.signer_id for row in rows}))
    )
    taken_back = _by_id(
        session,
        select(Signature.invalidates_id, Signature.audit_sequence)
        .where(Signature.invalidates_id.in_([row.id for row in rows]))
        .order_by(Signature.id.desc()),
    )
    records = _records(session, rows)
    keys = signature_keys(secrets_folder(session)) if rows else None
    found = []
    for row in rows:
        record = records.get((row.site_id, row.audit_chain, row.audit_sequence))
        problem = _unbound(row, record)
        if keys is not None and not keys.holds(row.key_id, signed_text(row), row.signature):
            problem = f"it is not what the key {row.key_id} has signed"
        action = "" if record is None else _content(record).get("action", "")
        found.append(
            Shown(
                row, str(signers.get(row.signer_id, "")), str(action), taken_back.get(row.id),
                problem,
            )
        )  # fmt: skip
    return found


def _by_id(session: Session, statement: object) -> dict[int, int]:
    return dict(session.execute(statement).all())  # type: ignore[call-overload]


def _records(
    session: Session, rows: Sequence[Signature]
) -> dict[tuple[int, str, int], AuditRecord]:
    places = {(row.site_id, row.audit_chain, row.audit_sequence) for row in rows}
    statement = (
        select(AuditChain.site_id, AuditChain.name, AuditRecord)
        .join(AuditRecord, AuditRecord.chain_id == AuditChain.id)
        .where(
            and_(
                AuditRecord.sequence.in_({place[2] for place in places}),
                tuple_(AuditChain.site_id, AuditChain.name).in_({place[:2] for place in places}),
            )
        )
    )
    return {(site, name, record.sequence): record
            for site, name, record in session.execute(statement)}  # fmt: skip


def _content(record: AuditRecord) -> dict[str, object]:
    new = msgspec.json.decode(record.new)
    content = new.get("content") if isinstance(new, dict) else None
    return content if isinstance(content, dict) else {}


def _unbound(row: Signature, record: AuditRecord | None) -> str:
    """Why the row does not belong to its record; empty when it does."""
    if record is None or record.action != SIGN:
        return "the audit has no record of it"
    same = (record.entity_type, record.entity_id, record.entity_version) == (
        row.entity_type,
        row.entity_id,
        row.entity_version,
    )
    if not same or content_hash(_content(record)) != row.content_hash:
        return "its record in the audit says something else"
    return ""
