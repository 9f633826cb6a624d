"""Databases and helpers for the tests of the MES.

Every test that takes ``store`` or ``database_url`` runs on SQLite and on a real PostgreSQL from a
wheel; each gets a file or a schema of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, Table, event, make_url, select

from cellwright.io.messages import (
    AnyEvent,
    Command,
    InspectionCompleted,
    MarkAuthorised,
    MarkCompleted,
    PartArrived,
    PartReleased,
    SerialAssigned,
    SerialGranted,
    SerialRefused,
    SerialRequested,
)
from cellwright.mes.definitions import master_data
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.store import Store
from cellwright.mes.orders import work_orders
from cellwright.mes.orders.work_orders import JobOrder, WorkOrderView
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor import consumer
from support.postgresql import running_postgresql

NOON_NS = int(datetime(2026, 3, 14, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
SECOND_NS = 1_000_000_000

PARTS = {
    "parts": [
        {
            "part_number": "TB-4711",
            "revision": "C",
            "description": "Turbine blade, stage 1",
            "serial_pattern": "SN{year:02d}{n:06d}",
            "fields": {"cage": "1A2B3", "heat": ""},
            "routing": [
                {"sequence": 10, "name": "Mark", "kind": "mark", "station": "mark"},
                {"sequence": 20, "name": "Inspect", "kind": "inspect", "station": "inspect"},
            ],
        },
        {"part_number": "TB-0000", "serial_pattern": "X{n:04d}"},
        {
            "part_number": "TB-PREP",
            "serial_pattern": "P{n:04d}",
            "routing": [
                {"sequence": 10, "name": "Clean", "kind": "manual"},
                {"sequence": 20, "name": "Mark", "kind": "mark", "sequential": True},
                {"sequence": 30, "name": "Pack", "kind": "manual"},
            ],
        },
    ]
}


class FakeClock:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.utc_ns = NOON_NS

    def __call__(self) -> int:
        return self.utc_ns

    def advance(self, seconds: float) -> None:
        self.utc_ns += int(seconds * SECOND_NS)


class Cell:
    """Plays the cell's side of the journal against a store."""

    def __init__(self, store: Store, clock: FakeClock, source: str = "journal") -> None:
        self.store = store
        self.clock = clock
        self.source = source
        self.sequence = 0
        self.log: list[tuple[int, AnyEvent]] = []

    def send(self, event: AnyEvent) -> list[Command]:
        self.sequence += 1
        self.log.append((self.sequence, event))
        with self.store.session() as session:
            return consumer.consume(session, self.source, self.sequence, event)

    def event(self, kind: Callable[..., Any], part_id: str, **fields: Any) -> list[Command]:
        self.clock.advance(0.25)
        station = {} if kind in (PartArrived, PartReleased) else {"station": "mark"}
        fields = {**station, **fields}
        return self.send(kind(part_id=part_id, task="mark", utc_ns=self.clock.utc_ns, **fields))

    def request(self, part_id: str) -> SerialGranted | SerialRefused:
        (command,) = self.event(SerialRequested, part_id)
        return command.body

    def mark(self, granted: SerialGranted) -> None:
        part_id, serial = granted.part_id, granted.serial
        self.event(
            SerialAssigned,
            part_id,
            serial=serial,
            order=granted.order,
            part_number=granted.part_number,
        )
        self.event(
            MarkAuthorised, part_id, serial=serial, content=serial, device="peen", template="t.lua"
        )
        self.event(MarkCompleted, part_id, serial=serial, outcome="acknowledged", duration_ms=80.0)

    def inspect(self, part_id: str, serial: str, verdict: str = "ok") -> None:
        self.event(
            InspectionCompleted,
            part_id,
            station="inspect",
            serial=serial,
            expected=serial,
            read=serial if verdict == "ok" else "",
            verdict=verdict,
            unused_error_correction=0.75,
        )

    def release(self, part_id: str, serial: str, verdict: str = "good", reason: str = "") -> None:
        self.event(PartReleased, part_id, serial=serial, verdict=verdict, reason=reason)

    def make(self, part_id: str, verdict: str = "good") -> SerialGranted | SerialRefused:
        """A part's whole way through the cell."""
        self.event(PartArrived, part_id)
        answer = self.request(part_id)
        if isinstance(answer, SerialRefused):
            self.release(part_id, "", "rejected", "no serial")
            return answer
        self.mark(answer)
        self.inspect(part_id, answer.serial, "ok" if verdict == "good" else "not_ok")
        self.release(part_id, answer.serial, verdict)
        return answer


def copy_content(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, for comparison.

    Surrogate keys become their rank: PostgreSQL's sequences skip what was rolled back.
    """
    # When the default tenant and site were made is no content.
    tables = [
        table for table in Base.metadata.sorted_tables if table.name not in {"tenant", "site"}
    ]
    with store.reading() as session:
        rows = {table.name: [*session.execute(select(table)).mappings()] for table in tables}
    ranks = {
        table.name: {
            key: rank for rank, key in enumerate(sorted(row["id"] for row in rows[table.name]))
        }
        for table in tables
        if "id" in table.columns
    }

    def plain(table: Table, row: Any) -> tuple[Any, ...]:
        values = []
        for column in table.columns:
            value = row[column.name]
            owner = table.name if column.name == "id" else None
            for key in column.foreign_keys:
                owner = key.column.table.name
            values.append(ranks[owner][value] if owner and value is not None else value)
        return tuple(values)

    return {
        table.name: sorted((plain(table, row) for row in rows[table.name]), key=repr)
        for table in tables
    }


@pytest.fixture
def content() -> Callable[[Store], dict[str, list[tuple[Any, ...]]]]:
    """Reads the whole store."""
    return copy_content


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server of this test run."""
    with running_postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite database that nobody has open."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def postgresql_script(postgresql_server: str) -> str:
    """What the migrations send to PostgreSQL, recorded once to be replayed in one go."""
    script: list[str] = []

    def record(_1: Any, _2: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.lstrip().upper().startswith("SELECT"):
            assert not parameters, statement
            script.append(statement.replace("%%", "%"))  # doubled for the driver's parameters

    schemas = Schemas(postgresql_server, "")
    event.listen(Engine, "before_cursor_execute", record)
    try:
        open_store(schemas.create()).close()
    finally:
        event.remove(Engine, "before_cursor_execute", record)
        schemas.drop()
    return ";\n".join(script)


class Schemas:
    """Makes fresh PostgreSQL schemas and drops them at the end of the test.

    A schema costs a tenth of a database, and the URL confines a store to it as well.
    """

    def __init__(self, server: str, script: str) -> None:
        self.server = server
        self.script = script
        self.names: list[str] = []

    def create_migrated(self) -> str:
        """URL of a new schema as the migrations leave it."""
        url = self.create()
        with psycopg.connect(url) as connection:
            connection.execute(self.script)
        return url

    def create(self) -> str:
        """URL of a new, empty schema."""
        name = f"mes_{next(_numbers)}"
        self.names.append(name)
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        url = make_url(self.server).update_query_dict({"options": f"-csearch_path={name}"})
        return url.render_as_string(hide_password=False)

    def drop(self) -> None:
        """Drop them all; waits at most ten seconds for a connection that was left open."""
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '10s'")
            connection.execute("SET client_min_messages = warning")
            for name in self.names:
                connection.execute(f"DROP SCHEMA {name} CASCADE")


def _count() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_numbers = _count()


@pytest.fixture
def postgresql(request: pytest.FixtureRequest) -> Iterator[Schemas]:
    """PostgreSQL schemas of this test."""
    schemas = Schemas(
        request.getfixturevalue("postgresql_server"), request.getfixturevalue("postgresql_script")
    )
    yield schemas
    schemas.drop()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without any table."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql").create()
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Makes migrated, empty databases; takes ``sqlite`` or ``postgresql``."""
    numbers = _count()

    def make(kind: str) -> str:
        if kind == "postgresql":
            return request.getfixturevalue("postgresql").create_migrated()
        path = tmp_path / f"mes-{next(numbers)}.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, migrated_url: Callable[[str], str]) -> str:
    """URL of a migrated, empty database."""
    return migrated_url(request.param)


@pytest.fixture
def clock() -> FakeClock:
    """The store's clock; 2026-03-14 12:00 UTC."""
    return FakeClock()


@pytest.fixture
def empty_store(database_url: str, clock: FakeClock) -> Iterator[Store]:
    """A migrated store without content."""
    store = open_store(database_url, utc_ns=clock)
    yield store
    store.close()


def _apply_parts(store: Store) -> None:
    with store.session() as session:
        master_data.apply(session, master_data.MasterData.model_validate(PARTS), "planner")


@pytest.fixture
def store(empty_store: Store) -> Store:
    """A store with the part definitions of `PARTS`."""
    _apply_parts(empty_store)
    return empty_store


def _run(
    store: Store, job_order_id: str = "JOB-1", quantity: int = 3, **fields: Any
) -> WorkOrderView:
    job = {"part_number": "TB-4711", "revision": None, **fields}
    with store.session() as session:
        return work_orders.store_and_start(
            session,
            JobOrder(job_order_id=job_order_id, quantity=quantity, **job),
            actor="erp",
            reason="test",
        )


@pytest.fixture
def twin(
    database_url: str, migrated_url: Callable[[str], str]
) -> Iterator[Callable[..., tuple[Store, str]]]:
    """Makes further stores of the kind of ``store``, as it was when its first order had started.

    The arguments are those of ``run_order``; gives the store and its URL.
    """
    opened: list[Store] = []

    def make(**order: Any) -> tuple[Store, str]:
        url = migrated_url(database_url.partition(":")[0])
        store = open_store(url, utc_ns=FakeClock())
        opened.append(store)
        _apply_parts(store)
        _run(store, **order)
        return store, url

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def cell(store: Store, clock: FakeClock) -> Cell:
    """The cell's side of the journal."""
    return Cell(store, clock)


@pytest.fixture
def run_order(store: Store) -> Callable[..., WorkOrderView]:
    """Stores and starts an order for TB-4711."""

    return partial(_run, store)
