"""Audit trails for tests: filled, verified, and changed as nobody may."""

from __future__ import annotations

from sqlalchemy import Executable, text

from cellwright.mes import audit
from cellwright.mes.audit.chain import AuditEntry
from cellwright.mes.kernel.store import Store


def fill(store: Store, count: int = 12) -> None:
    """Append that many records in one transaction."""
    with store.session() as session:
        for number in range(1, count + 1):
            audit.append(
                session,
                AuditEntry(
                    actor=f"actor-{number % 3}",
                    action="thing.change",
                    entity_type="thing",
                    entity_id=str(number),
                    entity_version=number,
                    old={"value": number - 1},
                    new={"value": number, "größe": "ü\n\"'"},
                    reason=f"reason {number}",
                    correlation_id="c-1",
                ),
            )


def verify(store: Store) -> audit.VerifyResult:
    """Walk the chains."""
    with store.reading() as session:
        return audit.verify(session)


def behind_the_triggers(store: Store, *statements: Executable) -> None:
    """Do what a person with the database's own tools could do."""
    with store.session() as session:
        if store.dialect == "postgresql":
            session.execute(text("RESET ROLE"))
            session.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            for name in session.scalars(
                text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            ).all():
                session.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements:
            session.execute(statement)
