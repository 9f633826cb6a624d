"""State machines as tables: one row a move, of any kind of state, event, guard and action.

The room that owns a machine declares its `StateTable` and steps it; the documentation prints
`StateTable.markdown`; the tests walk the rows and ask `StateTable.faults`. A table knows no clock
and does nothing by itself: who steps it carries out the row's action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import Generic, TypeVar

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)
G = TypeVar("G", bound=Enum)
A = TypeVar("A", bound=Enum)


@dataclass(frozen=True, slots=True)
class Row(Generic[S, E, G, A]):
    """In ``state``, when ``event`` comes and ``guard`` holds, do ``action`` and go to ``next``."""

    state: S
    event: E
    next: S
    guard: G | None = None
    action: A | None = None


class StateTable(Generic[S, E, G, A]):
    """The rows of one machine. The first row's state is the one in which it begins."""

    def __init__(self, *rows: Row[S, E, G, A]) -> None:
        self.rows = rows
        self._of: dict[tuple[S, E], tuple[Row[S, E, G, A], ...]] = {}
        for row in rows:
            key = row.state, row.event
            self._of[key] = (*self._of.get(key, ()), row)

    def lookup(self, state: S, event: E) -> tuple[Row[S, E, G, A], ...]:
        """The rows of this pair in the order of the table, guards aside; empty if there is none."""
        return self._of.get((state, event), ())

    def events(self, state: S) -> list[E]:
        """The events that have a row in this state, guards aside, in the order of the table."""
        return [event for source, event in self._of if source is state]

    def step(self, state: S, event: E, holds: Mapping[G, bool]) -> Row[S, E, G, A] | None:
        """The first row of this pair whose guard holds; None: there is none, stay.

        ``holds`` has every guard of the table.
        """
        for row in self._of.get((state, event), ()):
            if row.guard is None or holds[row.guard]:
                return row
        return None

    def moves(self, holds: Mapping[G, bool] | None = None) -> dict[tuple[S, E], S]:
        """The next state of each pair for guards that never change: one look-up steps it.

        For what is stepped every cycle. ``holds`` as in `step`; a table without guards needs none.
        """
        rows = (self.step(*pair, holds or {}) for pair in self._of)
        return {(row.state, row.event): row.next for row in rows if row is not None}

    def markdown(self, event: str = "event") -> str:
        """The table for the documentation; ``event`` heads the column of events."""
        heads = ["state", event, "guard", "action", "next"]
        lines = [
            [text_of(cell) for cell in (row.state, row.event, row.guard, row.action, row.next)]
            for row in self.rows
        ]
        shown = [column for column in range(len(heads)) if any(line[column] for line in lines)]
        text = [
            "| " + " | ".join(line[column] for column in shown) + " |" for line in [heads, *lines]
        ]
        return "\n".join([text[0], "|" + "---|" * len(shown), *text[1:]])

    def faults(self, *, complete: bool = False) -> list[str]:
        """What is wrong with the table, a sentence each; for tests.

        Deterministic: no two rows of a pair have one guard, and none stands below one without a
        guard. Whole: every state is reached from the first, every event has a row. ``complete``:
        so has every pair of a state and an event.
        """
        begin = self.rows[0]
        states, events = list(type(begin.state)), list(type(begin.event))
        found = []
        for (state, event), rows in self._of.items():
            guards = [row.guard for row in rows]
            if len(set(guards)) < len(guards) or None in guards[:-1]:
                found.append(f"{text_of(state)}, {text_of(event)}: two rows apply at once")
        reached = {begin.state}
        while more := {row.next for row in self.rows if row.state in reached} - reached:
            reached |= more
        found += [f"{text_of(state)} is never reached" for state in states if state not in reached]
        used = {event for _, event in self._of}
        found += [f"{text_of(event)} has no row" for event in events if event not in used]
        if complete:
            found += [
                f"{text_of(state)}, {text_of(event)}: no row"
                for state, event in product(states, events)
                if (state, event) not in self._of
            ]
        return found


def text_of(member: Enum | None) -> str:
    """How a reader knows it: a number by its name, a word by itself."""
    if member is None:
        return ""
    return member.value if isinstance(member.value, str) else member.name
