"""An order from its creation to its end over HTTP, by the names that clients are promised."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from cellwright.mes.service.catalogue import ACTIONS, open_store
from cellwright.mes.service.dispatcher import Dispatcher
from support.notes import Everybody, serving

ORDERS = "/api/v1/workorders"
ORDER = {"partNumber": "TB-1", "quantity": 10, "priority": "High", "targetDate": "2026-12-31",
         "customerOrder": "CO-2026-1"}  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("orders")
    store = open_store(f"sqlite:///{folder / 'mes.db'}", secrets=folder)
    with (
        serving(
            folder, actions=ACTIONS, dispatcher=Dispatcher(store), verifier=Everybody()
        ) as server,
        httpx.Client(base_url=server.url, headers={"Authorization": "Bearer ada"}) as made,
    ):
        steps = [{"operationNumber": n, "operationName": f"Step {n}"} for n in (10, 20)]
        for path, body in (
            ("parts", {"partNumber": "TB-1"}),
            ("routings", {"partNumber": "TB-1", "operations": steps}),
        ):
            assert made.post(f"/api/v1/{path}", json=body).status_code == 201
        yield made
    store.close()


def test_an_order_goes_from_creation_to_completion(client: httpx.Client) -> None:
    made = client.post(ORDERS, json=ORDER)
    order = made.json()
    assert made.status_code == 201
    assert re.fullmatch(r"WO-\d{4}-\d{6}", order["id"])
    assert {"id", "partNumber", "quantity", "status", "createdAt", "version", "progress",
            "operations"} <= set(order)  # fmt: skip
    assert (order["status"], order["quantity"], order["progress"]) == ("Created", 10, 0)
    assert {"id", "operationNumber", "operationName", "status", "quantityGood", "quantityScrap",
            "startedAt", "completedAt"} <= set(order["operations"][0])  # fmt: skip
    path = made.headers["location"]
    released = client.post(f"{path}/release", headers={"If-Match": made.headers["etag"]})
    assert released.json()["status"] == "Released"
    for operation in order["operations"]:
        at = f"{path}/operations/{operation['id']}"
        assert client.post(f"{at}/start").json()["startedAt"].endswith("Z")
        done = client.post(f"{at}/complete", json={"quantityGood": 9, "quantityScrap": 0})
        assert (done.status_code, done.json()["quantityGood"]) == (200, 9), done.text
    assert client.get(path).json()["version"] > 1
    found = client.get(ORDERS, params={"partNumber": "TB-1", "limit": 1000})
    assert order["id"] in {one["id"] for one in found.json()}
    assert int(found.headers["x-total-count"]) == len(found.json())


def test_a_change_of_another_version_is_refused_and_changes_nothing(client: httpx.Client) -> None:
    path = client.post(ORDERS, json=ORDER).headers["location"]
    changed = client.put(path, json={"priority": "Low"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["priority"]) == (200, "Low")
    stale = client.put(path, json={"priority": "High"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_version")
    assert client.get(path).json()["priority"] == "Low"


def at_once(call: Callable[[int], httpx.Response], times: int = 20) -> list[httpx.Response]:
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(call, range(times)))


def test_of_twenty_at_once_one_wins(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "one"}
    made = at_once(lambda _: client.post(ORDERS, json=ORDER, headers=key))
    assert {answer.status_code for answer in made} == {201}
    assert len({answer.json()["id"] for answer in made}) == 1
    path = made[0].headers["location"]
    released = at_once(lambda _: client.post(f"{path}/release"))
    assert sorted(answer.status_code for answer in released) == [200, *[409] * 19]
    first = f"{path}/operations/{made[0].json()['operations'][0]['id']}"
    assert client.post(f"{first}/start").status_code == 200
    completed = at_once(lambda _: client.post(f"{first}/complete", json={"quantityGood": 10}))
    assert sorted(answer.status_code for answer in completed) == [200, *[409] * 19]


def test_pages_are_stable_while_orders_are_added(client: httpx.Client) -> None:
    seen: list[str] = []
    page = 1
    while rows := client.get(ORDERS, params={"page": page, "limit": 2}).json():
        seen += [row["id"] for row in rows]
        if page <= 2:
            client.post(ORDERS, json=ORDER)
        page += 1
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)


def test_a_signature_comes_with_the_request_that_it_signs(client: httpx.Client) -> None:
    user = {"username": "boss", "password": "correct horse 7!", "roles": ["Administrator"]}
    assert client.post("/api/v1/users", json=user).status_code == 201
    ticket = {"username": "boss", "password": user["password"], "meaning": "approval"}
    demand = "/api/v1/signatures/demands/workorders.hold"
    lacking = client.put(demand, json={})
    assert (lacking.status_code, lacking.json()["code"]) == (422, "signature_required")
    wrong = client.put(demand, json={"signature": {**ticket, "password": "wrong horse"}})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "signature_refused")
    assert "horse" not in wrong.text + lacking.text
    assert client.put(demand, json={"signature": ticket}).json()["demanded"] is True
    path = client.post(ORDERS, json=ORDER).headers["location"]
    client.post(f"{path}/release")
    assert client.post(f"{path}/hold").json()["code"] == "signature_required"
    assert client.post(f"{path}/hold", json={"signature": ticket}).json()["status"] == "Held"
    entity = {"entityType": "work_order", "entityId": path.rpartition("/")[2]}
    (shown,) = client.get("/api/v1/signatures", params=entity).json()
    assert (shown["signer"], shown["meaning"], shown["valid"]) == ("boss", "approval", True)
    assert client.get("/api/v1/signatures/verify").json()["ok"] is True
