"""The OpenAPI document is valid, complete and made of the declarations."""

from __future__ import annotations

import re

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from cellwright.mes.kernel.actions import Access, Rest
from cellwright.mes.service.catalogue import ACTIONS
from cellwright.web.api.application import operations
from cellwright.web.api.openapi import document
from support.notes import Notes, Serving, actions


@pytest.mark.parametrize("catalogue", [ACTIONS, actions(Notes())], ids=["product", "notes"])
def test_the_document_is_valid_and_has_every_action(catalogue) -> None:
    made = document(operations(catalogue), "1.0")
    assert list(OpenAPIV31SpecValidator(made).iter_errors()) == []
    for action in catalogue.values():
        if not isinstance(action.rest, Rest):
            continue
        entry = made["paths"][action.rest.path][action.rest.method.lower()]
        assert (entry["operationId"], entry["summary"]) == (action.name, action.summary)
        given = {p["name"] for p in entry["parameters"] if p["in"] == "path"}
        assert given == set(re.findall(r"\{(\w+)\}", action.rest.path))
        assert (entry.get("security") == []) == (action.permission == Access.PUBLIC)
        assert {"422", "429", "503"} < set(entry["responses"])


def test_docstrings_are_the_descriptions() -> None:
    made = document(operations(actions(Notes())), "1.0")
    note = made["components"]["schemas"]["NoteView"]
    assert note["description"] == "A note."
    assert note["properties"]["id"]["description"] == "What the note is called."
    body = made["components"]["schemas"]["UpdateNoteBody"]
    assert "id" not in body["properties"], "it stands in the path"
    assert body["properties"]["reason"]["description"] == "Why; goes into the audit."
    create = made["components"]["schemas"]["CreateNote"]
    assert create["properties"]["dueDate"]["description"] == "When it must be done."
    assert create["additionalProperties"] is False


def test_the_server_hands_out_its_document_and_its_keys(
    nobody: httpx.Client, server: Serving
) -> None:
    answer = nobody.get("/openapi.json")
    assert answer.json()["openapi"] == "3.1.0"
    assert answer.json()["info"]["version"] == "1.2.3"
    assert nobody.get("/.well-known/jwks.json").json() == server.parts.verifier.jwks()  # type: ignore[union-attr]
