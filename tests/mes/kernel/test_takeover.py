"""A database of the release before tenants is taken over; it goes back while nothing is new."""

# ruff: noqa: C408 - rows of tables read better as calls

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, select, text

from cellwright.mes import audit
from cellwright.mes.audit.chain import GENESIS, FirstForm, digest
from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.store import Store, migration_config
from cellwright.mes.orders import work_orders
from cellwright.mes.orders.operations import operations
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor import parts, serials

AT = "2026-03-14 12:00:00.000000"
RECORDS = 5
BEFORE = {
    "part_definition": [
        dict(id=4, part_number="TB-4711", revision="C", description="Blade",
             serial_pattern="SN{n:06d}", fields='{"cage": "1A2B3"}', version=2, changed_utc=AT),
        dict(id=5, part_number="NO-ROUTE", revision="", description="", serial_pattern="X{n:04d}",
             fields="{}", version=1, changed_utc=AT),
    ],
    "routing": [dict(id=3, part_definition_id=4)],
    "routing_operation": [
        dict(id=7, routing_id=3, sequence=10, name="Mark", kind="mark", station="mark",
             sequential=False, inspection_required=False),
        dict(id=8, routing_id=3, sequence=20, name="Inspect", kind="inspect", station="",
             sequential=False, inspection_required=True),
    ],
    "work_order": [
        dict(id=9, number="WO-2026-000007", job_order_id="JOB-1", part_definition_id=4,
             description="", quantity=3, quantity_counts="attempted", priority=-4,
             parameters='{"heat": "H1"}', part_version=2, serial_pattern="SN{n:06d}",
             fields='{"cage": "1A2B3"}', state="RUNNING", version=4, reserved=2, good=1, rejected=0,
             planned_start_utc=None, planned_end_utc=None, created_utc=AT, started_utc=AT,
             ended_utc=None),
    ],
    "operation": [
        dict(id=11, order_id=9, sequence=10, name="Mark", kind="mark", station="mark",
             sequential=False, inspection_required=False, state="RUNNING", done=2, started_utc=AT,
             ended_utc=None),
        dict(id=12, order_id=9, sequence=20, name="Inspect", kind="inspect", station="",
             sequential=False, inspection_required=True, state="WAITING", done=1, started_utc=None,
             ended_utc=None),
    ],
    "unit": [
        dict(id=21, part_id="b-1", order_id=9, refusal="", inspection_verdict="ok", verdict="good",
             reason="", recovered=False, arrived_utc=AT, released_utc=AT),
        dict(id=22, part_id="b-2", order_id=9, refusal="", inspection_verdict=None, verdict=None,
             reason="", recovered=True, arrived_utc=AT, released_utc=None),
    ],
    "serial": [
        dict(id=31, serial="SN000001", unit_id=21, order_id=9, station="mark", state="SPENT",
             reserved_utc=AT, assigned_utc=AT, spent_utc=AT),
        dict(id=32, serial="SN000002", unit_id=22, order_id=9, station="mark", state="RESERVED",
             reserved_utc=AT, assigned_utc=None, spent_utc=None),
    ],
    "mark": [
        dict(id=41, unit_id=21, serial="SN000001", station="mark", device="peen", template="t",
             content="c", authorised_utc=AT, completed_utc=AT, outcome="acknowledged", detail="",
             duration_ms=80.5),
    ],
    "inspection": [
        dict(id=51, unit_id=21, serial="SN000001", station="inspect", expected="c", read="c",
             verdict="ok", reason="", unused_error_correction=0.75, module_errors=None,
             duration_ms=None, frame=9_000_000_000, inspected_utc=AT),
    ],
    "state_transition": [
        dict(id=61, entity_type="work_order", entity_id="WO-2026-000007", event="start",
             old="READY", new="RUNNING", actor="ann", reason="", utc=AT),
    ],
    "counter": [dict(name="work_order/2026", value=7), dict(name="serial/SN#6", value=2)],
    "inbox_position": [dict(source="journal", sequence=123_456_789_012)],
}  # fmt: skip
JSON = {"fields", "parameters"}


def engine_of(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def records() -> list[dict[str, Any]]:
    """A chain as the former release wrote it."""
    found, previous = [], GENESIS
    for sequence in range(1, RECORDS + 1):
        content = FirstForm(
            action="work_order.start", actor="ann", correlation_id="JOB-1",
            entity_id="WO-2026-000007", entity_type="work_order", entity_version=sequence,
            new='{"ns":1773489600000000000,"x":1.0}', old="null", reason="ü", sequence=sequence,
            utc_us=1_773_489_600_000_000 + sequence,
        )  # fmt: skip
        row = {name: getattr(content, name) for name in FirstForm.__struct_fields__}
        found.append({**row, "prev_hash": previous, "hash": digest(previous, content)})
        previous = found[-1]["hash"]
    return found


def migrate(url: str, revision: str, *, down: bool = False) -> None:
    engine = engine_of(url)
    try:
        with engine.begin() as connection:
            (command.downgrade if down else command.upgrade)(migration_config(connection), revision)
    finally:
        engine.dispose()


def fill(url: str) -> None:
    engine = engine_of(url)
    chain = records()
    with engine.begin() as connection:
        for table, rows in {**BEFORE, "audit_record": chain}.items():
            for row in rows:
                places = [
                    f"CAST(:{name} AS JSONB)"
                    if name in JSON and connection.dialect.name == "postgresql"
                    else f":{name}"
                    for name in row
                ]
                into = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(places)})"
                connection.execute(text(into), row)
        connection.execute(
            text("UPDATE audit_head SET sequence = :n, hash = :hash"),
            {"n": RECORDS, "hash": chain[-1]["hash"]},
        )
    engine.dispose()


def content(url: str) -> dict[str, list[str]]:
    """Every row of the former tables, as text."""
    engine = engine_of(url)
    with engine.connect() as connection:
        found = {
            table: sorted(
                repr(sorted(row.items(), key=lambda item: item[0]))
                for row in map(dict, connection.execute(text(f"SELECT * FROM {table}")).mappings())
            )
            for table in [*BEFORE, "audit_record", "audit_head"]
        }
    engine.dispose()
    return found


@pytest.fixture
def former(empty_url: str) -> str:
    """URL of a database that the former release has filled."""
    migrate(empty_url, "0001")
    fill(empty_url)
    return empty_url


def test_everything_is_taken_over(former: str) -> None:
    store = open_store(former)
    with store.reading() as session:
        view = work_orders.get(session, "JOB-1")
        assert (view.number, view.state, view.quantity) == ("WO-2026-000007", "RUNNING", 3)
        assert (view.good, view.rejected, view.in_process, view.priority) == (1, 0, 1, -4)
        mark, inspect = operations(session, "JOB-1")
        assert (mark.good, mark.scrap, inspect.good, inspect.state) == (2, 0, 1, "WAITING")
        first, second = parts.units(session)
        assert (first.serial, first.verdict, first.read) == ("SN000001", "good", "c")
        assert (second.serial_state, second.recovered) == ("RESERVED", True)
        order = session.scalars(select(work_orders.WorkOrder)).one()
        assert order.routing is not None
        assert (order.routing.revision, len(order.routing.operations)) == (1, 2)
        assert order.fields == {"cage": "1A2B3"}
    store.close()


def test_the_chain_goes_on_verifying_and_goes_on(former: str) -> None:
    store = open_store(former)
    with store.reading() as session:
        assert audit.verify(session) == audit.VerifyResult(RECORDS)
    with store.session() as session:
        work_orders.pause(session, "JOB-1", actor="ann", reason="")
    with store.reading() as session:
        assert audit.verify(session).records == RECORDS + 1
        formats = session.scalars(select(AuditRecord.format).order_by(AuditRecord.sequence)).all()
        assert formats == [1] * RECORDS + [2]
        assert session.scalars(select(AuditChain.name)).all() == ["people"]
    store.close()


def test_new_rows_get_keys_behind_the_old_ones_and_no_serial_is_given_twice(
    former: str,
) -> None:
    store = open_store(former)
    with store.session(Scope(cell="Blades")) as session:
        parts.adopt_units(session)
        again = serials.reserve(session, part_id="b-2", station="mark", actor="mark")
        new = serials.reserve(session, part_id="b-3", station="mark", actor="mark")
    assert isinstance(again, serials.Reservation)
    assert isinstance(new, serials.Reservation)
    assert (again.serial, new.serial) == ("SN000002", "SN000003")
    with store.reading() as session:
        assert audit.verify(session).ok
        assert [view.part_id for view in parts.units(session)] == ["b-1", "b-2", "b-3"]
    store.close()


def test_it_can_go_back_while_nothing_is_new(former: str) -> None:
    before = content(former)
    Store.open(former).close()
    migrate(former, "0001", down=True)
    assert content(former) == before
    store = open_store(former)
    with store.reading() as session:
        assert audit.verify(session).ok
    store.close()


def test_it_does_not_go_back_over_what_the_former_release_cannot_hold(former: str) -> None:
    store = open_store(former)
    with store.session() as session:
        work_orders.pause(session, "JOB-1", actor="ann", reason="")
    store.close()
    with pytest.raises(Exception, match="no place for 1 records of the audit"):
        migrate(former, "0001", down=True)
    store = open_store(former)
    with store.reading() as session:
        assert audit.verify(session).records == RECORDS + 1
    store.close()


def test_a_damaged_chain_is_still_told_apart(former: str) -> None:
    engine = engine_of(former)
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_record_no_update"))
        else:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE audit_record SET reason = 'x' WHERE sequence = 3"))
    engine.dispose()
    store = open_store(former)
    with store.reading() as session:
        assert audit.verify(session).broken == 3
    store.close()
