"""Runs one part of the file through its model and turns pydantic's errors into complaints.

Each entry is validated alone, so that one broken tag does not hide the errors of the others.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cellwright.io.files.located_yaml import Node
from cellwright.io.files.problems import Mark, Problems, nearest
from cellwright.io.options import from_file
from cellwright.runtime.config.sections.section import Section

M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]

_EXTRA: Final = "extra_forbidden"
_COMMA: Final = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_NAMES: Final = {
    r"^[A-Za-z][A-Za-z0-9_-]{0,63}$": ("letters, digits, _ and -", 64),
    r"^[A-Za-z_][A-Za-z0-9_]{0,39}$": ("letters, digits and _", 40),
}
"""Patterns of names in words, and their greatest length."""
REMEDIES: Final = {
    "users": "make it with `cellwright user add NAME . --role Operator`, or correct the name"
}
"""What to do about a file that is not there, by the key that names it."""
_KINDS: Final = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "list": "a list in [ ]",
    "tuple": "a list in [ ]",
    "dict": "a mapping of keys",
    "model": "a mapping of keys",
    "mapping": "a mapping of keys",
}


def misspelt(names: Sequence[str], known: Sequence[str]) -> set[str]:
    """The known names that are meant by unknown ones: they are there, and are not missed."""
    close = (difflib.get_close_matches(name, known, n=1) for name in names if name not in known)
    return {one[0] for one in close if one}


def validate(
    model: type[M],
    data: Mapping[str, Any],
    root: Node,
    path: Path,
    problems: Problems,
    *,
    subject: str,
    also: Sequence[str] = (),
    context: dict[str, Any] | None = None,
) -> M | None:
    """An instance of ``model``, or None when it cannot be had; complains either way.

    ``root`` and ``path`` say where ``data`` stands in the file. Unknown keys are reported and left
    out, so that what else is wrong with the entry still comes to light. ``also`` are keys that
    stand in the same mapping and belong to another model, for the suggestions. ``context`` goes to
    the validators of options.
    """
    data = dict(data)
    reporter = _Reporter(model, root, path, problems, subject, also)
    try:
        return _checked(model, data, context)
    except ValidationError as error:
        details = error.errors(include_url=False)
    reporter.report(details)
    if not all(detail["type"] == _EXTRA for detail in details):
        return None
    for detail in details:
        _remove(data, detail["loc"])
    try:
        return _checked(model, data, context)
    except ValidationError as error:
        reporter.report(error.errors(include_url=False))
        return None


def _checked(model: type[M], data: dict[str, Any], context: dict[str, Any] | None) -> M:
    """Sections are made for what YAML gives; options may be of any type."""
    if issubclass(model, Section):
        return model.model_validate(data)
    return from_file(model, data, context)


def _remove(data: Any, location: Sequence[str | int]) -> None:
    for step in location[:-1]:
        data[step] = dict(data[step]) if isinstance(data[step], dict) else data[step]
        data = data[step]
    del data[location[-1]]


@dataclass(frozen=True, slots=True)
class _Reporter:
    model: type[BaseModel]
    root: Node
    path: Path
    problems: Problems
    subject: str
    also: Sequence[str]

    def report(self, details: Sequence[ErrorDetails]) -> None:
        missing = {str(detail["loc"][-1]) for detail in details if detail["type"] == "missing"}
        misspelled: set[str] = set()
        for detail in details:
            if detail["type"] == _EXTRA:
                misspelled.update(difflib.get_close_matches(str(detail["loc"][-1]), missing, n=1))
        marked: set[Mark] = set()
        for detail in details:
            location = (*self.path, *detail["loc"])
            if detail["type"] == _EXTRA:
                self._unknown(detail["loc"])
            elif detail["type"] == "missing":
                if str(location[-1]) not in misspelled:
                    self._missing(detail["loc"])
            else:
                mark = self.root.at(location)
                if mark not in marked:  # a union complains once for each of its members
                    marked.add(mark)
                    self.problems.error(mark, *_sentence(detail, location))

    def _unknown(self, location: Path) -> None:
        if re.fullmatch(r"\d+ ?[a-z]*", str(location[-1])):
            self.problems.error(
                self.root.at((*self.path, *location), key=True),
                f"the number {location[-1]} stands behind a comma",
                "a comma separates two keys here, and decimals have a point",
                f"write a decimal point: 5.{location[-1]} instead of 5,{location[-1]}",
            )
            return
        known = _keys(self.model, location[:-1])
        if len(location) == 1:
            known += self.also
        self.problems.error(
            self.root.at((*self.path, *location), key=True),
            f"unknown key '{location[-1]}'",
            f"{self.subject} has no such key",
            nearest(str(location[-1]), known),
        )

    def _missing(self, location: Path) -> None:
        self.problems.error(
            self.root.at((*self.path, *location), key=True),
            f"the key '{location[-1]}' is missing",
            f"{self.subject} cannot do without it",
            f"add `{location[-1]}:`{_purpose(self.model, location)}",
        )


def _sentence(detail: ErrorDetails, location: Sequence[str | int]) -> tuple[str, str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "cellwright":
        return str(context["what"]), str(context["why"]), str(context["remedy"])
    name = str(location[-1])
    shown = _show(detail["input"])
    where = ".".join(str(step) for step in location)
    limit = _special(detail, name, shown) or _limit(kind, name, shown, context)
    if limit is not None:
        return limit
    if kind == "literal_error":
        allowed = str(context["expected"])
        names = [part.strip("' ") for part in allowed.replace(" or ", ",").split(",")]
        close = nearest(str(detail["input"]), names)
        remedy = close if close.startswith("did you mean") else f"write {allowed}"
        return f"{name} is {shown}", f"it can be {allowed}", remedy
    if kind == "value_error":
        return f"{name} is {shown}", str(context["error"]), f"correct the value of {where}"
    base = kind.removesuffix("_type").removesuffix("_parsing")
    if base in _KINDS:
        return (
            f"{name} is {shown}",
            f"{where} takes {_KINDS[base]}",
            _remedy(base, detail["input"]),
        )
    return f"{name} is {shown}", detail["msg"], f"correct the value of {where}"


def _is_number(name: str, value: object) -> bool:
    return name in ("in", "out") and isinstance(value, int) and not isinstance(value, bool)


def _special(detail: ErrorDetails, name: str, shown: str) -> tuple[str, str, str] | None:
    """The complaint about a misspelt name, or about a number where an address belongs."""
    if detail["type"] == "string_pattern_mismatch":
        return _misspelt(name, detail["input"], str(detail["ctx"]["pattern"]))
    if detail["type"] == "string_type" and _is_number(name, detail["input"]):
        return (
            f"{name} is {shown}",
            "an address is device.area[index], and indexes count from 0:"
            " the register number 40001 is holding_registers[0]",
            "write one like remote_io.holding_registers[0]",
        )
    return None


def _limit(
    kind: str, name: str, shown: str, context: Mapping[str, Any]
) -> tuple[str, str, str] | None:
    """The complaint about a number or a list beyond its bounds."""
    if kind in ("greater_than_equal", "less_than_equal", "greater_than", "less_than"):
        bound = next(iter(context.values()))
        word = kind.replace("_", " ").replace("than equal", "than or equal to")
        return f"{name} is {shown}", "it is out of range", f"write a value {word} {bound}"
    if kind in ("too_short", "too_long"):
        wanted = context.get("min_length", context.get("max_length"))
        return (
            f"{name} has {context.get('actual_length')} values",
            f"it takes {wanted}",
            f"write {wanted} values, for example [0, 10], and decimals with a point",
        )
    return None


def decimal_point(value: object) -> str | None:
    """The remedy for a number with a decimal comma, None when it is no such thing."""
    if isinstance(value, str) and _COMMA.fullmatch(value.strip()):
        return f"write a decimal point: {value.strip().replace(',', '.')}"
    return None


def _misspelt(name: str, value: object, pattern: str) -> tuple[str, str, str]:
    """A name that is not made as names are; proposes one that is, if there is one."""
    shown = str(value)
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", shown).strip("_")
    close = [one for one in (plain, plain.replace("-", "_")) if re.fullmatch(pattern, one)]
    letters, longest = _NAMES.get(pattern, ("the characters that names have", 64))
    return (
        f"{name} is {_show(value)}",
        f"a name begins with a letter and has {letters}, at most {longest} characters",
        f"write {close[0]}" if close else "choose a name like Cell_1",
    )


def _remedy(base: str, value: object) -> str:
    if base == "string" and isinstance(value, bool | int | float):
        return f'put it in quotes: "{value}"'
    if base == "bool":
        return "write true or false without quotes"
    if base in ("int", "float"):
        return decimal_point(value) or "write a number without quotes"
    if base in ("dict", "model", "mapping"):
        return "write `key: value` lines below it, or { key: value }"
    if base in ("list", "tuple"):
        return "write it like [first, second]"
    return "write some text"


def _show(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    inner = model
    for step in location:
        field = next((f for key, f in inner.model_fields.items() if (f.alias or key) == step), None)
        found = _model_in(field.annotation) if field is not None else None
        if found is None:
            return []
        inner = found
    return [field.alias or key for key, field in inner.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found is not None:
            return found
    return None


def _purpose(model: type[BaseModel], location: Sequence[str | int]) -> str:
    if len(location) != 1:
        return ""
    for key, field in model.model_fields.items():
        if (field.alias or key) == location[0] and field.description:
            first = " ".join(field.description.split()).split(". ")[0].rstrip(".")
            return f" ({first[0].lower()}{first[1:]})"
    return ""
