"""Writes ``docs/reference/rest.md`` and ``openapi.json`` from the declarations of the actions.

A test compares the files with what this gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final, get_args, get_origin

import msgspec

from cellwright.mes.kernel.actions import Access, Change, Nothing, Page
from cellwright.mes.kernel.errors import CODES, Kind
from cellwright.mes.service.catalogue import ACTIONS
from cellwright.web.api.application import operations
from cellwright.web.api.docstrings import docs_of
from cellwright.web.api.openapi import document
from cellwright.web.api.operations import Operation
from cellwright.web.api.problems import STATUS
from reference.markdown import page, table

_INTRODUCTION: Final = """\
What the MES offers over HTTP, made of the same declarations as its OPC UA methods and commands.
A cell offers it with the section `web` of its [configuration](configuration.md), a plant server
with `cellwright mes serve`. The same as a document for programs:
[`openapi.json`](openapi.json), which the server hands out at `/openapi.json`."""

_RULES: Final = """\
- Bodies are JSON in UTF-8 with `Content-Type: application/json`. Names are camelCase; a name
  that is not known, or stands twice, is refused. Times are ISO 8601 in UTC. Quantities may be
  numbers or texts; answers give whole numbers for counted units and texts for others.
- `Authorization: Bearer TOKEN` says who asks; with `web.tls.client_ca` a client certificate
  does as well.
- Lists are arrays with the number of all rows in `X-Total-Count`; `page` counts from 1, `limit`
  is 1 to 1000.
- `version` of a document is its `ETag`, too. Who sends it back, as `If-Match` or as `version`
  in the body, changes that version or none: another one is 409.
- `Idempotency-Key` on a change: within seven days the same request with the same key gives the
  same answer and is done once; another request with it is 422. Actions without a login keep no
  keys.
- `reason` goes into the audit with the change.
- A refusal is `{"error", "code", "details": [{"field", "message"}], "traceId"}`. `traceId` is
  that of the caller's `traceparent` where it sends one, stands in `X-Trace-Id` of every answer,
  and finds the request in the server's log.
- Limits: requests a minute of a user and of an address without one, over all workers
  (`web.rate`); beyond, 429 with `Retry-After`. `/health`, `/ready` and `/metrics` are not
  counted."""

_PLAIN: Final = (
    ("GET /health", "200 while the process lives"),
    ("GET /ready", "200 when the database answers, else 503 and why"),
    ("GET /metrics", "figures for Prometheus"),
    ("GET /openapi.json", "the OpenAPI 3.1 document"),
    ("GET /.well-known/jwks.json", "public keys of the tokens"),
)

_KINDS: Final = {
    Kind.INVALID: "the content of the request is wrong, or a rule forbids it",
    Kind.UNKNOWN: "it does not exist for this caller",
    Kind.CONFLICT: "it is in another state or version than the request takes it to be",
    Kind.UNAUTHENTICATED: "nobody knows who asks",
    Kind.FORBIDDEN: "who asks may not do this",
    Kind.LIMITED: "too many requests; `Retry-After` says when to come again",
    Kind.UNAVAILABLE: "the database cannot be used now; `Retry-After` says when to come again",
}
_DOOR: Final = (
    (400, "`not_json`, `invalid_page`, `bad_query`, `bad_request`", "it cannot be read"),
    (405, "`method_not_allowed`", "the path takes other methods, named in `Allow`"),
    (408, "`request_timeout`", "head or body came too slowly"),
    (413, "`too_large`", "the body has more than `web.max_body_mb`"),
    (415, "`unsupported_media_type`", "the body is not declared to be JSON"),
    (431, "`head_too_large`", "the head has more than 64 KiB"),
    (500, "`internal`", "the server failed; its log has the trace id with the cause"),
    (503, "`overloaded`, `not_ready`", "it has more requests than it can answer, or no database"),
)
_WHO: Final = {
    Access.PUBLIC: "anyone",
    Access.SIGNED_IN: "anyone who is logged in",
    Access.ADMINISTRATOR: "role Administrator",
}


def rest_page() -> str:
    """The page, ending in a newline."""
    found = operations(ACTIONS)
    groups = sorted({_group(one) for one in found})
    plain = table(("request", "answer"), [(f"`{name}`", text) for name, text in _PLAIN])
    parts = [_INTRODUCTION, "## Rules", _RULES, "## Refusals", _refusals()]
    parts += ["## Beside the MES", plain]
    for group in groups:
        parts.append(f"## {group.capitalize()}")
        for one in found:
            if _group(one) == group:
                parts += _operation(one)
    return page("REST", *parts)


def openapi_text() -> str:
    """The document, in a form that differences can be read in."""
    made = document(operations(ACTIONS), version("cellwright"))
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _group(operation: Operation) -> str:
    return operation.action.name.partition(".")[0]


def _refusals() -> str:
    rows = [(str(status), codes, text) for status, codes, text in _DOOR]
    for kind, text in _KINDS.items():
        codes = [f"`{code}`" for code, found in CODES.items() if found is kind]
        rows.append((str(STATUS[kind]), ", ".join(codes) or "any other", text))
    return table(("status", "code", "when"), sorted(rows))


def _operation(operation: Operation) -> Sequence[str]:
    action = operation.action
    permission = action.permission
    who = _WHO[permission] if isinstance(permission, Access) else f"`{permission}`"
    text = f"{action.summary} Takes: {who}. Answers: {_answer(operation)}."
    parts = [f"### `{operation.rest.method} {operation.rest.path}`", text]
    rows = list(_fields(operation))
    if rows:
        parts.append(table(("field", "in", "", "meaning"), rows))
    return parts


def _answer(operation: Operation) -> str:
    answer = operation.action.answer
    if answer is Nothing:
        return "204"
    if get_origin(answer) in (Page, list):
        return f"{operation.rest.status}, a list of {get_args(answer)[0].__name__}"
    return f"{operation.rest.status}, {answer.__name__}"


def _fields(operation: Operation) -> Iterable[tuple[str, str, str, str]]:
    docs = docs_of(operation.action.request)
    for name, field in operation.path_fields.items():
        yield f"`{name}`", "path", "required", docs.get(field.attribute, "")
    common = {info.name for info in msgspec.structs.fields(Change)}
    place = "body" if operation.takes_body else "query"
    for info in operation.other_fields:
        if issubclass(operation.action.request, Change) and info.name in common:
            continue  # told once, above
        need = "required" if info.required else _default(info.default)
        yield f"`{info.encode_name}`", place, need, docs.get(info.name, "")


def _default(value: Any) -> str:
    if value is msgspec.NODEFAULT or value is msgspec.UNSET or value in (None, ""):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"
