"""Engineering units: the symbols of the configuration and what OPC UA calls them.

The compiler looks a tag's unit up here and compares units that meet, the OPC UA room fills
``EngineeringUnits`` from it. The codes are those of UNECE Recommendation 20. The table,
``units.csv``, is data and converts nothing.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import resources
from typing import Final

UNECE_NAMESPACE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
"""``namespaceUri`` of an EUInformation whose ``unitId`` comes from a UNECE code (OPC 10000-8)."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: ``symbol`` as written in the configuration, ``code`` by UNECE Rec. 20."""

    symbol: str
    code: str
    display: str
    """Symbol for people (``°C`` where the configuration may say ``degC``)."""
    description: str
    kind: str
    """What it measures: `pressure`, `temperature`. Units of one kind can be converted."""

    @property
    def unit_id(self) -> int:
        """``EUInformation.unitId``: the code's characters as a big-endian number (OPC 10000-8)."""
        return int.from_bytes(self.code.encode("ascii"), "big")


class UnknownUnitError(ValueError):
    """A symbol that the table does not have; the sentence names the nearest ones."""


def _load() -> tuple[dict[str, Unit], dict[str, Unit]]:
    units: dict[str, Unit] = {}
    spellings: dict[str, Unit] = {}
    text = resources.files("cellwright.io.plan").joinpath("units.csv").read_text("utf-8")
    for line in text.splitlines()[1:]:
        symbol, code, display, description, kind, others = line.split(",")
        unit = Unit(symbol, code, display, description, kind)
        units[symbol] = unit
        for spelling in (symbol, *others.split()):
            spellings[spelling] = unit
    return units, spellings


_LOADED: Final = _load()
UNITS: Final[dict[str, Unit]] = _LOADED[0]
"""All units by the symbol of the configuration."""
_SPELLINGS: Final = _LOADED[1]


def lookup(symbol: str) -> Unit:
    """The unit of that symbol; case counts (``mW`` is not ``MW``). Raises UnknownUnitError."""
    unit = _SPELLINGS.get(symbol)
    if unit is None:
        raise UnknownUnitError(f"'{symbol}' is not a unit of the table; {_hint(symbol)}")
    return unit


def find(symbol: str) -> Unit | None:
    """The unit of that symbol, or None; no unit at all (an empty symbol) is None, too."""
    return _SPELLINGS.get(symbol)


def clash(one: str, other: str) -> tuple[Unit, Unit] | None:
    """Both units when one number cannot be meant in both; None when it can or one is not known.

    A unit on one side only is no clash: a general program (a limiter, a filter) has none and works
    in the unit of whatever it is bound to, and a tag without a unit takes its meaning from its
    program. Spellings of one unit (`degC`, `°C`) are the same.
    """
    first, second = find(one), find(other)
    if first is None or second is None or first is second:
        return None
    return first, second


def suggest(symbol: str, limit: int = 3) -> list[str]:
    """The nearest symbols, nearest first: by case, by name of the unit, then by spelling."""
    folded = symbol.casefold()
    near = [known for known in UNITS if known.casefold() == folded]
    near += [
        unit.symbol
        for unit in UNITS.values()
        if unit.description.casefold() in (folded, folded.removesuffix("s"))
        or folded in unit.description.casefold().split()
    ]
    descriptions = {unit.description.casefold(): unit.symbol for unit in UNITS.values()}
    near += [
        descriptions[name]
        for name in difflib.get_close_matches(folded, descriptions, n=limit, cutoff=0.8)
    ]
    near += difflib.get_close_matches(symbol, UNITS, n=limit, cutoff=0.5)
    return list(dict.fromkeys(near))[:limit]


def _hint(symbol: str) -> str:
    near = suggest(symbol)
    if near:
        return "did you mean " + " or ".join(f"'{known}'" for known in near) + "?"
    return "write one like 'mm', 'bar' or 'degC', or leave the unit out"
