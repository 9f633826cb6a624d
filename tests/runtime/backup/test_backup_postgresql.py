"""Rows of a PostgreSQL database go into an archive and into an empty database, whatever tables."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from cellwright.io.journal.journal import JournalReader
from cellwright.io.journal.writer import JournalWriter
from cellwright.mes.kernel.store import Store
from cellwright.runtime.backup.manifest import BackupError
from cellwright.runtime.backup.restore import ASIDE, restore
from cellwright.runtime.backup.take import take
from cellwright.runtime.config import compile_file
from support.small_cell import SmallCell

MORE = """
CREATE TABLE parent (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL,
    above bigint REFERENCES parent DEFERRABLE, shout text GENERATED ALWAYS AS (upper(text)) STORED);
CREATE TABLE child (parent bigint NOT NULL REFERENCES parent, bytes bytea, at timestamptz,
    numbers double precision[], more jsonb);
CREATE SEQUENCE running START 100;
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'rows are for ever'; END $$;
CREATE TRIGGER for_ever BEFORE UPDATE OR DELETE ON child FOR EACH ROW EXECUTE FUNCTION never();
ALTER TABLE child ENABLE ALWAYS TRIGGER for_ever;
"""
ROWS = """
INSERT INTO parent (text) VALUES (E'tab\\there'), (E'line\\nend'), ('\\N'), ('ü€'), ('');
UPDATE parent SET above = 5 WHERE id = 1;
INSERT INTO child VALUES (1, '\\x00ff0a5c', '2026-03-14 12:00+01', '{1.5,NaN}', '{"a": [1]}');
INSERT INTO child (parent) VALUES (2);
SELECT nextval('running');
SELECT nextval('running');
"""


@pytest.fixture
def databases(postgresql_server: str) -> tuple[str, str]:
    """Two empty databases."""
    names = ("one", "two")
    with psycopg.connect(postgresql_server, autocommit=True) as admin:
        for name in names:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {name}")
    one, two = (
        make_url(postgresql_server).set(database=name).render_as_string(False) for name in names
    )
    return one, two


@pytest.fixture
def migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's migrations also make what a later version might: other tables, rules, numbers."""
    from cellwright.runtime.backup import postgresql  # noqa: PLC0415 - patched in its place

    real = postgresql.command.upgrade

    def upgrade(config: Any, revision: str) -> None:
        real(config, revision)
        connection = config.attributes["connection"]
        if connection.exec_driver_sql("SELECT to_regclass('parent')").scalar() is None:
            connection.exec_driver_sql(MORE)

    monkeypatch.setattr(postgresql.command, "upgrade", upgrade)


def cell_on(folder: Path, url: str) -> SmallCell:
    cell = SmallCell(folder, folder.parent / "run")
    with cell.file.open("a", encoding="utf-8") as file:
        file.write(f'mes: {{database: "{url}"}}  # on the server\n')
    (folder / "data").mkdir()
    JournalWriter(folder / "data" / "journal.db").close()
    return cell


def content(url: str) -> dict[str, Any]:
    with psycopg.connect(url) as connection:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
            )
        ]
        found: dict[str, Any] = {
            name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"')))
            for name in tables
        }
        found["constraints"] = sorted(
            map(
                repr,
                connection.execute(
                    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) "
                    "FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
                ),
            )
        )
        found["triggers"] = sorted(
            map(
                repr,
                connection.execute(
                    "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger "
                    "WHERE NOT tgisinternal"
                ),
            )
        )
        return found


def test_all_rows_rules_and_numbers_come_back(
    databases: tuple[str, str], migrated: None, tmp_path: Path
) -> None:
    one, two = databases
    cell = cell_on(tmp_path / "cell", one)
    Store.open(one).close()
    with psycopg.connect(one, autocommit=True) as connection:
        for statement in ROWS.strip().split(";\n"):
            connection.execute(statement.encode())
    saved = take(compile_file(cell.file), tmp_path)
    before = content(one)
    assert len(before["parent"]) == 5
    done = restore(saved.path, tmp_path / "new", database=two)
    assert content(two) == before
    assert done.notes == []
    text = done.file.read_text(encoding="utf-8")
    assert "# on the server" in text
    assert compile_file(done.file).database == two
    with psycopg.connect(two) as connection:
        assert connection.execute("SELECT nextval('running')").fetchone() == (102,)
        assert connection.execute(
            "INSERT INTO parent (text) VALUES ('new') RETURNING id"
        ).fetchone() == (6,)
        with pytest.raises(psycopg.errors.RaiseException, match="for ever"):
            connection.execute("DELETE FROM child")
    Store.open(two).close()


def test_a_database_that_is_not_empty_is_left_as_it_is(
    databases: tuple[str, str], tmp_path: Path
) -> None:
    one, _ = databases
    cell = cell_on(tmp_path / "cell", one)
    Store.open(one).close()
    saved = take(compile_file(cell.file), tmp_path)
    before = content(one)
    with pytest.raises(BackupError, match=r"is not empty .*--keep-database"):
        restore(saved.path, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    done = restore(saved.path, tmp_path / "new", keep_database=True)
    assert "a new journal begins" in done.notes[0]
    data = tmp_path / "new" / "data"
    assert not (data / "journal.db").exists(), "its events are in the database already"
    assert (data / ASIDE).is_file()
    newer = restore(saved.path, tmp_path / "two", keep_database=True, newer=cell.folder / "data")
    assert "0 events came after the backup" in newer.notes[0]
    with JournalReader(tmp_path / "two" / "data" / "journal.db") as journal:
        assert journal.last_sequence == 0
    assert content(one) == before


def test_a_failure_in_the_middle_leaves_neither_rows_nor_folder(
    databases: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellwright.runtime.backup import postgresql  # noqa: PLC0415 - patched in its place

    one, two = databases
    cell = cell_on(tmp_path / "cell", one)
    Store.open(one).close()
    saved = take(compile_file(cell.file), tmp_path)
    real = postgresql._fill

    def fails(*words: Any) -> Any:
        real(*words)
        raise psycopg.errors.DiskFull("no space")

    monkeypatch.setattr(postgresql, "_fill", fails)
    with pytest.raises(BackupError, match="no space"):
        restore(saved.path, tmp_path / "new", database=two)
    assert not (tmp_path / "new").exists()
    assert content(two) == {"constraints": [], "triggers": []}


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    cell = cell_on(tmp_path / "cell", "postgresql://ana:geheim@127.0.0.1:1/cell")
    with pytest.raises(BackupError, match="check that the server runs") as refusal:
        take(compile_file(cell.file), tmp_path)
    assert "geheim" not in str(refusal.value)
    assert [path for path in tmp_path.iterdir() if path.name != "cell"] == []


def test_the_rows_are_of_one_moment(
    databases: tuple[str, str], migrated: None, tmp_path: Path
) -> None:
    one, two = databases
    cell = cell_on(tmp_path / "cell", one)
    Store.open(one).close()
    stop = threading.Event()

    def work() -> None:
        with psycopg.connect(one) as connection:
            while not stop.is_set():
                (number,) = connection.execute(
                    "INSERT INTO parent (text) VALUES ('x') RETURNING id"
                ).fetchone() or (0,)
                connection.execute("INSERT INTO child (parent) VALUES (%s)", (number,))
                connection.commit()

    writer = threading.Thread(target=work)
    writer.start()
    try:
        saved = take(compile_file(cell.file), tmp_path)
    finally:
        stop.set()
        writer.join()
    restore(saved.path, tmp_path / "new", database=two)
    with psycopg.connect(two) as connection:
        count = connection.execute("SELECT count(*), max(id) FROM parent").fetchone()
        assert count is not None
        assert connection.execute("SELECT count(*) FROM child").fetchone() == (count[0],)
        (following,) = connection.execute(
            "INSERT INTO parent (text) VALUES ('new') RETURNING id"
        ).fetchone() or (0,)
        assert following > count[1]
