"""The states of an alarm as a table: state, signal, guard, next state (ISA-18.2, IEC 62682).

The alarm engine of the scan steps it; documentation prints it; the property tests walk it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Never

from cellwright.io.image import AlarmState
from cellwright.io.plan import Row, StateTable


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
    """The configuration says `enabled: false`, or an operator took it out of service."""
    RESTORE = "restore"
    """The configuration says `enabled: true` again, an operator, or a restart of the scan."""


class Guard(StrEnum):
    """A property of the alarm that must hold for a transition."""

    ACK_NEEDED = "acknowledgement needed"
    NO_ACK_NEEDED = "no acknowledgement needed"
    NO_CONSEQUENCE = "no consequence"
    """What stops or faults the cell cannot be shelved."""


_NORMAL: Final = AlarmState.NORMAL
_UNACKNOWLEDGED: Final = AlarmState.UNACKNOWLEDGED
_ACKNOWLEDGED: Final = AlarmState.ACKNOWLEDGED
_RETURNED: Final = AlarmState.RETURNED_UNACKNOWLEDGED
_SHELVED: Final = AlarmState.SHELVED
_SUPPRESSED: Final = AlarmState.SUPPRESSED
_SHOWN: Final = (_NORMAL, _UNACKNOWLEDGED, _ACKNOWLEDGED, _RETURNED)

TABLE: Final = StateTable[AlarmState, Signal, Guard, Never](
    Row(_NORMAL, Signal.COME, _UNACKNOWLEDGED, Guard.ACK_NEEDED),
    Row(_NORMAL, Signal.COME, _ACKNOWLEDGED, Guard.NO_ACK_NEEDED),
    Row(_UNACKNOWLEDGED, Signal.GO, _RETURNED, Guard.ACK_NEEDED),
    Row(_UNACKNOWLEDGED, Signal.GO, _NORMAL, Guard.NO_ACK_NEEDED),
    Row(_UNACKNOWLEDGED, Signal.ACKNOWLEDGE, _ACKNOWLEDGED),
    Row(_ACKNOWLEDGED, Signal.GO, _NORMAL),
    Row(_RETURNED, Signal.COME, _UNACKNOWLEDGED),
    Row(_RETURNED, Signal.ACKNOWLEDGE, _NORMAL),
    *(Row(state, Signal.SHELVE, _SHELVED, Guard.NO_CONSEQUENCE) for state in _SHOWN),
    Row(_SHELVED, Signal.SHELVE, _SHELVED, Guard.NO_CONSEQUENCE),
    Row(_SHELVED, Signal.UNSHELVE, _NORMAL),
    *(Row(state, Signal.SUPPRESS, _SUPPRESSED) for state in (*_SHOWN, _SHELVED)),
    Row(_SUPPRESSED, Signal.RESTORE, _NORMAL),
)

Moves = Mapping[tuple[AlarmState, Signal], AlarmState]
"""The next state of one kind of alarm; a pair that is missing does nothing."""


def moves(*, acknowledge: bool, consequence: bool) -> Moves:
    """The rows of the table whose guards hold for an alarm.

    ``acknowledge``: it needs to be acknowledged; ``consequence``: it stops or faults the cell.
    """
    return TABLE.moves(
        {
            Guard.ACK_NEEDED: acknowledge,
            Guard.NO_ACK_NEEDED: not acknowledge,
            Guard.NO_CONSEQUENCE: not consequence,
        }
    )
