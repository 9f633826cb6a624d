"""What makes the recorder keep its window: faults, skipped ticks, conditions on tags.

The recorder process asks after each recorded cycle. Looks at the recorded image only, never at the
running one.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final

from cellwright.io.iec import Code
from cellwright.io.plan import Plan, Tag
from cellwright.io.recording_cycle import CycleRecord, Shadow
from cellwright.io.recording_values import ImageView
from cellwright.io.system_tags import CellState

MOST_CONDITIONS: Final = 16
_CONDITION: Final = re.compile(
    r"\s*(?P<tag>[^\s<>=!]+)\s*(?P<sign><=|>=|==|!=|<|>)\s*(?P<value>\S+)\s*"
)
_SIGNS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
}


class ConditionError(ValueError):
    """A condition that cannot be watched; the sentence says what can."""


class Condition:
    """``TAG SIGN VALUE``, for example ``pressure > 6.5``; tags that are one number or BOOL."""

    def __init__(self, plan: Plan, text: str) -> None:
        """Raises ConditionError."""
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise ConditionError(
                f"'{text}' is no condition; write a tag, one of {', '.join(_SIGNS)} and a value, "
                f"for example 'pressure > 6.5'"
            )
        try:
            self.tag: Tag = plan.tag(match["tag"])
        except KeyError:
            raise ConditionError(f"there is no tag '{match['tag']}'") from None
        if self.tag.type.is_array or self.tag.type.code is Code.STRING:
            raise ConditionError(f"tag '{self.tag.name}' is {self.tag.type}, not one number")
        self.text = f"{match['tag']} {match['sign']} {match['value']}"
        self._holds = _SIGNS[match["sign"]]
        self._value = _number(match["value"])
        self._held = True
        """Until it was seen not to hold: a condition is an edge."""

    def rises(self, view: ImageView) -> bool:
        """It holds now and did not in the cycle before."""
        holds = self._holds(view.value(self.tag), self._value)
        rises = holds and not self._held
        self._held = holds
        return rises


def _number(text: str) -> float | int | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text, 0)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise ConditionError(f"'{text}' is no number, true or false") from None


class ImageWatch:
    """The causes of the runtime's own, and the conditions that were asked for."""

    def __init__(self, plan: Plan) -> None:
        self._state = plan.tag("sys.state")
        self._skipped = plan.tag("sys.skipped")
        self._fault = plan.tag("sys.first_fault")
        self._plan = plan
        self._shadow: Shadow | None = None
        self._view: ImageView
        self._was: tuple[Any, Any] | None = None
        self.conditions: list[Condition] = []

    def add(self, condition: Condition) -> None:
        """Watch for one more; the oldest goes when there are too many."""
        self.conditions = [*self.conditions, condition][-MOST_CONDITIONS:]

    def __call__(self, record: CycleRecord, shadow: Shadow) -> str:
        """A cause, its first word for the file's name; empty when there is none."""
        if shadow is not self._shadow:
            self._shadow, self._view = shadow, ImageView(self._plan, shadow.region)
        view = self._view
        now = view.value(self._state), view.value(self._skipped)
        was, self._was = self._was, now
        for condition in self.conditions:
            if condition.rises(view):
                self.conditions.remove(condition)
                return f"condition {condition.text}"
        if was is None or now == was:
            return ""
        if now[0] != was[0] and now[0] == CellState.FAULT:
            return f"fault {view.value(self._fault)}"
        if now[1] > was[1]:
            return f"overrun {now[1] - was[1]} ticks were skipped before cycle {record.cycle}"
        return ""
