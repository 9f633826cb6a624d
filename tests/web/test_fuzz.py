"""Whatever a client sends, the answer is no 5xx, and every refusal is a problem in JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellwright.mes.kernel.actions import Rest
from cellwright.mes.service.catalogue import ACTIONS, open_store
from cellwright.mes.service.dispatcher import Dispatcher
from cellwright.web.api.application import operations
from cellwright.web.api.openapi import document
from support.campaign import times
from support.notes import Everybody, Serving, serving

PART = "TB-1"
ORDER = f"WO-{datetime.now(UTC).year}-000001"
REQUESTS = int(os.environ.get("CELLWRIGHT_REST_REQUESTS") or times(400))
"""About so many are sent, half of them by the document, half of them without it."""
ROUTES = sorted(
    {(a.rest.method, a.rest.path) for a in ACTIONS.values() if isinstance(a.rest, Rest)}
)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The product's own actions on a database of their own."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    store = open_store(f"sqlite:///{folder / 'mes.db'}", secrets=folder)
    with serving(folder, actions=ACTIONS, dispatcher=Dispatcher(store), verifier=Everybody()) as up:
        order = begin(up.url)
        assert order == ORDER
        yield up
    store.close()


def begin(url: str) -> str:
    """A part with a routing and an order of it, so that there is something to go wrong with."""
    step = {"operationNumber": 10, "operationName": "Mark"}
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer x"}) as client:
        for path, body in (
            ("parts", {"partNumber": PART, "serialPattern": "S{n:04d}"}),
            ("routings", {"partNumber": PART, "operations": [step]}),
            ("workorders", {"partNumber": PART, "quantity": 5}),
        ):
            answer = client.post(f"/api/v1/{path}", json=body)
            assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def sound(answer: httpx.Response) -> None:
    assert answer.status_code < 500, (answer.request.url, answer.request.content, answer.text)
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error", "code", "details", "traceId"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([ORDER, PART, "\ud800", "\0", "1e400", "NaN", "2026-02-30", "x" * 11_000,
                       "1e999999999", "../..", "' OR 1=1 --"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
NAMES = st.sampled_from(
    ["partNumber", "quantity", "priority", "targetDate", "version", "reason", "operations",
     "operationNumber", "quantityGood", "quantityScrap", "final", "signature", "parameters",
     "status", "items", "unit", "revision"]
)  # fmt: skip
BODIES = st.binary(max_size=60) | st.dictionaries(NAMES, VALUES, max_size=6).map(
    lambda value: json.dumps(value).encode()
)
SEGMENTS = st.sampled_from([ORDER, PART, "10", "1", "work_order"]) | st.text(
    st.characters(exclude_characters="/", codec="utf-8"), min_size=1, max_size=12
)
QUERIES = st.lists(st.tuples(NAMES | st.sampled_from(["page", "limit", "q"]), st.text(max_size=12)),
                   max_size=3)  # fmt: skip


@pytest.mark.campaign
def test_no_request_however_wrong_is_a_failure_of_ours(product: Serving) -> None:
    with httpx.Client(base_url=product.url, headers={"Authorization": "Bearer x"}) as client:

        @settings(max_examples=max(1, REQUESTS // 2), deadline=None, database=None,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(st.data())
        def ask(data: st.DataObject) -> None:
            method, path = data.draw(st.sampled_from(ROUTES))
            while "{" in path:
                before, _, rest = path.partition("{")
                path = before + quote(data.draw(SEGMENTS), safe="") + rest.partition("}")[2]
            body = data.draw(BODIES) if method in ("POST", "PUT") else None
            sound(
                client.request(
                    method, path, params=data.draw(QUERIES) if body is None else None,
                    content=body, headers={"Content-Type": "application/json"},
                )
            )  # fmt: skip

        ask()


@pytest.mark.campaign
def test_the_document_promises_nothing_that_the_server_breaks(product: Serving) -> None:
    schema = schemathesis.openapi.from_dict(document(operations(ACTIONS), "1.0"))
    with httpx.Client(base_url=product.url, headers={"Authorization": "Bearer x"}) as client:
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.path not in ("/metrics", "/openapi.json"):
                keeps_its_promise(client, operation, product.url)


def keeps_its_promise(client: httpx.Client, operation: Any, url: str) -> None:
    """Requests that the document allows have answers that it names."""
    defined = set(operation.definition.raw["responses"])

    @settings(max_examples=max(1, REQUESTS // 2 // (len(ROUTES) + 4)), deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        words = case.as_transport_kwargs(base_url=url)
        words.pop("cookies", None)
        words["headers"] = {name: str(value).encode("latin-1", "replace").decode("latin-1")
                            for name, value in (words.get("headers") or {}).items()
                            if name.lower() != "authorization"}  # fmt: skip
        answer = client.request(**words)
        sound(answer)
        assert str(answer.status_code) in defined, (answer.request.url, answer.text)

    ask()
