"""The operating states of the cell as a table: state, request, guard, action, next state.

The scan process steps it; documentation prints it; the property test walks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from cellwright.io.messages import ReplyCode
from cellwright.io.plan import CellState, Row, StateTable
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

    HEALTHY = "healthy"
    """No driver is tripped, no device that must not be lost is lost, the journal is well."""


class Action(StrEnum):
    """What the scan does in a transition."""

    START_WARM = "start_warm"
    """Values that are not retained become initial, programs are made anew and recover."""
    START_COLD = "start_cold"
    """All values become initial, retained ones too; programs are made anew and recover."""
    LAST_SCAN = "last_scan"
    """Every task runs once more with `ctx.last_scan` set."""
    FORGET_FAULT = "forget_fault"
    """The record of the first fault is cleared."""


_INIT, _STOP, _RUN = CellState.INIT, CellState.STOP, CellState.RUN
_PAUSE, _FAULT = CellState.PAUSE, CellState.FAULT

TABLE: Final = StateTable[CellState, Request, Guard, Action](
    Row(_INIT, Request.READY, _STOP),
    Row(_INIT, Request.FAULT, _FAULT),
    Row(_STOP, Request.START, _RUN, Guard.HEALTHY, Action.START_WARM),
    Row(_STOP, Request.COLD_START, _RUN, Guard.HEALTHY, Action.START_COLD),
    Row(_STOP, Request.STOP, _STOP),
    Row(_STOP, Request.FAULT, _FAULT),
    Row(_RUN, Request.START, _RUN),
    Row(_RUN, Request.HOT_START, _RUN),
    Row(_RUN, Request.PAUSE, _PAUSE),
    Row(_RUN, Request.STOP, _STOP, None, Action.LAST_SCAN),
    Row(_RUN, Request.FAULT, _FAULT),
    Row(_PAUSE, Request.HOT_START, _RUN, Guard.HEALTHY),
    Row(_PAUSE, Request.PAUSE, _PAUSE),
    Row(_PAUSE, Request.STOP, _STOP, None, Action.LAST_SCAN),
    Row(_PAUSE, Request.FAULT, _FAULT),
    Row(_FAULT, Request.RESET, _STOP, Guard.HEALTHY, Action.FORGET_FAULT),
    Row(_FAULT, Request.STOP, _FAULT),
    Row(_FAULT, Request.FAULT, _FAULT),
)

_WELL: Final = {Guard.HEALTHY: True}
_UNHEALTHY: Final = {Guard.HEALTHY: False}

DRIVING: Final = frozenset({CellState.RUN, CellState.PAUSE})
"""States in which outputs are driven; in all others they are at their safe values."""


def step(
    state: CellState, request: Request, unhealthy: str = ""
) -> Row[CellState, Request, Guard, Action]:
    """The row to follow; ``unhealthy`` says why `Guard.HEALTHY` does not hold, or is empty.

    Raises RefusedError.
    """
    row = TABLE.step(state, request, _UNHEALTHY if unhealthy else _WELL)
    if row is not None:
        return row
    if TABLE.lookup(state, request):
        raise RefusedError(ReplyCode.INVALID_STATE, f"'{request}' refused: {unhealthy}")
    allowed = ", ".join(
        _SPOKEN.get(row.event, row.event)
        for row in TABLE.rows
        if row.state is state and row.next != state and row.event not in BY_RUNTIME
    )
    raise RefusedError(
        ReplyCode.INVALID_STATE, f"'{request}' is not possible in {state.name}; possible: {allowed}"
    )
