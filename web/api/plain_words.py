"""msgspec's complaints about a request, in words of those who wrote the request.

Used where a request is decoded. A complaint that is not known here is passed on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import EnumType
from typing import Any, Final, Literal, Union, get_args, get_origin

_AT: Final = re.compile(r" - at `(?P<path>[^`]*)`$")
_EXPECTED: Final = re.compile(
    r"Expected `(?P<wanted>[^`]+)`(?P<bound> [^,]+)?(?:, got `(?P<got>[^`]+)`)?"
)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_ENUM: Final = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)
_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "str": "a text",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
    "datetime": "a time such as 2026-01-31T12:00:00Z",
    "date": "a date such as 2026-01-31",
    "uuid": "a UUID",
}
_SAID: Final = {
    "Invalid RFC3339 encoded datetime": f"must be {_WORDS['datetime']}",
    "Invalid RFC3339 encoded date": f"must be {_WORDS['date']} that exists",
    "Invalid decimal string": "must be a number",
    "out of range": "is a number of a size that cannot be kept",
}
"""Part of a complaint of msgspec to ours; the first that fits is taken."""


def plain(message: str, wanted: Any = None) -> tuple[str, str]:
    """Where it is, as ``operations[0].name``, and what is wrong there.

    ``wanted`` is the type of the value, for the words that may stand there.
    """
    at = _AT.search(message)
    path = at["path"].removeprefix("$").lstrip(".") if at else ""
    if path == "...":
        path = ""
    text = message[: at.start()] if at else message
    for form, complaint in ((_MISSING, "is missing"), (_UNKNOWN, "is not a field of this request")):
        if found := form.match(text):
            return (f"{path}.{found['name']}" if path else found["name"]), complaint
    return path, _complaint(text, wanted)


def _complaint(text: str, wanted: Any) -> str:
    if found := _ENUM.match(text):
        choices = ", ".join(map(str, _choices(wanted)))
        return f"must be one of {choices}" if choices else f"is no word for it: {found['value']}"
    if found := _EXPECTED.match(text):
        bound = f" {found['bound'].strip()}" if found["bound"] else ""
        got = f", is {_said(found['got'])}" if found["got"] else ""
        return f"must be {_said(found['wanted'])}{bound}{got}"
    for part, complaint in _SAID.items():
        if part in text:
            return complaint
    return text[:1].lower() + text[1:]


def _said(types: str) -> str:
    return " or ".join(_WORDS.get(word.strip(), word.strip()) for word in types.split("|"))


def _choices(wanted: Any) -> tuple[Any, ...]:
    if isinstance(wanted, EnumType):
        members: Mapping[str, Any] = wanted.__members__
        return tuple(member.value for member in members.values())
    origin = get_origin(wanted)
    if origin is Literal:
        return get_args(wanted)
    if origin is Union or hasattr(wanted, "__args__"):
        return tuple(choice for one in get_args(wanted) for choice in _choices(one))
    return ()
