"""Shows signatures as people read them, and says whether they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Select, and_, exists, select, tuple_
from sqlalchemy.orm import Session

from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.kernel.scope import scope_of
from cellwright.mes.kernel.secrets import secrets_folder
from cellwright.mes.people.keys.signature_keys import signature_keys
from cellwright.mes.people.signatures.signing import SIGN, content_hash, signed_text
from cellwright.mes.people.tables import Signature, User

_BATCH: Final = 500
"""Signatures read at once."""


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


@dataclass(frozen=True, slots=True)
class Verified:
    """Outcome of a walk over the signatures of a site."""

    signatures: int
    """That hold, before the first that does not."""
    broken: int | None = None
    """Number of the first that does not."""
    problem: str = ""


def verify(session: Session) -> Verified:
    """Walk over the site's signatures, and over the audit for one that was removed.

    Whether the audit itself is whole is `audit.verify`'s to say. Raises MesError ``no_keys``.
    """
    held, last = 0, 0
    of_site = select(Signature).where(Signature.site_id == scope_of(session).site_id)
    while rows := session.scalars(
        of_site.where(Signature.id > last).order_by(Signature.id).limit(_BATCH)
    ).all():
        for each in shown(session, rows):
            if each.problem:
                return Verified(held, each.row.audit_sequence, each.problem)
            held += 1
        last = rows[-1].id
        session.expunge_all()
    lost = _lost(session)
    if lost is not None:
        return Verified(held, lost, "the audit records it, but it is gone")
    return Verified(held)


def _lost(session: Session) -> int | None:
    """Number of the first signature that only the audit knows."""
    kept = exists().where(
        Signature.site_id == AuditChain.site_id,
        Signature.audit_chain == AuditChain.name,
        Signature.audit_sequence == AuditRecord.sequence,
    )
    return session.scalar(
        select(AuditRecord.sequence)
        .join(AuditChain, AuditChain.id == AuditRecord.chain_id)
        .where(AuditChain.site_id == scope_of(session).site_id, AuditRecord.action == SIGN, ~kept)
        .order_by(AuditRecord.sequence)
        .limit(1)
    )


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


def _by_id(session: Session, statement: Select[Any, Any]) -> dict[int, Any]:
    return {row[0]: row[1] for row in session.execute(statement)}


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
