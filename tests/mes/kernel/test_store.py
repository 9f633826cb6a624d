"""Opening, migrating and failing of the MES store."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, insert, inspect, make_url, text
from sqlalchemy.exc import IntegrityError

from cellwright.mes import audit
from cellwright.mes.audit.chain import AuditEntry
from cellwright.mes.definitions.tables import Routing
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.errors import StoreError
from cellwright.mes.kernel.store import Store, migration_config
from cellwright.mes.kernel.tables import Counter

SCOPE = {"tenant_id": 1, "site_id": 1}
NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
ENTRY = AuditEntry(actor="a", action="x", entity_type="t", entity_id="1")


def test_migrations_make_exactly_the_tables_of_the_models(empty_url):
    store = Store.open(empty_url)
    with store.reading() as session:
        context = MigrationContext.configure(
            session.connection(),
            opts={
                "compare_type": True,
                # What the search reads is no table of a model.
                "include_object": lambda _, name, *__: not str(name).startswith("audit_search"),
            },
        )
        assert compare_metadata(context, Base.metadata) == []
    store.close()


def test_constraints_of_the_models_are_in_the_database(empty_url):
    store = Store.open(empty_url)
    with store.reading() as session:
        inspector = inspect(session.connection())
        for table in Base.metadata.sorted_tables:
            wanted = {
                str(constraint.name)
                for constraint in table.constraints
                if constraint.name and str(constraint.name).startswith("ck_")
            }
            found = {check["name"] for check in inspector.get_check_constraints(table.name)}
            assert found == wanted, table.name
    store.close()


def test_migrations_go_down_and_up_again(database_url):
    store = Store.open(database_url)
    with store._engine.begin() as connection:
        command.downgrade(migration_config(connection), "base")
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
        command.upgrade(migration_config(connection), "head")
    with store.session() as session:
        audit.append(session, ENTRY)
        assert audit.flush(session) == 1
    store.close()


def test_opening_a_migrated_database_again_keeps_its_content(database_url):
    first = Store.open(database_url)
    with first.session() as session:
        audit.append(session, ENTRY)
    first.close()
    second = Store.open(database_url)
    with second.reading() as session:
        assert audit.verify(session).records == 1
    second.close()


def test_programs_that_open_an_empty_database_at_once_migrate_it_once(empty_url):
    stores: list[Store] = []
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            stores.append(Store.open(empty_url))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for store in stores:
        store.close()
    assert failures == []
    assert len(stores) == 4


def test_a_session_rolls_everything_back_on_an_error(empty_store):
    def fail_halfway() -> None:
        with empty_store.session() as session:
            audit.append(session, ENTRY)
            session.add(Counter(name="n", value=1))
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail_halfway()
    with empty_store.reading() as session:
        assert audit.verify(session).records == 0
        assert session.get(Counter, (1, "n")) is None


def test_foreign_keys_are_enforced(empty_store):
    with pytest.raises(IntegrityError), empty_store.session() as session:
        session.execute(
            insert(Routing).values(part_definition_id=77, revision=1, created_utc=NOW, **SCOPE)
        )


def test_a_reading_session_refuses_to_write_and_does_not_spoil_the_next_one(empty_store):
    for _ in range(3):
        with pytest.raises(StoreError), empty_store.reading() as session:
            session.execute(insert(Counter).values(name="n", value=1, **SCOPE))
    with empty_store.session() as session:
        session.add(Counter(name="n", value=1))
    with empty_store.reading() as session:
        assert session.get(Counter, (1, "n")) is not None


def test_a_reader_sees_its_snapshot_while_a_writer_commits(empty_store):
    with empty_store.reading() as reader:
        assert audit.verify(reader).records == 0
        with empty_store.session() as writer:
            audit.append(writer, ENTRY)
        assert audit.verify(reader).records == 0
    with empty_store.reading() as reader:
        assert audit.verify(reader).records == 1


def test_a_second_writer_of_the_same_chain_waits_for_the_first(empty_store):
    inside, leave = threading.Event(), threading.Event()
    order: list[str] = []

    def slow() -> None:
        with empty_store.session() as session:
            audit.append(session, ENTRY)
            audit.flush(session)
            inside.set()
            assert leave.wait(30)
            order.append("first")

    thread = threading.Thread(target=slow)
    thread.start()
    assert inside.wait(30)
    threading.Timer(0.2, leave.set).start()
    with empty_store.session() as session:
        audit.append(session, ENTRY)
        audit.flush(session)
        order.append("second")
    thread.join(30)
    assert order == ["first", "second"]


def test_a_writer_that_waits_too_long_is_told_that_the_database_is_busy(database_url, monkeypatch):
    monkeypatch.setattr("cellwright.mes.kernel.store.store.BUSY_TIMEOUT_S", 0.1)
    store = Store.open(database_url)

    def write_meanwhile() -> None:
        with store.session() as second:
            audit.append(second, ENTRY)

    with store.session() as first:
        audit.append(first, ENTRY)
        audit.flush(first)
        with pytest.raises(StoreError, match=r"another program holds it|others write") as caught:
            write_meanwhile()
    store.close()
    assert caught.value.code == "store_busy"


def test_sqlite_runs_with_wal_full_sync_and_foreign_keys(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'mes.db'}")
    with store.session() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    store.close()
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


def test_an_unreachable_server_is_named_without_its_password():
    with pytest.raises(StoreError) as caught:
        Store.open("postgresql://cell:geheim@127.0.0.1:1/mes")
    assert caught.value.code == "store_unreachable"
    assert "127.0.0.1:1/mes" in caught.value.message
    assert "check that the server runs" in caught.value.message
    assert "geheim" not in caught.value.message


def test_a_password_in_the_query_is_hidden_too():
    with pytest.raises(StoreError) as caught:
        Store.open("postgresql://127.0.0.1:1/mes?user=cell&password=geheim")
    assert "geheim" not in caught.value.message


def test_a_missing_database_is_named_with_its_remedy(postgresql_server):
    with pytest.raises(StoreError, match="create the database") as caught:
        Store.open(postgresql_server.replace("/postgres?", "/nobody_made_this?"))
    assert caught.value.code == "store_unreachable"


def test_a_missing_folder_is_named_with_its_remedy(tmp_path):
    with pytest.raises(StoreError, match="create its folder") as caught:
        Store.open(f"sqlite:///{tmp_path}/no/such/folder/mes.db")
    assert caught.value.code == "store_unreachable"
    assert str(tmp_path) in caught.value.message


def test_a_database_that_cannot_be_written_is_told_as_read_only(tmp_path):
    path = tmp_path / "mes.db"
    Store.open(f"sqlite:///{path}").close()
    # As root no file is read-only by its mode; SQLite's own mode gives the same answer.
    store = Store.open(f"sqlite:///file:{path}?mode=ro&uri=true")
    with (
        pytest.raises(StoreError, match="write access to the file") as caught,
        store.session() as session,
    ):
        audit.append(session, ENTRY)
    store.close()
    assert caught.value.code == "store_read_only"


def test_a_full_disk_is_told_and_loses_only_the_transaction_at_hand(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'mes.db'}")
    with store.session() as session:
        audit.append(session, ENTRY)

    def fill_the_disk() -> None:
        with store.session() as session:
            pages = session.execute(text("PRAGMA page_count")).scalar_one()
            session.execute(text(f"PRAGMA max_page_count = {pages}"))
            for _ in range(2_000):
                audit.append(session, ENTRY)

    with pytest.raises(StoreError, match="free space") as caught:
        fill_the_disk()
    assert caught.value.code == "store_full"
    with store.reading() as session:
        assert audit.verify(session).records == 1
    store.close()


def test_a_connection_that_the_server_ends_costs_the_transaction_and_nothing_more(migrated_url):
    url = migrated_url("postgresql")
    store = Store.open(url)
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

    def work_while_the_server_ends_the_connection() -> None:
        with store.session() as session:
            audit.append(session, ENTRY)
            backend = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with psycopg.connect(plain) as killer:
                killer.execute("SELECT pg_terminate_backend(%s)", (backend,))
            audit.append(session, ENTRY)

    with pytest.raises(StoreError, match=r"the server ended|that the server runs") as caught:
        work_while_the_server_ends_the_connection()
    assert caught.value.code == "store_unreachable"
    with store.session() as session:
        audit.append(session, ENTRY)
        assert audit.flush(session) == 1
    store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "mes.db"
    path.write_text("this is not a database, but it is long enough to look at " * 10)
    with pytest.raises(StoreError, match="name another file") as caught:
        Store.open(f"sqlite:///{path}")
    assert caught.value.code == "store_damaged"


def test_a_database_of_a_newer_program_is_refused_and_left_alone(database_url):
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match="newer Cellwright") as caught:
        Store.open(database_url)
    assert caught.value.code == "store_too_new"


@pytest.mark.parametrize(
    "url",
    ["mysql://u:geheim@h/x", "nonsense:geheim", "sqlite://", "sqlite:///:memory:", "", "geheim://"],
)
def test_urls_that_are_not_supported_are_refused_without_being_repeated(url):
    with pytest.raises(StoreError) as caught:
        Store.open(url)
    assert caught.value.code == "store_unsupported"
    assert ":geheim" not in caught.value.message


def test_the_migrations_are_part_of_the_installed_room():
    from cellwright.mes.kernel.store.migrations import versions  # noqa: PLC0415 - the import is the test

    folder = Path(versions.__file__).parent
    assert (folder / "0001_first_form.py").is_file()
    assert (folder.parent / "env.py").is_file()


# --- a file that is taken away --------------------------------------------------------------------


def test_a_store_whose_file_is_gone_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    file, away = tmp_path / "mes.db", tmp_path / "away.db"
    store = Store.open(f"sqlite:///{file}")
    try:
        with store.reading() as session:
            session.execute(text("SELECT 1"))
        file.rename(away)
        for _ in range(2):
            with (
                pytest.raises(StoreError, match=r"its file is gone.*bring it back") as caught,
                store.session(),
            ):
                pass
            assert caught.value.code == "store_unreachable"
            assert not file.exists(), "no empty store is begun in its place"
        away.rename(file)
        with store.session() as session:
            assert session.scalar(text("SELECT count(*) FROM work_order")) == 0
    finally:
        store.close()


def test_a_store_whose_file_is_replaced_by_a_copy_uses_the_copy(tmp_path: Path) -> None:
    file = tmp_path / "mes.db"
    store = Store.open(f"sqlite:///{file}")
    try:
        with store.session() as session:
            session.execute(insert(Counter).values(name="a", value=1, **SCOPE))
        copy = Store.open(f"sqlite:///{tmp_path / 'copy.db'}")
        with copy.session() as session:
            session.execute(insert(Counter).values(name="a", value=2, **SCOPE))
        copy.close()
        for rest in ("-wal", "-shm"):
            file.with_name(file.name + rest).unlink(missing_ok=True)
        (tmp_path / "copy.db").rename(file)
        with store.reading() as session:
            assert session.scalar(text("SELECT value FROM counter WHERE name = 'a'")) == 2
    finally:
        store.close()
