"""What is wrong with a configuration, said so that a commissioning engineer can mend it.

Every phase of the compiler reports into one `Problems` collector and goes on, so that a file's
errors come out all at once. Nothing here reads files or decides what is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

MAX_PROBLEMS: Final = 500
"""Nobody reads more at once; a file with more is probably not a cell at all."""

_MANY_NAMES: Final = 400


class TooManyProblemsError(Exception):
    """The collector is full; what it has is what the user gets."""


class Mark(NamedTuple):
    """A place in the file; line and column count from 1, columns in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint. A ``warning`` does not keep the cell from running, an ``error`` does."""

    file: str
    line: int
    column: int
    what: str
    why: str
    remedy: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        label = "warning: " if self.severity == "warning" else ""
        return (
            f"{self.file}:{self.line}:{self.column}: {label}{self.what}; {self.why}; {self.remedy}"
        )


class ConfigError(Exception):
    """A configuration that cannot run; ``problems`` has all of its complaints in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Complaint(Exception):  # noqa: N818 - it travels only inside the compiler
    """A rule that does not hold, raised by code that does not know the place in the file."""

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(f"{what}; {why}; {remedy}")
        self.what, self.why, self.remedy = what, why, remedy


@dataclass
class Problems:
    """Collects the complaints about one file; ``extent`` gives the length of each of its lines."""

    file: str
    extent: list[int] = field(default_factory=lambda: [0])
    found: list[Problem] = field(default_factory=list)
    _known: set[Problem] = field(default_factory=set)

    def error(self, mark: Mark, what: str, why: str, remedy: str) -> None:
        """Something that keeps the cell from running."""
        self._add(mark, what, why, remedy, "error")

    def complain(self, mark: Mark, complaint: Complaint) -> None:
        """An error whose sentence someone else made."""
        self.error(mark, complaint.what, complaint.why, complaint.remedy)

    def warning(self, mark: Mark, what: str, why: str, remedy: str) -> None:
        """Something legal that is probably not meant."""
        self._add(mark, what, why, remedy, "warning")

    def _add(
        self, mark: Mark, what: str, why: str, remedy: str, severity: Literal["error", "warning"]
    ) -> None:
        # A parser may point one past the end of the file; an editor cannot go there.
        line = min(max(mark.line, 1), len(self.extent))
        column = mark.column if line == mark.line else self.extent[line - 1] + 1
        column = min(max(column, 1), self.extent[line - 1] + 1)
        problem = Problem(
            self.file, line, column, one_line(what), one_line(why), one_line(remedy), severity
        )
        if problem in self._known:
            return
        if len(self.found) >= MAX_PROBLEMS:
            raise TooManyProblemsError
        self._known.add(problem)
        self.found.append(problem)

    @property
    def errors(self) -> int:
        """Number of complaints that keep the cell from running."""
        return sum(problem.severity == "error" for problem in self.found)

    def ordered(self) -> list[Problem]:
        """All complaints in the order of the file."""
        return sorted(self.found, key=lambda problem: (problem.line, problem.column))


def one_line(text: str, limit: int = 400) -> str:
    """``text`` without line breaks, cut to ``limit`` characters: a complaint is one line."""
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else joined[: limit - 3] + "..."


def nearest(name: str, known: Iterable[str], limit: int = 10) -> str:
    """``did you mean 'x'?`` when something known is close, otherwise what is known."""
    names = sorted(set(known))
    folded = {candidate.casefold(): candidate for candidate in names}
    if len(folded) > _MANY_NAMES:
        # Comparing with each of ten thousand tags would take a second a complaint.
        folded = {key: value for key, value in folded.items() if abs(len(key) - len(name)) <= 2}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{folded[close[0]]}'?"
    if not names:
        return "none is declared"
    listed = ", ".join(names[:limit])
    return f"known are {listed}" + (", ..." if len(names) > limit else "")
