"""The audit chains: every record carries the hash of its predecessor.

Services append to the chain of their session (`scope.Scope.chain`); the records are written
together at the end of the transaction, with one move of the chain's end. Triggers in both databases
refuse UPDATE and DELETE. A chain shows every change of a record, and a cut tail as long as its end
stands; a complete rewrite is shown by a checkpoint that lies elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cellwright.mes.audit.canonical import canonical
from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.origin import Origin, origin_of
from cellwright.mes.kernel.scope import Scope, scope_of
from cellwright.mes.kernel.store import before_commit

GENESIS: Final = "0" * 64
"""``prev_hash`` of the first record of a chain."""
FORMAT: Final = 2
"""Of new records; 1 is that of databases before there were tenants."""
APPLICATION_VERSION: Final = version("cellwright")

_PENDING: Final = "cellwright_audit_pending"
_LOCKED: Final = "cellwright_audit_locked"
_json = msgspec.json.Encoder()
_chain = Base.metadata.tables[AuditChain.__tablename__]
_COLUMNS: Final = (
    *("tenant_id", "site_id", "chain_id", "sequence", "format", "utc_us", "clock_quality"),
    *("station", "actor", "printed_name", "authentication", "session", "action", "entity_type"),
    *("entity_id", "entity_version", "old", "new", "reason", "correlation_id"),
    *("application_version", "prev_hash", "hash"),
)


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


class FirstForm(msgspec.Struct, frozen=True):
    """What is hashed of a record of format 1; fields in alphabetical order make it canonical."""

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


class SecondForm(msgspec.Struct, frozen=True):
    """What is hashed of a record of format 2; fields in alphabetical order make it canonical."""

    action: str
    actor: str
    application_version: str
    authentication: str
    chain: str
    clock_quality: str
    correlation_id: str
    entity_id: str
    entity_type: str
    entity_version: int
    format: int
    new: str
    old: str
    printed_name: str
    reason: str
    sequence: int
    session: str
    site_id: int
    station: str
    tenant_id: int
    utc_us: int


def hashed(content: FirstForm | SecondForm) -> bytes:
    """The canonical JSON of a record's content."""
    return _json.encode(content)


def digest(prev_hash: str, content: FirstForm | SecondForm) -> str:
    """Hash of a record: SHA-256 over the predecessor's hash and the canonical content."""
    return hashlib.sha256(prev_hash.encode() + hashed(content)).hexdigest()


def append(session: Session, entry: AuditEntry, *, at: datetime | None = None) -> None:
    """Put one record behind the chain of this session.

    ``at`` is when it happened (default: now). It is written with all others of the transaction, at
    its end or by `flush`, whichever comes first.
    """
    pending: list[_Pending] = session.info.setdefault(_PENDING, [])
    if not pending:
        before_commit(session, _finish, last=True)
    pending.append(
        _Pending(
            utc.to_us(at or utc.now(session)),
            entry,
            canonical(entry.old),
            canonical(entry.new),
            origin_of(session),
        )
    )


class _Pending(NamedTuple):
    """A record of a transaction that has not ended."""

    utc_us: int
    entry: AuditEntry
    old: str
    new: str
    origin: Origin


def _finish(session: Session) -> None:
    flush(session)


def flush(session: Session) -> int:
    """Write what was appended so far; the sequence of the chain's last record.

    Concurrent writers of one chain wait for each other from here to the end of the transaction.
    """
    pending: list[_Pending] = session.info.get(_PENDING, [])
    session.flush()
    chain_id, sequence, prev_hash = lock(session)
    if pending:
        rows = _link(scope_of(session), chain_id, sequence, prev_hash, pending)
        sequence, prev_hash = sequence + len(rows), rows[-1][-1]
        connection = session.connection()
        # By the driver itself: SQLAlchemy would take as long for the parameters as the database
        # for the rows.
        connection.exec_driver_sql(_adding(connection.dialect.name), rows)
        connection.execute(
            update(_chain).where(_chain.c.id == chain_id).values(sequence=sequence, hash=prev_hash)
        )
        session.info[_LOCKED] = chain_id, sequence, prev_hash
        pending.clear()
    return sequence


@cache
def _adding(dialect: str) -> str:
    sign = "%s" if dialect == "postgresql" else "?"
    signs = ", ".join([sign] * len(_COLUMNS))
    return f"INSERT INTO audit_record ({', '.join(_COLUMNS)}) VALUES ({signs})"


def _link(
    scope: Scope, chain_id: int, sequence: int, prev_hash: str, pending: list[_Pending]
) -> list[tuple[Any, ...]]:
    """The rows behind a record, in the order of `_COLUMNS`. The loop that every record pays for."""
    rows: list[tuple[Any, ...]] = []
    tenant_id, site_id, chain = scope.tenant_id, scope.site_id, scope.chain
    for utc_us, entry, old, new, origin in pending:
        sequence += 1
        correlation_id = entry.correlation_id or origin.correlation_id
        content = SecondForm(
            entry.action,
            entry.actor,
            APPLICATION_VERSION,
            origin.authentication,
            chain,
            origin.clock_quality,
            correlation_id,
            entry.entity_id,
            entry.entity_type,
            entry.entity_version,
            FORMAT,
            new,
            old,
            origin.printed_name,
            entry.reason,
            sequence,
            origin.session,
            site_id,
            origin.station,
            tenant_id,
            utc_us,
        )
        found = digest(prev_hash, content)
        rows.append(
            (
                *(tenant_id, site_id, chain_id, sequence, FORMAT, utc_us, origin.clock_quality),
                *(origin.station, entry.actor, origin.printed_name, origin.authentication),
                *(origin.session, entry.action, entry.entity_type, entry.entity_id),
                *(entry.entity_version, old, new, entry.reason, correlation_id),
                *(APPLICATION_VERSION, prev_hash, found),
            )
        )
        prev_hash = found
    return rows


def last_of(session: Session, entity_type: str) -> tuple[str, int] | None:
    """Id and version of the entity of that kind that the transaction has recorded last.

    None when it has recorded none that is not written yet.
    """
    pending: list[_Pending] = session.info.get(_PENDING, [])
    for each in reversed(pending):
        if each.entry.entity_type == entity_type:
            return each.entry.entity_id, each.entry.entity_version
    return None


def lock(session: Session) -> tuple[int, int, str]:
    """Key, last sequence and last hash of the session's chain, whose writers now wait for us."""
    held: tuple[int, int, str] | None = session.info.get(_LOCKED)
    if held is not None:
        return held
    scope = scope_of(session)
    wanted = (
        select(_chain.c.id, _chain.c.sequence, _chain.c.hash)
        .where(
            _chain.c.tenant_id == scope.tenant_id,
            _chain.c.site_id == scope.site_id,
            _chain.c.name == scope.chain,
        )
        .with_for_update()
    )
    connection = session.connection()
    found = connection.execute(wanted).one_or_none()
    if found is None:
        dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(
            dialect.insert(_chain)
            .values(
                tenant_id=scope.tenant_id,
                site_id=scope.site_id,
                name=scope.chain,
                sequence=0,
                hash=GENESIS,
            )
            .on_conflict_do_nothing(index_elements=["tenant_id", "site_id", "name"])
        )
        found = connection.execute(wanted).one()
    held = session.info[_LOCKED] = found[0], found[1], found[2]
    return held


def trail(
    session: Session,
    *,
    entity_type: str | None = None,
    entity_id: str | None = None,
    limit: int | None = None,
) -> list[AuditRecord]:
    """Records of all entities, of one kind or of one, oldest first; with ``limit`` the newest."""
    written(session)
    statement = (
        select(AuditRecord)
        .order_by(AuditRecord.utc_us.desc(), AuditRecord.chain_id, AuditRecord.sequence.desc())
        .limit(limit)
    )
    if entity_type is not None:
        statement = statement.where(AuditRecord.entity_type == entity_type)
    if entity_id is not None:
        statement = statement.where(AuditRecord.entity_id == entity_id)
    return list(session.scalars(statement))[::-1]


def written(session: Session) -> None:
    """Let readers in this session see what it has appended."""
    if session.info.get(_PENDING):
        flush(session)
