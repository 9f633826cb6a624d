"""Numbers that are given out once: of orders, serials, changes."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from cellwright.mes.kernel.base import Keyed
from cellwright.mes.kernel.scope import scope_of

_NEXT: Final = text(
    "INSERT INTO counter (tenant_id, site_id, name, value) VALUES (:tenant, :site, :name, :count) "
    "ON CONFLICT (tenant_id, name) DO UPDATE SET value = counter.value + :count RETURNING value"
)


def next_number(session: Session, counter: str) -> int:
    """Count up a named counter by one, from 1; concurrent callers never get the same number."""
    return next_numbers(session, counter, 1)[0]


def next_numbers(session: Session, counter: str, count: int) -> range:
    """``count`` (1 or more) numbers of a named counter in one statement, in rising order."""
    last = _count_up(session, counter, count)
    return range(last - count + 1, last + 1)


def stand(session: Session, counter: str) -> int:
    """The last number that was given out, 0 before the first.

    It stays the last one until the end of the transaction: who asks for the next one waits.
    """
    return _count_up(session, counter, 0)


def _count_up(session: Session, counter: str, count: int) -> int:
    scope = scope_of(session)
    return int(
        session.execute(
            _NEXT,
            {"tenant": scope.tenant_id, "site": scope.site_id, "name": counter, "count": count},
        ).scalar_one()
    )


def number_new_rows(session: Session) -> None:
    """Give the session's new rows their keys, so that each table takes them in one statement.

    For SQLite, which would be asked for each key by a statement of its own; its one writer has the
    database to himself. PostgreSQL hands keys out by the statement.
    """
    if session.get_bind().dialect.name != "sqlite":
        return
    new: dict[type[Keyed], list[Keyed]] = {}
    for row in session.new:
        if isinstance(row, Keyed) and row.id is None:
            new.setdefault(type(row), []).append(row)
    for kind, rows in new.items():
        key: Any = kind.id
        last = session.connection().scalar(select(func.coalesce(func.max(key), 0)))
        for number, row in enumerate(rows, start=int(last or 0) + 1):
            row.id = number
