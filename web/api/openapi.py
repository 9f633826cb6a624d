"""The OpenAPI 3.1 document, made of the declarations of the actions alone.

Served at ``/openapi.json``, written to ``docs/reference`` by ``make docs``. Descriptions are the
docstrings of requests and answers; nothing is described here a second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, get_args, get_origin

import msgspec

from cellwright.mes.kernel.actions import (
    MAX_LIMIT,
    Access,
    Change,
    Nothing,
    Page,
    PageRequest,
)
from cellwright.mes.kernel.paging import MAX_PAGE
from cellwright.web.api.docstrings import docs_of, summary_of
from cellwright.web.api.operations import JSON, Operation
from cellwright.web.api.problems import Problem

Schema = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{name}"
_PROBLEMS: Final = {
    400: "The body is not JSON, or the page is not one.",
    401: "Nobody knows who asks.",
    403: "Who asks may not do this.",
    404: "It does not exist for this caller.",
    408: "The body did not come in time.",
    409: "It is in another state or version than the request takes it to be.",
    413: "The body is too large.",
    415: "The body is not declared to be JSON.",
    422: "The content of the request is wrong, or a rule forbids it.",
    429: "Too many requests of this user or address.",
    503: "The database cannot be used now.",
}
_INTRODUCTION: Final = (
    "Actions of the MES. Names are camelCase, times are ISO 8601 in UTC, quantities of units that "
    "are not counted are texts. Lists are arrays with the number of all in X-Total-Count. Every "
    "refusal is a Problem."
)
_PAGING: Final = {
    "page": {"minimum": 1, "maximum": MAX_PAGE},
    "limit": {"minimum": 1, "maximum": MAX_LIMIT},
}
_NO_NAME: Final = re.compile(r"[^\w.-]")
_DECIMAL: Final = r"^-?[0-9]{1,18}(\.[0-9]{1,12})?$"


def document(operations: Sequence[Operation], version: str) -> Schema:
    """The document as plain data."""
    made = _Document(operations)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cellwright MES", "version": version, "description": _INTRODUCTION},
        "security": [{"bearerAuth": []}],
        "tags": [{"name": name} for name in sorted({_tag(one) for one in operations})],
        "paths": {**made.paths(), **_plain_paths()},
        "components": {
            "securitySchemes": {
                "bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            "schemas": made.schemas,
            "responses": {
                f"Problem{status}": {
                    "description": text,
                    "content": {JSON: {"schema": {"$ref": _REFERENCE.format(name="Problem")}}},
                }
                for status, text in _PROBLEMS.items()
            },
        },
    }


class _Document:
    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        types: list[Any] = [Problem]
        for operation in operations:
            types.append(_answer(operation))
            types += [field.type for field in operation.path_fields.values()]
            if operation.takes_body:
                types.append(operation.body_struct)
            else:
                types += [info.type for info in operation.other_fields]
        found, self.schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        self._schema_of = dict(zip(map(repr, types), found, strict=True))
        self._describe(types)
        for operation in operations:
            if operation.takes_body:
                _loosen(self.schemas, self._schema(operation.body_struct))

    def paths(self) -> Schema:
        """Each path with its methods."""
        paths: Schema = {}
        for operation in self._operations:
            entry = paths.setdefault(operation.rest.path, {})
            entry[operation.rest.method.lower()] = self._operation(operation)
        return paths

    def _operation(self, operation: Operation) -> Schema:
        action = operation.action
        made: Schema = {
            "operationId": action.name,
            "summary": action.summary,
            "tags": [_tag(operation)],
            "parameters": [*self._path_parameters(operation), *self._other_parameters(operation)],
            "responses": {str(k): v for k, v in sorted(self._responses(operation).items())},
        }
        if isinstance(action.permission, Access):
            made["description"] = _WHO[action.permission]
        else:
            made["description"] = f"Takes permission `{action.permission}`."
        if action.permission == Access.PUBLIC:
            made["security"] = []
        if operation.takes_body:
            made["requestBody"] = {
                "required": bool(operation.required),
                "content": {JSON: {"schema": self._schema(operation.body_struct)}},
            }
        return made

    def _path_parameters(self, operation: Operation) -> Iterable[Schema]:
        docs = docs_of(operation.action.request)
        for name, field in operation.path_fields.items():
            yield {"name": name, "in": "path", "required": True,
                   "schema": self._schema(field.type),
                   **_described(docs.get(field.attribute, ""))}  # fmt: skip

    def _other_parameters(self, operation: Operation) -> Iterable[Schema]:
        action = operation.action
        if not operation.takes_body:
            docs = docs_of(action.request)
            for info in operation.other_fields:
                schema = dict(self._schema(info.type))
                if issubclass(action.request, PageRequest):
                    schema.update(_PAGING.get(info.name, {}))
                if info.default not in (msgspec.NODEFAULT, None):
                    schema["default"] = msgspec.to_builtins(info.default)
                yield {"name": info.encode_name, "in": "query", "required": info.required,
                       "schema": schema, **_described(docs.get(info.name, ""))}  # fmt: skip
        if issubclass(action.request, Change) and operation.rest.status != 201:
            yield {"name": "If-Match", "in": "header", "required": False,
                   "schema": {"type": "string", "pattern": '^(\\*|(W/)?"[0-9]{1,18}")$'},
                   "description": "ETag of the version that the change is meant for."}  # fmt: skip
        if not action.reads and action.permission != Access.PUBLIC:
            yield {"name": "Idempotency-Key", "in": "header", "required": False,
                   "schema": {"type": "string", "minLength": 1, "maxLength": 200},
                   "description": "The same key with the same request gives the same answer for "
                                  "seven days, and the request is done once."}  # fmt: skip

    def _responses(self, operation: Operation) -> dict[int, Schema]:
        action = operation.action
        found: dict[int, Schema] = {}
        if action.answer is Nothing:
            found[204] = {"description": "Done."}
        else:
            success: Schema = {
                "description": "What was asked for.",
                "content": {JSON: {"schema": self._schema(_answer(operation))}},
            }
            if headers := _headers(operation):
                success["headers"] = headers
            found[operation.rest.status] = success
        problems = {400, 404, 422, 429, 503}
        if action.permission != Access.PUBLIC or not action.reads:
            problems |= {401, 403}
        if not action.reads:
            problems.add(409)
        if operation.takes_body:
            problems |= {408, 413, 415}
        for status in problems:
            found[status] = {"$ref": f"#/components/responses/Problem{status}"}
        return found

    def _schema(self, wanted: Any) -> Schema:
        return self._schema_of[repr(wanted)]

    def _describe(self, types: Iterable[Any]) -> None:
        """Put docstrings into the schemas of the structs."""
        originals = {one.body_struct: one.action.request for one in self._operations}
        for struct in _structs(types):
            # Two structs of one name have the names of their modules before theirs.
            long = _NO_NAME.sub("_", f"{struct.__module__}.{struct.__qualname__}")
            schema = self.schemas.get(struct.__name__) or self.schemas.get(long)
            if schema is None:
                continue
            origin = originals.get(struct, struct)
            schema.update(_described(summary_of(origin)))
            docs = docs_of(origin)
            for info in msgspec.structs.fields(struct):
                if text := docs.get(info.name):
                    schema["properties"][info.encode_name]["description"] = text


_WHO: Final = {
    Access.PUBLIC: "Takes no login.",
    Access.SIGNED_IN: "Takes a login, whatever its roles.",
    Access.ADMINISTRATOR: "Takes the role Administrator.",
}


def _answer(operation: Operation) -> Any:
    answer = operation.action.answer
    return list[get_args(answer)[0]] if get_origin(answer) is Page else answer  # type: ignore[misc]


def _tag(operation: Operation) -> str:
    return operation.action.name.partition(".")[0]


def _headers(operation: Operation) -> Schema:
    whole = {"schema": {"type": "integer"}, "description": "Rows of the whole list."}
    if get_origin(operation.action.answer) in (Page, list):
        return {"X-Total-Count": whole}
    headers: Schema = {}
    fields = msgspec.structs.fields(operation.action.answer)
    if any(info.name == "version" for info in fields):
        headers["ETag"] = {"schema": {"type": "string"}, "description": "The version."}
    if operation.location:
        headers["Location"] = {"schema": {"type": "string"}, "description": "Where it is."}
    return headers


def _described(text: str) -> Schema:
    return {"description": text} if text else {}


def _structs(types: Iterable[Any]) -> Iterable[type[msgspec.Struct]]:
    """All structs that the types are made of."""
    left, seen = list(types), set[Any]()
    while left:
        one = left.pop()
        if repr(one) in seen:
            continue
        seen.add(repr(one))
        left += get_args(one)
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            yield one
            left += [info.type for info in msgspec.structs.fields(one)]


def _loosen(schemas: Schema, schema: Schema) -> None:
    """Requests may give a decimal as a number too."""
    left: list[Any] = [schema]
    seen: set[str] = set()
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            left += one.values()
            if one.get("format") == "decimal":
                one.update({"type": ["string", "number"], "pattern": _DECIMAL})
            name = one.get("$ref", "").rpartition("/")[2]
            if name and name not in seen:
                seen.add(name)
                left.append(schemas[name])


def _plain_paths() -> Schema:
    """The routes that are no actions."""
    told: Schema = {"type": "object"}
    text: Schema = {"text/plain": {"schema": {"type": "string"}}}
    paths: Schema = {}
    for path, summary, content in (
        ("/health", "See whether the process lives.", {JSON: {"schema": told}}),
        ("/ready", "See whether the database answers.", {JSON: {"schema": told}}),
        ("/metrics", "Read the figures for Prometheus.", text),
        ("/openapi.json", "Read this document.", {JSON: {"schema": told}}),
        ("/.well-known/jwks.json", "Read the public keys of tokens.", {JSON: {"schema": told}}),
    ):
        responses: Schema = {"200": {"description": "It is.", "content": content}}
        if path == "/ready":
            responses["503"] = {"$ref": "#/components/responses/Problem503"}
        else:
            responses["429"] = {"$ref": "#/components/responses/Problem429"}
        paths[path] = {"get": {"operationId": "web." + path.strip("/.").replace("/", "."),
                               "summary": summary, "security": [],
                               "responses": responses}}  # fmt: skip
    return paths
