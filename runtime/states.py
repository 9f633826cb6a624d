"""The operating states of the cell as a table: state, request, guard, next state.

The scan process steps it; documentation prints it; the property test walks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cellwright.io.system_tags import CellState


class Request(StrEnum):
    """What can be asked of the cell, by people or by the runtime itself."""

    READY = "ready"
    """The scan process has attached to everything."""
    START = "start"
    STOP = "stop"
    RESET = "reset"
    FAULT = "fault"
    """Something happened after which outputs must not be driven."""


class Guard(StrEnum):
    """A condition that must hold for a transition."""

    NONE = "none"
    HEALTHY = "healthy"
    """No driver is tripped, no device that must not be lost is lost, the journal is well."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table."""

    state: CellState
    request: Request
    guard: Guard
    next: CellState


TRANSITIONS: Final[tuple[Transition, ...]] = (
    Transition(CellState.INIT, Request.READY, Guard.NONE, CellState.STOP),
    Transition(CellState.INIT, Request.FAULT, Guard.NONE, CellState.FAULT),
    Transition(CellState.STOP, Request.START, Guard.HEALTHY, CellState.RUN),
    Transition(CellState.STOP, Request.STOP, Guard.NONE, CellState.STOP),
    Transition(CellState.STOP, Request.FAULT, Guard.NONE, CellState.FAULT),
    Transition(CellState.RUN, Request.STOP, Guard.NONE, CellState.STOP),
    Transition(CellState.RUN, Request.START, Guard.NONE, CellState.RUN),
    Transition(CellState.RUN, Request.FAULT, Guard.NONE, CellState.FAULT),
    Transition(CellState.FAULT, Request.RESET, Guard.HEALTHY, CellState.STOP),
    Transition(CellState.FAULT, Request.STOP, Guard.NONE, CellState.FAULT),
    Transition(CellState.FAULT, Request.FAULT, Guard.NONE, CellState.FAULT),
)

_TABLE: Final[Mapping[tuple[CellState, Request], Transition]] = {
    (row.state, row.request): row for row in TRANSITIONS
}


class RefusedError(Exception):
    """The request is not possible now; the sentence says why and what to do."""


def step(state: CellState, request: Request, unhealthy: str = "") -> CellState:
    """The next state; ``unhealthy`` is the reason why `Guard.HEALTHY` does not hold, or empty."""
    row = _TABLE.get((state, request))
    if row is None:
        allowed = ", ".join(r.request for r in TRANSITIONS if r.state is state and r.next != state)
        raise RefusedError(f"'{request}' is not possible in {state.name}; possible: {allowed}")
    if row.guard is Guard.HEALTHY and unhealthy:
        raise RefusedError(f"'{request}' refused: {unhealthy}")
    return row.next
