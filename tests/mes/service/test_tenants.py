"""Whoever names what belongs to another tenant is answered as if it had never existed.

Every action is called with every name that the other tenant uses, once where that tenant has its
content and once where it has none: the answers must be the same, so a new action that leaks fails
without a word here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from cellwright.mes.kernel.actions import Action, Caller
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.errors import Kind, MesError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.store import Store
from cellwright.mes.people.roles import permissions
from cellwright.mes.service.catalogue import ACTIONS, open_store
from cellwright.mes.service.dispatcher import Dispatcher
from cellwright.mes.service.refused_calls import recorder
from tests.mes.conftest import FakeClock
from tests.support.foreign_rows import add_tenant

SECRET = "only-of-tenant-two"
NAMES = (
    "WO-2026-000001", "WO-2026-000002", "WO-2026-000001/10", "EC-2026-000001", "T2-PART",
    "T2-CENTRE", "t2-worker", "T2-JOB", "people", "10", "T2-PART/A",
)  # fmt: skip
"""What the other tenant calls its things, and what a guess would try."""


class Plant:
    """A store with two tenants, and calls in the name of either."""

    def __init__(self, url: str, secrets: Path) -> None:
        self.store: Store = open_store(url, utc_ns=FakeClock(), secrets=secrets)
        self.dispatcher = Dispatcher(self.store, on_refusal=recorder())
        add_tenant(self.store, 2, fill=False)

    def call(self, tenant: int, action: Action[Any, Any], request: Any) -> Any:
        caller = Caller(
            username="ann",
            roles=frozenset({"Administrator"}),
            permissions=permissions(["Administrator"]),
            authentication="password",
            scope=Scope(tenant, tenant),
        )
        return self.dispatcher.call(action, request, caller).answer

    def fill(self) -> None:
        """Give tenant 2 a thing of each kind."""

        def do(name: str, /, **given: Any) -> Any:
            action = ACTIONS[name]
            return self.call(2, action, msgspec.convert(given, action.request))

        do("parts.create", partNumber="T2-PART", revision="A", description=SECRET)
        do("workcenters.create", code="T2-CENTRE", name=SECRET, overheadRate="1")
        steps = [{"operationNumber": 10, "operationName": SECRET, "workCenter": "T2-CENTRE"}]
        do("routings.create", partNumber="T2-PART", operations=steps)
        do("users.create", username="t2-worker", password="correct horse 7!", roles=["Operator"],
           printedName=SECRET)  # fmt: skip
        for number in (1, 2):
            job = "T2-JOB" if number == 1 else ""
            do("workorders.create", partNumber="T2-PART", quantity="3", customerOrder=SECRET,
               jobOrderId=job)  # fmt: skip
        do("workorders.release", id="WO-2026-000001")
        do("workorders.startOperation", id="WO-2026-000001", opId="10")
        do("parts.change", partNumber="T2-PART", description=SECRET)

    def rows(self, tenant: int) -> dict[str, list[Any]]:
        """Everything that the tenant has."""
        with self.store.reading(Scope(tenant, tenant)) as session:
            return {
                name: sorted(
                    (tuple(row) for row in session.execute(
                        select(table).where(table.c.tenant_id == tenant))), key=repr
                )
                for name, table in Base.metadata.tables.items()
                if "tenant_id" in table.columns
            }  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def plants(
    request: pytest.FixtureRequest, migrated_url: Callable[[str], str], tmp_path: Path
) -> Iterator[tuple[Plant, Plant]]:
    """One where tenant 2 has content, and its twin where it has none."""
    made = [Plant(migrated_url(request.param), tmp_path / "secrets") for _ in range(2)]
    made[0].fill()
    yield made[0], made[1]
    for plant in made:
        plant.store.close()


def _value(kind: msgspec.inspect.Type, name: str) -> Any:
    """A value of the type, with ``name`` wherever text goes."""
    match kind:
        case msgspec.inspect.ListType():
            return [_value(kind.item_type, name)]
        case msgspec.inspect.UnionType():
            return _value(kind.types[0], name)
        case msgspec.inspect.EnumType():
            return next(iter(kind.cls)).value
        case msgspec.inspect.StructType():
            return {each.encode_name: _value(each.type, name) for each in kind.fields
                    if each.required}  # fmt: skip
    return {
        msgspec.inspect.StrType: name,
        msgspec.inspect.BoolType: False,
        msgspec.inspect.IntType: 1,
        msgspec.inspect.DecimalType: Decimal(1),
    }[type(kind)]


def _requests(action: Action[Any, Any], name: str) -> Iterator[Any]:
    """The smallest request, one with each optional text besides, and both for operation 10."""
    kind = msgspec.inspect.type_info(action.request)
    assert isinstance(kind, msgspec.inspect.StructType)
    smallest = _value(kind, name)
    wanted = [smallest]
    for each in kind.fields:
        types = (
            each.type.types if isinstance(each.type, msgspec.inspect.UnionType) else (each.type,)
        )
        if not each.required and any(isinstance(t, msgspec.inspect.StrType) for t in types):
            wanted.append({**smallest, each.encode_name: name})
    for given in wanted:
        yield msgspec.convert(given, action.request)
        if "opId" in given:
            yield msgspec.convert({**given, "opId": "10"}, action.request)
        if "entityType" in given:
            for entity in ("work_order", "operation", "part_definition"):
                yield msgspec.convert({**given, "entityType": entity}, action.request)


def _outcome(plant: Plant, action: Action[Any, Any], request: Any) -> tuple[str, str]:
    try:
        answer = plant.call(1, action, request)
    except MesError as error:
        return f"{error.kind}/{error.code}", f"{error.message} {error.details}"
    return "answered", msgspec.json.encode(answer).decode()


def test_no_action_tells_or_changes_anything_of_another_tenant(plants):
    full, empty = plants
    before = full.rows(2)
    assert len(before["work_order"]) == 2
    unknown = 0
    for action in ACTIONS.values():
        for name in NAMES:
            for request in _requests(action, name):
                found = _outcome(full, action, request)
                assert found == _outcome(empty, action, request), (action.name, request)
                assert SECRET not in found[1], (action.name, request)
                unknown += found[0].startswith(Kind.UNKNOWN)
    assert unknown > 100, "the names reach the actions"
    assert full.rows(2) == before


def test_the_names_exist_for_their_own_tenant(plants):
    full, _ = plants
    get = ACTIONS["workorders.get"]
    order = full.call(2, get, msgspec.convert({"id": "WO-2026-000001"}, get.request))
    assert order.customer_order == SECRET
    part = ACTIONS["parts.get"]
    found = full.call(2, part, msgspec.convert({"partNumber": "T2-PART"}, part.request))
    assert found.description == SECRET
