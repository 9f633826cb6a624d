"""Row-level security on PostgreSQL: a policy on each table that belongs to a tenant.

The owner of the tables is subject to them too. Who would pass by them (a superuser) works as the
role ``cellwright_application``, which is made here where that is allowed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

ROLE = "cellwright_application"

_MAKE_ROLE = f"""
    DO $$ BEGIN
        CREATE ROLE {ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS;
    EXCEPTION
        WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
    END $$
"""
_GRANT = f"""
    DO $$ DECLARE here text := quote_ident(current_schema()); BEGIN
        IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %s TO {ROLE}', here);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO '
                           '{ROLE}', here);
            EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %s TO {ROLE}', here);
            REVOKE ALL ON alembic_version FROM {ROLE};
        END IF;
    END $$
"""
_TENANT = "tenant_id = NULLIF(current_setting('cellwright.tenant', true), '')::bigint"


def create_policies() -> None:
    """Call it last: from then on nobody sees a row without saying whose."""
    op.execute(_MAKE_ROLE)
    op.execute(_GRANT)
    for table in scoped_tables():
        _create_policy(table)


def confine(table: str) -> None:
    """Give a table of a later revision its policy, and the role its rights on it."""
    op.execute(_GRANT)
    _create_policy(table)


def _create_policy(table: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING ({_TENANT}) WITH CHECK ({_TENANT})")


def drop_policies() -> None:
    """Everybody sees everything again."""
    for table in scoped_tables():
        op.execute(f"DROP POLICY tenant ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


def scoped_tables() -> list[str]:
    """Tables whose rows belong to a tenant; ``site`` is read to find out which one that is."""
    found = op.get_bind().execute(
        sa.text(
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' "
            "AND table_schema = current_schema() AND table_name <> 'site' ORDER BY table_name"
        )
    )
    return [str(name) for name in found.scalars()]
