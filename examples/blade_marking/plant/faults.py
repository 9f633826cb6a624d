"""Faults that can be injected, from the command line or while the plant runs.

A fault is written ``kind[@part][:duration]``: ``missing_pin@5``, ``dead_coupler@9:2s``. Parts count
from 1 in order of arrival; without a part it strikes at the next opportunity. Each strikes once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

KINDS: Final = {
    "missing_pin": "the pin stops striking after 55 % of the dots: the symbol is unreadable",
    "wrong_dot": "one dot of the symbol lands one module beside its place",
    "wrong_content": "another serial than the commanded one is marked",
    "stuck_clamp": "the clamp stops at 60 % of its stroke and never reports closed on that blade",
    "lost_ack": "the answer to G is swallowed although the marker marks; with a duration, every "
    "answer within it",
    "dead_coupler": "the coupler drops its connections and refuses new ones for the duration",
    "estop": "the emergency stop is pressed for the duration: all drives stand still",
    "air_loss": "the compressed air is shut off for the duration",
}

DEFAULT_DURATION_S: Final = {"dead_coupler": 2.0, "estop": 1.0, "air_loss": 1.0}
"""Kinds that last, in seconds of real time (not of simulated time)."""

_LASTING: Final = frozenset(DEFAULT_DURATION_S) | {"lost_ack"}

_SPELLING = re.compile(
    r"(?P<kind>[a-z_]+)(?:@(?P<part>[0-9]+))?(?::(?P<time>[0-9]+(?:\.[0-9]+)?)(?P<unit>ms|s)?)?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; ``part`` None strikes at the next opportunity, ``duration_s`` is real time."""

    kind: str
    part: int | None = None
    duration_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``kind[@part][:duration]``; raises ValueError that says how to write it."""
        match = _SPELLING.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"'{text}' is not a fault; write kind[@part][:duration], as in dead_coupler@9:2s"
            )
        kind = match["kind"]
        if kind not in KINDS:
            raise ValueError(f"'{kind}' is not a kind of fault; use one of {', '.join(KINDS)}")
        part = None if match["part"] is None else int(match["part"])
        if part == 0:
            raise ValueError(f"'{text}': parts count from 1")
        duration_s = DEFAULT_DURATION_S.get(kind)
        if match["time"] is not None:
            if kind not in _LASTING:
                raise ValueError(f"'{text}': {kind} takes no duration; leave ':…' out")
            duration_s = float(match["time"]) / (1000 if match["unit"] == "ms" else 1)
        return cls(kind, part, duration_s)

    def __str__(self) -> str:
        part = "" if self.part is None else f"@{self.part}"
        duration = "" if self.duration_s is None else f":{self.duration_s:g}s"
        return f"{self.kind}{part}{duration}"


class FaultPlan:
    """The faults that have not struck yet."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self.pending: list[Fault] = list(faults)

    def add(self, fault: Fault) -> None:
        """Plan one more."""
        self.pending.append(fault)

    def take(self, kind: str, part: int | None) -> Fault | None:
        """The planned fault of that kind that strikes ``part`` now, taken off the plan."""
        for fault in self.pending:
            if fault.kind == kind and fault.part in {None, part}:
                self.pending.remove(fault)
                return fault
        return None
