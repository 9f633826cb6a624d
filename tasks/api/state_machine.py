"""What the marking and the vision station share: a state machine that is a table.

A station declares `Transition` rows; `TableStation.step_table` walks them, the documentation prints
them and the property tests check them. It keeps the two things that a station waits for, an event
that must be durable and a job's result; it does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, TypeVar

from cellwright.io.messages import Event, Result
from cellwright.tasks.api.program import Program, ProgramOptions, ScanContext

O = TypeVar("O", bound=ProgramOptions)  # noqa: E741 - the options of a program
E = TypeVar("E", bound=Event)

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Transition:
    """From ``source``, when the method ``guard`` says so, do ``action`` and go to ``target``.

    Rows of one source are tried in order. An empty ``action`` does nothing.
    """

    source: IntEnum
    guard: str
    action: str
    target: IntEnum


class TableStation(Program[O]):
    """A program that is a table of transitions. Subclasses give ``Step`` and ``table``.

    Guards are methods ``(ctx) -> bool`` without side effects, actions ``(ctx) -> None``; both
    are named in the table and must exist, which is checked when the class is made. The first
    member of ``Step`` is the initial state.
    """

    Step: ClassVar[type[IntEnum]]
    table: ClassVar[tuple[Transition, ...]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for row in cls.table:
            for name in (row.guard, row.action):
                if name and not callable(getattr(cls, name, None)):
                    raise TypeError(f"{cls.__name__}.table names {name}(), which does not exist")

    def __init__(self, image: Any, binding: Any, options: O) -> None:
        super().__init__(image, binding, options)
        self._state: IntEnum = next(iter(self.Step))
        self._entered_ns = 0
        self._event = 0
        self._rebuilt_from = 0
        self._job = 0
        self._result: Result | None = None

    def restart_table(self, ctx: ScanContext) -> None:
        """Back to the initial state, as `recover` begins; what was in flight is not waited for.

        The table stands still until all that `recover` was given is durable: a restart may hand
        over events that are still on their way to the journal.
        """
        self._state = next(iter(self.Step))
        self._rebuilt_from = ctx.emitted
        self.forget_job()

    @classmethod
    def describe(cls) -> str:
        """The table as Markdown, for the documentation."""
        rows = ["| state | when | do | next |", "|---|---|---|---|"]
        rows += [
            f"| {row.source.name} | {row.guard.replace('_', ' ')} "
            f"| {row.action.replace('_', ' ')} | {row.target.name} |"
            for row in cls.table
        ]
        return "\n".join(rows)

    def step_table(self, ctx: ScanContext) -> None:
        """Take all transitions that are due, at most one round through the states."""
        if ctx.durable < self._rebuilt_from:
            return
        for result in ctx.results:
            if self._job and result.number == self._job:
                self._result = result
        for _ in self.Step:
            row = next(
                (
                    row
                    for row in self.table
                    if row.source is self._state and getattr(self, row.guard)(ctx)
                ),
                None,
            )
            if row is None:
                return
            if row.action:
                getattr(self, row.action)(ctx)
            if row.target is not self._state:
                self._entered_ns = ctx.now_ns
            self._state = row.target

    # --- what a station waits for --------------------------------------------------------------

    def await_event(self, ctx: ScanContext, kind: type[E], **fields: Any) -> None:
        """Emit an event; `is_durable` tells when it is safe."""
        self._event = ctx.emit(kind, **fields)

    def is_durable(self, ctx: ScanContext) -> bool:
        """The awaited event, if any, is in the journal."""
        return ctx.durable >= self._event

    def await_job(self, ctx: ScanContext, kind: str, **body: Any) -> None:
        """Hand the worker a job; its result replaces that of any earlier one."""
        self._result = None
        self._job = ctx.submit(kind, **body)

    def forget_job(self) -> None:
        """A result that comes from now on is ignored."""
        self._result = None
        self._job = 0

    def job_succeeded(self, ctx: ScanContext) -> bool:
        """The awaited result is there and is no error."""
        return self._result is not None and not self._result.error

    def job_failed(self, ctx: ScanContext) -> bool:
        """The awaited result is there and is an error."""
        return self._result is not None and bool(self._result.error)

    @property
    def result(self) -> Result:
        """The awaited result; only after `job_succeeded` or `job_failed`."""
        assert self._result is not None
        return self._result

    def elapsed_s(self, ctx: ScanContext) -> float:
        """Scan time in the present state."""
        return (ctx.now_ns - self._entered_ns) / NANOSECONDS
