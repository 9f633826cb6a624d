"""Alarms as readers of the image see them: states, and a view made of a snapshot.

The command line uses it, and whoever publishes alarms to others. It changes nothing; how alarms
move from state to state is the runtime's business.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from cellwright.io.image.snapshot_reader import SnapshotReader
from cellwright.io.plan import AlarmRule, Consequence, Plan, Value, quality


class AlarmState(IntEnum):
    """State of an alarm in the terms of ISA-18.2 and IEC 62682; the letters are theirs."""

    NORMAL = 0
    """A: the condition does not hold, nothing is to be done."""
    UNACKNOWLEDGED = 1
    """B: the condition holds and nobody has acknowledged it."""
    ACKNOWLEDGED = 2
    """C: the condition holds and is known."""
    RETURNED_UNACKNOWLEDGED = 3
    """D: the condition held and holds no longer; nobody has acknowledged it."""
    SHELVED = 4
    """G: an operator has put it away for a time."""
    SUPPRESSED = 5
    """I: switched off by configuration (out of service)."""


ACTIVE: Final = frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED})
"""States in which the condition holds."""
UNACKNOWLEDGED: Final = frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED})
"""States that wait for an operator."""
ANNUNCIATED: Final = ACTIVE | UNACKNOWLEDGED
"""States that an operator is to see."""

CELL_FIRST_OUT: Final = "sys.alarm_first_out"
"""First-out of all alarms of the cell together."""


def alarm_state(number: int) -> AlarmState:
    """The state with that number; NORMAL for one that does not exist (from a damaged file)."""
    try:
        return AlarmState(number)
    except ValueError:
        return AlarmState.NORMAL


class AlarmStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm at one instant."""

    name: str
    state: AlarmState
    severity: int
    text: str
    group: str
    first_out: bool
    """It came first of its group."""
    consequence: Consequence
    held: str
    """Quality that keeps the alarm from being judged, empty when it is judged."""
    value: Value | None
    """Value of the tag that it watches, None when it watches several."""
    since_utc_ns: int
    """When it came into this state; 0 when it has never left NORMAL."""


class AlarmView:
    """All alarms of a cell in one snapshot. ``reader`` is read by the caller."""

    def __init__(self, plan: Plan, reader: SnapshotReader) -> None:
        self._plan = plan
        self._reader = reader

    def statuses(self) -> list[AlarmStatus]:
        """Every alarm, in the order of the configuration."""
        return [self.status(rule) for rule in self._plan.alarms]

    def status(self, rule: AlarmRule) -> AlarmStatus:
        """One alarm."""
        reader, group = self._reader, self._plan.alarm_groups[rule.group]
        state = alarm_state(int(reader.value(rule.state)))  # type: ignore[arg-type]
        judged = reader.quality(rule.active)
        held = quality.name(judged) if quality.is_bad(judged) else ""
        return AlarmStatus(
            name=rule.name,
            state=state,
            severity=rule.severity,
            text=rule.text,
            group=group.name,
            first_out=reader.value(group.first_out) == rule.name,
            consequence=rule.consequence,
            held=held,
            value=None if rule.shows < 0 else reader.value(rule.shows),
            since_utc_ns=reader.timestamp_ns(rule.state),
        )
