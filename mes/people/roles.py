"""The eight roles and what each may do: the one table of rights, for every door.

A role has a full name, which is stored and shown, and short names that are taken for it (those of
the OPC UA server's user file among them). Rights of several roles add up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from cellwright.mes.kernel.errors import Detail, MesError


class Role(StrEnum):
    """The roles of the jet-engine MES."""

    ADMINISTRATOR = "Administrator"
    MANAGER = "Plant Manager"
    SUPERVISOR = "Production Supervisor"
    PLANNER = "Production Planner"
    OPERATOR = "Operator"
    QUALITY_ENGINEER = "Quality Engineer"
    QUALITY_INSPECTOR = "Quality Inspector"
    MAINTENANCE = "Maintenance Technician"


ADMINISTRATOR: Final = Role.ADMINISTRATOR.value

AREAS: Final = ("workorders", "quality", "materials", "equipment")
RIGHTS: Final = MappingProxyType({"C": "create", "R": "read", "U": "update", "D": "delete"})

MATRIX: Final = MappingProxyType(
    {
        Role.ADMINISTRATOR: ("CRUD", "CRUD", "CRUD", "CRUD"),
        Role.MANAGER: ("RU", "RU", "RU", "RU"),
        Role.SUPERVISOR: ("RU", "R", "RU", "RU"),
        Role.PLANNER: ("CRUD", "R", "RU", "R"),
        Role.OPERATOR: ("RU", "CRU", "RU", "R"),
        Role.QUALITY_ENGINEER: ("R", "CRUD", "R", "R"),
        Role.QUALITY_INSPECTOR: ("R", "CRUD", "R", "R"),
        Role.MAINTENANCE: ("R", "R", "R", "CRUD"),
    }
)
"""Rights of each role on each of `AREAS`, as letters of `RIGHTS`."""

_SHORT: Final = MappingProxyType(
    {
        Role.ADMINISTRATOR: "Admin",
        Role.MANAGER: "Manager",
        Role.SUPERVISOR: "Supervisor",
        Role.PLANNER: "Planner",
        Role.QUALITY_ENGINEER: "QualityEngineer",
        Role.QUALITY_INSPECTOR: "QualityInspector",
        Role.MAINTENANCE: "Maintenance",
    }
)
_NAMES: Final = MappingProxyType(
    {role.value.casefold(): role for role in Role}
    | {short.casefold(): role for role, short in _SHORT.items()}
    | {"system administrator": Role.ADMINISTRATOR}
)


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """The rights of one role on one area."""

    role: str
    area: str
    create: bool
    read: bool
    update: bool
    delete: bool


def role_of(name: str) -> Role:
    """The role of a full or short name. Raises MesError ``unknown_role``."""
    found = _NAMES.get(" ".join(name.split()).casefold())
    if found is not None:
        return found
    close = get_close_matches(name[:100].casefold(), _NAMES, n=1)
    hint = f"did you mean {_NAMES[close[0]].value}? " if close else ""
    raise MesError(
        "unknown_role",
        f"there is no role {name!r:.100}; {hint}The roles are {', '.join(Role)}",
        [Detail("roles", f"{name!r:.100} is no role")],
    )


def known(name: str) -> bool:
    """True for the full or short name of a role."""
    return " ".join(name.split()).casefold() in _NAMES


def names(roles: Iterable[str]) -> list[str]:
    """The full names, sorted, each once. Raises MesError ``unknown_role``."""
    return sorted({role_of(name).value for name in roles})


def permissions(roles: Iterable[str]) -> frozenset[str]:
    """What the roles may together: ``workorders.create`` and so on. Raises ``unknown_role``."""
    return frozenset(
        f"{area}.{RIGHTS[letter]}"
        for role in {role_of(name) for name in roles}
        for area, letters in zip(AREAS, MATRIX[role], strict=True)
        for letter in letters
    )


def short_name(role: str) -> str:
    """The name in the cell's file and in OPC UA: ``Admin``, ``QualityEngineer``, ``Operator``."""
    found = role_of(role)
    return _SHORT.get(found, found.value)


def matrix() -> list[MatrixRow]:
    """8 roles by 4 areas by 4 rights, from what `permissions` grants."""
    rows = []
    for role in Role:
        granted = permissions([role])
        for area in AREAS:
            has = {right: f"{area}.{right}" in granted for right in RIGHTS.values()}
            rows.append(MatrixRow(role=role.value, area=area, **has))
    return rows
