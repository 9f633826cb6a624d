"""The states of an alarm as a table: state, signal, guard, next state (ISA-18.2, IEC 62682).

The alarm engine of the scan steps it; documentation prints it; the property tests walk it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cellwright.io.image import AlarmState


class Signal(StrEnum):
    """What moves an alarm."""

    COME = "come"
    """The condition holds, and has for the whole on-delay."""
    GO = "go"
    """The condition does not hold, and has not for the whole off-delay."""
    ACKNOWLEDGE = "acknowledge"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    """By an operator, by the end of the time, or by a restart of the scan."""
    SUPPRESS = "suppress"
    """The configuration says `enabled: false`."""
    RESTORE = "restore"
    """The configuration says `enabled: true` again."""


class Guard(StrEnum):
    """A property of the alarm that must hold for a transition."""

    NONE = "none"
    ACK_NEEDED = "acknowledgement needed"
    NO_ACK_NEEDED = "no acknowledgement needed"
    NO_CONSEQUENCE = "no consequence"
    """What stops or faults the cell cannot be shelved."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table."""

    state: AlarmState
    signal: Signal
    guard: Guard
    next: AlarmState


_NORMAL: Final = AlarmState.NORMAL
_UNACKNOWLEDGED: Final = AlarmState.UNACKNOWLEDGED
_ACKNOWLEDGED: Final = AlarmState.ACKNOWLEDGED
_RETURNED: Final = AlarmState.RETURNED_UNACKNOWLEDGED
_SHELVED: Final = AlarmState.SHELVED
_SUPPRESSED: Final = AlarmState.SUPPRESSED
_SHOWN: Final = (_NORMAL, _UNACKNOWLEDGED, _ACKNOWLEDGED, _RETURNED)

TRANSITIONS: Final[tuple[Transition, ...]] = (
    Transition(_NORMAL, Signal.COME, Guard.ACK_NEEDED, _UNACKNOWLEDGED),
    Transition(_NORMAL, Signal.COME, Guard.NO_ACK_NEEDED, _ACKNOWLEDGED),
    Transition(_UNACKNOWLEDGED, Signal.GO, Guard.ACK_NEEDED, _RETURNED),
    Transition(_UNACKNOWLEDGED, Signal.GO, Guard.NO_ACK_NEEDED, _NORMAL),
    Transition(_UNACKNOWLEDGED, Signal.ACKNOWLEDGE, Guard.NONE, _ACKNOWLEDGED),
    Transition(_ACKNOWLEDGED, Signal.GO, Guard.NONE, _NORMAL),
    Transition(_RETURNED, Signal.COME, Guard.NONE, _UNACKNOWLEDGED),
    Transition(_RETURNED, Signal.ACKNOWLEDGE, Guard.NONE, _NORMAL),
    *(Transition(state, Signal.SHELVE, Guard.NO_CONSEQUENCE, _SHELVED) for state in _SHOWN),
    Transition(_SHELVED, Signal.SHELVE, Guard.NO_CONSEQUENCE, _SHELVED),
    Transition(_SHELVED, Signal.UNSHELVE, Guard.NONE, _NORMAL),
    *(Transition(state, Signal.SUPPRESS, Guard.NONE, _SUPPRESSED) for state in (*_SHOWN, _SHELVED)),
    Transition(_SUPPRESSED, Signal.RESTORE, Guard.NONE, _NORMAL),
)

Moves = Mapping[tuple[AlarmState, Signal], AlarmState]
"""The next state of one kind of alarm; a pair that is missing does nothing."""


def moves(*, acknowledge: bool, consequence: bool) -> Moves:
    """The rows of the table whose guards hold for an alarm.

    ``acknowledge``: it needs to be acknowledged; ``consequence``: it stops or faults the cell.
    """
    holds = {
        Guard.NONE: True,
        Guard.ACK_NEEDED: acknowledge,
        Guard.NO_ACK_NEEDED: not acknowledge,
        Guard.NO_CONSEQUENCE: not consequence,
    }
    return {(row.state, row.signal): row.next for row in TRANSITIONS if holds[row.guard]}
