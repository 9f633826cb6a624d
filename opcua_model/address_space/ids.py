"""Namespaces in their fixed order and the fixed numbers of our types, from ``types.csv``.

A number in that file is a promise to every client: it is never changed and never used again.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from asyncua import ua

TYPES_URI: Final = "urn:cellwright:types"
CELL_URI: Final = "urn:cellwright:cell"
IO_URI: Final = "urn:cellwright:io"

TYPES: Final = 2
CELL: Final = 3
IO: Final = 4
"""Indices on our server: 0 is OPC UA, 1 the application itself (OPC 10000-5, 6.3.1)."""


@cache
def type_numbers() -> dict[str, int]:
    """Name to number of every type, encoding included."""
    text = (
        resources.files("cellwright.opcua_model.address_space")
        .joinpath("types.csv")
        .read_text("utf-8")
    )
    rows = (line.split(",") for line in text.splitlines() if line.strip())
    return {name: int(number) for name, number, _ in rows}


def type_id(name: str) -> ua.NodeId:
    """NodeId of one of our types; raises KeyError for a name that ``types.csv`` does not have."""
    return ua.NodeId(ua.Int32(type_numbers()[name]), ua.Int16(TYPES))


def standard(identifier: int) -> ua.NodeId:
    """NodeId of a node of the OPC UA namespace."""
    return ua.NodeId(ua.Int32(identifier))


def cell_id(path: str) -> ua.NodeId:
    """NodeId of a node of the cell, by its path."""
    return ua.NodeId(ua.String(path), ua.Int16(CELL))


def below(parent: ua.NodeId, name: str) -> ua.NodeId:
    """NodeId of a child, by its parent's path and its name."""
    return ua.NodeId(ua.String(f"{parent.Identifier!s}.{name}"), parent.NamespaceIndex)


def status_code(code: int) -> ua.StatusCode:
    """A status code as the library has it."""
    return ua.StatusCode(ua.UInt32(code))


def io_id(path: str) -> ua.NodeId:
    """NodeId of a tag or a folder of tags, by its path."""
    return ua.NodeId(ua.String(path), ua.Int16(IO))
