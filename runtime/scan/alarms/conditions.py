"""Makes callables of checked conditions and limits, for the scan's alarms.

A condition that came through the compiler can be asked in every cycle: it reads values and
qualities of the process image, nothing else, and does not fail.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from cellwright.io.plan import Limit, LimitKind, Op, Step, is_bad, is_good

Ask = Callable[[], Any]

_COMPARE: Final[dict[Op, Callable[[Any, Any], bool]]] = {
    Op.LESS: operator.lt,
    Op.LESS_OR_EQUAL: operator.le,
    Op.GREATER: operator.gt,
    Op.GREATER_OR_EQUAL: operator.ge,
    Op.EQUAL: operator.eq,
    Op.NOT_EQUAL: operator.ne,
}
_LEAVES: Final = frozenset({Op.TAG, Op.CONSTANT, Op.GOOD, Op.BAD})


class Tags(Protocol):
    """What a condition asks of the process image."""

    def getter(self, index: int) -> Ask:
        """A callable that gives the tag's value."""

    def quality(self, index: int) -> int:
        """Status code of the tag."""


def condition(steps: Sequence[Step], tags: Tags) -> Ask:
    """A callable that says whether the condition holds; raises ValueError for steps of no sense."""
    stack: list[Ask] = []
    try:
        for step in steps:
            stack.append(_made(step, stack, tags))
    except IndexError:
        stack.clear()
    if len(stack) != 1:
        raise ValueError(
            f"{len(steps)} steps are not a condition; the plan does not come from this version's "
            f"compiler"
        )
    return stack[0]


def _made(step: Step, stack: list[Ask], tags: Tags) -> Ask:
    if step.op in _LEAVES:
        return _leaf(step, tags)
    if step.op is Op.NOT:
        inner = stack.pop()
        return lambda: not inner()
    right, left = stack.pop(), stack.pop()
    if step.op is Op.AND:
        return lambda: left() and right()
    if step.op is Op.OR:
        return lambda: left() or right()
    compare = _COMPARE[step.op]
    return lambda: compare(left(), right())


def _leaf(step: Step, tags: Tags) -> Ask:
    tag, value = step.tag, step.value
    if step.op is Op.TAG:
        return tags.getter(tag)
    if step.op is Op.CONSTANT:
        return lambda: value
    judge = is_good if step.op is Op.GOOD else is_bad
    quality = tags.quality
    return lambda: judge(quality(tag))


def beyond(limit: Limit, read: Ask) -> Callable[[bool], bool]:
    """A callable that takes the present level and gives the next one, with the deadband.

    The level rises beyond the limit and falls ``deadband`` inside it; NaN changes nothing.
    """
    at = limit.at
    if limit.kind in (LimitKind.HIGH, LimitKind.HIGH_HIGH):
        back = at - limit.deadband
        return lambda level: not read() <= back if level else read() > at
    back = at + limit.deadband
    return lambda level: not read() >= back if level else read() < at
