"""The audit chain: every record carries the hash of its predecessor.

Services append to it inside their own transaction; `verify` walks it. Triggers in both databases
refuse UPDATE and DELETE. The chain shows every change of a record and a cut tail as long as the
head row stands; a complete rewrite it cannot show.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from cellwright.mes import utc
from cellwright.mes.models import AuditHead, AuditRecord, Base

GENESIS: Final = "0" * 64
"""``prev_hash`` of the first record."""

_json = msgspec.json.Encoder(order="sorted")

# Plain tables: the unit of work has nothing to add to a record that never changes.
_head = Base.metadata.tables[AuditHead.__tablename__]
_LOCK_HEAD = select(_head.c.sequence, _head.c.hash).where(_head.c.id == 1).with_for_update()
_MOVE_HEAD = (
    update(_head)
    .where(_head.c.id == 1)
    .values(sequence=bindparam("to_sequence"), hash=bindparam("to_hash"))
)
_ADD = insert(Base.metadata.tables[AuditRecord.__tablename__])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What is to be recorded; ``old`` and ``new`` are plain data."""

    actor: str
    action: str
    """Dotted and stable: ``work_order.start``, ``serial.reserve``, ``anomaly.unknown_serial``."""
    entity_type: str
    entity_id: str
    entity_version: int = 0
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None
    reason: str = ""
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Outcome of a walk over the chain; ``broken`` is the first record that is wrong."""

    records: int
    """Records that were read and are right."""
    broken: int | None = None
    """Sequence of the first record that is wrong or missing."""
    problem: str = ""

    @property
    def ok(self) -> bool:
        """True when every link holds."""
        return self.broken is None


class _Hashed(msgspec.Struct, frozen=True):
    """The hashed content; fields in alphabetical order make the JSON canonical (RFC 8785)."""

    action: str
    actor: str
    correlation_id: str
    entity_id: str
    entity_type: str
    entity_version: int
    new: str
    old: str
    reason: str
    sequence: int
    utc_us: int


def canonical(value: Any) -> str:
    """JSON with sorted keys and no white space; non-finite numbers become their names."""
    return _json.encode(_plain(value)).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _hash(prev_hash: str, content: _Hashed) -> str:
    return hashlib.sha256(prev_hash.encode() + _json.encode(content)).hexdigest()


def append(session: Session, entry: AuditEntry, *, at: datetime | None = None) -> int:
    """Add one record in this transaction and return its sequence.

    ``at`` is when it happened (default: now). Concurrent writers wait for each other here.
    """
    session.flush()
    connection = session.connection()
    sequence, prev_hash = connection.execute(_LOCK_HEAD).one()
    content = _Hashed(
        action=entry.action,
        actor=entry.actor,
        correlation_id=entry.correlation_id,
        entity_id=entry.entity_id,
        entity_type=entry.entity_type,
        entity_version=entry.entity_version,
        new=canonical(entry.new),
        old=canonical(entry.old),
        reason=entry.reason,
        sequence=sequence + 1,
        utc_us=utc.to_us(at or utc.now(session)),
    )
    digest = _hash(prev_hash, content)
    connection.execute(
        _ADD, {**msgspec.structs.asdict(content), "prev_hash": prev_hash, "hash": digest}
    )
    connection.execute(_MOVE_HEAD, {"to_sequence": content.sequence, "to_hash": digest})
    return content.sequence


def trail(
    session: Session,
    *,
    entity_type: str | None = None,
    entity_id: str | None = None,
    limit: int | None = None,
) -> list[AuditRecord]:
    """Records of all entities, of one kind or of one, oldest first; with ``limit`` the newest."""
    statement = select(AuditRecord).order_by(AuditRecord.sequence.desc()).limit(limit)
    if entity_type is not None:
        statement = statement.where(AuditRecord.entity_type == entity_type)
    if entity_id is not None:
        statement = statement.where(AuditRecord.entity_id == entity_id)
    return list(session.scalars(statement))[::-1]


def verify(session: Session) -> VerifyResult:
    """Walk the whole chain and name the first record that is wrong."""
    columns = [getattr(AuditRecord, name) for name in _Hashed.__struct_fields__]
    statement = select(*columns, AuditRecord.prev_hash, AuditRecord.hash).order_by(
        AuditRecord.sequence
    )
    previous, expected = GENESIS, 1
    # Closed also when the walk ends early: on PostgreSQL it is a cursor of the server.
    with session.execute(statement.execution_options(yield_per=5_000)) as rows:
        for *content, prev_hash, digest in rows:
            problem = _fault(_Hashed(*content), prev_hash, digest, previous, expected)
            if problem:
                return VerifyResult(expected - 1, expected, problem)
            previous, expected = digest, expected + 1
    head = session.execute(select(AuditHead.sequence, AuditHead.hash)).one_or_none()
    if head is None or (head.sequence, head.hash) != (expected - 1, previous):
        stands = "no head" if head is None else f"a head at record {head.sequence}"
        return VerifyResult(
            expected - 1,
            expected,
            f"the audit chain ends after record {expected - 1}, but has {stands}: records were "
            "cut off or the end was rewritten",
        )
    return VerifyResult(expected - 1)


def _fault(record: _Hashed, prev_hash: str, digest: str, previous: str, expected: int) -> str:
    if record.sequence != expected:
        return f"audit record {expected} is missing: the next one is {record.sequence}"
    if prev_hash != previous:
        return (
            f"audit record {expected} does not continue its predecessor: its prev_hash differs "
            "from the predecessor's hash"
        )
    if _hash(prev_hash, record) != digest:
        return f"audit record {expected} was changed: its content does not have its hash"
    return ""
