"""Tenants are kept apart: by the ORM's criterion, and on PostgreSQL by policies as well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session, selectinload

from cellwright.mes.definitions.tables import PartDefinition
from cellwright.mes.kernel.actions import Caller
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.errors import Kind, MesError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.store import Store
from cellwright.mes.orders.tables import Operation, WorkOrder
from cellwright.mes.people.tables import Site, Tenant
from cellwright.mes.service.catalogue import ACTIONS
from cellwright.mes.service.dispatcher import Dispatcher
from cellwright.mes.shopfloor.tables import Unit

PAST = datetime(2026, 3, 14, tzinfo=UTC)


@pytest.fixture
def other(store: Store, clock: Any) -> Scope:
    """A second tenant beside the one that has the content."""
    with store.session() as session:
        tenant = Tenant(name="other", created_utc=PAST)
        session.add(tenant)
        session.flush()
        site = Site(tenant_id=tenant.id, name="default", created_utc=PAST)
        session.add(site)
        session.flush()
        return Scope(tenant_id=tenant.id, site_id=site.id)


def test_another_tenants_rows_do_not_exist(store: Store, run_order: Any, other: Scope) -> None:
    run_order()
    with store.session(other) as session:
        for mapper in Base.registry.mappers:
            if "tenant_id" in mapper.columns and mapper.class_ is not Site:
                assert session.scalars(select(mapper.class_)).all() == [], mapper.class_
        assert session.get(WorkOrder, 1) is None
        loaded = select(WorkOrder).options(selectinload(WorkOrder.operations))
        assert session.scalars(loaded).all() == []
        assert session.execute(select(WorkOrder.number, WorkOrder.state)).all() == []
        grouped = select(WorkOrder.state, func.count(WorkOrder.id)).group_by(WorkOrder.state)
        assert session.execute(grouped).all() == []
        joined = select(Operation).join(WorkOrder).where(WorkOrder.number != "")
        assert session.scalars(joined).all() == []
        session.execute(update(WorkOrder).values(description="mine"))
        session.execute(delete(Unit))
    with store.reading() as session:
        assert session.scalars(select(WorkOrder.description)).all() != ["mine"]


def test_a_session_without_a_scope_reaches_no_business_table(store: Store) -> None:
    with Session(store._engine) as session, pytest.raises(KeyError):
        session.scalars(select(PartDefinition)).all()


def test_a_row_for_another_tenant_is_refused(store: Store, other: Scope) -> None:
    part = PartDefinition(
        tenant_id=other.tenant_id, part_number="X", revision="", description="",
        serial_pattern="", fields={}, changed_utc=PAST,
    )  # fmt: skip

    def put() -> None:
        with store.session() as session:
            session.add(part)

    with pytest.raises(ValueError, match="belongs to another tenant"):
        put()


def test_raw_sql_of_the_application_sees_no_foreign_row(postgresql: Any, clock: Any) -> None:
    store = Store.open(postgresql.create_migrated(), utc_ns=clock)
    mine = {"tenant_id": 1, "site_id": 1, "name": "n", "value": 1}
    counter = Base.metadata.tables["counter"]
    with store.session() as session:
        session.execute(counter.insert().values(mine))
    with store.session(Scope(tenant_id=2, site_id=2)) as session:
        names = session.scalars(
            text(
                "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' "
                "AND table_schema = current_schema() AND table_name <> 'site'"
            )
        ).all()
        assert len(names) > 20
        for name in names:
            assert session.scalar(text(f"SELECT count(*) FROM {name}")) == 0, name
    with store.session() as session:
        assert session.scalar(text("SELECT count(*) FROM counter")) == 1
    store.close()


def test_what_another_tenant_has_is_unknown_to_every_action(
    store: Store, run_order: Any, other: Scope
) -> None:
    order = run_order()
    everything = frozenset(str(action.permission) for action in ACTIONS.values())
    stranger = Caller(
        username="eve", permissions=everything, roles=frozenset({"Administrator"}),
        authentication="password", scope=other,
    )  # fmt: skip
    dispatcher = Dispatcher(store)
    known = {"id": order.number, "op_id": "10", "part_number": "TB-4711", "username": "nobody"}
    needed = {"description": "x", "quantity_good": 1}
    tried = 0
    for action in ACTIONS.values():
        fields = action.request.__struct_fields__
        if not action.name.startswith("workorders.") or "id" not in fields:
            continue
        given = {name: value for name, value in (known | needed).items() if name in fields}
        with pytest.raises(MesError) as caught:
            dispatcher.call(action, action.request(**given), stranger)
        assert caught.value.kind is Kind.UNKNOWN, action.name
        assert order.number in caught.value.message
        tried += 1
    assert tried > 10
