"""The MES of a cell comes back whole: tenants, audit chains, keys; and no serial comes again."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.definitions import master_data
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.orders import work_orders
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor import serials
from cellwright.runtime.backup.archive import Archive
from cellwright.runtime.backup.restore import restore
from cellwright.runtime.backup.take import take
from cellwright.runtime.config import compile_file
from support.small_cell import SmallCell

PARTS = {
    "parts": [
        {
            "part_number": "P-1",
            "serial_pattern": "P{n:04d}",
            "routing": [{"sequence": 10, "name": "Mark", "kind": "mark", "station": "mark"}],
        }
    ]
}
SCOPES = (Scope(), Scope(2, 2), Scope(1, 1, "cell 1"))
"""Two tenants, and a cell of the first with an audit chain of its own."""
KEYS = {"session.key": 0o600, "checkpoint.pem": 0o600, "old/2026.key": 0o400, "public.pem": 0o644}


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCell:
    """A cell with an MES in a file, whose tenants have orders and serials."""
    monkeypatch.setenv("CELLWRIGHT_RUN", str(tmp_path / "run"))
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    with cell.file.open("a", encoding="utf-8") as file:
        file.write('mes: {database: "sqlite:///mes.db"}\n')
    (cell.folder / "data").mkdir()
    url = compile_file(cell.file).database
    assert url is not None
    with closing(open_store(url)) as store:
        for scope in SCOPES[:2]:
            with store.session(scope) as session:
                master_data.apply(session, master_data.MasterData.model_validate(PARTS), "planner")
                job = work_orders.JobOrder("J-1", "P-1", None, 9, 0)
                work_orders.store_and_start(session, job, actor="erp", reason="täglich")
        for scope in SCOPES:
            with store.session(scope) as session:
                mark(session, f"b-{scope.cell}")
    return cell


def mark(session: Session, part: str) -> str:
    given = serials.reserve(session, part_id=part, station="mark", actor="test")
    assert isinstance(given, serials.Reservation)
    return given.serial


def content(database: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(database)) as connection:
        # An index that SQLite calls a table; the tables that it is made of are read.
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'audit_search'"
        ).fetchall()
        found = {
            name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"')))
            for (name,) in names
        }
        found["schema"] = sorted(map(repr, connection.execute("SELECT sql FROM sqlite_master")))
        return found


@contextmanager
def session_of(file: Path, scope: Scope) -> Iterator[Session]:
    url = compile_file(file).database
    assert url is not None
    with closing(open_store(url)) as store, store.session(scope) as session:
        yield session


def test_all_tenants_and_their_chains_come_back_from_a_file(
    cell: SmallCell, tmp_path: Path
) -> None:
    before = content(cell.folder / "data" / "mes.db")
    saved = take(compile_file(cell.file), tmp_path)
    done = restore(saved.path, tmp_path / "new")
    assert content(tmp_path / "new" / "data" / "mes.db") == before
    assert len(before["audit_chain"]) == len(SCOPES)
    for scope in SCOPES:
        with session_of(done.file, scope) as session:
            verdict = audit.verify(session)
            assert verdict.ok
            assert verdict.records
            mark(session, "b-new")
        with session_of(done.file, scope) as session:
            assert audit.verify(session).ok


def test_the_keys_of_the_mes_come_back_with_their_modes(cell: SmallCell, tmp_path: Path) -> None:
    keys = cell.folder / "data" / "keys"
    (keys / "old").mkdir(parents=True)
    keys.chmod(0o700)
    for name, mode in KEYS.items():
        (keys / name).write_bytes(os.urandom(64))
        (keys / name).chmod(mode)
    previous = os.umask(0)
    try:
        saved = take(compile_file(cell.file), tmp_path)
        restore(saved.path, tmp_path / "new")
    finally:
        os.umask(previous)
    with Archive(saved.path) as archive:
        modes = {entry.name: entry.mode for entry in archive.manifest.entries}
        assert archive.manifest.folders["data/keys"] == 0o700
    assert stat.S_IMODE(saved.path.stat().st_mode) == 0o600
    restored = tmp_path / "new" / "data" / "keys"
    assert stat.S_IMODE(restored.stat().st_mode) == 0o700
    for name, mode in KEYS.items():
        assert modes[f"data/keys/{name}"] == mode
        assert stat.S_IMODE((restored / name).stat().st_mode) == mode
        assert (restored / name).read_bytes() == (keys / name).read_bytes()
    assert sorted(path.name for path in restored.rglob("*") if path.is_file()) == sorted(
        Path(name).name for name in KEYS
    )


def test_serials_after_the_backup_are_skipped_as_the_restore_says(
    cell: SmallCell, tmp_path: Path
) -> None:
    saved = take(compile_file(cell.file), tmp_path)
    with session_of(cell.file, Scope()) as session:
        later = [mark(session, f"later-{n}") for n in range(3)]
    assert later == ["P0003", "P0004", "P0005"]
    place = tmp_path / "new"
    said = cell.type("restore", str(saved.path), str(place)).stdout
    assert f"'cellwright mes serials skip PART --to N --reason ... --file {place}'" in said
    done = cell.type(
        "mes", "serials", "skip", "P-1", "--to", "5", "--reason", "restored", "--file", str(place)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "the next serial is P0006" in done.stdout
    with session_of(place / "cell.yaml", Scope()) as session:
        assert mark(session, "new") == "P0006"


def test_a_cell_without_an_mes_is_told_nothing_of_serials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLWRIGHT_RUN", str(tmp_path / "run"))
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    saved = take(compile_file(cell.file), tmp_path)
    said = cell.type("restore", str(saved.path), str(tmp_path / "new")).stdout
    assert "is not in it" in said
    assert "serial" not in said
