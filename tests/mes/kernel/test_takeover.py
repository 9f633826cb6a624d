"""A database of the first form is taken over with all that it holds, and given back.

The content was made by the program that had that form: orders in every state, parts in every
place of their way, refused requests, anomalies. It is kept as SQL text beside this file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.util.exc import CommandError
from sqlalchemy import Engine, create_engine, inspect, make_url, select, text

from cellwright.io.messages import SerialGranted
from cellwright.mes import audit
from cellwright.mes.audit import checkpoints, merkle, search
from cellwright.mes.audit.chain import AuditEntry
from cellwright.mes.audit.tables import AuditRecord
from cellwright.mes.audit.tree import ChainTree, store_tiles
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.store import Store, migration_config
from cellwright.mes.kernel.store.store import _migrate
from cellwright.mes.orders import work_orders
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor import parts
from tests.mes.conftest import NOON_NS, SECOND_NS, Cell, FakeClock
from tests.support.foreign_rows import add_tenant

DATA = Path(__file__).parent / "data"
RECORDS = 144
"""Of the audit in the content."""
UNREAD = {"alembic_version", "audit_search"}
"""The latter is an index that SQLite calls a table; the tables that it is made of are read."""
AMOUNTS = {"quantity", "reserved", "good", "rejected"}
ADDED = {
    "audit_record": {
        "tenant_id": 1, "site_id": 1, "chain_id": 1, "format": 1, "clock_quality": "",
        "station": "", "printed_name": "", "authentication": "", "session": "",
        "application_version": "",
    },
    "part_definition": {"tenant_id": 1, "site_id": 1, "unit": "C62", "critical": 0},
    "work_order": {
        "tenant_id": 1, "site_id": 1, "customer_order": "", "target_date": None, "unit": "C62",
        "held_by": "",
    },
    "operation": {
        "tenant_id": 1, "site_id": 1, "work_centre_id": None, "setup_s": 0, "run_s": 0,
        "required_skill": "", "quality_critical": 0, "rework_of": None, "return_to": None,
        "offered": 0, "scrap": 0, "rework": 0, "equipment": "", "person": "", "version": 1,
    },
    "routing": {"tenant_id": 1, "site_id": 1, "revision": 1},
    "routing_operation": {
        "tenant_id": 1, "site_id": 1, "work_centre_id": None, "setup_s": 0, "run_s": 0,
        "required_skill": "", "quality_critical": 0,
    },
    "unit": {"tenant_id": 1, "site_id": 1, "cell": ""},
}  # fmt: skip
"""What the columns that are new say of rows that are older."""
Rows = dict[str, list[dict[str, Any]]]


def _engine(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def _rows(url: str) -> Rows:
    """Every row of every table as the database has it, whatever program made it."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            names = sorted(set(inspect(connection).get_table_names()) - UNREAD)
            return {
                name: sorted(
                    (dict(row) for row in connection.execute(
                        text(f"SELECT * FROM {name}")).mappings()),
                    key=lambda row: repr(sorted(row.items())),
                )
                for name in names
            }  # fmt: skip
    finally:
        engine.dispose()


def _schema(url: str) -> dict[str, Any]:
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            inspector = inspect(connection)
            return {
                name: (
                    [(each["name"], str(each["type"]), each["nullable"])
                     for each in inspector.get_columns(name)],
                    sorted(repr(each) for each in inspector.get_foreign_keys(name)),
                    sorted(repr(each) for each in inspector.get_indexes(name)),
                    sorted(repr(each) for each in inspector.get_unique_constraints(name)),
                    sorted(repr(each) for each in inspector.get_check_constraints(name)),
                )
                for name in inspector.get_table_names()
            }  # fmt: skip
    finally:
        engine.dispose()


@pytest.fixture
def first_form(empty_url: str) -> str:
    """URL of a database as the older program left it."""
    kind = empty_url.partition(":")[0]
    script = (DATA / f"first_form.{kind}.sql").read_text(encoding="utf-8")
    if kind == "sqlite":
        connection = sqlite3.connect(str(make_url(empty_url).database))
        connection.executescript(script)
        connection.close()
    else:
        with psycopg.connect(empty_url) as connection:
            connection.execute(script)
    return empty_url


@pytest.fixture
def clock() -> FakeClock:
    """An hour after the older program stopped."""
    clock = FakeClock()
    clock.utc_ns = NOON_NS + 3_600 * SECOND_NS
    return clock


def _expected(table: str, old: dict[str, Any], sqlite: bool) -> dict[str, Any]:
    row = dict(old)
    if table == "operation":
        row["good"] = row.pop("done")
    if table in {"work_order", "operation"}:
        for name in AMOUNTS & row.keys():
            row[name] = row[name] * 1_000_000 if sqlite else Decimal(row[name])
    return row


def test_every_field_of_every_row_is_taken_over(first_form):
    before = _rows(first_form)
    open_store(first_form).close()
    after, sqlite = _rows(first_form), first_form.startswith("sqlite")
    head = before.pop("audit_head")
    assert [(each["sequence"], each["hash"]) for each in after["audit_chain"]] == [
        (each["sequence"], each["hash"]) for each in head
    ]
    assert {each["name"] for each in after["audit_chain"]} == {"people"}
    for table, rows in before.items():
        assert len(after[table]) == len(rows), table
        assert rows, f"the content has no {table}"
        key = "id" if "id" in rows[0] else next(iter({"sequence", "name"} & rows[0].keys()))
        found = {row[key]: row for row in after[table]}
        for row in rows:
            wanted = _expected(table, row, sqlite)
            new = found[row[key]]
            assert {name: new[name] for name in wanted} == wanted, table
            for name, value in ADDED.get(table, {"tenant_id": 1, "site_id": 1}).items():
                assert new[name] == value, (table, name)
    routings = {row["part_definition_id"]: row["id"] for row in after["routing"]}
    for order in after["work_order"]:
        assert order["routing_id"] == routings[order["part_definition_id"]]


def test_the_old_records_verify_and_new_ones_continue_them(first_form, clock):
    store = open_store(first_form, utc_ns=clock)
    with store.reading() as session:
        assert audit.verify(session) == audit.VerifyResult(RECORDS)
    with store.session() as session:
        audit.append(session, AuditEntry(actor="a", action="x", entity_type="t", entity_id="1"))
        assert audit.flush(session) == RECORDS + 1
    with store.reading() as session:
        assert audit.verify(session) == audit.VerifyResult(RECORDS + 1)
    store.close()


@pytest.fixture
def taken_over(first_form: str, clock: FakeClock) -> Any:
    """The store, opened by a cell that has a name now."""
    store = open_store(first_form, utc_ns=clock, scope=Scope(cell="X"))
    with store.session() as session:
        parts.adopt_units(session)
    yield store
    store.close()


def _cell(store: Store, clock: FakeClock) -> Cell:
    cell = Cell(store, clock, source="journal-4f2a")
    with store.reading() as session:
        cell.sequence = session.scalar(text("SELECT max(sequence) FROM inbox_position")) or 0
    assert cell.sequence == 76
    return cell


def test_the_cell_goes_on_with_the_parts_that_it_held(taken_over, clock):
    cell = _cell(taken_over, clock)
    with taken_over.reading() as session:
        held = {view.part_id: view for view in parts.units(session)}
        assert parts.counts(session).duplicates == 0
    assert held["ru-5"].serial_state == "ASSIGNED"
    again = cell.request("ru-5")
    assert isinstance(again, SerialGranted)
    assert again.serial == held["ru-5"].serial
    fresh = cell.make("new-1")
    assert isinstance(fresh, SerialGranted)
    assert fresh.serial not in {view.serial for view in held.values()}
    with taken_over.reading() as session:
        after = {view.part_id: view for view in parts.units(session)}
        assert after["new-1"].verdict == "good"
        assert after.keys() == held.keys() | {"new-1"}
        assert parts.counts(session).duplicates == 0
        verified = audit.verify(session)
    assert verified.ok, verified
    assert verified.records > RECORDS


def test_new_orders_go_on_with_the_numbers(taken_over):
    with taken_over.session(Scope()) as session:
        known = {view.number for view in work_orders.list_orders(session)}
        order = work_orders.store(
            session,
            work_orders.JobOrder(
                job_order_id="JOB-NEW", part_number="TB-4711", revision=None, quantity=Decimal(2)
            ),
            actor="erp",
            reason="",
        )
    assert order.number not in known
    assert order.number > max(known)


def test_it_is_given_back_as_it_was(first_form):
    rows, schema = _rows(first_form), _schema(first_form)
    store = open_store(first_form)
    with store._engine.begin() as connection:
        command.downgrade(migration_config(connection), "0001")
    store.close()
    assert _rows(first_form) == rows
    assert _schema(first_form) == schema
    again = open_store(first_form)
    with again.reading() as session:
        assert audit.verify(session) == audit.VerifyResult(RECORDS)
    again.close()


def _search(store: Store, words: str, scope: Scope | None = None) -> int:
    with store.reading(scope) as session:
        statement = search.narrowed(session, select(AuditRecord.sequence), words)
        return len(session.scalars(statement).all())


LATER = {"signature_demand", "retention_clock", "history_tag", "history_chunk", "history_thinned"}
"""Tables of revisions after the one that the test goes down to; they are empty here."""


def test_the_audit_of_all_tenants_can_be_searched_and_proven_after_going_down_and_up(first_form):
    store, other = open_store(first_form), Scope(2, 2)
    add_tenant(store, 2, fill=False)
    with store.reading() as session:
        orders = sum(row.entity_type == "work_order" for row in audit.trail(session))
    assert orders
    assert _search(store, "work order") >= orders
    for scope in (Scope(), other):
        with store.session(scope) as session:
            for number in range(300):
                entry = AuditEntry(actor="a", action="x", entity_type="t", entity_id=f"K-{number}")
                audit.append(session, entry)
            audit.flush(session)
            chain_id, size = checkpoints.find_chain(session, "people")
            store_tiles(session, chain_id, size)
    before = _rows(first_form)
    for revision in ("0002", "head"):
        move = command.downgrade if revision == "0002" else command.upgrade
        with store._engine.begin() as connection:
            move(migration_config(connection), revision)
        after = _rows(first_form)
        assert {row["level"] for row in after["audit_tile"]} == {0}
        for table in before.keys() - {"audit_tile"} - LATER:
            if not table.startswith("audit_search"):
                assert after[table] == before[table], table
    for scope in (Scope(), other):
        assert _search(store, "k-29*", scope) == 11
        with store.session(scope) as session:
            chain_id, size = checkpoints.find_chain(session, "people")
            root = merkle.root(ChainTree(session, chain_id), size)
            store_tiles(session, chain_id, size)
            tree = ChainTree(session, chain_id)
            path = merkle.inclusion_proof(tree, 270, size)
            assert merkle.check_inclusion(tree.leaf(270), 270, size, path, root)
            assert audit.verify(session) == audit.VerifyResult(size)
    store.close()


def _new_record(store: Store) -> None:
    with store.session() as session:
        audit.append(session, AuditEntry(actor="a", action="x", entity_type="t", entity_id="1"))


def _new_tenant(store: Store) -> None:
    add_tenant(store, 2, fill=False)


def _new_user(store: Store) -> None:
    with store._engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT set_config('cellwright.tenant', '1', true)"))
        connection.execute(
            text(
                "INSERT INTO user_account (tenant_id, site_id, username, printed_name, email, "
                "password_hash, roles, active, failed_logins, totp_secret, totp_active, "
                "totp_last_step, labour_rate, currency, created_utc, version) VALUES (1, 1, 'u', "
                "'U', '', '', '[]', TRUE, 0, '', FALSE, 0, 0, 'EUR', '2026-03-14 12:00:00', 1)"
            )
        )


def _part_of_a_cell(store: Store) -> None:
    with store.session(Scope(cell="X")) as session:
        parts.adopt_units(session)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_new_record, "1 records of the audit"),
        (_new_tenant, "1 tenants beside the first"),
        (_new_user, "1 users"),
        (_part_of_a_cell, "parts of several cells"),
    ],
)
def test_what_the_first_form_cannot_hold_is_not_thrown_away(
    first_form: str, change: Callable[[Store], None], named: str
) -> None:
    store = open_store(first_form)
    change(store)
    before = _rows(first_form)

    def go_back() -> None:
        with store._engine.begin() as connection:
            command.downgrade(migration_config(connection), "0001")

    with pytest.raises(CommandError, match=f"no place for .*{named.partition(' ')[2]}"):
        go_back()
    assert _rows(first_form) == before
    store.close()


def test_a_takeover_may_take_longer_than_a_statement_of_the_services(first_form, monkeypatch):
    monkeypatch.setattr("cellwright.mes.kernel.store.store.STATEMENT_TIMEOUT_S", 0.001)
    _migrate(make_url(first_form.replace("postgresql://", "postgresql+psycopg://")))
    assert "work_centre" in _rows(first_form)
