"""Figures of the image as OPC UA variables: which type each has, and its value.

The cell tree makes the variables, the publishing pass writes them, the reference lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

from asyncua import ua

from cellwright.io.image.figures import Figure, Kind
from cellwright.opcua_model.address_space.values import NS_PER_MS

S = TypeVar("S")

_TYPES: Final = {
    Kind.COUNTER: (ua.VariantType.UInt64, ua.ObjectIds.UInt64),
    Kind.FLAG: (ua.VariantType.Boolean, ua.ObjectIds.Boolean),
    Kind.PERCENT: (ua.VariantType.Double, ua.ObjectIds.Double),
    Kind.DURATION: (ua.VariantType.Double, ua.ObjectIds.Duration),
}


def variables(
    figures: Iterable[Figure[Any]],
) -> Iterator[tuple[str, ua.VariantType, int, str]]:
    """BrowseName, type, number of the data type and description of those that are shown."""
    for figure in figures:
        if figure.opcua:
            yield (figure.opcua, *_TYPES[figure.kind], figure.sentence)


def values(figures: Iterable[Figure[S]], subject: S) -> dict[str, Any]:
    """BrowseName to value; a Duration is milliseconds (OPC 10000-3, 8.13)."""
    return {figure.opcua: _value(figure, subject) for figure in figures if figure.opcua}


def _value(figure: Figure[S], subject: S) -> Any:
    value = figure.read(subject)
    return value / NS_PER_MS if figure.kind is Kind.DURATION else value
