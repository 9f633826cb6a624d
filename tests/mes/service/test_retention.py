"""What is older than its class goes, each row with a record of its end; the clock alone decides
nothing; the audit, replayed, gives the tables."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from cellwright.mes import audit
from cellwright.mes.audit import changes
from cellwright.mes.audit.tables import AuditRecord
from cellwright.mes.kernel.base import Base, Retention
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.store import Store
from cellwright.mes.orders import creation
from cellwright.mes.orders.job_order import JobOrder
from cellwright.mes.orders.order_flow import operation_name
from cellwright.mes.orders.tables import Labour, Operation, WorkOrder
from cellwright.mes.service import retention
from cellwright.mes.service.retention import GROUPS, Uptime
from cellwright.mes.service.retention_job import RetentionJob
from cellwright.mes.shopfloor.tables import Unit
from tests.mes.conftest import Cell, FakeClock
from tests.mes.service.test_actions import Desk

YEAR = timedelta(days=365.25).total_seconds()


class Computer:
    """How long it has run, with the wall clock that the store was opened with."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.up, self.boot = clock, Uptime("boot-1", 10**12), 1

    def __call__(self) -> Uptime:
        return self.up

    def runs(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.up = Uptime(self.up.boot_id, self.up.us + int(seconds * 1e6))

    def is_off(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.boot += 1
        self.up = Uptime(f"boot-{self.boot}", 10**6)


@pytest.fixture
def computer(clock: FakeClock) -> Computer:
    return Computer(clock)


@pytest.fixture
def ended(empty_store: Store, clock: FakeClock) -> str:
    """Number of an order that has ended, with labour; another is open."""
    desk = Desk(empty_store)
    desk("parts.create", partNumber="SHAFT")
    steps = [{"operationNumber": 10, "operationName": "Turn"}]
    desk("routings.create", partNumber="SHAFT", operations=steps)
    desk("users.create", username="ann", password="a password", roles=["Admin"])
    numbers = [desk("workorders.create", partNumber="SHAFT", quantity=2).id for _ in range(2)]
    for number in numbers:
        desk("workorders.release", id=number)
        desk("workorders.startOperation", id=number, opId="10")
        clock.advance(60)
    desk("workorders.completeOperation", id=numbers[0], opId="10", quantityGood=2)
    desk("workorders.complete", id=numbers[0])
    return str(numbers[0])


def count(store: Store, table: Any) -> int:
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def ends(store: Store) -> list[tuple[str, str]]:
    with store.reading() as session:
        return [
            (each.entity_type, each.entity_id)
            for each in audit.trail(session) if each.action == retention.DELETE
        ]  # fmt: skip


def test_each_table_is_in_one_group_of_its_class_or_is_kept() -> None:
    grouped = [
        (table, group.root) for group in GROUPS
        for table in (group.root, *(part.table for part in group.parts))
    ]  # fmt: skip
    for table, root in grouped:
        assert table.retention == root.retention, table
    others = {Retention.FOREVER, Retention.HISTORY, Retention.WORKING}
    assert set(Retention) == retention.YEARS.keys() | others
    expected = {
        mapper.class_ for mapper in Base.registry.mappers
        if mapper.class_.retention in retention.YEARS
    }  # fmt: skip
    assert {table for table, _ in grouped} == expected
    assert len(grouped) == len(expected)


def test_whatever_refers_to_a_root_goes_with_it_or_keeps_it() -> None:
    """A new table with a key of an order must say what becomes of it."""
    for group in GROUPS:
        mine = {part.table for part in group.parts} | {group.root}
        kept = " ".join(str(each) for each in group.kept())
        for mapper in Base.registry.mappers:
            for key in mapper.local_table.foreign_keys:  # type: ignore[attr-defined]
                if key.column.table is group.root.__table__ and mapper.class_ not in mine:
                    assert str(key.parent) in kept, key


def test_an_order_goes_after_seven_years_with_a_record_a_row(
    empty_store: Store, ended: str, computer: Computer
) -> None:
    retention.run(empty_store, "job", up=computer)
    computer.runs(7 * YEAR - 86_400)
    assert retention.run(empty_store, "job", up=computer).rows == {}
    computer.runs(3 * 86_400)
    wanted = {"labour": 1, "operation": 1, "work_order": 1}
    assert retention.run(empty_store, "job", up=computer, dry=True).rows == wanted
    assert (count(empty_store, WorkOrder), ends(empty_store)) == (2, [])
    assert retention.run(empty_store, "job", up=computer).rows == wanted
    assert count(empty_store, WorkOrder) == 1
    assert count(empty_store, Labour) == 0
    (labour, *others) = ends(empty_store)
    assert labour[0] == "labour"
    assert others == [("operation", f"{ended}/10"), ("work_order", ended)]
    with empty_store.reading() as session:
        assert audit.verify(session).ok
        last = [each for each in audit.trail(session) if each.action == retention.DELETE][-1]
    old = msgspec.json.decode(last.old)
    assert (old["number"], last.actor) == (ended, "job")
    assert "7 years" in last.reason
    assert retention.run(empty_store, "job", up=computer).rows == {}


def test_an_order_stays_as_long_as_its_parts(
    store: Store, cell: Cell, run_order: Callable[..., Any], computer: Computer
) -> None:
    run_order(quantity=1)
    cell.make("P-1")
    retention.run(store, "job", up=computer)
    computer.runs(8 * YEAR)
    assert retention.run(store, "job", up=computer).rows == {}
    computer.runs(18 * YEAR)
    rows = retention.run(store, "job", up=computer).rows
    assert {name: rows[name] for name in ("unit", "serial", "mark", "inspection")} == {
        "unit": 1, "serial": 1, "mark": 1, "inspection": 1,
    }  # fmt: skip
    assert rows["work_order"] == 1
    assert count(store, Unit) == 0
    assert len(ends(store)) == sum(rows.values())


def test_a_clock_set_ahead_deletes_nothing(
    empty_store: Store, ended: str, computer: Computer
) -> None:
    retention.run(empty_store, "job", up=computer)
    right = computer.clock.utc_ns
    computer.clock.advance(30 * YEAR)
    done = retention.run(empty_store, "job", up=computer)
    assert (done.rows, done.proven.year) == ({}, 2026)
    computer.clock.utc_ns = right
    computer.is_off(8 * YEAR)
    assert retention.run(empty_store, "job", up=computer).rows == {}
    trusted = retention.run(empty_store, "ann", up=computer, trust_clock=True)
    assert trusted.rows["work_order"] == 1


def test_the_first_run_deletes_nothing_however_late_it_seems(
    empty_store: Store, ended: str, computer: Computer
) -> None:
    computer.runs(30 * YEAR)
    assert retention.run(empty_store, "job", up=computer).rows == {}
    computer.runs(3600)
    assert retention.run(empty_store, "job", up=computer).rows["work_order"] == 1


def test_a_run_that_is_broken_off_anywhere_is_continued(
    empty_store: Store, ended: str, computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(empty_store)
    for _ in range(5):
        number = desk("workorders.create", partNumber="SHAFT", quantity=1).id
        desk("workorders.cancel", id=number)
    retention.run(empty_store, "job", up=computer)
    computer.runs(8 * YEAR)
    monkeypatch.setattr(retention, "BATCH", 1)
    flush = audit.flush

    def broken(session: Any) -> int:
        flush(session)
        raise MesError("store_failed", "the power is gone")

    for _ in range(3):
        before = count(empty_store, WorkOrder), len(ends(empty_store))
        monkeypatch.setattr(audit, "flush", broken)
        with pytest.raises(MesError):
            retention.run(empty_store, "job", up=computer)
        assert (count(empty_store, WorkOrder), len(ends(empty_store))) == before
        monkeypatch.setattr(audit, "flush", flush)
        left = iter((False, True))
        retention.run(empty_store, "job", up=computer, stopped=lambda left=left: next(left))
        assert count(empty_store, WorkOrder) == before[0] - 1
    assert retention.run(empty_store, "job", up=computer).rows["work_order"] == 3
    assert count(empty_store, WorkOrder) == 1
    kinds = [kind for kind, _ in ends(empty_store)]
    assert [kinds.count(kind) for kind in ("work_order", "operation", "labour")] == [6, 6, 1]


def _do(store: Store, statement: str) -> None:
    with store.session() as session:
        session.execute(text(statement))


def test_labour_is_deleted_past_nobody(empty_store: Store, ended: str) -> None:
    for statement in ("DELETE FROM labour", "UPDATE labour SET operation_id = operation_id"):
        with pytest.raises((DatabaseError, MesError), match="append-only"):
            _do(empty_store, statement)
    assert count(empty_store, Labour) == 1


def test_the_job_runs_by_itself(empty_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = threading.Event()
    done = retention.run

    def watched(*given: Any, **more: Any) -> Any:
        outcome = done(*given, **more)
        ran.set()
        return outcome

    monkeypatch.setattr(retention, "run", watched)
    job = RetentionJob(empty_store, first_s=0.0)
    job.start()
    assert ran.wait(30)
    job.stop()
    with empty_store.reading() as session:
        assert retention._clock(session) is not None


def test_a_bulk_change_of_500_orders_leaves_500_records_and_the_audit_gives_the_tables(
    empty_store: Store, ended: str, computer: Computer
) -> None:
    retention.run(empty_store, "job", up=computer)
    with empty_store.session() as session:
        for number in range(498):
            job = JobOrder(f"JOB-{number}", "SHAFT", None, 1)
            creation.create(session, job, actor="ann", reason="bulk")
    desk = Desk(empty_store)
    more = desk("workorders.create", partNumber="SHAFT", quantity=1).id
    with empty_store.reading() as session:
        before = session.scalar(select(func.count()).select_from(AuditRecord))
    assert before
    desk("parts.change", partNumber="SHAFT", description="new drawing", reason="bulk")
    with empty_store.reading() as session:
        held = [each for each in audit.trail(session, entity_type="work_order")
                if each.action == "work_order.hold"]  # fmt: skip
    assert len({each.entity_id for each in held}) == len(held) == 500
    desk("workorders.resume", id=more)
    computer.runs(8 * YEAR)
    assert retention.run(empty_store, "job", up=computer).rows["work_order"] == 1
    with empty_store.reading() as session:
        folded: dict[tuple[str, str], dict[str, Any]] = {}
        for each in audit.trail(session):
            key = each.entity_type, each.entity_id
            if each.action == retention.DELETE:
                folded.pop(key, None)
            else:
                folded.setdefault(key, {}).update(msgspec.json.decode(each.new) or {})
        for table, name in ((WorkOrder, lambda row: row.number), (Operation, operation_name)):
            rows = {
                name(row): msgspec.json.decode(msgspec.json.encode(changes.content(row)))
                for row in session.scalars(select(table))
            }
            assert rows == {key[1]: row for key, row in folded.items()
                            if key[0] == table.__tablename__}  # fmt: skip
