"""What a list of tags has in its columns: the keys of a tag, and how the list spells them.

Used for writing lists and for reading them, so that both agree. Knows neither CSV nor YAML.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from cellwright.io.files.problems import Complaint
from cellwright.io.plan import Code, TagType

Row = dict[str, str]
"""Column to what its cell says."""
Keys = dict[str, Any]
"""Keys of a tag as `cell.yaml` has them."""

NAME: Final = "name"
_TEXTS: Final = ("type", "in", "out", "unit", "on_loss", "wire", "order", "encoding")
_SENTENCE: Final = "description"
_SWITCHES: Final = ("memory", "retain")
_VALUES: Final = ("initial", "substitute", "safe")
_RANGE: Final = ("range_low", "range_high")
_SCALE: Final = ("raw_low", "raw_high", "eng_low", "eng_high")
COLUMNS: Final = (
    NAME, "type", "in", "out", "memory", "description", "unit", *_RANGE, *_SCALE, "initial",
    "on_loss", "substitute", "safe", "retain", "write", "wire", "order", "encoding",
)  # fmt: skip
"""In the order of a written list."""

KEY_OF: Final[Mapping[str, str]] = {
    **{column: column for column in COLUMNS if column != NAME},
    **dict.fromkeys(_RANGE, "range"),
    **dict.fromkeys(_SCALE, "scale"),
}
"""Key of a tag that a column belongs to."""

PLACES: Final = frozenset({"in", "out", "memory"})
"""Keys of which a tag has one: a list that gives one takes the others away."""

_YES: Final = frozenset({"true", "1", "wahr", "yes"})
_NO: Final = frozenset({"false", "0", "falsch", "no"})
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d+|0x[0-9a-fA-F]+", re.ASCII)
_COMMA: Final = re.compile(r"([+-]?\d+),(\d+)([eE][+-]?\d+)?", re.ASCII)
_GROUPS: Final = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
_MAX_DIGITS: Final = 100
_POINT: Final = "write decimals with a point or a comma, and no separator of thousands"


def to_row(name: str, keys: Mapping[str, Any]) -> Row:
    """A tag of a file that is right, as cells of a list."""
    row = {NAME: name}
    for key in _TEXTS:
        if keys.get(key) is not None:
            row[key] = str(keys[key])
    for key in _SWITCHES:
        if keys.get(key) is not None:
            row[key] = _show(keys[key])
    if keys.get("range") is not None:
        row |= dict(zip(_RANGE, map(_show, keys["range"]), strict=True))
    if keys.get("scale") is not None:
        ends = [*keys["scale"]["raw"], *keys["scale"]["eng"]]
        row |= dict(zip(_SCALE, map(_show, ends), strict=True))
    for key in (_SENTENCE, *_VALUES):
        if keys.get(key) is not None:
            row[key] = _show_value(keys[key])
    if keys.get("write"):
        row["write"] = " ".join(keys["write"])
    return row


def to_keys(row: Mapping[str, str], type_text: str) -> tuple[Keys, dict[str, Complaint]]:
    """The keys that the cells of one row say, and what is wrong with a cell, by column.

    An empty cell is a key that is not given. ``type_text`` is the tag's type, which says how its
    values are read; one that is none leaves them as they are written.
    """
    keys: Keys = {}
    wrong: dict[str, Complaint] = {}
    type_ = _type(type_text)

    def take(column: str, key: str, read: Any) -> None:
        if row.get(column):
            try:
                keys[key] = read(row[column])
            except Complaint as complaint:
                wrong[column] = complaint

    for key in _TEXTS:
        take(key, key, str)
    for key in _SWITCHES:
        take(key, key, _switch)
    for key in _VALUES:
        take(key, key, lambda text, key=key: _value(text, type_, key))
    take(_SENTENCE, _SENTENCE, _text)
    take("write", "write", lambda text: re.split(r"[\s,;]+", text))
    _group(row, _RANGE, wrong, lambda ends: keys.update(range=ends))
    _group(row, _SCALE, wrong, lambda e: keys.update(scale={"raw": e[:2], "eng": e[2:]}))
    said = stated(keys)
    # In the order of the columns, in which a new tag is written.
    return {key: said[key] for key in dict.fromkeys(KEY_OF.values()) if key in said}, wrong


def stated(keys: Mapping[str, Any]) -> Keys:
    """The keys that say something: one that only repeats what holds without it is left out."""
    silent: tuple[Any, ...] = (None, "", [])
    return {
        key: value
        for key, value in keys.items()
        if (key in _VALUES and value is not None)
        or (key not in _VALUES and value is not False and value not in silent)
    }


def _group(
    row: Mapping[str, str], columns: tuple[str, ...], wrong: dict[str, Complaint], keep: Any
) -> None:
    given = [column for column in columns if row.get(column)]
    ends = []
    for column in given:
        try:
            ends.append(_number(row[column]))
        except Complaint as complaint:
            wrong[column] = complaint
    if given and len(given) < len(columns):
        empty = next(column for column in columns if column not in given)
        wrong.setdefault(
            empty,
            Complaint(
                f"{empty} is empty",
                f"{', '.join(columns)} belong together and {given[0]} is given",
                "fill all of them or none",
            ),
        )
    elif len(ends) == len(columns):
        keep(ends)


def _type(text: str) -> TagType | None:
    try:
        return TagType.parse(text)
    except ValueError:
        return None


def _switch(text: str) -> bool:
    word = text.casefold()
    if word in _YES or word in _NO:
        return word in _YES
    raise Complaint(f"'{text}' is neither true nor false", "it is a switch", "write true or false")


def _value(text: str, type_: TagType | None, key: str) -> Any:
    if type_ is None or (key == "safe" and text in ("hold", "off")):
        return text
    if type_.is_array:
        try:
            items = json.loads(text, parse_float=_number, parse_constant=_number, parse_int=_number)
        except (json.JSONDecodeError, RecursionError) as error:
            raise Complaint(
                f"'{text}' is no list", f"{key} is of the type {type_}", "write it like [1, 2]"
            ) from error
        return items
    if type_.code is Code.STRING:
        return _text(text)
    if type_.code is Code.BOOL:
        return int(text) if text in ("0", "1") else _switch(text)
    return _number(text)


def _text(text: str) -> str:
    """A text as it stands; in quotes when a list could not hold it otherwise."""
    if not text.startswith('"'):
        return text
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return text
    return found if isinstance(found, str) else text


def _number(text: str) -> int | float:
    if len(text) > _MAX_DIGITS:
        raise Complaint(f"'{text[:20]}...' is too long", "it has more digits than a number", _POINT)
    comma = _COMMA.fullmatch(text)
    if comma is not None:
        if _GROUPS.fullmatch(text):
            whole = text.replace(",", "")
            raise Complaint(
                f"'{text}' may be {text.replace(',', '.')} or {whole}",
                "in some countries a comma separates thousands, in others it begins decimals",
                f"write {text.replace(',', '.')} or {whole}",
            )
        text = text.replace(",", ".")
    if _INTEGER.fullmatch(text):
        return int(text, 16) if text.startswith("0x") else int(text)
    if _NUMBER.fullmatch(text) is None:
        raise Complaint(f"'{text}' is not a number", "a number stands in this column", _POINT)
    number = float(text)
    if math.isinf(number):
        raise Complaint(f"'{text}' is too large", "numbers end at 1.8e308", "write a smaller one")
    return number


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _show_value(value: Any) -> str:
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and (
        value.startswith('"') or value != value.strip() or not value.isprintable() or not value
    ):
        return json.dumps(value)
    return _show(value)
