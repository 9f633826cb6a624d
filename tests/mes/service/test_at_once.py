"""Twenty callers ask for the same at once, each with a store of its own: one of them wins."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from cellwright.mes import audit
from cellwright.mes.kernel.actions import Caller
from cellwright.mes.kernel.errors import Kind, MesError
from cellwright.mes.kernel.store import Store
from cellwright.mes.orders.tables import Operation, WorkOrder
from cellwright.mes.people.roles import permissions
from cellwright.mes.service.catalogue import ACTIONS, open_store
from cellwright.mes.service.dispatcher import Dispatcher

CALLERS = 20
ANN = Caller(
    username="ann", roles=frozenset({"Administrator"}), permissions=permissions(["Administrator"]),
    authentication="password",
)  # fmt: skip


def _call(store: Store, name: str, key: str = "", **given: Any) -> Any:
    action = ACTIONS[name]
    request = msgspec.convert(given, action.request)
    return Dispatcher(store).call(action, request, ANN, idempotency_key=key).answer


@pytest.fixture
def stores(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Store]]:
    """Stores of one database that holds an order for three pieces with two operations."""
    # Who waits longest waits for all others, however slow this machine is.
    monkeypatch.setattr("cellwright.mes.kernel.store.store.BUSY_TIMEOUT_S", 120.0)
    made = [open_store(database_url) for _ in range(CALLERS)]
    _call(made[0], "parts.create", partNumber="SHAFT")
    steps = [{"operationNumber": number, "operationName": "Turn"} for number in (10, 20)]
    _call(made[0], "routings.create", partNumber="SHAFT", operations=steps)
    yield made
    for store in made:
        store.close()


@pytest.fixture
def order(stores: list[Store]) -> str:
    """Its number."""
    return str(_call(stores[0], "workorders.create", partNumber="SHAFT", quantity=3).id)


def _at_once(stores: list[Store], call: Callable[[Store], Any]) -> list[Any]:
    """What each of them was answered: the answer or the MesError."""
    gate = threading.Barrier(len(stores))

    def ask(store: Store) -> Any:
        gate.wait()
        try:
            return call(store)
        except MesError as error:
            return error

    with ThreadPoolExecutor(len(stores)) as threads:
        return list(threads.map(ask, stores))


def _one_winner(answers: list[Any]) -> None:
    lost = [each for each in answers if isinstance(each, MesError)]
    assert len(answers) - len(lost) == 1, answers
    assert Counter(error.kind for error in lost) == {Kind.CONFLICT: CALLERS - 1}, lost


def _verified(store: Store) -> None:
    with store.reading() as session:
        found = audit.verify(session)
    assert found.ok, found


def test_an_order_is_released_once(stores, order):
    _one_winner(_at_once(stores, lambda store: _call(store, "workorders.release", id=order)))
    with stores[0].reading() as session:
        released = [
            record
            for record in audit.trail(session, entity_type="work_order", entity_id=order)
            if record.action == "work_order.release"
        ]
    assert len(released) == 1
    _verified(stores[0])


def test_an_operation_is_completed_once(stores, order):
    _call(stores[0], "workorders.release", id=order)
    _call(stores[0], "workorders.startOperation", id=order, opId="10")
    done = {"id": order, "opId": "10", "quantityGood": 3}
    _one_winner(
        _at_once(stores, lambda store: _call(store, "workorders.completeOperation", **done))
    )
    with stores[0].reading() as session:
        first = session.scalars(select(Operation).where(Operation.sequence == 10)).one()
        assert (first.state, first.good) == ("COMPLETED", 3)
    _verified(stores[0])


def test_an_order_is_changed_once_at_one_version(stores, order):
    answers = _at_once(
        stores,
        lambda store: _call(
            store, "workorders.update", id=order, version=1, description=f"by {id(store)}"
        ),
    )
    _one_winner(answers)
    _verified(stores[0])


@pytest.mark.parametrize("key", ["", "k-1"])
def test_creates_with_one_key_make_one_order_and_have_one_answer(stores, key):
    answers = _at_once(
        stores,
        lambda store: _call(store, "workorders.create", key, partNumber="SHAFT", quantity=3),
    )
    numbers = {answer.id for answer in answers}
    wanted = 1 if key else CALLERS
    assert len(numbers) == wanted, answers
    with stores[0].reading() as session:
        assert session.scalar(select(func.count()).select_from(WorkOrder)) == wanted
    if key:
        assert all(answer == answers[0] for answer in answers)
    _verified(stores[0])
