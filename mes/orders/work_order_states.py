"""The state machine of work orders as a table, and the one function that steps it.

`work_orders` asks it before every move and the documentation prints the table. It knows no
database: what a guard must know is handed over as `Facts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, Never

from cellwright.io.plan import Row, StateTable
from cellwright.mes.kernel.errors import MesError


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

    HAS_ROUTING = "has_routing"
    INSPECTIONS_PASSED = "inspections_passed"
    NOTHING_CONSUMED = "nothing_consumed"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the guards look at."""

    has_routing: bool = True
    open_inspections: int = 0
    """Parts released as good whose required inspection is open or failed."""
    consumed: Decimal = Decimal(0)
    """Pieces that the order has begun: parts with a serial, or reported by people."""


_S = WorkOrderState
_E = WorkOrderEvent

TABLE: Final = StateTable[WorkOrderState, WorkOrderEvent, Guard, Never](
    Row(_S.CREATED, _E.RELEASE, _S.RELEASED, Guard.HAS_ROUTING),
    Row(_S.CREATED, _E.CANCEL, _S.CANCELLED),
    Row(_S.RELEASED, _E.MAKE_READY, _S.READY),
    Row(_S.RELEASED, _E.CANCEL, _S.CANCELLED),
    Row(_S.READY, _E.START, _S.RUNNING),
    Row(_S.READY, _E.CANCEL, _S.CANCELLED),
    Row(_S.RUNNING, _E.PAUSE, _S.HELD),
    Row(_S.RUNNING, _E.SUSPEND, _S.SUSPENDED),
    Row(_S.RUNNING, _E.COMPLETE, _S.COMPLETED, Guard.INSPECTIONS_PASSED),
    Row(_S.RUNNING, _E.STOP, _S.COMPLETED, Guard.INSPECTIONS_PASSED),
    Row(_S.RUNNING, _E.ABORT, _S.ABORTED),
    Row(_S.RUNNING, _E.CANCEL, _S.CANCELLED, Guard.NOTHING_CONSUMED),
    Row(_S.HELD, _E.RESUME, _S.RUNNING),
    Row(_S.HELD, _E.STOP, _S.COMPLETED, Guard.INSPECTIONS_PASSED),
    Row(_S.HELD, _E.ABORT, _S.ABORTED),
    Row(_S.HELD, _E.CANCEL, _S.CANCELLED, Guard.NOTHING_CONSUMED),
    Row(_S.SUSPENDED, _E.RESUME, _S.RUNNING),
    Row(_S.SUSPENDED, _E.PAUSE, _S.HELD),
    Row(_S.SUSPENDED, _E.STOP, _S.COMPLETED, Guard.INSPECTIONS_PASSED),
    Row(_S.SUSPENDED, _E.ABORT, _S.ABORTED),
    Row(_S.SUSPENDED, _E.CANCEL, _S.CANCELLED, Guard.NOTHING_CONSUMED),
    Row(_S.COMPLETED, _E.CLOSE, _S.CLOSED),
)

ENDED: Final = frozenset({_S.COMPLETED, _S.CLOSED, _S.CANCELLED, _S.ABORTED})
"""No part gets a serial in these states and none of them leads back to work."""


BEGUN: Final = frozenset({_S.RUNNING, _S.HELD, _S.SUSPENDED})
"""Work has begun and not ended."""

WAITING: Final = frozenset(_S) - BEGUN - ENDED
"""Work has not begun."""


def step(order: str, state: WorkOrderState, event: WorkOrderEvent, facts: Facts) -> WorkOrderState:
    """The state after the event.

    Raises MesError ``invalid_state`` when the table has no such move, and ``no_routing``,
    ``inspection_open`` or ``invalid_state`` when its guard says no. ``order`` names the order in
    the message.
    """
    row = TABLE.step(
        state,
        event,
        {
            Guard.HAS_ROUTING: facts.has_routing,
            Guard.INSPECTIONS_PASSED: not facts.open_inspections,
            Guard.NOTHING_CONSUMED: not facts.consumed,
        },
    )
    if row is not None:
        return row.next
    code, why = "invalid_state", f"it is {state}; possible now: "
    why += ", ".join(TABLE.events(state)) or "nothing"
    for row in TABLE.lookup(state, event):
        code, why = _refusal(row.guard, facts)
    raise MesError(code, f"cannot {event} work order {order}: {why}")


def _refusal(guard: Guard | None, facts: Facts) -> tuple[str, str]:
    """Code and reason when a guard does not hold."""
    if guard is Guard.HAS_ROUTING:
        return "no_routing", (
            "its part has no routing; add one to the master data and store the order again"
        )
    if guard is Guard.INSPECTIONS_PASSED:
        return "inspection_open", (
            f"{facts.open_inspections} part(s) released as good have a required inspection that is "
            "open or failed; inspect them, or abort the order"
        )
    return "invalid_state", (
        f"{facts.consumed:f} part(s) of it have been begun already; stop or abort it instead"
    )
