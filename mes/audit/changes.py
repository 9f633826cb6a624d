"""Puts the change of a row on record: which columns, from what, to what.

A person's action records its own change (`changing`). What a batch of the journal does to a row is
recorded once, at the end of its transaction (`touch`). Folding ``new`` of all records of an entity
over each other gives the row as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from cellwright.mes.audit.chain import AuditEntry, append
from cellwright.mes.kernel.quantity import text
from cellwright.mes.kernel.store import before_commit

_TOUCHED: Final = "cellwright_touched"
_UNRECORDED: Final = frozenset({"id", "tenant_id", "site_id"})
"""Columns that the record has elsewhere, or that mean nothing outside the database."""


def content(row: Any) -> dict[str, Any]:
    """The columns of a mapped row as plain data; foreign keys as they are."""
    mapper = inspect(row).mapper
    return {
        attribute.key: _plain(getattr(row, attribute.key))
        for attribute in mapper.column_attrs
        if attribute.key not in _UNRECORDED
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return text(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    return value


@contextmanager
def changing(session: Session, row: Any, entry: AuditEntry, *, at: datetime) -> Iterator[None]:
    """Record what the block does to the row; ``entry`` says who, what, which entity and why.

    Nothing is recorded when the block raises or changes nothing.
    """
    before = content(row)
    yield
    session.flush()
    after = content(row)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        append(
            session,
            replace(
                entry,
                entity_version=getattr(row, "version", 0),
                old={name: before[name] for name in changed},
                new={name: after[name] for name in changed},
            ),
            at=at,
        )


def created(session: Session, row: Any, entry: AuditEntry, *, at: datetime) -> None:
    """Record a new row with all its columns."""
    session.flush()
    version = getattr(row, "version", 0)
    append(session, replace(entry, entity_version=version, new=content(row)), at=at)


@dataclass(slots=True)
class _Touched:
    row: Any
    entry: AuditEntry
    before: dict[str, Any]
    at: datetime


def touch(session: Session, row: Any, entry: AuditEntry, *, at: datetime) -> None:
    """Record at the end of the transaction what became of the row since its first touch."""
    touched: dict[int, _Touched] = session.info.setdefault(_TOUCHED, {})
    known = touched.get(id(row))
    if known is None:
        touched[id(row)] = _Touched(row, entry, content(row), at)
        before_commit(session, _record_touched)
    else:
        known.at = at


def _record_touched(session: Session) -> None:
    session.flush()
    for known in session.info.pop(_TOUCHED, {}).values():
        after = content(known.row)
        changed = [name for name in after if after[name] != known.before[name]]
        if changed:
            entry = replace(
                known.entry,
                entity_version=getattr(known.row, "version", 0),
                old={name: known.before[name] for name in changed},
                new={name: after[name] for name in changed},
            )
            append(session, entry, at=known.at)
