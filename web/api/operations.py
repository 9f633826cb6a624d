"""One action of the MES as a REST operation: what its request is made of, how its answer looks.

Made once for each action that has a REST door; knows HTTP's words but no socket, no thread and no
rule of the MES.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import msgspec

from cellwright.mes.kernel.actions import Action, Change, Nothing, Page, Request, Rest
from cellwright.mes.kernel.errors import Detail
from cellwright.web.api.decoding import (
    BodyDecoder,
    TextField,
    TextFieldError,
    body_request,
    invalid,
    query_values,
)
from cellwright.web.api.problems import RefusalError

PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
"""A field of the request in the path of a route."""
BODIES: Final = frozenset({"POST", "PUT"})
"""Methods whose fields come in a body; those of the others come in the query."""
JSON: Final = "application/json"
_ETAG: Final = re.compile(r'(?:W/)?"(\d{1,18})"')

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the client."""

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()
    media_type: str = JSON


class Operation:
    """An action behind its route. Threads may share it."""

    def __init__(self, action: Action[Any, Any], rest: Rest) -> None:
        """Raises ValueError for a path with a placeholder that is no field of the request."""
        self.action = action
        self.rest = rest
        self.takes_body = rest.method in BODIES
        fields = {info.name: info for info in msgspec.structs.fields(action.request)}
        spelled = {info.encode_name: info for info in fields.values()}
        self.path_fields: dict[str, TextField] = {}
        for name in PLACEHOLDER.findall(rest.path):
            info = spelled.get(name) or fields.get(name)
            if info is None:
                raise ValueError(f"{action.name}: {{{name}}} of {rest.path} is no field of "
                                 f"{action.request.__name__}")  # fmt: skip
            self.path_fields[name] = TextField(name, info.name, info.type)
        in_path = {field.attribute for field in self.path_fields.values()}
        self.other_fields = tuple(info for info in fields.values() if info.name not in in_path)
        self.query_fields = {
            info.encode_name: TextField(info.encode_name, info.name, info.type)
            for info in self.other_fields
        }
        self.required = frozenset(info.encode_name for info in self.other_fields if info.required)
        request: Any = action.request  # a class is hashable, which mypy does not see of this one
        self.body_struct = _without(request, frozenset(in_path))
        self._decoder = BodyDecoder(self.body_struct)
        self._versioned = issubclass(action.request, Change)
        self.location = ""
        """Path of what was made, with one placeholder; empty when no route shows it."""

    def find_location(self, others: Iterable[Operation]) -> None:
        """See which route shows what this one makes."""
        if self.rest.status != 201:
            return
        for other in others:
            tail = other.rest.path.removeprefix(self.rest.path + "/")
            if other.rest.method == "GET" and PLACEHOLDER.fullmatch(tail):
                self.location = other.rest.path

    def request(
        self, path: Mapping[str, str], query: bytes, headers: Headers, body: bytes
    ) -> Request:
        """The request of the MES. Raises RefusalError."""
        values: dict[str, Any] = {}
        for name, field in self.path_fields.items():
            try:
                values[field.attribute] = field.value(path[name])
            except TextFieldError as error:
                # What cannot be an id is the id of nothing.
                raise RefusalError(404, "not_found", f"nothing has this address: {name} {error}",
                              [error.detail]) from None  # fmt: skip
        if self.takes_body:
            query_values({}, frozenset(), query, self.action.request)
            values.update(self._from_body(headers, body))
        else:
            values.update(
                query_values(self.query_fields, self.required, query, self.action.request)
            )
        if self._versioned:
            self._heed_if_match(headers, values)
        try:
            made: Request = self.action.request(**values)
        except (TypeError, ValueError) as error:
            raise invalid([Detail("", str(error))]) from None
        return made

    def reply(self, answer: Any, *, repeated: bool) -> Reply:
        """The answer as HTTP has it."""
        headers: list[tuple[str, str]] = []
        if repeated:
            headers.append(("Idempotent-Replayed", "true"))
        if isinstance(answer, Nothing) or answer is None:
            return Reply(204, headers=headers)
        if isinstance(answer, Page):
            headers.append(("X-Total-Count", str(answer.total)))
            return Reply(self.rest.status, msgspec.json.encode(answer.items), headers)
        if isinstance(answer, list | tuple):
            headers.append(("X-Total-Count", str(len(answer))))
            return Reply(self.rest.status, msgspec.json.encode(answer), headers)
        version = getattr(answer, "version", None)
        if isinstance(version, int):
            headers.append(("ETag", f'"{version}"'))
        if self.location:
            headers += _located(self.location, answer)
        return Reply(self.rest.status, msgspec.json.encode(answer), headers)

    def _from_body(self, headers: Headers, body: bytes) -> dict[str, Any]:
        if not body:
            if self.required:
                needed = ", ".join(sorted(self.required))
                raise RefusalError(
                    400,
                    "not_json",
                    f"the request has no body; it needs a JSON object with {needed}",
                )
            return {}
        check_media_type(headers)
        made = body_request(self._decoder, body)
        return {info.name: getattr(made, info.name) for info in self.other_fields}

    def _heed_if_match(self, headers: Headers, values: dict[str, Any]) -> None:
        given = [value.decode("latin-1").strip() for name, value in headers if name == b"if-match"]
        if not given or given == ["*"]:
            return
        match = _ETAG.fullmatch(given[0]) if len(given) == 1 else None
        if match is None:
            raise invalid([Detail("If-Match", 'must be one ETag of this server, such as "3"')])
        version = int(match[1])
        if values.get("version") not in (None, version):
            both = f"is {values['version']}, and If-Match says {version}; give one of them"
            raise invalid([Detail("version", both)])
        values["version"] = version


def check_media_type(headers: Headers) -> None:
    """Raises RefusalError 415 for a body that is not declared to be JSON in UTF-8."""
    given = [value.decode("latin-1") for name, value in headers if name == b"content-type"]
    kind, _, rest = (given[0] if len(given) == 1 else "").partition(";")
    parameters = [part.strip().lower().replace('"', "") for part in rest.split(";") if part.strip()]
    charsets = [part for part in parameters if part.startswith("charset=")]
    if kind.strip().lower() != JSON or charsets not in ([], ["charset=utf-8"], ["charset=utf8"]):
        shown = given[0][:60] if given else "nothing"
        raise RefusalError(
            415,
            "unsupported_media_type",
            f"the body must be {JSON} in UTF-8, Content-Type says {shown!r}",
            headers=[("Accept", JSON)],
        )


@cache
def _without(request: Any, in_path: frozenset[str]) -> type[msgspec.Struct]:
    """The request as a body has it: without the fields that stand in the path."""
    whole: type[msgspec.Struct] = request
    if not in_path:
        return whole
    fields = [info for info in msgspec.structs.fields(whole) if info.name not in in_path]
    declared: list[Any] = []
    for info in fields:
        if info.required:
            declared.append((info.name, info.type))
        elif info.default is not msgspec.NODEFAULT:
            declared.append((info.name, info.type, info.default))
        else:
            default = msgspec.field(default_factory=info.default_factory)
            declared.append((info.name, info.type, default))
    return msgspec.defstruct(
        f"{whole.__name__}Body",
        declared,
        module=whole.__module__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        rename={info.name: info.encode_name for info in fields},
    )


def _located(path: str, answer: Any) -> list[tuple[str, str]]:
    (name,) = PLACEHOLDER.findall(path.rpartition("/")[2])
    names = {info.encode_name: info.name for info in msgspec.structs.fields(answer)}
    value = getattr(answer, names.get(name, name), None)
    if value is None or "{" in path.rpartition("/")[0]:
        return []
    return [("Location", f"{path.rpartition('/')[0]}/{quote(str(value), safe='')}")]
