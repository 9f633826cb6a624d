"""What the address space holds of the MES is bounded, however many parts and orders there are.

Counted in parts, list elements and nodes: memory itself depends on the allocator.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeManagementService
from asyncua.server.standard_address_space import standard_address_space
from sqlalchemy import Engine, event, select

from cellwright.mes.definitions import master_data
from cellwright.mes.kernel.store import Store
from cellwright.mes.orders import work_orders
from cellwright.mes.orders.tables import WorkOrder
from cellwright.mes.orders.work_orders import JobOrder
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor.tables import Inspection, Mark, Unit, Verdict
from cellwright.opcua_model.address_space.builder import Builder, attribute
from cellwright.opcua_model.address_space.ids import cell_id, standard, type_id
from cellwright.opcua_model.address_space.values import utc_now
from cellwright.opcua_model.isa95 import mes_view, structures
from cellwright.opcua_model.isa95.mes_view import MesView
from cellwright.opcua_model.isa95.work_orders import WorkOrders

AT = datetime(2026, 3, 14, 12, tzinfo=UTC)
PARTS = {
    "parts": [
        {
            "part_number": "BLD-7421",
            "revision": "C",
            "serial_pattern": "SN{n:06d}",
            "routing": [{"sequence": 10, "name": "Mark", "kind": "mark", "station": "mark"}],
        }
    ]
}


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that a few parts fill."""
    monkeypatch.setattr(mes_view, "MAX_ORDERS", 8)
    monkeypatch.setattr(mes_view, "MAX_UNITS", 4)
    monkeypatch.setattr(mes_view, "MAX_UNITS_OF_ALL", 10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'mes.db'}")
    with store.session() as session:
        master_data.apply(session, master_data.MasterData.model_validate(PARTS), "tests")
    yield store
    store.close()


@pytest.fixture
def view(store: Store) -> Iterator[MesView]:
    view = MesView(store)
    yield view
    view.close()


@pytest.fixture(scope="module")
def builder() -> Builder:
    space = AddressSpace()
    standard_address_space.fill_address_space(NodeManagementService(space))  # type: ignore[no-untyped-call]
    structures.register()
    builder = Builder(space)
    builder.object_type(type_id("WorkOrderType"), "WorkOrderType")
    return builder


@pytest.fixture
def shown(builder: Builder) -> Iterator[WorkOrders]:
    root = builder.folder(standard(ua.ObjectIds.ObjectsFolder), cell_id("Cell.MES"), "MES")
    shown = WorkOrders(builder, "Cell", root)
    shown.add_lists(root, root, "Cell")
    yield shown
    builder.remove(builder.subtree(root))


def start(store: Store, name: str) -> str:
    job = JobOrder(job_order_id=name, part_number="BLD-7421", revision="C", quantity=1000)
    with store.session() as session:
        return work_orders.store_and_start(session, job, actor="erp", reason="test").number


def make(store: Store, number: str, count: int) -> None:
    """Good parts of an order, as the consumer of the journal leaves them."""
    with store.session() as session:
        order = session.scalars(select(WorkOrder).where(WorkOrder.number == number)).one()
        for _ in range(count):
            order.reserved += 1
            order.good += 1
            name = f"{number}-{order.good}"
            unit = Unit(part_id=name, verdict=Verdict.GOOD, arrived_utc=AT, released_utc=AT)
            unit.order_id = order.id
            unit.marks = [mark(name), mark(name)]
            unit.inspections = [inspection(name)]
            session.add(unit)


def mark(name: str) -> Mark:
    return Mark(
        serial=name, station="mark", device="peen", template="t.lua", content=name, detail=""
    )


def inspection(name: str) -> Inspection:
    return Inspection(
        serial=name,
        station="inspect",
        expected=name,
        read=name,
        verdict="ok",
        reason="",
        frame=1,
        inspected_utc=AT,
    )


def end(store: Store, name: str) -> None:
    with store.session() as session:
        work_orders.stop(session, name, actor="erp", reason="test")


@pytest.mark.usefixtures("small_windows")
async def test_the_address_space_stops_growing_when_the_window_of_parts_is_full(
    store: Store, view: MesView, shown: WorkOrders, builder: Builder
) -> None:
    number = start(store, "JOB")
    sizes = []
    for _ in range(6):
        make(store, number, 2)
        shown.show(await view.read(), utc_now())
        assert shown.job_response_list is not None
        (response,) = attribute(shown.job_response_list, ua.AttributeIds.Value)
        ids = builder.space[cell_id(f"Cell.MES.WorkOrders.{number}.PartIDs")]
        sizes.append(
            (
                len(response.MaterialActuals),
                len(attribute(ids, ua.AttributeIds.Value)),
                len(builder.subtree(cell_id("Cell.MES"))),
            )
        )
    assert [size[:2] for size in sizes] == [(2, 2), (4, 4), (4, 4), (4, 4), (4, 4), (4, 4)]
    assert len({nodes for _, _, nodes in sizes}) == 1


@pytest.mark.usefixtures("small_windows")
async def test_parts_of_all_orders_together_are_bounded_and_those_under_way_come_first(
    store: Store, view: MesView, shown: WorkOrders, builder: Builder
) -> None:
    running = start(store, "RUNNING")
    make(store, running, 5)
    numbers = []
    for place in range(9):
        numbers.append(start(store, f"JOB-{place}"))
        make(store, numbers[-1], 5)
        end(store, f"JOB-{place}")
        state = await view.read()
        shown.show(state, utc_now())
        assert sum(map(len, state.units.values())) <= 10
        assert len(state.units[running]) == 4
    assert [order.number for order in state.orders] == [running, *numbers[-7:]]
    assert set(state.units) == {running, numbers[-1]}
    nodes = builder.subtree(cell_id("Cell.MES.WorkOrders"))
    assert cell_id(f"Cell.MES.WorkOrders.{running}") in nodes
    assert cell_id(f"Cell.MES.WorkOrders.{numbers[1]}") not in nodes
    assert len(await view.units(numbers[0])) == 4, "the rest stays in the database"


async def test_what_an_order_adds_to_the_lists_is_kept_until_the_order_changes(
    store: Store, view: MesView, shown: WorkOrders
) -> None:
    first, second = start(store, "JOB-1"), start(store, "JOB-2")
    make(store, first, 3)
    shown.show(await view.read(), utc_now())
    assert shown.job_response_list is not None
    before = attribute(shown.job_response_list, ua.AttributeIds.Value)
    make(store, second, 1)
    shown.show(await view.read(), utc_now())
    after = attribute(shown.job_response_list, ua.AttributeIds.Value)
    assert after[0] is before[0]
    assert (len(before[1].MaterialActuals), len(after[1].MaterialActuals)) == (0, 1)


async def test_reading_more_parts_takes_no_further_statements(store: Store, view: MesView) -> None:
    """A driver keeps every different statement that it has prepared, for each connection."""
    number = start(store, "JOB")
    make(store, number, 1)
    texts: set[str] = set()

    def note(_1: object, _2: object, statement: str, *_: object) -> None:
        texts.add(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await view.read()
        after_the_first = set(texts)
        for _ in range(5):
            make(store, number, 2)
            texts.clear()
            state = await view.read()
            assert texts == after_the_first
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert [unit.part_id for unit in state.units[number]] == [f"{number}-{n}" for n in range(1, 12)]
    assert {unit.read for unit in state.units[number]} == {f"{number}-{n}" for n in range(1, 12)}
