"""The operating states of the cell as a table: state, request, guard, action, next state.

The scan process steps it; documentation prints it; the property test walks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cellwright.io.messages import ReplyCode
from cellwright.io.plan import CellState
from cellwright.runtime.scan.refusals import RefusedError


class Request(StrEnum):
    """What can be asked of the cell, by people or by the runtime itself."""

    READY = "ready"
    """The scan process has attached to everything."""
    START = "start"
    """Warm start: programs restart, retained values are kept."""
    COLD_START = "cold_start"
    """Cold start: programs restart, all values are initial, retained values too."""
    HOT_START = "hot_start"
    """Go on after PAUSE, exactly where the programs stood."""
    PAUSE = "pause"
    STOP = "stop"
    RESET = "reset"
    FAULT = "fault"
    """Something happened after which outputs must not be driven."""


STARTS: Final = frozenset({Request.START, Request.COLD_START, Request.HOT_START})
"""Requests after which programs run; the keyswitch gates them."""

BY_RUNTIME: Final = frozenset({Request.READY, Request.FAULT})
"""Requests that no person makes; a refusal does not offer them."""

_SPOKEN: Final[Mapping[Request, str]] = {
    Request.COLD_START: "cold_start ('cellwright start --cold')",
    Request.HOT_START: "hot_start ('cellwright resume')",
}
"""Requests that the command line calls otherwise than OPC UA does."""


class Guard(StrEnum):
    """A condition that must hold for a transition."""

    NONE = "none"
    HEALTHY = "healthy"
    """No driver is tripped, no device that must not be lost is lost, the journal is well."""


class Action(StrEnum):
    """What the scan does in a transition."""

    NONE = "none"
    START_WARM = "start_warm"
    """Values that are not retained become initial, programs are made anew and recover."""
    START_COLD = "start_cold"
    """All values become initial, retained ones too; programs are made anew and recover."""
    LAST_SCAN = "last_scan"
    """Every task runs once more and is told that it is the last time."""
    FORGET_FAULT = "forget_fault"
    """The record of the first fault is cleared."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table."""

    state: CellState
    request: Request
    guard: Guard
    action: Action
    next: CellState


_NONE, _HEALTHY = Guard.NONE, Guard.HEALTHY
_INIT, _STOP, _RUN = CellState.INIT, CellState.STOP, CellState.RUN
_PAUSE, _FAULT = CellState.PAUSE, CellState.FAULT

TRANSITIONS: Final[tuple[Transition, ...]] = (
    Transition(_INIT, Request.READY, _NONE, Action.NONE, _STOP),
    Transition(_INIT, Request.FAULT, _NONE, Action.NONE, _FAULT),
    Transition(_STOP, Request.START, _HEALTHY, Action.START_WARM, _RUN),
    Transition(_STOP, Request.COLD_START, _HEALTHY, Action.START_COLD, _RUN),
    Transition(_STOP, Request.STOP, _NONE, Action.NONE, _STOP),
    Transition(_STOP, Request.FAULT, _NONE, Action.NONE, _FAULT),
    Transition(_RUN, Request.START, _NONE, Action.NONE, _RUN),
    Transition(_RUN, Request.HOT_START, _NONE, Action.NONE, _RUN),
    Transition(_RUN, Request.PAUSE, _NONE, Action.NONE, _PAUSE),
    Transition(_RUN, Request.STOP, _NONE, Action.LAST_SCAN, _STOP),
    Transition(_RUN, Request.FAULT, _NONE, Action.NONE, _FAULT),
    Transition(_PAUSE, Request.HOT_START, _HEALTHY, Action.NONE, _RUN),
    Transition(_PAUSE, Request.PAUSE, _NONE, Action.NONE, _PAUSE),
    Transition(_PAUSE, Request.STOP, _NONE, Action.LAST_SCAN, _STOP),
    Transition(_PAUSE, Request.FAULT, _NONE, Action.NONE, _FAULT),
    Transition(_FAULT, Request.RESET, _HEALTHY, Action.FORGET_FAULT, _STOP),
    Transition(_FAULT, Request.STOP, _NONE, Action.NONE, _FAULT),
    Transition(_FAULT, Request.FAULT, _NONE, Action.NONE, _FAULT),
)

_TABLE: Final[Mapping[tuple[CellState, Request], Transition]] = {
    (row.state, row.request): row for row in TRANSITIONS
}

DRIVING: Final = frozenset({CellState.RUN, CellState.PAUSE})
"""States in which outputs are driven; in all others they are at their safe values."""


def step(state: CellState, request: Request, unhealthy: str = "") -> Transition:
    """The row to follow; ``unhealthy`` says why `Guard.HEALTHY` does not hold, or is empty.

    Raises RefusedError.
    """
    row = _TABLE.get((state, request))
    if row is None:
        allowed = ", ".join(
            _SPOKEN.get(row.request, row.request)
            for row in TRANSITIONS
            if row.state is state and row.next != state and row.request not in BY_RUNTIME
        )
        raise RefusedError(
            ReplyCode.INVALID_STATE,
            f"'{request}' is not possible in {state.name}; possible: {allowed}",
        )
    if row.guard is Guard.HEALTHY and unhealthy:
        raise RefusedError(ReplyCode.INVALID_STATE, f"'{request}' refused: {unhealthy}")
    return row
