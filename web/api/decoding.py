"""From the bytes of a body, the query and the path to a request of the MES, without mercy.

Bytes that are no JSON are a bad request (400); JSON that does not say what the action takes cannot
be processed (422), with one complaint for each field that is wrong. Python's own reader goes first,
because it tells double keys and depth apart from other errors; msgspec then makes the request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

import msgspec

from cellwright.mes.kernel.actions import PageRequest, Request
from cellwright.mes.kernel.errors import Detail
from cellwright.web.api.plain_words import plain
from cellwright.web.api.problems import RefusalError

MAX_DIGITS: Final = 18
"""Most digits of a whole number; more do not fit the 64 bits of a database's integer."""
MAX_EXPONENT: Final = 30
"""Largest power of ten of any number, up or down. 1e999999999 is nine characters and a gigabyte."""
_PLAIN_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
"""Python's Decimal would also take ``1_0``, blanks around it, and digits of any script."""
_UNKEPT: Final = "is a number of a size that cannot be kept"
_NO_NUMBER: Final = "must be a number such as 12.5"
_MAX_PARAMETERS: Final = 100
_PAGE: Final = frozenset({"page", "limit"})


class _NotJsonError(ValueError):
    """The text is no JSON, or JSON that has more than one meaning."""


def strict_json(body: bytes) -> Any:
    """The value of the JSON text, with every number as its text. Raises RefusalError 400."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad(f"the body is not UTF-8: byte {error.start} begins no character") from None
    try:
        return json.loads(
            text,
            object_pairs_hook=_no_doubles,
            parse_constant=_no_constant,
            parse_int=_Number,
            parse_float=_Number,
        )
    except json.JSONDecodeError as error:
        raise _bad(
            f"the body is not JSON: {error.msg.lower()} at line {error.lineno}, "
            f"column {error.colno}"
        ) from None
    except _NotJsonError as error:
        raise _bad(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None


def body_request(decoder: BodyDecoder, body: bytes) -> Any:
    """What the body says, as the struct of the decoder. Raises RefusalError 400 or 422."""
    value = strict_json(body)
    if not isinstance(value, dict):
        raise invalid([Detail("", "the body must be an object")])
    try:
        details = list(_impossible(value, ""))
        if details:
            raise invalid(details)
        made = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(decoder.complaints(body, error)) from None
    except msgspec.DecodeError:
        raise invalid([Detail("", "the body holds what no field of this request takes")]) from None
    except RecursionError:
        raise _too_deep() from None
    wrong = list(_wrong_numbers(made, value, ""))
    if wrong:
        raise invalid(wrong)
    return made


class BodyDecoder:
    """Decodes a body into a struct, and says of a wrong one all that is wrong."""

    def __init__(self, struct: type[msgspec.Struct]) -> None:
        self.struct = struct
        self._decoder = msgspec.json.Decoder(struct)
        self._fields = {info.encode_name: info for info in msgspec.structs.fields(struct)}

    def decode(self, body: bytes) -> Any:
        """The struct; raises msgspec's errors."""
        return self._decoder.decode(body)

    def complaints(self, body: bytes, first: msgspec.ValidationError) -> list[Detail]:
        """One for each field that is wrong; at least that of ``first``."""
        try:
            given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except msgspec.DecodeError:
            return [Detail(*plain(str(first)))]
        details = [Detail(name, "is missing") for name, info in self._fields.items()
                   if info.required and name not in given]  # fmt: skip
        for name, raw in given.items():
            info = self._fields.get(name)
            if info is None:
                details.append(Detail(name, "is not a field of this request"))
                continue
            try:
                _decoder_of(info.type).decode(raw)
            except msgspec.ValidationError as error:
                where, what = plain(str(error), info.type)
                details.append(Detail(_joined(name, where), what))
        return details or [Detail(*plain(str(first)))]


@dataclass(frozen=True, slots=True)
class TextField:
    """A field whose value comes as text, from the path or the query."""

    name: str
    """Its name as the address spells it."""
    attribute: str
    """Its name in the request."""
    type: Any

    def value(self, text: str) -> Any:
        """The value; raises `TextFieldError` with what is wrong in plain words."""
        try:
            text.encode()
        except UnicodeEncodeError:
            raise TextFieldError(Detail(self.name, "is not UTF-8")) from None
        strict = self.type is int or self.type == int | None
        if strict and not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()):
            raise TextFieldError(Detail(self.name, f"must be a whole number, is {text:.40}"))
        if len(text) > MAX_DIGITS and strict:
            raise TextFieldError(Detail(self.name, _UNKEPT))
        try:
            value = msgspec.convert(text, self.type, strict=False)
        except msgspec.ValidationError as error:
            raise TextFieldError(Detail(self.name, plain(str(error), self.type)[1])) from None
        if not _possible(value):
            raise TextFieldError(Detail(self.name, _UNKEPT))
        if isinstance(value, Decimal) and not _PLAIN_NUMBER.fullmatch(text):
            raise TextFieldError(Detail(self.name, _NO_NUMBER))
        return value


class TextFieldError(ValueError):
    """A text of the path or the query is no value of its field."""

    def __init__(self, detail: Detail) -> None:
        super().__init__(detail.message)
        self.detail = detail


def query_values(fields: Mapping[str, TextField], required: frozenset[str],
                 query: bytes, request: type[Request]) -> dict[str, Any]:  # fmt: skip
    """The fields that the query gives, by attribute. Raises RefusalError 400 (page) or 422."""
    found: dict[str, Any] = {}
    details: list[Detail] = []
    for name, text in _pairs(query):
        field = fields.get(name)
        if field is None:
            details.append(Detail(name, "is not a parameter of this request"))
        elif field.attribute in found:
            details.append(Detail(name, "is given twice"))
        else:
            try:
                found[field.attribute] = field.value(text)
            except TextFieldError as error:
                details.append(error.detail)
    details += [Detail(name, "is missing") for name in required
                if fields[name].attribute not in found
                and name not in {detail.field for detail in details}]  # fmt: skip
    if details:
        paging = issubclass(request, PageRequest) and all(d.field in _PAGE for d in details)
        raise (_page if paging else invalid)(details)
    return found


def invalid(details: list[Detail]) -> RefusalError:
    """422: the request was read and says what it must not."""
    first = details[0]
    text = f"{first.field} {first.message}" if first.field else first.message
    more = len(details) - 1
    if more:
        text += f" (and {more} more, see details)"
    return RefusalError(422, "invalid_request", text, details)


def _page(details: list[Detail]) -> RefusalError:
    text = "; ".join(f"{detail.field} {detail.message}" for detail in details)
    return RefusalError(400, "invalid_page", text, details)


def _too_deep() -> RefusalError:
    return _bad("the body is nested too deep")


def _bad(message: str) -> RefusalError:
    return RefusalError(400, "not_json", message)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise RefusalError(
            400, "bad_query", "the query cannot be read: it must be name=value&name=value in UTF-8"
        ) from None


class _Number(str):
    """A number as the JSON spells it."""

    __slots__ = ()

    @property
    def kept(self) -> bool:
        """False when no column of a database holds it."""
        mantissa, _, exponent = self.lower().partition("e")
        whole = mantissa.lstrip("-").partition(".")[0]
        return (
            len(whole) <= MAX_DIGITS
            and len(mantissa) <= 2 * MAX_EXPONENT
            and (not exponent or (len(exponent) <= 5 and abs(int(exponent)) <= MAX_EXPONENT))
        )


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _NotJsonError(f"{name[:60]!r} stands twice in one object")
            seen.add(name)
    return found


def _no_constant(name: str) -> NoReturn:
    raise _NotJsonError(f"{name} is no JSON number")


def _impossible(value: Any, where: str) -> Iterator[Detail]:
    """Complaints about numbers and texts that are valid JSON and cannot be kept."""
    if isinstance(value, _Number):
        if not value.kept:
            yield Detail(where, _UNKEPT)
    elif isinstance(value, str):
        if not _utf8(value):
            yield Detail(where, "holds half of a surrogate pair")
    elif isinstance(value, dict):
        for name, item in value.items():
            if not _utf8(name):
                yield Detail(where, "has a name that holds half of a surrogate pair")
            else:
                yield from _impossible(item, _joined(where, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _impossible(item, f"{where}[{index}]")


def _wrong_numbers(made: Any, given: Any, where: str) -> Iterator[Detail]:
    """Complaints about numbers of a decoded body; ``given`` is the same as `strict_json` has it."""
    if isinstance(made, Decimal | float):
        if not _possible(made):
            yield Detail(where, _UNKEPT)
        elif type(given) is str and not _PLAIN_NUMBER.fullmatch(given):
            yield Detail(where, _NO_NUMBER)
    elif isinstance(made, msgspec.Struct) and isinstance(given, dict):
        for info in msgspec.structs.fields(made):
            if info.encode_name in given:
                inner = getattr(made, info.name), given[info.encode_name]
                yield from _wrong_numbers(*inner, _joined(where, info.encode_name))
    elif isinstance(made, dict) and isinstance(given, dict):
        for name, item in made.items():
            yield from _wrong_numbers(item, given.get(name), _joined(where, str(name)))
    elif isinstance(made, list | tuple) and isinstance(given, list):
        for index, (item, one) in enumerate(zip(made, given, strict=False)):
            yield from _wrong_numbers(item, one, f"{where}[{index}]")


def _possible(value: Any) -> bool:
    if isinstance(value, float):
        value = Decimal(value)
    if not isinstance(value, Decimal):
        return True
    if not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and abs(value.adjusted()) <= MAX_EXPONENT


def _utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _joined(where: str, name: str) -> str:
    if not where or not name:
        return where or name
    return f"{where}{name}" if name.startswith("[") else f"{where}.{name}"


@lru_cache(maxsize=1024)
def _decoder_of(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)
