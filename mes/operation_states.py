"""The state machine of an order's operations as a table, and the one function that steps it.

`order_flow` and `operations` ask it; it knows no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from cellwright.mes.errors import MesError


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

OPERATION_TRANSITIONS: Final[Mapping[tuple[OperationState, OperationEvent], OperationState]] = (
    MappingProxyType(
        {
            (_S.WAITING, _E.START): _S.RUNNING,
            (_S.WAITING, _E.STOP): _S.STOPPED,
            (_S.RUNNING, _E.COMPLETE): _S.COMPLETED,
            (_S.RUNNING, _E.STOP): _S.STOPPED,
        }
    )
)


def step_operation(name: str, state: OperationState, event: OperationEvent) -> OperationState:
    """The state after the event; raises MesError ``invalid_state``. ``name`` is for the message."""
    target = OPERATION_TRANSITIONS.get((state, event))
    if target is None:
        possible = [known for (source, known) in OPERATION_TRANSITIONS if source is state]
        raise MesError(
            "invalid_state",
            f"cannot {event} {name}: it is {state}; possible now: "
            f"{', '.join(possible) or 'nothing'}",
        )
    return target
