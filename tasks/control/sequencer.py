"""SEQUENCER: steps and transitions as in a sequential function chart, with times.

Called by programs once a cycle with the values of the conditions that its transitions name; the
program drives its outputs from the active step alone. One step is active at a time.
"""

# Inputs and classes are spelled as those of the standard's blocks.
# ruff: noqa: N802, N803

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Generic, TypeVar

from cellwright.native import ffi, lib
from cellwright.tasks.control.block import Block, ParameterError, ScanTime, Time

S = TypeVar("S", bound=IntEnum)

_RESERVED = frozenset({"self", "ctx", "RESET"})


@dataclass(frozen=True, slots=True)
class SfcTransition(Generic[S]):
    """From ``source`` to ``target``, once ``when`` is TRUE and ``source`` was active for ``after``.

    Without ``when`` the time alone decides: that is a timeout, or a pause.
    """

    source: S
    target: S
    when: str = ""
    """Name of a condition, given by that name at each call."""
    after: Time = Time(0)  # noqa: RUF009 - an int
    """Least time in ``source``, from the call in which it became active."""


class SEQUENCER(Block, Generic[S]):
    """One active step of ``steps``; the first member is the initial one.

    The first call makes it active. Every further call takes at most one transition, the first in
    the order of declaration that is due, so each step is active for at least one call (IEC
    61131-3:2013, 6.7). Raises ParameterError at declaration when a step cannot be reached or a
    transition can never be taken.
    """

    _struct = "struct cw_sequencer"

    def __init__(
        self,
        steps: type[S],
        transitions: Sequence[SfcTransition[S]],
        *,
        retained: bool = False,
    ) -> None:
        self._members = {int(step): step for step in steps}
        self._first = next(iter(steps))
        self._transitions = tuple(transitions)
        _check(steps, self._transitions)
        self._names = tuple(dict.fromkeys(row.when for row in self._transitions if row.when))
        self._known = frozenset(self._names)
        super().__init__(retained=retained)

    def _allocate(self) -> None:
        super()._allocate()
        self._rows: Any = ffi.new("struct cw_transition[]", len(self._transitions))
        self._conditions: Any = ffi.new("uint8_t[]", len(self._names))
        for row, transition in zip(self._rows, self._transitions, strict=True):
            row.source, row.target = transition.source, transition.target
            row.after_ns = transition.after
            row.condition = self._names.index(transition.when) if transition.when else lib.CW_ALWAYS

    def __call__(self, ctx: ScanTime, /, *, RESET: bool = False, **conditions: bool) -> S:
        """Returns the active step. RESET goes to the initial step.

        Raises ParameterError unless exactly the conditions that the transitions name are given.
        """
        if conditions.keys() != self._known:
            raise ParameterError(
                f"{self!r} was called with the conditions {sorted(conditions)}; its transitions "
                f"name {sorted(self._known)}"
            )
        places = self._conditions
        for place, name in enumerate(self._names):
            places[place] = bool(conditions[name])
        code = lib.cw_sequencer_step(
            self._state,
            self._rows,
            len(self._rows),
            places,
            len(places),
            self._first,
            RESET,
            ctx.now_ns,
        )
        if code < 0:
            self._refuse(code, ctx.now_ns, "a condition that is not declared")
        if self._retained:
            self._keep()
        return self._members[self._state.step]

    @property
    def STEP(self) -> S:
        """The active step; before the first call the initial one."""
        return self._members[self._state.step] if self._state.started else self._first

    @property
    def T(self) -> Time:
        """How long the step has been active, as at the last call."""
        return Time(self._state.t_ns)

    @property
    def ENTERED(self) -> bool:
        """The step became active in the last call; for what is done once."""
        return bool(self._state.entered)

    @property
    def transitions(self) -> tuple[SfcTransition[S], ...]:
        """As declared; documentation prints them."""
        return self._transitions

    def _unsound(self) -> str:
        state = self._state
        if state.started and state.step not in self._members:
            return f"there is no step {state.step}"
        if state.t_ns < 0:
            return "the time in the step is negative"
        return super()._unsound()


def _check(steps: type[IntEnum], transitions: Sequence[SfcTransition[Any]]) -> None:
    before: list[SfcTransition[Any]] = []
    for row in transitions:
        subject = f"the transition {row.source!r} to {row.target!r}"
        for step in (row.source, row.target):
            if not isinstance(step, steps):
                raise ParameterError(f"{subject} names {step!r}, which is not a {steps.__name__}")
            if not -(2**31) <= step < 2**31:
                raise ParameterError(f"{subject}: the value of {step!r} is not a DINT")
        if row.after < 0:
            raise ParameterError(f"{subject}: 'after' is {row.after} ns; give 0 or more")
        if row.when and (
            not row.when.isidentifier() or keyword.iskeyword(row.when) or row.when in _RESERVED
        ):
            raise ParameterError(f"{subject}: '{row.when}' cannot be the name of a condition")
        for other in before:
            if (
                other.source is row.source
                and other.when in ("", row.when)
                and other.after <= row.after
            ):
                raise ParameterError(f"{subject} is never taken: one before it is due first")
        before.append(row)
    reached = {next(iter(steps))}
    while more := {row.target for row in transitions if row.source in reached} - reached:
        reached |= more
    lost = [step.name for step in steps if step not in reached]
    if lost:
        raise ParameterError(
            f"no transition leads to {', '.join(lost)}; add one or remove the step"
        )
