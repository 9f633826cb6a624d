"""Checks limits, deadbands and delays of alarms against what the watched tag can hold.

Called by `alarms` when the whole tag table is known: an alarm must be able to come and to go.
"""

from __future__ import annotations

from typing import Final

from cellwright.io.files.located_yaml import Node
from cellwright.io.files.problems import Problems
from cellwright.io.plan import LimitKind
from cellwright.runtime.config.alarms.conditions import Condition
from cellwright.runtime.config.alarms.constant import span_of
from cellwright.runtime.config.alarms.drafts import AlarmDraft, declared_span
from cellwright.runtime.config.sections.durations import show_duration
from cellwright.runtime.config.tasks.binding import Use

_ABOVE: Final = (LimitKind.HIGH, LimitKind.HIGH_HIGH)
_BELOW: Final = (LimitKind.LOW, LimitKind.LOW_LOW)
_CLOCKS: Final = {"sys.clock_1s": 500_000_000, "sys.clock_100ms": 50_000_000}
"""Tags of the runtime that change by themselves, and after how long."""


def check_limit(
    alarm: AlarmDraft, kind: LimitKind, use: Use, root: Node, problems: Problems
) -> bool:
    """Whether the limit can be passed at all; complains when it cannot, or cannot be left again.

    The tag's type and scale must hold values on both sides; a declared range is only warned of,
    because a value may lie outside it.
    """
    at = float(getattr(alarm.model, kind))
    above = kind in _ABOVE
    low, high = _span(use)
    side = "above" if above else "below"
    where = root.at(("alarms", alarm.entry, kind))
    never = at > high or at < low or at == _type_span(use)[above]
    if (at < low) if above else (at > high):
        what, never = f"'{use.name}' is always {side} {kind} {at:g}", True
    else:
        what = f"'{use.name}' can never pass {kind} {at:g}"
    if never:
        problems.error(where, what, f"it goes from {low:g} to {high:g}", "correct the limit")
        return False
    declared = declared_span(use)
    if declared is not None and not (
        declared[0] <= at < declared[1] if above else declared[0] < at <= declared[1]
    ):
        problems.warning(
            where,
            f"'{use.name}' does not pass {kind} {at:g} while it is in its range",
            f"the range is {declared[0]:g} to {declared[1]:g},"
            f" and the alarm comes {side} the limit",
            "correct the limit, or the `range` or `scale` of the tag",
        )
    _can_leave(alarm, kind, use, root, problems)
    return True


def _can_leave(
    alarm: AlarmDraft, kind: LimitKind, use: Use, root: Node, problems: Problems
) -> None:
    """The way back through the deadband ends inside what the tag holds."""
    data = alarm.model
    at = float(getattr(data, kind))
    if not data.deadband:
        return
    above = kind in _ABOVE
    back = at - data.deadband if above else at + data.deadband
    where = root.at(("alarms", alarm.entry, "deadband"))
    goes = f"it goes {'at or below' if above else 'at or above'} {back:g}"
    low, high = _type_span(use)
    # The distance of two limits is one thing: it is told once, for the upper of the two.
    below = [(float(getattr(data, one)), one) for one in _BELOW if getattr(data, one) is not None]
    opposite = max(below, default=None) if above else None
    if not low <= back <= high:
        problems.error(
            where,
            f"the alarm {kind} of '{alarm.entry}' would never go",
            f"with the deadband {data.deadband:g} {goes}, and {use.type} holds {low:g} to {high:g}",
            f"write at most {abs(at - (low if above else high)):g}",
        )
    elif opposite is not None and back < opposite[0]:
        value, other = opposite
        problems.error(
            where,
            f"the alarm {kind} of '{alarm.entry}' would not go before {other} comes",
            f"with the deadband {data.deadband:g} {goes}, and {other} is {value:g}",
            f"write at most {abs(at - value):g}, the distance of the two limits",
        )
    else:
        declared = declared_span(use)
        if declared is not None and not declared[0] <= back <= declared[1]:
            problems.warning(
                where,
                f"the alarm {kind} of '{alarm.entry}' does not go while '{use.name}' is in"
                " its range",
                f"with the deadband {data.deadband:g} {goes}, and the range is"
                f" {declared[0]:g} to {declared[1]:g}",
                f"write at most {abs(at - declared[0 if above else 1]):g}",
            )


def check_delays(alarm: AlarmDraft, condition: Condition, root: Node, problems: Problems) -> None:
    """A clock of the runtime alone holds no longer than half its time."""
    holds = _CLOCKS.get(condition.values[0]) if len(condition.values) == 1 else None
    if holds is None:
        return
    for key, value in (("delay", alarm.model.delay), ("off_delay", alarm.model.off_delay)):
        if value >= holds:
            problems.error(
                root.at(("alarms", alarm.entry, key)),
                f"the alarm '{alarm.name}' would never " + ("come" if key == "delay" else "go"),
                f"'{condition.values[0]}' changes every {show_duration(holds)},"
                f" before the {key} of {show_duration(value)} is over",
                f"write less than {show_duration(holds)}, or another condition",
            )


def _type_span(use: Use) -> tuple[float, float]:
    low, high = span_of(use.type)
    return float(low), float(high)


def _span(use: Use) -> tuple[float, float]:
    """Between what the tag's value can lie, as far as that is declared."""
    if use.draft is not None and use.draft.scale is not None:
        scale = use.draft.scale
        ends = [scale.gain * raw + scale.offset for raw in (scale.raw_low, scale.raw_high)]
        return min(ends), max(ends)
    return _type_span(use)
