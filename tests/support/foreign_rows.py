"""A row in every table that belongs to a tenant, for tests of what others see of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Date,
    Float,
    LargeBinary,
    String,
    Table,
    insert,
    select,
    text,
)
from sqlalchemy import types as sqltypes

from cellwright.mes.kernel.base import Base, Scoped, UtcDateTime, Word
from cellwright.mes.kernel.quantity import Amount
from cellwright.mes.kernel.store import Store
from cellwright.mes.kernel.tables import AnsweredRequest, Counter
from cellwright.mes.service.catalogue import ACTIONS

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
Keys = dict[str, tuple[Any, ...]]
"""Primary key of the row in each table."""


def scoped_classes() -> list[type[Any]]:
    """Every mapped class whose rows belong to a tenant."""
    assert ACTIONS, "the catalogue imports the tables of every room"
    assert issubclass(Counter, Scoped)
    assert issubclass(AnsweredRequest, Scoped)
    found = [mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, Scoped)]
    return sorted(found, key=lambda kind: kind.__name__)


def add_tenant(store: Store, tenant: int, *, fill: bool = True) -> Keys:
    """Make the tenant and its site of the same number and, if ``fill``, a row in each table."""
    # Behind the session, as the owner of the database could.
    with store._engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("SELECT set_config('cellwright.tenant', :tenant, true)"),
                {"tenant": str(tenant)},
            )
        if tenant != 1:
            for table, more in (("tenant", {}), ("site", {"tenant_id": tenant})):
                row = {"id": tenant, "name": f"tenant {tenant}", "created_utc": NOW, **more}
                connection.execute(insert(Base.metadata.tables[table]).values(row))
        return _fill(connection, tenant) if fill else {}


def _fill(connection: Connection, tenant: int) -> Keys:
    tables = {kind.__table__ for kind in scoped_classes()}
    keys: Keys = {}
    for table in Base.metadata.sorted_tables:
        if table in tables:
            keys[table.name] = _add(connection, table, tenant, keys)
    return keys


def _add(connection: Connection, table: Table, tenant: int, keys: Keys) -> tuple[Any, ...]:
    there = select(*table.primary_key.columns).where(table.c.tenant_id == tenant)
    known = connection.execute(there).one_or_none()
    if known is not None:  # the migration made it
        return tuple(known)
    row = {
        column.name: _value(column, tenant, keys)
        for column in table.columns
        if not (column.name == "id" and column.primary_key)
    }
    result = connection.execute(insert(table).values(row))
    assert result.inserted_primary_key is not None
    return tuple(result.inserted_primary_key)


def _value(column: Column[Any], tenant: int, keys: Keys) -> Any:
    if column.name in {"tenant_id", "site_id"}:
        return tenant
    for foreign in column.foreign_keys:
        found = keys.get(foreign.column.table.name)
        return None if found is None else found[0]  # None: the table refers to itself
    kind = column.type
    if isinstance(kind, Word):
        return next(iter(kind.words))
    plain: dict[type[Any], Any] = {
        Amount: Decimal(1),
        UtcDateTime: NOW,
        Date: date(2026, 3, 14),
        Boolean: False,
        Float: 1.0,
        LargeBinary: b"x",
        JSON: {},
        sqltypes.Integer: 1,
        String: f"secret of tenant {tenant}",
    }
    for known, value in plain.items():
        if isinstance(kind, known):
            return value
    raise AssertionError(f"{column}: no value for {kind!r}")
