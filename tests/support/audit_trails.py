"""Audit trails for tests: filled, verified, and changed as nobody may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Executable, bindparam, delete, insert, select, text, update
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit.chain import AuditEntry, SecondForm, digest
from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.store import Store

_record = Base.metadata.tables[AuditRecord.__tablename__]
_chain = Base.metadata.tables[AuditChain.__tablename__]
_HASHED = set(SecondForm.__struct_fields__) - {"chain"}


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


Rows = list[dict[str, Any]]
"""Records of one chain, in the order of their sequence."""


def read_rows(session: Session) -> Rows:
    """All records of the database's only chain."""
    statement = select(_record).order_by(_record.c.sequence)
    return [dict(row) for row in session.connection().execute(statement).mappings()]


def link_again(rows: Rows, first: int, chain: str = "people") -> None:
    """Give the records from that place (0 is the first) on new sequences and right hashes."""
    previous = rows[first - 1]["hash"] if first else audit.GENESIS
    for place in range(first, len(rows)):
        row = rows[place]
        row |= {"sequence": place + 1, "prev_hash": previous}
        row["hash"] = previous = digest(
            previous, SecondForm(chain=chain, **{name: row[name] for name in _HASHED})
        )


def put_rows(session: Session, old: Rows, new: Rows, *, head: bool = False) -> None:
    """Make the table hold the new records in place of the old ones; triggers are gone already.

    ``head``: the chain's end is moved behind the last of them, as a careful forger would.
    """
    connection = session.connection()
    keep = {row["sequence"]: row for row in old}
    coming = {row["sequence"]: row for row in new}
    gone = [{"key": key} for key, row in keep.items() if coming.get(key) != row]
    added = [row for key, row in coming.items() if keep.get(key) != row]
    if gone:
        connection.execute(delete(_record).where(_record.c.sequence == bindparam("key")), gone)
    if added:
        connection.execute(insert(_record), added)
    if head:
        end = (new[-1]["sequence"], new[-1]["hash"]) if new else (0, audit.GENESIS)
        connection.execute(update(_chain).values(sequence=end[0], hash=end[1]))


def rewrite(store: Store, change: Callable[[Rows], int]) -> None:
    """Change the chain as somebody who also hashes the tail again and moves the chain's end.

    ``change`` changes the list and gives the place of the first record to be hashed again.
    """
    behind_the_triggers(store)
    with store.session() as session:
        if store.dialect == "postgresql":
            session.execute(text("RESET ROLE"))
            session.execute(text("SET LOCAL session_replication_role = replica"))
        old = read_rows(session)
        new = [dict(row) for row in old]
        link_again(new, change(new))
        put_rows(session, old, new, head=True)
