"""Serial number patterns such as ``SN{year:02d}{n:06d}``.

Master data checks them, `serials` renders them. A pattern has exactly one running number of
fixed width, so that all serials of a pattern have one length and never wrap silently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from string import Formatter
from typing import Final

MAX_LENGTH: Final = 40
"""Longest serial in characters: what the variables of the stations hold."""

_WIDTH = re.compile(r"0([1-9]|1[0-8])d")
_LITERAL = re.compile(r"[\x21-\x7e ]*")
_DATE: Final = {
    ("year", "02d"): lambda at: f"{at.year % 100:02d}",
    ("year", "04d"): lambda at: f"{at.year:04d}",
    ("month", "02d"): lambda at: f"{at.month:02d}",
    ("day", "02d"): lambda at: f"{at.day:02d}",
}


@dataclass(frozen=True, slots=True)
class SerialPattern:
    """A parsed pattern: text before and after the running number, and the number's width."""

    before: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]
    width: int

    @classmethod
    def parse(cls, text: str) -> SerialPattern:
        """Fields: ``{n:06d}`` (required), ``{year:02d}``, ``{year:04d}``, ``{month:02d}``,
        ``{day:02d}`` (UTC). Raises ValueError that says what is wrong and what to write.
        """
        example = "write for example SN{year:02d}{n:06d}"
        sides: list[list[tuple[str, str]]] = [[]]
        width = 0
        try:
            pieces = list(Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"'{text}' is not a serial pattern ({error}); {example}") from error
        for literal, name, spec, conversion in pieces:
            if not _LITERAL.fullmatch(literal):
                raise ValueError(f"'{text}': a serial holds printable ASCII only; {example}")
            if literal:
                sides[-1].append(("", literal))
            if name is None:
                continue
            if name == "n" and not conversion:
                match = _WIDTH.fullmatch(spec or "")
                if match is None:
                    raise ValueError(
                        f"'{text}': the running number needs a width from 1 to 18 digits; {example}"
                    )
                if len(sides) == 2:
                    raise ValueError(f"'{text}' has two running numbers; keep one {{n:...}}")
                width = int(match[1])
                sides.append([])
            elif (name, spec) in _DATE and not conversion:
                sides[-1].append((name, spec or ""))
            else:
                shown = f"{{{name}:{spec}}}" if spec else f"{{{name}}}"
                raise ValueError(
                    f"'{text}': {shown} is not known; use {{n:06d}}, {{year:02d}}, {{year:04d}}, "
                    "{month:02d} or {day:02d}"
                )
        if len(sides) != 2:
            raise ValueError(f"'{text}' has no running number; {example}")
        return cls(tuple(sides[0]), tuple(sides[1]), width)

    @property
    def length(self) -> int:
        """Characters of every serial of the pattern; new ones must not exceed `MAX_LENGTH`."""
        return len(self.render(datetime(2000, 1, 1), 1))  # noqa: DTZ001 - only its length

    @property
    def last(self) -> int:
        """The highest running number."""
        return int(10**self.width - 1)

    def counter(self, at: datetime) -> str:
        """Name of the counter: the pattern with its date filled in.

        Parts that share a pattern share a counter, and a new year or month begins at 1 again.
        """
        return f"serial/{self._fill(self.before, at)}#{self.width}{self._fill(self.after, at)}"

    def render(self, at: datetime, n: int) -> str:
        """The serial with running number ``n`` (1 to `last`) at a time in UTC."""
        return f"{self._fill(self.before, at)}{n:0{self.width}d}{self._fill(self.after, at)}"

    @staticmethod
    def _fill(parts: tuple[tuple[str, str], ...], at: datetime) -> str:
        return "".join(_DATE[name, spec](at) if name else spec for name, spec in parts)
