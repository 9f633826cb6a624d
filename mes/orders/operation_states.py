"""The state machine of an order's operations as a table, and the one function that steps it.

`order_flow` and `operations` ask it; it knows no database.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Never

from cellwright.io.plan import Row, StateTable
from cellwright.mes.kernel.errors import MesError


class OperationState(StrEnum):
    """States of an operation of a work order."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    STOPPED = "STOPPED"
    """The order ended before the operation did."""


class OperationEvent(StrEnum):
    """What can happen to an operation."""

    START = "start"
    COMPLETE = "complete"
    STOP = "stop"


_S = OperationState
_E = OperationEvent

TABLE: Final = StateTable[OperationState, OperationEvent, Never, Never](
    Row(_S.WAITING, _E.START, _S.RUNNING),
    Row(_S.WAITING, _E.STOP, _S.STOPPED),
    Row(_S.RUNNING, _E.COMPLETE, _S.COMPLETED),
    Row(_S.RUNNING, _E.STOP, _S.STOPPED),
)


def step_operation(name: str, state: OperationState, event: OperationEvent) -> OperationState:
    """The state after the event; raises MesError ``invalid_state``. ``name`` is for the message."""
    row = TABLE.step(state, event, {})
    if row is None:
        raise MesError(
            "invalid_state",
            f"cannot {event} {name}: it is {state}; possible now: "
            f"{', '.join(TABLE.events(state)) or 'nothing'}",
        )
    return row.next
