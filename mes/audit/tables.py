"""The audit: chains, records, the tree over them, checkpoints, and moves of state machines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cellwright.mes.kernel.base import Base, Keyed, Retention, Scoped


class AuditChain(Keyed, Scoped, Base):
    """One chain and its end; every writer of the chain locks the row.

    The first chain of a site, ``people``, goes on where the one chain of older databases ended.
    """

    __tablename__ = "audit_chain"
    __table_args__: Any = (UniqueConstraint("tenant_id", "site_id", "name"),)
    retention = Retention.FOREVER

    name: Mapped[str]
    """``people``, or ``cell/`` and the name of a cell."""
    sequence: Mapped[int]
    """Of the last record; 0 when there is none."""
    hash: Mapped[str]
    """Of the last record."""


class AuditRecord(Scoped, Base):
    """One link of a chain. Append-only by trigger."""

    __tablename__ = "audit_record"
    __table_args__: Any = (
        Index(None, "tenant_id", "entity_type", "entity_id"),
        Index(None, "tenant_id", "utc_us"),
    )
    retention = Retention.FOREVER

    chain_id: Mapped[int] = mapped_column(ForeignKey("audit_chain.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Counts the records of the chain from 1."""
    format: Mapped[int] = mapped_column(SmallInteger)
    """Which fields are hashed, and how: 1 or 2."""
    utc_us: Mapped[int]
    clock_quality: Mapped[str]
    station: Mapped[str]
    actor: Mapped[str]
    printed_name: Mapped[str]
    authentication: Mapped[str]
    session: Mapped[str]
    action: Mapped[str]
    entity_type: Mapped[str]
    entity_id: Mapped[str]
    entity_version: Mapped[int]
    old: Mapped[str]
    """Canonical JSON text, kept as text so that no database rewrites it."""
    new: Mapped[str]
    reason: Mapped[str]
    correlation_id: Mapped[str]
    application_version: Mapped[str]
    prev_hash: Mapped[str]
    hash: Mapped[str]


class AuditTile(Scoped, Base):
    """Up to 256 neighbouring hashes of one level of a chain's Merkle tree; see `tree`."""

    __tablename__ = "audit_tile"
    retention = Retention.FOREVER

    chain_id: Mapped[int] = mapped_column(ForeignKey("audit_chain.id"), primary_key=True)
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    """0: leaves, in full tiles only; 1: subtrees of 16 leaves; 2: of 256; and so on."""
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Counts the tiles of a level from 0."""
    hashes: Mapped[bytes] = mapped_column(LargeBinary)
    """32 bytes each."""


class AuditCheckpoint(Keyed, Scoped, Base):
    """A signed statement of how long a chain is and what its root is. Append-only by trigger."""

    __tablename__ = "audit_checkpoint"
    __table_args__: Any = (Index(None, "tenant_id", "chain_id", "tree_size"),)
    retention = Retention.FOREVER

    chain_id: Mapped[int] = mapped_column(ForeignKey("audit_chain.id"))
    tree_size: Mapped[int]
    root_hash: Mapped[str]
    utc: Mapped[datetime]
    signed_text: Mapped[str]
    signature: Mapped[str]
    key_id: Mapped[str]


class StateTransition(Keyed, Scoped, Base):
    """One move of a state machine. Append-only by trigger."""

    __tablename__ = "state_transition"
    __table_args__: Any = (Index(None, "tenant_id", "entity_type", "entity_id"),)
    retention = Retention.FOREVER

    entity_type: Mapped[str]
    entity_id: Mapped[str]
    event: Mapped[str]
    old: Mapped[str]
    new: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    utc: Mapped[datetime]
