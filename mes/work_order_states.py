"""The state machine of work orders as a table, and the one function that steps it.

`work_orders` asks it before every move and the documentation prints the table. It knows no
database: what a guard must know is handed over as `Facts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from cellwright.mes.errors import MesError


class WorkOrderState(StrEnum):
    """States of a work order; over OPC UA they appear as states of a job order."""

    CREATED = "CREATED"
    RELEASED = "RELEASED"
    READY = "READY"
    RUNNING = "RUNNING"
    HELD = "HELD"
    """Interrupted by a person."""
    SUSPENDED = "SUSPENDED"
    """Interrupted by the system."""
    COMPLETED = "COMPLETED"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"
    """Ended before anything was consumed."""
    ABORTED = "ABORTED"
    """Ended after work had begun, without completing."""


class WorkOrderEvent(StrEnum):
    """What can be asked of a work order."""

    RELEASE = "release"
    MAKE_READY = "make_ready"
    START = "start"
    PAUSE = "pause"
    SUSPEND = "suspend"
    RESUME = "resume"
    COMPLETE = "complete"
    """All parts are released; raised by the MES itself."""
    STOP = "stop"
    """Complete early: what is not made yet is not made."""
    ABORT = "abort"
    CANCEL = "cancel"
    CLOSE = "close"


class Guard(StrEnum):
    """Conditions of a move, each a business rule."""

    NONE = "none"
    HAS_ROUTING = "has_routing"
    INSPECTIONS_PASSED = "inspections_passed"
    NOTHING_CONSUMED = "nothing_consumed"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the guards look at."""

    has_routing: bool = True
    open_inspections: int = 0
    """Parts released as good whose required inspection is open or failed."""
    consumed: int = 0
    """Parts that hold a serial of the order."""


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an event leads and under which condition."""

    target: WorkOrderState
    guard: Guard = Guard.NONE


_S = WorkOrderState
_E = WorkOrderEvent

TRANSITIONS: Final[Mapping[tuple[WorkOrderState, WorkOrderEvent], Transition]] = MappingProxyType(
    {
        (_S.CREATED, _E.RELEASE): Transition(_S.RELEASED, Guard.HAS_ROUTING),
        (_S.CREATED, _E.CANCEL): Transition(_S.CANCELLED),
        (_S.RELEASED, _E.MAKE_READY): Transition(_S.READY),
        (_S.RELEASED, _E.CANCEL): Transition(_S.CANCELLED),
        (_S.READY, _E.START): Transition(_S.RUNNING),
        (_S.READY, _E.CANCEL): Transition(_S.CANCELLED),
        (_S.RUNNING, _E.PAUSE): Transition(_S.HELD),
        (_S.RUNNING, _E.SUSPEND): Transition(_S.SUSPENDED),
        (_S.RUNNING, _E.COMPLETE): Transition(_S.COMPLETED, Guard.INSPECTIONS_PASSED),
        (_S.RUNNING, _E.STOP): Transition(_S.COMPLETED, Guard.INSPECTIONS_PASSED),
        (_S.RUNNING, _E.ABORT): Transition(_S.ABORTED),
        (_S.RUNNING, _E.CANCEL): Transition(_S.CANCELLED, Guard.NOTHING_CONSUMED),
        (_S.HELD, _E.RESUME): Transition(_S.RUNNING),
        (_S.HELD, _E.STOP): Transition(_S.COMPLETED, Guard.INSPECTIONS_PASSED),
        (_S.HELD, _E.ABORT): Transition(_S.ABORTED),
        (_S.HELD, _E.CANCEL): Transition(_S.CANCELLED, Guard.NOTHING_CONSUMED),
        (_S.SUSPENDED, _E.RESUME): Transition(_S.RUNNING),
        (_S.SUSPENDED, _E.PAUSE): Transition(_S.HELD),
        (_S.SUSPENDED, _E.STOP): Transition(_S.COMPLETED, Guard.INSPECTIONS_PASSED),
        (_S.SUSPENDED, _E.ABORT): Transition(_S.ABORTED),
        (_S.SUSPENDED, _E.CANCEL): Transition(_S.CANCELLED, Guard.NOTHING_CONSUMED),
        (_S.COMPLETED, _E.CLOSE): Transition(_S.CLOSED),
    }
)

ENDED: Final = frozenset({_S.COMPLETED, _S.CLOSED, _S.CANCELLED, _S.ABORTED})
"""No part gets a serial in these states and none of them leads back to work."""


def allowed_events(state: WorkOrderState) -> list[WorkOrderEvent]:
    """The events that the table knows in this state, guards aside."""
    return [event for (source, event) in TRANSITIONS if source is state]


def step(order: str, state: WorkOrderState, event: WorkOrderEvent, facts: Facts) -> WorkOrderState:
    """The state after the event.

    Raises MesError ``invalid_state`` when the table has no such move, and ``no_routing``,
    ``inspection_open`` or ``invalid_state`` when its guard says no. ``order`` names the order in
    the message.
    """
    move = TRANSITIONS.get((state, event))
    if move is None:
        possible = ", ".join(allowed_events(state)) or "nothing"
        raise MesError(
            "invalid_state",
            f"cannot {event} work order {order}: it is {state}; possible now: {possible}",
        )
    if move.guard is Guard.HAS_ROUTING and not facts.has_routing:
        raise MesError(
            "no_routing",
            f"cannot {event} work order {order}: its part has no routing; add one to the master "
            "data and store the order again",
        )
    if move.guard is Guard.INSPECTIONS_PASSED and facts.open_inspections:
        raise MesError(
            "inspection_open",
            f"cannot {event} work order {order}: {facts.open_inspections} part(s) released as good "
            "have a required inspection that is open or failed; inspect them, or abort the order",
        )
    if move.guard is Guard.NOTHING_CONSUMED and facts.consumed:
        raise MesError(
            "invalid_state",
            f"cannot {event} work order {order}: {facts.consumed} part(s) hold a serial of it "
            "already; stop or abort it instead",
        )
    return move.target
