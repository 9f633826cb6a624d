"""Rows of a PostgreSQL database into an archive and out of it, whatever tables there are.

The tables themselves are made by the store's migrations, of the revision that was saved; only rows
and running numbers travel, in the text form of COPY. Imported by cells with such a database alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from alembic import command
from alembic.util.exc import CommandError
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from cellwright.mes.kernel.store import migration_config
from cellwright.runtime.backup import row_security
from cellwright.runtime.backup.manifest import BackupError, Dump, Table

CONNECT_S: Final = 10
_REVISIONS: Final = "alembic_version"

_TABLES: Final = """
SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
AND relnamespace = current_schema()::regnamespace ORDER BY relname
"""
_SEQUENCES: Final = """
SELECT sequencename, last_value FROM pg_sequences
WHERE schemaname = current_schema() AND last_value IS NOT NULL
"""
_UNREADABLE: Final = """
SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema() AND NOT
has_sequence_privilege(format('%I.%I', schemaname, sequencename), 'SELECT, USAGE')
"""
_FOREIGN_KEYS: Final = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0 AND connamespace = current_schema()::regnamespace
"""
_TRIGGERS: Final = """
SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid
WHERE NOT tgisinternal AND tgparentid = 0 AND relnamespace = current_schema()::regnamespace
"""
_ENABLE: Final = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}

Put = Callable[[str, Iterator[bytes]], None]
"""Takes the rows of the table of that name."""


def dump(url: str, put: Put) -> Dump:
    """All rows of the database's schema, of one moment. Raises BackupError."""
    with _told(url), _connected(url) as engine, engine.connect() as raw:
        connection = raw.execution_options(isolation_level="REPEATABLE READ")
        row_security.refuse_silence(connection)
        names = list(connection.scalars(text(_TABLES)))
        revisions: list[str] = []
        if _REVISIONS in names:
            revisions = list(connection.scalars(text(f"SELECT version_num FROM {_REVISIONS}")))
        if not revisions:
            raise BackupError(
                f"the database {_shown(url)} has no tables of the MES; the cell makes them at its "
                "first start"
            )
        for name in connection.scalars(text(_UNREADABLE)):  # its number would look like none
            raise BackupError(
                f"no backup was made: the running number {name} of {_shown(url)} cannot be read; "
                "grant this user SELECT on it"
            )
        hidden = row_security.hidden_tables(connection)
        connection.execute(text("SET TRANSACTION READ ONLY"))
        tables = tuple(_dump_table(connection, name, put, hidden.get(name)) for name in names)
        # Numbers that are taken outside of any transaction: later than the rows is safe.
        sequences = {name: int(last) for name, last in connection.execute(text(_SEQUENCES))}
        return Dump(tuple(revisions), tables, sequences)


def _dump_table(
    connection: Connection, name: str, put: Put, hidden: row_security.Counts | None
) -> Table:
    columns = tuple(
        column["name"]
        for column in inspect(connection).get_columns(name)
        if not column.get("computed")
    )
    statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(name)
    )
    rows = 0

    def copied() -> Iterator[bytes]:
        nonlocal rows
        with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
            for piece in copy:
                data = bytes(piece)
                rows += data.count(b"\n")  # a line end within a value is written as \\n
                yield data

    def by_tenant(counts: row_security.Counts) -> Iterator[bytes]:
        for tenant, count in counts.items():
            before = rows
            with row_security.shown(connection, tenant):
                yield from copied()
            if rows - before != count:
                raise BackupError(
                    f"no backup was made: of the {count} rows of tenant {tenant} in the table "
                    f"{name} this user is shown {rows - before}; correct the policies of the "
                    "table, or give the user the right BYPASSRLS"
                )

    put(name, copied() if hidden is None else by_tenant(hidden))
    return Table(name, columns, rows)


@contextmanager
def loaded(url: str, saved: Dump, rows: Callable[[Table], Iterable[bytes]]) -> Iterator[list[str]]:
    """The database filled, and made so for good when the block ends without an error.

    It must be empty. Gives sentences about rows that it has no table for. Raises BackupError.
    """
    with _told(url), _connected(url) as engine, engine.begin() as connection:
        if names := list(connection.scalars(text(_TABLES))):
            raise BackupError(
                f"the database {_shown(url)} is not empty (it has {', '.join(names[:3])}, ...); "
                "name an empty one with --database, or keep what is in it with --keep-database"
            )
        try:
            for revision in saved.revisions:
                command.upgrade(migration_config(connection), revision)
        except CommandError as error:
            raise BackupError(
                f"this Cellwright does not know the tables of the archive (revision "
                f"{', '.join(saved.revisions)}: {error}); restore with the version that wrote it"
            ) from error
        with row_security.lifted(connection):
            notes = _fill(connection, saved, rows)
        yield notes


def _fill(
    connection: Connection, saved: Dump, rows: Callable[[Table], Iterable[bytes]]
) -> list[str]:
    there = set(connection.scalars(text(_TABLES)))
    ours = [table for table in saved.tables if table.name in there]
    notes = [
        f"the table {table.name} is none of the MES: its {table.rows} rows stay in the archive"
        for table in saved.tables
        if table.name not in there and table.rows
    ]
    cursor = _driver(connection).cursor()
    keys = list(connection.execute(text(_FOREIGN_KEYS)))
    triggers = [row for row in connection.execute(text(_TRIGGERS)) if row[2] in _ENABLE]
    # Rows come table by table, and some tables allow no change: their rules hold again at the end.
    for table, name, _ in keys:
        cursor.execute(_alter(table, "DROP CONSTRAINT", name))
    for table, name, _ in triggers:
        cursor.execute(_alter(table, "DISABLE TRIGGER", name))
    for one in ours:
        cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(one.name)))
    for one in ours:
        _fill_table(connection, cursor, one, rows(one))
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    known = set(connection.scalars(text("SELECT sequencename FROM pg_sequences")))
    for name, last in saved.sequences.items():
        if name in known:
            cursor.execute("SELECT setval(quote_ident(%s)::regclass, %s)", (name, last))
    for table, name, definition in keys:
        cursor.execute(
            sql.SQL("{} {}").format(_alter(table, "ADD CONSTRAINT", name), _verbatim(definition))
        )
    for table, name, state in triggers:
        cursor.execute(_alter(table, f"{_ENABLE[state]} TRIGGER", name))
    return notes


def _fill_table(connection: Connection, cursor: Any, table: Table, rows: Iterable[bytes]) -> None:
    have = {column["name"] for column in inspect(connection).get_columns(table.name)}
    if missing := sorted(set(table.columns) - have):
        raise BackupError(
            f"the table {table.name} has no column {missing[0]} in this version; restore with the "
            "version that wrote the archive"
        )
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    )
    with cursor.copy(statement) as copy:
        for piece in rows:
            copy.write(piece)
    if cursor.rowcount != table.rows:
        raise BackupError(
            f"the archive has {cursor.rowcount} rows of the table {table.name} and says that there "
            f"are {table.rows}; use another copy"
        )


def _alter(table: str, what: str, name: str) -> sql.Composed:
    # The catalogue has quoted the table already.
    return sql.SQL("ALTER TABLE {} {} {}").format(
        _verbatim(table), _verbatim(what), sql.Identifier(name)
    )


def _verbatim(words: str) -> sql.SQL:
    # Of the server's catalogue or of this module, never of people.
    return sql.SQL(words)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _shown(url: str) -> str:
    return make_url(url).difference_update_query(["password", "sslpassword"]).render_as_string()


@contextmanager
def _connected(url: str) -> Iterator[Engine]:
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_S, "application_name": "cellwright-backup"},
    )
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, psycopg.Error) as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        raise BackupError(
            f"the database {_shown(url)} fails: {cause}; check that the server runs, the user and "
            "its rights"
        ) from error
