"""The MES database: opening, migrating, transactions.

The gateway, the web process, the command line and tests open it by URL: SQLite by default,
PostgreSQL by URL. It knows no table and never shows a password.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.pool import NullPool

from cellwright.mes.kernel.domain_events import SUBSCRIPTIONS_KEY, Subscriptions
from cellwright.mes.kernel.errors import MesError, StoreError
from cellwright.mes.kernel.scope import DEFAULT_SCOPE, Scope
from cellwright.mes.kernel.secrets import SECRETS_KEY
from cellwright.mes.kernel.store.isolation import confine, needs_role
from cellwright.mes.kernel.store.sqlite_file import notice_when_gone
from cellwright.mes.kernel.store.turns import Queue, begin_writing
from cellwright.mes.kernel.utc import CLOCK_KEY, UtcClock

BUSY_TIMEOUT_S: Final = 5.0
WAL_RETRY_S: Final = 0.02
"""Longest wait for another writer."""
CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_S: Final = 30.0
"""Longest single statement on PostgreSQL; a hung server must not hang the gateway."""
IDLE_TIMEOUT_S: Final = 60.0
"""PostgreSQL ends a transaction that its client forgot."""

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_MIGRATION_LOCK: Final = 0x43454C4C
"""Advisory lock that keeps two programs from migrating one PostgreSQL database at once."""
_WAIT_S: Final = "cellwright_wait_s"
"""Option of a connection: how long it may wait for its turn to write; None: it only reads."""
_FINISHING: Final = "cellwright_finishing"
"""Key in `Session.info` of what is called before the commit."""
_LAST: Final = "cellwright_last"
"""Key of what is called behind all that."""


def before_commit(session: Session, call: Callable[[Session], None], *, last: bool = False) -> None:
    """Call it once with the session at the end of its block, before the commit.

    ``last``: behind all that are not.
    """
    calls = session.info.setdefault(_LAST if last else _FINISHING, [])
    if call not in calls:
        calls.append(call)


class Store:
    """A migrated database. Threads may share it; each takes its own session."""

    def __init__(
        self,
        engine: Engine,
        url: str,
        *,
        utc_ns: UtcClock,
        scope: Scope,
        subscriptions: Subscriptions,
        secrets: Path | None,
        take_role: bool,
    ) -> None:
        self._engine = engine
        self._utc_ns = utc_ns
        self._scope = scope
        self._secrets = secrets
        self._take_role = take_role
        self._subscriptions = subscriptions
        self._queue = Queue()
        self.url = url
        """The URL without its password."""

    @classmethod
    def open(
        cls,
        url: str,
        *,
        utc_ns: UtcClock = time.time_ns,
        scope: Scope = DEFAULT_SCOPE,
        subscriptions: Subscriptions = MappingProxyType({}),
        secrets: Path | None = None,
    ) -> Store:
        """Create or migrate the database to this program's revision.

        ``url`` is ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or
        ``postgresql://user:password@host:port/database``. ``utc_ns`` is the clock of the services,
        ``scope`` that of sessions which are given none, ``subscriptions`` how the rooms hear of
        each other (`service.catalogue` has the product's). Raises StoreError that names the URL
        without password, and the remedy.
        """
        parsed = _parse(url)
        shown = _shown(parsed)
        engine = _engine(parsed)
        try:
            with _errors(shown):
                _migrate(parsed)
                with engine.connect() as connection:
                    take_role = needs_role(connection)
        except BaseException:
            engine.dispose()
            raise
        return cls(
            engine,
            shown,
            utc_ns=utc_ns,
            scope=scope,
            subscriptions=subscriptions,
            secrets=secrets,
            take_role=take_role,
        )

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @contextmanager
    def session(self, scope: Scope | None = None) -> Iterator[Session]:
        """A transaction that may write: commits at the end, rolls back on any error.

        What `before_commit` was given runs at the end of the block. On SQLite writers take turns
        for their whole session; on PostgreSQL they wait for each other's rows. Keep the block
        short and await nothing inside. Raises StoreError when the database fails, and MesError
        ``stale_version`` when another writer was faster; nothing of the block is then stored.
        """
        with _errors(self.url), self._turn() as left_s, self._engine.connect() as raw:
            connection = raw.execution_options(**{_WAIT_S: left_s})
            with (
                Session(connection, autoflush=True, expire_on_commit=False) as session,
                session.begin(),
            ):
                session.connection()  # begins now, not at the first statement
                self._prepare(session, scope)
                yield session
                while calls := session.info.pop(_FINISHING, ()) or session.info.pop(_LAST, ()):
                    for call in calls:  # which may want others to follow
                        call(session)

    @contextmanager
    def reading(self, scope: Scope | None = None) -> Iterator[Session]:
        """A consistent snapshot for readers; never waits for writers and never makes them wait.

        Writing inside it fails. Raises StoreError when the database fails.
        """
        with _errors(self.url), self._engine.connect() as raw:
            if self.dialect == "postgresql":
                connection = raw.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            else:
                connection = raw.execution_options(**{_WAIT_S: None})
            with Session(connection, autoflush=False, expire_on_commit=False) as session:
                self._prepare(session, scope)
                if self.dialect == "sqlite":
                    session.execute(text("PRAGMA query_only = ON"))
                try:
                    yield session
                finally:
                    session.expunge_all()  # what was loaded stays readable
                    session.rollback()
                    if self.dialect == "sqlite":
                        session.execute(text("PRAGMA query_only = OFF"))
                        session.rollback()

    @contextmanager
    def _turn(self) -> Iterator[float]:
        """The thread's turn to write; gives how long it may wait for writers elsewhere."""
        if self.dialect != "sqlite":
            yield BUSY_TIMEOUT_S
            return
        with ExitStack() as stack:
            try:
                left_s = stack.enter_context(self._queue.turn(BUSY_TIMEOUT_S))
            except TimeoutError as error:
                raise StoreError(
                    "store_busy",
                    f"cannot use the MES database {self.url}: others write for longer than "
                    f"{BUSY_TIMEOUT_S:g} s; try again",
                ) from error
            yield left_s

    def _prepare(self, session: Session, scope: Scope | None) -> None:
        session.info[CLOCK_KEY] = self._utc_ns
        session.info[SUBSCRIPTIONS_KEY] = self._subscriptions
        session.info[SECRETS_KEY] = self._secrets
        confine(session, scope or self._scope, take_role=self._take_role)

    def close(self) -> None:
        """Close all connections. Sessions must have ended."""
        self._engine.dispose()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError, NoSuchModuleError):
        parsed, backend = None, ""
    if parsed is None or backend not in {"sqlite", "postgresql"}:
        # The text may hold a password, so only its scheme is shown.
        scheme = url.partition(":")[0][:40]
        raise StoreError(
            "store_unsupported",
            f"cannot open the MES database: '{scheme}:...' is not a database URL known here; "
            "write sqlite:///file.db or postgresql://user:password@host/database",
        )
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError(
            "store_unsupported",
            "cannot open the MES database: an SQLite database in memory would be lost with the "
            "process; name a file, for example sqlite:///cell.db",
        )
    return parsed.set(drivername="sqlite+pysqlite")


def _shown(url: URL) -> str:
    shown = url.difference_update_query(["password", "sslpassword"])
    return shown.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def _engine(url: URL, *, migrating: bool = False) -> Engine:
    if url.get_backend_name() == "postgresql":
        # Taking over millions of rows is one statement, which may take minutes.
        longest = 0.0 if migrating else STATEMENT_TIMEOUT_S
        options = (
            f"-c lock_timeout={BUSY_TIMEOUT_S * 1e3:.0f} "
            f"-c statement_timeout={longest * 1e3:.0f} "
            f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_S * 1e3:.0f} "
            "-c timezone=UTC"
        )
        own = url.query.get("options")
        return create_engine(
            url,
            pool_pre_ping=True,
            poolclass=NullPool if migrating else None,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "tcp_user_timeout": int(STATEMENT_TIMEOUT_S * 1000),
                "options": f"{own} {options}" if isinstance(own, str) else options,
                "application_name": "cellwright-mes",
            },
        )
    engine = create_engine(
        url,
        poolclass=NullPool if migrating else None,
        connect_args={"timeout": BUSY_TIMEOUT_S},
    )
    event.listen(engine, "connect", _sqlite_migrating if migrating else _sqlite_connected)
    event.listen(engine, "begin", _sqlite_begin)
    if not migrating and "uri" not in url.query:  # then it names no path
        notice_when_gone(engine, Path(str(url.database)), _shown(url))
    return engine


def _sqlite_connected(connection: sqlite3.Connection, record: Any) -> None:
    _sqlite_migrating(connection, record)
    connection.execute("PRAGMA foreign_keys = ON")


def _sqlite_migrating(connection: sqlite3.Connection, record: Any) -> None:
    # Foreign keys stay off while tables are rebuilt (sqlite.org/lang_altertable.html, 7).
    connection.isolation_level = None  # the driver must not begin or commit by itself
    _switch_to_wal(connection)
    # FULL: a consumed event is acknowledged to its journal, so it must outlive a power failure.
    connection.execute("PRAGMA synchronous = FULL")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # Unlike others, this statement does not wait for a lock, and every process that opens a new
    # file at the same time takes it for a moment.
    for _ in range(int(BUSY_TIMEOUT_S / WAL_RETRY_S)):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(WAL_RETRY_S)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


def _sqlite_begin(connection: Connection) -> None:
    # A writer takes the write lock at once: upgrading a read transaction fails without waiting.
    wait_s = connection.get_execution_options().get(_WAIT_S, BUSY_TIMEOUT_S)
    if wait_s is None:
        connection.exec_driver_sql("BEGIN")
    else:
        begin_writing(connection, wait_s)


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for this room's revisions on a connection."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _migrate(url: URL) -> None:
    engine = _engine(url, migrating=True)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": _MIGRATION_LOCK})
            command.upgrade(migration_config(connection), "head")
    finally:
        engine.dispose()


@contextmanager
def _errors(shown: str) -> Iterator[None]:
    """Turn failures of the database itself into StoreError; mistakes of ours pass through."""
    try:
        yield
    except CommandError as error:
        if "locate revision" not in str(error):  # alembic has one class for all its errors
            raise StoreError(
                "store_failed",
                f"cannot use the MES database {shown}: its tables cannot be brought up to date "
                f"({error}); restore a copy of it, and report this",
            ) from error
        raise StoreError(
            "store_too_new",
            f"cannot use the MES database {shown}: its tables were made by a newer Cellwright "
            f"({error}); update this installation or restore an older copy",
        ) from error
    except StaleDataError as error:
        raise MesError(
            "stale_version", "another writer changed the same record at that moment; try again"
        ) from error
    except (DatabaseError, InterfaceError) as error:
        failure = _classify(error, shown)
        if failure is None:
            raise
        raise failure from error


_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: ("store_busy", "another program holds it; try again, or end that program"),
    sqlite3.SQLITE_PROTOCOL: ("store_busy", "too many programs want it at once; try again"),
    sqlite3.SQLITE_NOMEM: ("store_failed", "the computer has no memory left; end other programs"),
    sqlite3.SQLITE_LOCKED: ("store_busy", "another connection holds it; try again"),
    sqlite3.SQLITE_READONLY: (
        "store_read_only",
        "give this user write access to the file and its folder",
    ),
    sqlite3.SQLITE_FULL: ("store_full", "free space on its disk"),
    sqlite3.SQLITE_IOERR: ("store_failed", "check the disk and its free space"),
    sqlite3.SQLITE_CANTOPEN: (
        "store_unreachable",
        "create its folder and give this user write access",
    ),
    sqlite3.SQLITE_NOTADB: ("store_damaged", "name another file, or restore a copy of this one"),
    sqlite3.SQLITE_CORRUPT: ("store_damaged", "restore a copy of the file"),
}

_POSTGRESQL: Final = {
    "08": ("store_unreachable", "check that the server runs and can be reached"),
    "28": ("store_unreachable", "check the user and the password"),
    "3D": ("store_unreachable", "create the database, or correct its name in the URL"),
    "25006": ("store_read_only", "connect to the primary server, not to a standby"),
    "42501": ("store_read_only", "grant this user the right to create and change its tables"),
    "40": ("store_busy", "try again"),
    "55P03": ("store_busy", "another program holds it; try again, or end that program"),
    "53100": ("store_full", "free space on the server's disk"),
    "53": ("store_failed", "the server lacks memory or connections; relieve it"),
    "57": ("store_unreachable", "the server ended the statement or is shutting down; try again"),
    "58": ("store_failed", "check the server's disk"),
}


_OTHER_TENANT: Final = (
    "store_failed",
    "a row of another tenant or site was about to be written, and nothing was; report this",
)


def _classify(error: DatabaseError | InterfaceError, shown: str) -> StoreError | None:
    cause = error.orig
    found: tuple[str, str] | None = None
    if isinstance(cause, sqlite3.Error):
        # The low byte is the primary code (sqlite.org/rescode.html, 1).
        found = _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    else:
        state = getattr(cause, "sqlstate", None) or ""
        found = _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
        if found is None and (not state or error.connection_invalidated):
            found = ("store_unreachable", "check that the server runs and can be reached")
            if "authentication" in str(cause):
                found = _POSTGRESQL["28"]
            elif "does not exist" in str(cause):
                found = _POSTGRESQL["3D"]
        if "row-level security" in str(cause):
            found = _OTHER_TENANT
    if found is None:
        return None
    code, remedy = found
    what = " ".join(str(cause).split())
    return StoreError(code, f"cannot use the MES database {shown}: {what}; {remedy}")
