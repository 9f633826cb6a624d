"""Finds tags by name or pattern and reads values as people type them."""

from __future__ import annotations

import difflib
import fnmatch
import json
import math

from cellwright.io.plan import Code, Plan, Tag, Value


def parse_value(tag: Tag, text: str) -> Value:
    """What was typed as the tag's type holds it; raises ValueError that says what it takes."""
    if tag.type.is_array:
        try:
            items = json.loads(text, parse_float=_number)
        except json.JSONDecodeError as error:
            raise ValueError(f"{tag.type} takes a JSON list like [1, 2], not '{text}'") from error
        return tag.type.check(items)
    if tag.type.code is Code.STRING:
        return tag.type.check(text)
    if tag.type.code is Code.BOOL:
        word = text.strip().lower()
        if word in ("true", "1", "on"):
            return True
        if word in ("false", "0", "off"):
            return False
        raise ValueError(f"BOOL takes true or false, not '{text}'")
    try:
        number = int(text, 0)
    except ValueError:
        try:
            return tag.type.check(_number(text))
        except ValueError as error:
            raise ValueError(f"{tag.type} takes a number, not '{text}' ({error})") from error
    return tag.type.check(number)


def _number(text: str) -> float:
    """A number as it is typed; raises ValueError for one that no computer's number holds."""
    number = float(text)
    if math.isinf(number) and any(character.isdigit() for character in text):
        raise ValueError(f"{text} is larger than any number here, which end at 1.8e308")
    return number


def unknown_tag(plan: Plan, name: str) -> str:
    """A sentence about a name that is no tag, with the nearest ones."""
    near = difflib.get_close_matches(name, [tag.name for tag in plan.tags], n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "see 'cellwright tags list'"
    return f"cell '{plan.cell}' has no tag '{name}'; {hint}"


def matching(plan: Plan, pattern: str) -> list[Tag]:
    """Tags whose name matches a pattern with ``*``, or contains the text when it has none."""
    wild = any(character in pattern for character in "*?[")
    names = {tag.name for tag in plan.tags}
    if pattern in names:
        return [tag for tag in plan.tags if tag.name == pattern]
    return [
        tag
        for tag in plan.tags
        if (fnmatch.fnmatchcase(tag.name, pattern) if wild else pattern in tag.name)
    ]
