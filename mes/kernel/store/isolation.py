"""Keeps tenants apart, row by row, on both databases.

Called by `store` for each session. Every statement of the ORM that touches a `Scoped` table gets
the criterion of the session's tenant, and every new row its tenant and site; a session without a
scope cannot touch such a table at all. PostgreSQL holds the same by policies, for raw SQL too.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Table, TextClause, event, text
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.sql import visitors

from cellwright.mes.kernel.base import Base, Scoped
from cellwright.mes.kernel.errors import StoreError
from cellwright.mes.kernel.scope import SCOPE_KEY, Scope, scope_of

APPLICATION_ROLE: Final = "cellwright_application"
"""Role on PostgreSQL that sessions take when their own would pass by row-level security."""

_BYPASSES: Final = text(
    "SELECT (rolsuper OR rolbypassrls), "
    "EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :role) "
    "FROM pg_roles WHERE rolname = current_user"
)
_SET_ROLE: Final = text(f"SET LOCAL ROLE {APPLICATION_ROLE}")
_SET_TENANT: Final = text(
    "SELECT set_config('cellwright.tenant', :tenant, true), "
    "set_config('cellwright.site', :site, true)"
)


def needs_role(connection: Connection) -> bool:
    """True when the connected user would pass by row-level security and must take the other role.

    Raises StoreError when there is no such role.
    """
    if connection.dialect.name != "postgresql":
        return False
    bypasses, there = connection.execute(_BYPASSES, {"role": APPLICATION_ROLE}).one()
    if bypasses and not there:
        raise StoreError(
            "store_unsupported",
            f"this user passes by row-level security, and there is no role {APPLICATION_ROLE}; "
            "connect as an ordinary user, or let a superuser create that role",
        )
    return bool(bypasses)


def confine(session: Session, scope: Scope, *, take_role: bool) -> None:
    """Give the session its scope; on PostgreSQL also the transaction of its connection.

    ``take_role`` is what `needs_role` said of the connected user.
    """
    session.info[SCOPE_KEY] = scope
    if session.get_bind().dialect.name == "postgresql":
        if take_role:
            session.execute(_SET_ROLE)
        session.execute(_SET_TENANT, {"tenant": str(scope.tenant_id), "site": str(scope.site_id)})


@event.listens_for(Session, "do_orm_execute")
def _criterion(state: ORMExecuteState) -> None:
    if state.is_column_load or state.is_relationship_load:
        return  # it has the criterion of the statement that loaded its owner
    statement: Any = state.statement
    if isinstance(statement, TextClause):
        return
    scope: Scope | None = state.session.info.get(SCOPE_KEY)
    if scope is None:
        if _is_scoped(statement):
            scope_of(state.session)  # raises
        return
    # Also to a statement that names no entity of its own, as a count of a list or a union: the
    # option reaches every statement inside.
    tenant = scope.tenant_id
    state.statement = statement.options(
        with_loader_criteria(Scoped, lambda cls: cls.tenant_id == tenant, include_aliases=True)
    )


def _is_scoped(statement: Any) -> bool:
    scoped = {each.local_table for each in Base.registry.mappers if issubclass(each.class_, Scoped)}
    # An entity of the ORM is an annotated copy of its table.
    return any(
        isinstance(part, Table) and part.metadata.tables.get(part.key) in scoped
        for part in visitors.iterate(statement)
    )


@event.listens_for(Session, "before_flush")
def _fill(session: Session, _context: Any, _instances: Any) -> None:
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, Scoped):
            scope = scope_of(session)
            if row.tenant_id is None:
                row.tenant_id = scope.tenant_id
            if row.site_id is None:
                row.site_id = scope.site_id
            if row.tenant_id != scope.tenant_id:
                raise ValueError(f"{type(row).__name__} belongs to another tenant than the session")
