"""A backup of several tenants is whole, or is refused: whoever takes it, whatever hides rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine, make_url, text

from cellwright.mes import audit
from cellwright.mes.definitions import master_data
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.store import migration_config, numbering
from cellwright.mes.orders import work_orders
from cellwright.mes.service.catalogue import open_store
from cellwright.runtime.backup import postgresql, row_security
from cellwright.runtime.backup.manifest import BackupError, Dump, Table
from cellwright.runtime.backup.restore import restore
from cellwright.runtime.backup.take import take
from cellwright.runtime.config import compile_file
from support.small_cell import SmallCell

OWNER, GUEST = "backup_owner", "backup_guest"
TENANTS = (1, 2, 70)
"""70 stands in no row of ``tenant``; its rows are rows all the same."""
PARTS = {
    "parts": [
        {
            "part_number": "P-1",
            "serial_pattern": "P{n:04d}",
            "routing": [{"sequence": 10, "name": "Mark", "kind": "mark", "station": "mark"}],
        }
    ]
}
Urls = Callable[[str, str], str]


@pytest.fixture
def urls(postgresql_server: str) -> Urls:
    """URL of a database for a user; both databases are new and empty and belong to the owner."""
    with psycopg.connect(postgresql_server, autocommit=True) as admin:
        for role in (OWNER, GUEST):
            if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                admin.execute(f"CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS".encode())
        for name in ("one", "two"):
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE {name} OWNER {OWNER}".encode())

    def url(database: str, user: str) -> str:
        found = make_url(postgresql_server).set(database=database)
        if user != "superuser":
            found = found.set(username=user)
        return found.render_as_string(hide_password=False)

    return url


@pytest.fixture
def filled(urls: Urls) -> Urls:
    """Database ``one`` with rows of three tenants, all owned by its owner."""
    store = open_store(urls("one", OWNER))
    with psycopg.connect(urls("one", OWNER)) as connection:
        connection.execute("INSERT INTO tenant (name, created_utc) VALUES ('second', now())")
        connection.execute("INSERT INTO site (tenant_id, name, created_utc) VALUES (2, 'b', now())")
    for tenant in TENANTS:
        with store.session(Scope(tenant, tenant)) as session:
            master_data.apply(session, master_data.MasterData.model_validate(PARTS), "planner")
            for number in range(tenant % 5 + 1):
                job = work_orders.JobOrder(f"J-{number}", "P-1", None, 3, 0)
                work_orders.store_and_start(session, job, actor="erp", reason="täglich\n\\.")
    store.close()
    return urls


def cell_on(folder: Path, url: str) -> Path:
    cell = SmallCell(folder, folder.parent / "run")
    with cell.file.open("a", encoding="utf-8") as file:
        file.write(f'mes: {{database: "{url}"}}\n')
    return cell.file


def content(url: str) -> dict[str, list[str]]:
    """Every row of every table, and what guards the tables; as a superuser sees it."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        found = {
            name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"'.encode())))
            for (name,) in names
        }
        for what, statement in (
            ("forced", "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class "
             "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"),
            ("policies", "SELECT tablename, policyname, qual, with_check FROM pg_policies"),
            ("keys", "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) "
             "FROM pg_constraint WHERE connamespace = 'public'::regnamespace"),
            ("triggers", "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger "
             "WHERE NOT tgisinternal"),
        ):  # fmt: skip
            found[what] = sorted(map(repr, connection.execute(statement.encode())))
        return found


@pytest.mark.parametrize("loader", ["superuser", OWNER])
@pytest.mark.parametrize("taker", ["superuser", OWNER])
def test_all_rows_of_all_tenants_come_back(
    filled: Urls, tmp_path: Path, taker: str, loader: str
) -> None:
    before = content(filled("one", "superuser"))
    assert len(before["work_order"]) == 2 + 3 + 1
    saved = take(compile_file(cell_on(tmp_path / "cell", filled("one", taker))), tmp_path)
    assert content(filled("one", "superuser")) == before, "a backup changes nothing"
    done = restore(saved.path, tmp_path / "new", database=filled("two", loader))
    assert done.notes == []
    assert content(filled("two", "superuser")) == before

    store = open_store(filled("two", loader))
    for tenant in TENANTS:
        with store.reading(Scope(tenant, tenant)) as session:
            verdict = audit.verify(session)
            assert verdict.ok
            assert verdict.records
        with store.session(Scope(tenant, tenant)) as session:
            job = work_orders.JobOrder("J-new", "P-1", None, 1, 0)
            work_orders.store_and_start(session, job, actor="erp", reason="")
    store.close()
    if loader == OWNER:
        with psycopg.connect(filled("two", OWNER)) as connection:
            assert connection.execute("SELECT count(*) FROM work_order").fetchone() == (0,)


def test_a_right_to_pass_by_the_policies_is_enough(filled: Urls, tmp_path: Path) -> None:
    with psycopg.connect(filled("one", "superuser"), autocommit=True) as admin:
        admin.execute(f"ALTER ROLE {GUEST} BYPASSRLS".encode())
        try:
            admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {GUEST}".encode())
            file = cell_on(tmp_path / "cell", filled("one", GUEST))
            # The rows could be read, but where the keys of new ones go on could not.
            with pytest.raises(BackupError, match=r"running number .* grant this user SELECT"):
                take(compile_file(file), tmp_path)
            admin.execute(f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {GUEST}".encode())
            saved = take(compile_file(file), tmp_path)
        finally:
            admin.execute(f"ALTER ROLE {GUEST} NOBYPASSRLS".encode())
    restore(saved.path, tmp_path / "new", database=filled("two", OWNER))
    assert content(filled("two", "superuser")) == content(filled("one", "superuser"))


HIDING = {
    "not the owner": (
        GUEST,
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {GUEST};"
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {GUEST}",
        "is not its owner.*BYPASSRLS",
    ),
    "another policy": (
        OWNER,
        "CREATE POLICY more ON work_order AS RESTRICTIVE USING (job_order_id <> 'J-1')",
        r"of the \d rows of tenant \d in the table work_order this user is shown \d",
    ),
    "no policy at all": (OWNER, "DROP POLICY tenant ON counter", "in the table counter .* shown 0"),
    "a table without tenants": (
        OWNER,
        "CREATE TABLE note (text text); INSERT INTO note VALUES ('x');"
        f"ALTER TABLE note OWNER TO {OWNER};"
        "ALTER TABLE note ENABLE ROW LEVEL SECURITY; ALTER TABLE note FORCE ROW LEVEL SECURITY",
        "table note has row-level security but no column tenant_id",
    ),
    "a row of no tenant": (
        OWNER,
        "ALTER TABLE audit_chain ALTER tenant_id DROP NOT NULL;"
        "INSERT INTO audit_chain (site_id, name, sequence, hash) VALUES (1, 'x', 0, '')",
        "of the 1 rows of tenant None in the table audit_chain this user is shown 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HIDING)
def test_where_rows_are_hidden_no_backup_is_made(filled: Urls, tmp_path: Path, case: str) -> None:
    user, statements, complaint = HIDING[case]
    with psycopg.connect(filled("one", "superuser"), autocommit=True) as admin:
        for statement in statements.split(";"):
            admin.execute(statement.encode())
    file = cell_on(tmp_path / "cell", filled("one", user))
    with pytest.raises(BackupError, match=complaint):
        take(compile_file(file), tmp_path)
    assert not list(tmp_path.glob("*.zip"))
    # Who is hidden nothing takes one all the same.
    file = cell_on(tmp_path / "other", filled("one", "superuser"))
    assert take(compile_file(file), tmp_path).manifest.dump is not None


@contextmanager
def reading(url: str, table: str) -> Iterator[None]:
    """Somebody reads the table in a transaction that does not end."""
    with psycopg.connect(url) as connection:
        connection.execute(f"SELECT count(*) FROM {table}".encode())
        yield


def test_a_long_transaction_of_others_is_waited_for_and_then_named(
    filled: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cell_on(tmp_path / "cell", filled("one", OWNER))
    monkeypatch.setattr(row_security, "LOCK_MS", 50)
    monkeypatch.setattr(row_security, "PAUSE_S", 0.05)
    monkeypatch.setattr(row_security, "TRIES", 2)
    with (
        reading(filled("one", "superuser"), "work_order"),
        pytest.raises(BackupError, match="others hold the table work_order"),
    ):
        take(compile_file(file), tmp_path)
    monkeypatch.setattr(row_security, "TRIES", 100)
    with reading(filled("one", "superuser"), "work_order"):
        timer = threading.Thread(target=lambda: saved.append(take(compile_file(file), tmp_path)))
        saved: list[Any] = []
        timer.start()
        timer.join(0.3)
        assert timer.is_alive()
    timer.join(30)
    assert saved


def test_tenants_that_work_meanwhile_are_of_one_moment(filled: Urls, tmp_path: Path) -> None:
    store = open_store(filled("one", OWNER))
    stop, failures = threading.Event(), []

    def work(tenant: int) -> None:
        scope = Scope(tenant, tenant)
        try:
            while not stop.is_set():
                with store.session(scope) as session:
                    number = numbering.next_number(session, "work")
                    audit.append(
                        session,
                        audit.AuditEntry(
                            actor="ann", action="test", entity_type="x", entity_id=str(number)
                        ),
                    )
        except MesError as error:
            failures.append(error)

    writers = [threading.Thread(target=work, args=(tenant,)) for tenant in TENANTS[:2]]
    for writer in writers:
        writer.start()
    try:
        file = cell_on(tmp_path / "cell", filled("one", OWNER))
        saved = take(compile_file(file), tmp_path)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
        store.close()
    assert failures == []
    restore(saved.path, tmp_path / "new", database=filled("two", OWNER))
    store = open_store(filled("two", OWNER))
    for tenant in TENANTS[:2]:
        with store.session(Scope(tenant, tenant)) as session:
            assert audit.verify(session).ok
            done = len(audit.trail(session, entity_type="x"))
            assert numbering.next_number(session, "work") == done + 1
    store.close()


def test_rows_that_are_not_all_there_are_not_restored(urls: Urls) -> None:
    saved = Dump(("0002",), (Table("tenant", ("id", "name", "created_utc"), 3),), {})
    rows = b"1\tdefault\t2026-03-14 12:00:00+00\n"
    with (
        pytest.raises(BackupError, match=r"has 1 rows of the table tenant and says .* 3"),
        postgresql.loaded(urls("two", OWNER), saved, lambda _: [rows]),
    ):
        pass
    whole = msgspec.structs.replace(
        saved, tables=(msgspec.structs.replace(saved.tables[0], rows=1),)
    )
    with postgresql.loaded(urls("two", OWNER), whole, lambda _: [rows]) as notes:
        assert notes == []


def test_a_database_from_before_there_were_tenants_comes_back_and_is_brought_up_to_date(
    urls: Urls, tmp_path: Path
) -> None:
    engine = create_engine(make_url(urls("one", OWNER)).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        command.upgrade(migration_config(connection), "0001")
        connection.execute(text("INSERT INTO counter (name, value) VALUES ('work', 41)"))
    engine.dispose()
    saved = take(compile_file(cell_on(tmp_path / "cell", urls("one", OWNER))), tmp_path)
    restore(saved.path, tmp_path / "new", database=urls("two", OWNER))
    assert content(urls("two", "superuser")) == content(urls("one", "superuser"))
    with closing(open_store(urls("two", OWNER))) as store, store.session() as session:
        assert numbering.next_number(session, "work") == 42
