"""Every action has its doors and says what it takes; the dispatcher holds the order of things."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from cellwright.mes import audit
from cellwright.mes.definitions.tables import WorkCentre
from cellwright.mes.kernel.actions import (
    Access,
    Action,
    Caller,
    Closed,
    Command,
    OpcUa,
    Request,
    Rest,
)
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.store import Store
from cellwright.mes.people.roles import AREAS, RIGHTS, permissions
from cellwright.mes.people.tables import User
from cellwright.mes.service.catalogue import ACTIONS
from cellwright.mes.service.dispatcher import Answered, Dispatcher
from cellwright.mes.service.refused_calls import recorder
from cellwright.web.api.docstrings import docs_of

PERMISSIONS = {f"{area}.{right}" for area in AREAS for right in RIGHTS.values()} | set(Access)
UNDOCUMENTED = {"part_number", "revision", "description", "customer_order", "username", "password",
                "email", "op_id", "id"}  # fmt: skip
"""Fields whose names say it all."""


def caller(*roles: str) -> Caller:
    return Caller(
        username="ann", roles=frozenset(roles), permissions=permissions(roles),
        authentication="password",
    )  # fmt: skip


class Desk:
    """Calls actions by name, as Administrator unless told otherwise."""

    def __init__(self, store: Store) -> None:
        self.dispatcher = Dispatcher(store, on_refusal=recorder())

    def __call__(self, name: str, who: Caller | None = None, key: str = "", **given: Any) -> Any:
        return self.answered(name, who, key, **given).answer

    def answered(
        self, name: str, who: Caller | None = None, key: str = "", **given: Any
    ) -> Answered[Any]:
        action = ACTIONS[name]
        request = msgspec.convert(given, action.request)
        return self.dispatcher.call(
            action, request, who or caller("Administrator"), idempotency_key=key
        )


@pytest.fixture
def desk(empty_store: Store) -> Desk:
    """A desk with a part of two operations, at a work centre that costs 60 an hour."""
    made = Desk(empty_store)
    made("parts.create", partNumber="SHAFT")
    made("workcenters.create", code="LATHE", overheadRate="60")
    steps = [
        {"operationNumber": 10, "operationName": "Turn", "workCenter": "LATHE"},
        {"operationNumber": 20, "operationName": "Grind"},
    ]
    made("routings.create", partNumber="SHAFT", operations=steps)
    return made


@pytest.mark.parametrize("action", ACTIONS.values(), ids=list(ACTIONS))
def test_an_action_has_its_three_doors_or_says_why_not(action: Action[Any, Any]) -> None:
    doors = ((action.rest, Rest), (action.opcua, OpcUa), (action.command, Command))
    for door, kind in doors:
        assert isinstance(door, kind) or (isinstance(door, Closed) and door.why), action.name
    assert action.permission in PERMISSIONS
    assert issubclass(action.request, Request)
    fields = {field.encode_name for field in msgspec.structs.fields(action.request)}
    if isinstance(action.rest, Rest):
        places = {part[1:-1] for part in action.rest.path.split("/") if part.startswith("{")}
        assert places <= fields
    if isinstance(action.command, Command):
        assert set(action.command.arguments) <= set(action.request.__struct_fields__)
    missing = set(action.request.__struct_fields__) - set(docs_of(action.request)) - UNDOCUMENTED
    assert len(missing) <= 3, missing


def test_an_order_costs_what_the_rates_of_its_day_say(
    desk: Desk, empty_store: Store, clock: Any
) -> None:
    desk("users.create", username="ann", password="a password", roles=["Admin"], labourRate="45.50")
    number = desk("workorders.create", partNumber="SHAFT", quantity=10).id
    assert desk("workorders.release", id=number).progress == 0
    desk("workorders.startOperation", id=number, opId="10")
    clock.advance(timedelta(minutes=50).total_seconds())
    desk("workorders.completeOperation", id=number, opId="10", quantityGood=9, quantityScrap=1)
    with empty_store.session() as session:
        session.scalars(select(User)).one().labour_rate = Decimal(99)
        session.scalars(select(WorkCentre)).one().overhead_rate = Decimal(99)
    cost = desk("workorders.cost", id=number)
    assert (cost.labour, cost.overhead) == (Decimal("37.92"), Decimal("50.00"))
    assert (cost.material, cost.total) == (Decimal("0.00"), Decimal("87.92"))
    assert desk("workorders.get", id=number).progress == 50


def test_work_on_an_order_that_is_stopped_early_is_paid_too(desk: Desk, clock: Any) -> None:
    desk("users.create", username="ann", password="a password", roles=["Admin"], labourRate="30")
    number = desk("workorders.create", partNumber="SHAFT", quantity=10).id
    desk("workorders.release", id=number)
    desk("workorders.startOperation", id=number, opId="10")
    clock.advance(7200)
    desk("workorders.stop", id=number)
    assert desk("workorders.cost", id=number).total == Decimal("180.00")


def test_a_refused_action_changes_nothing_and_is_on_record(desk: Desk, content: Any) -> None:
    store = desk.dispatcher._store
    number = desk("workorders.create", partNumber="SHAFT", quantity=10).id
    before = content(store)
    for name, given in (
        ("workorders.complete", {}),
        ("workorders.resume", {}),
        ("workorders.release", {"version": 9}),
        ("workorders.update", {"quantity": "0.5"}),
        ("workorders.startOperation", {"opId": "20"}),
    ):
        with pytest.raises(MesError):
            desk(name, id=number, **given)
    after = content(store)
    for table in set(before) - {"audit_record", "audit_chain"}:
        assert after[table] == before[table], table
    with store.reading() as session:
        denied = [each.action for each in audit.trail(session) if each.action.startswith("denied.")]
    assert denied[0] == "denied.workorders.complete"
    assert len(denied) == 5


def test_rights_come_before_everything(desk: Desk) -> None:
    for roles, code in (((), "unauthenticated"), (("Maintenance Technician",), "forbidden")):
        who = caller(*roles) if roles else Caller(username="anonymous")
        with pytest.raises(MesError) as caught:
            desk("workorders.create", who, partNumber="NOTHING", quantity=1)
        assert caught.value.code == code


@pytest.mark.parametrize("text", ["nul\0", "half \ud800", "x" * 10_001])
def test_text_that_no_database_holds_is_refused_by_its_field(desk: Desk, text: str) -> None:
    with pytest.raises(MesError) as caught:
        desk("workorders.create", partNumber="SHAFT", quantity=1, description=text)
    assert caught.value.details[0].field == "description"


def test_a_repeated_request_has_the_same_answer_for_seven_days(desk: Desk, clock: Any) -> None:
    order = {"partNumber": "SHAFT", "quantity": 3}
    first = desk.answered("workorders.create", key="k", **order)
    again = desk.answered("workorders.create", key="k", **order)
    assert (first.answer, first.repeated, again.repeated) == (again.answer, False, True)
    with pytest.raises(MesError) as caught:
        desk("workorders.create", key="k", partNumber="SHAFT", quantity=4)
    assert caught.value.code == "key_reused"
    clock.advance(8 * 86_400)
    assert desk("workorders.create", key="k", **order).id != first.answer.id


def test_the_audit_replayed_is_the_table(desk: Desk, empty_store: Store) -> None:
    from cellwright.mes.audit import changes  # noqa: PLC0415 - the comparison alone needs it
    from cellwright.mes.orders.tables import Operation, WorkOrder  # noqa: PLC0415

    number = desk("workorders.create", partNumber="SHAFT", quantity=10).id
    desk("workorders.update", id=number, priority="High", targetDate="2027-01-31")
    desk("workorders.release", id=number)
    desk("workorders.startOperation", id=number, opId="10", equipmentId="M1")
    desk("workorders.completeOperation", id=number, opId="10", quantityGood=7, quantityRework=2)
    desk("workorders.hold", id=number)
    desk("parts.change", partNumber="SHAFT", description="longer")
    desk("workorders.resume", id=number)
    replayed: dict[tuple[str, str], dict[str, Any]] = {}
    with empty_store.reading() as session:
        for record in audit.trail(session):
            new = json.loads(record.new)
            if record.entity_type in ("work_order", "operation") and isinstance(new, dict):
                key = record.entity_type, record.entity_id
                replayed.setdefault(key, {}).update(new)
        rows: dict[tuple[str, str], Any] = {
            ("work_order", order.number): order for order in session.scalars(select(WorkOrder))
        }
        for operation in session.scalars(select(Operation)):
            rows["operation", f"{operation.order.number}/{operation.sequence}"] = operation
        assert set(replayed) == set(rows)
        for key, row in rows.items():
            assert replayed[key] == json.loads(audit.canonical(changes.content(row))), key
