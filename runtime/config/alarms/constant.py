"""Finds conditions that are always true or never: alarms of them stand for ever or never come.

Called by the compiler with the steps of a parsed condition. It tries the values at which the
condition can change (constants, their neighbours, the ends of the types) and says nothing about a
condition that has too many of them: what is not proved is not told.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import Any, Final

from cellwright.io.plan import INTEGERS, Code, Op, Step, TagType, integer_range

MOST_CASES: Final = 2000
"""Combinations of values that are tried; most conditions differ in the first two."""
LARGEST_REAL: Final = 3.4028234663852886e38

Span = tuple[float, float]

_COMPARE: Final[dict[Op, Callable[[Any, Any], bool]]] = {
    Op.LESS: operator.lt,
    Op.LESS_OR_EQUAL: operator.le,
    Op.GREATER: operator.gt,
    Op.GREATER_OR_EQUAL: operator.ge,
    Op.EQUAL: operator.eq,
    Op.NOT_EQUAL: operator.ne,
}
_GOOD, _UNCERTAIN, _BAD = range(3)
_ELSE: Final = ["\0", "\1"]
"""Stand for texts that the condition does not name: two, as two tags may differ."""


def span_of(kind: TagType) -> Span:
    """The lowest and highest number of the type; infinite where a type has no end of its own."""
    if kind.code in INTEGERS or kind.code is Code.TIME:
        low, high = integer_range(kind.code)
        return low, high
    if kind.code is Code.REAL:
        return -LARGEST_REAL, LARGEST_REAL
    return -math.inf, math.inf


def constant(
    steps: Sequence[Step], types: Mapping[int, TagType], spans: Mapping[int, Span]
) -> bool | None:
    """What the condition always is; None when it changes or this is not known.

    ``types`` and ``spans`` give type and range of each tag by its index; a tag without a span has
    that of its type.
    """
    of_tags = {
        step.tag: spans.get(step.tag, span_of(types[step.tag]))
        for step in steps
        if step.op is Op.TAG
    }
    if len(of_tags) > 2 and _compares_tags(steps):
        return None  # between two marks there would have to be a value for each of them
    marks = {end for span in of_tags.values() for end in span if math.isfinite(end)}
    asked: dict[tuple[bool, int], list[Any]] = {}
    for step in steps:
        if step.op is Op.TAG:
            values = _values(steps, types[step.tag], of_tags[step.tag], marks)
            asked.setdefault((True, step.tag), values)
        elif step.op in (Op.GOOD, Op.BAD):
            asked.setdefault((False, step.tag), [_GOOD, _UNCERTAIN, _BAD])
    if math.prod(len(values) for values in asked.values()) > MOST_CASES:
        return None
    found: bool | None = None
    for case in _cases(list(asked.values())):
        holds = _holds(steps, dict(zip(asked, case, strict=True)))
        if found is not None and holds is not found:
            return None
        found = holds
    return found


def constant_comparison(
    steps: Sequence[Step],
    types: Mapping[int, TagType],
    spans: Mapping[int, Span],
    names: Callable[[int], str],
) -> tuple[str, bool] | None:
    """The first comparison of two single values that is constant, as text, and what it is."""
    for at in range(2, len(steps)):
        part = steps[at - 2 : at + 1]
        if part[2].op not in _COMPARE or any(
            step.op not in (Op.TAG, Op.CONSTANT) for step in part[:2]
        ):
            continue
        always = constant(part, types, spans)
        if always is not None:
            left, right = (
                names(step.tag) if step.op is Op.TAG else _shown(step.value) for step in part[:2]
            )
            return f"{left} {part[2].op.value} {right}", always
    return None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def _cases(values: list[list[Any]]) -> Iterator[tuple[Any, ...]]:
    """All combinations, the ones that most probably differ first."""
    ends = [tuple(one[0] for one in values), tuple(one[-1] for one in values)]
    return chain(ends, product(*values))


def _compares_tags(steps: Sequence[Step]) -> bool:
    return any(
        steps[at].op in _COMPARE and steps[at - 1].op is steps[at - 2].op is Op.TAG
        for at in range(2, len(steps))
    )


def _values(steps: Sequence[Step], kind: TagType, span: Span, ends: set[float]) -> list[Any]:
    """The values of a tag between which a condition cannot change."""
    if kind.code is Code.BOOL:
        return [False, True]
    constants = [step.value for step in steps if step.op is Op.CONSTANT]
    if kind.code is Code.STRING:
        texts = dict.fromkeys(one for one in constants if isinstance(one, str))
        return [one for one in texts if len(one.encode()) <= kind.length] + _ELSE
    low, high = span
    marks = [one for one in constants if isinstance(one, int | float) and not isinstance(one, bool)]
    marks += ends
    whole = kind.code in INTEGERS or kind.code is Code.TIME
    found = {low, high, 0, 1}
    for mark in marks:
        if whole:
            found |= {math.floor(mark) - 1, math.floor(mark), math.ceil(mark), math.ceil(mark) + 1}
        else:
            found |= {math.nextafter(mark, -math.inf), mark, math.nextafter(mark, math.inf)}
    return sorted(one for one in found if low <= one <= high)


def _holds(steps: Sequence[Step], case: Mapping[tuple[bool, int], Any]) -> bool:
    stack: list[Any] = []
    for step in steps:
        if step.op is Op.TAG:
            stack.append(case[True, step.tag])
        elif step.op is Op.CONSTANT:
            stack.append(step.value)
        elif step.op in (Op.GOOD, Op.BAD):
            stack.append(case[False, step.tag] == (_GOOD if step.op is Op.GOOD else _BAD))
        elif step.op is Op.NOT:
            stack.append(not stack.pop())
        else:
            right, left = stack.pop(), stack.pop()
            if step.op is Op.AND:
                stack.append(left and right)
            elif step.op is Op.OR:
                stack.append(left or right)
            else:
                stack.append(_COMPARE[step.op](left, right))
    return bool(stack[0])
