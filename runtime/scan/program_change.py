"""The scan's side of an online change: who asked, whether it may be, and what became of it.

The loader outside the cycle (`online_change`) looks at ``wanted`` and delivers the outcome, which
the scan takes in like a command, so that a replay takes it in at the same cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from cellwright.io.messages import (
    OWN_TASK,
    AnyEvent,
    ChangeProgram,
    CommandRefused,
    ProgramChanged,
    ProgramsLoaded,
    ReplyCode,
    UntoldChange,
    encode,
)
from cellwright.io.plan import CellState
from cellwright.runtime.scan.cycle_state import CarriesState
from cellwright.runtime.scan.refusals import RefusedError


class ProgramChange(CarriesState):
    """At most one change at a time."""

    CARRIED: ClassVar = ("pending",)

    def __init__(
        self,
        emit: Callable[[AnyEvent], int],
        state: Callable[[], CellState],
        mark: Callable[[list[str]], None],
        reply: Callable[[int, int, str], None],
    ) -> None:
        self._emit = emit
        self._state = state
        self._mark = mark
        self._reply = reply
        self._loaded: bytes | None = None
        self._ticket: int | None = None
        self.pending: ChangeProgram | None = None
        """Asked for and not yet done or refused."""
        self.wanted: ChangeProgram | None = None
        """What the loader is to do; it does nothing in a replay."""

    def begin(self, command: ChangeProgram) -> None:
        """Let the loader work; raises RefusedError when the programs cannot change now."""
        state = self._state()
        if state in (CellState.INIT, CellState.FAULT):
            raise RefusedError(
                ReplyCode.INVALID_STATE,
                f"programs cannot be changed in {state.name}; reset the cell first"
                if state is CellState.FAULT
                else f"programs cannot be changed in {state.name}; ask again in a moment",
            )
        if command.remote:
            raise RefusedError(
                ReplyCode.INVALID_STATE,
                "programs are changed on the cell's own computer, not remotely",
            )
        if self.pending is not None:
            raise RefusedError(
                ReplyCode.INVALID_STATE,
                f"a change by {self.pending.actor} is being loaded; ask again in a moment",
            )
        self.pending = self.wanted = command

    def answer_later(self, ticket: int) -> None:
        """Whoever sent the command waits for the outcome."""
        self._ticket = ticket

    def deliver(self, outcome: ProgramsLoaded) -> None:
        """Between two cycles: what became of the change that was wanted."""
        self.wanted = None
        self._loaded = encode(outcome)

    def take_loaded(self) -> bytes | None:
        """The outcome, once."""
        loaded, self._loaded = self._loaded, None
        return loaded

    def finish(self, outcome: ProgramsLoaded, utc_ns: int, cycle: int) -> None:
        """Put the outcome on record and answer; raises RefusedError when nobody asked."""
        change, self.pending = self.pending, None
        if change is None:
            raise RefusedError(ReplyCode.INVALID_STATE, "no change of programs is under way")
        if outcome.error:
            self._emit(
                CommandRefused(
                    task=OWN_TASK,
                    utc_ns=utc_ns,
                    cycle=cycle,
                    command=type(change).__name__,
                    actor=change.actor,
                    why=outcome.error,
                )
            )
        else:
            self._mark(change.tasks)
            self._emit(_event(change, utc_ns, cycle))
        if self._ticket is not None:
            code = ReplyCode.INVALID_STATE if outcome.error else ReplyCode.OK
            self._reply(self._ticket, code, outcome.error)
            self._ticket = None

    def emit_pending(self, pending: UntoldChange, utc_ns: int, cycle: int) -> None:
        """Put on record what a predecessor changed; raises RefusedError after the first cycle."""
        if cycle != 1:
            raise RefusedError(
                ReplyCode.INVALID_STATE,
                "a pending change is reported in the first cycle of a scan",
            )
        self._emit(_event(pending.change, utc_ns, cycle, after_restart=True))


def _event(
    change: ChangeProgram, utc_ns: int, cycle: int, *, after_restart: bool = False
) -> ProgramChanged:
    return ProgramChanged(
        task=OWN_TASK,
        utc_ns=utc_ns,
        cycle=cycle,
        tasks=change.tasks,
        old=change.old,
        new=change.new,
        files=change.files,
        actor=change.actor,
        reason=change.reason,
        rolled_back=change.rolled_back,
        change=change.sha256,
        after_restart=after_restart,
    )
