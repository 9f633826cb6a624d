"""What row-level security of PostgreSQL would hide from a backup, and a backup not notice.

Called by `postgresql`. The server leaves out rows without a word, and of a table whose owner is
subject to its policies the owner sees none before he says whose. So nothing is read here that was
not counted in another way before, and whatever cannot be counted is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text

from cellwright.runtime.backup.manifest import BackupError

TENANT: Final = "tenant_id"
"""Column by which the policies of the MES tell rows apart."""
LOCK_MS: Final = 500
"""Longest wait for a table: whoever comes after us waits as long."""
TRIES: Final = 20
PAUSE_S: Final = 0.25

_ACTIVE: Final = """
SELECT relname, EXISTS (SELECT FROM pg_attribute
    WHERE attrelid = pg_class.oid AND attname = :tenant AND NOT attisdropped)
FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
AND relnamespace = current_schema()::regnamespace AND row_security_active(oid) ORDER BY relname
"""
_FORCED: Final = """
SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relforcerowsecurity
AND relnamespace = current_schema()::regnamespace ORDER BY relname
"""
_NO_FORCE: Final = sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY")
_FORCE: Final = sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY")

Counts = Mapping[int | None, int]
"""Tenant to the number of its rows."""


def refuse_silence(connection: Connection) -> None:
    """From now on a statement that would leave out rows fails, until the transaction ends."""
    connection.execute(text("SET LOCAL row_security = off"))


def hidden_tables(connection: Connection) -> dict[str, Counts]:
    """Tables of which this user is shown one tenant at a time, with what they really hold.

    Counts as the transaction's snapshot has them, so call it in that. Writers of a table wait while
    it is counted, and for nothing else. Raises BackupError when a table cannot be counted.
    """
    found: dict[str, Counts] = {}
    for name, by_tenant in connection.execute(text(_ACTIVE), {"tenant": TENANT}).all():
        if not by_tenant:
            raise BackupError(
                f"no backup was made: the table {name} has row-level security but no column "
                f"{TENANT}, so what it hides is not known; give this user the right BYPASSRLS"
            )
        found[name] = _count(connection, name)
    return found


def _count(connection: Connection, name: str) -> Counts:
    for _ in range(TRIES):
        # Only the owner may lift his own restriction. Nobody else ever sees it lifted: the lock
        # lasts until the savepoint is undone, and the restriction is back with it.
        savepoint = connection.begin_nested()
        try:
            connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_MS}"))
            cursor = _cursor(connection)
            cursor.execute(_NO_FORCE.format(sql.Identifier(name)))
            cursor.execute(
                sql.SQL("SELECT {0}, count(*) FROM {1} GROUP BY {0}").format(
                    sql.Identifier(TENANT), sql.Identifier(name)
                )
            )
            return dict(cursor.fetchall())
        except psycopg.errors.LockNotAvailable:
            pass
        except psycopg.errors.InsufficientPrivilege as error:
            raise BackupError(
                f"no backup was made: of the table {name} this user sees only the rows of one "
                f"tenant at a time, and is not its owner, who can count them all ({error}); take "
                "the backup as the owner of the tables, or give this user the right BYPASSRLS"
            ) from error
        finally:
            savepoint.rollback()
        time.sleep(PAUSE_S)
    raise BackupError(
        f"no backup was made: others hold the table {name} in long transactions (another backup, a "
        "report); try again when they have ended"
    )


@contextmanager
def shown(connection: Connection, tenant: int | None) -> Iterator[None]:
    """Rows of this tenant are read in the block."""
    connection.execute(text("SET LOCAL row_security = on"))
    connection.execute(
        text("SELECT set_config('cellwright.tenant', :tenant, true)"),
        {"tenant": "" if tenant is None else str(tenant)},
    )
    yield
    refuse_silence(connection)


@contextmanager
def lifted(connection: Connection) -> Iterator[None]:
    """In the block the owner sees and writes all rows; at its end he is restricted as before.

    Others see nothing of it, for all is in one transaction.
    """
    names = list(connection.scalars(text(_FORCED)))
    cursor = _cursor(connection)
    for name in names:
        cursor.execute(_NO_FORCE.format(sql.Identifier(name)))
    refuse_silence(connection)
    yield
    for name in names:
        cursor.execute(_FORCE.format(sql.Identifier(name)))


def _cursor(connection: Connection) -> psycopg.Cursor[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver.cursor()
