"""The event types of a cell: one for each kind of event in the journal, declared once.

`add_event_types` makes their nodes, `translate` makes events of them. A type has a property for
each field of the journal's event, named alike (``part_id`` is ``PartId``), in our namespace.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

import msgspec
from asyncua import ua

from cellwright.io.messages import (
    CommandRefused,
    Event,
    FaultRaised,
    ForceChanged,
    InspectionCompleted,
    MarkAuthorised,
    MarkCompleted,
    ModeChanged,
    PartArrived,
    PartDeparted,
    PartReleased,
    ProgramChanged,
    SerialAssigned,
    SerialRequested,
    StatisticsReset,
    TagWritten,
    UsersChanged,
)
from cellwright.opcua_model.address_space.builder import Builder
from cellwright.opcua_model.address_space.ids import TYPES, standard, type_id
from cellwright.opcua_model.events.record import Path, path

_T = ua.VariantType
BASE: Final = "CellEventType"
"""What all of them derive from, with the task and the cycle that told of it."""
_HEAD: Final = frozenset({"task", "utc_ns", "cycle"})


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of event is told. ``message`` is filled with the event's fields."""

    event: type[Event]
    severity: int
    message: str

    @property
    def type_name(self) -> str:
        """Name of the event type, as in ``types.csv``."""
        return f"{self.event.__name__}EventType"


KINDS: Final = (
    Kind(ModeChanged, 300, "{old} -> {new}"),
    Kind(FaultRaised, 900, "Fault {code}: {text}"),
    Kind(CommandRefused, 400, "{command} refused: {why}"),
    Kind(TagWritten, 200, "{tag}: {old} -> {new}"),
    Kind(ForceChanged, 500, "Force of {tag}: {value}"),
    Kind(StatisticsReset, 100, "Statistics reset"),
    Kind(ProgramChanged, 600, "Programs changed"),
    Kind(UsersChanged, 300, "Users changed"),
    Kind(PartArrived, 100, "Part {part_id} arrived"),
    Kind(SerialRequested, 50, "Serial requested for part {part_id}"),
    Kind(SerialAssigned, 100, "Serial {serial} assigned to part {part_id}"),
    Kind(MarkAuthorised, 100, "Serial {serial} may be marked"),
    Kind(MarkCompleted, 100, "Serial {serial}: mark {outcome}"),
    Kind(InspectionCompleted, 100, "Serial {serial}: {verdict}"),
    Kind(PartReleased, 150, "Part {part_id}: {verdict}"),
    Kind(PartDeparted, 50, "Part {part_id} departed"),
)
_BY_EVENT: Final = {kind.event: kind for kind in KINDS}


def kind_of(event: Event) -> Kind | None:
    """How the event is told; None for one that becomes a condition's or an audit event."""
    return _BY_EVENT.get(type(event))


def message(kind: Kind, event: Event) -> str:
    """The event in words."""
    return kind.message.format_map(msgspec.structs.asdict(event))


def own_fields(event: Event) -> dict[Path, ua.Variant]:
    """What the event's type adds to BaseEventType."""
    found = {
        path("Task", namespace=TYPES): ua.Variant(event.task, _T.String),
        path("Cycle", namespace=TYPES): ua.Variant(event.cycle, _T.Int64),
    }
    for field in msgspec.structs.fields(type(event)):
        if field.name not in _HEAD:
            value = getattr(event, field.name)
            found[path(_title(field.name), namespace=TYPES)] = _variant(value, field.type)
    return found


def property_names(event: type[Event]) -> list[str]:
    """What the event's type has beside what every event of a cell has."""
    fields = msgspec.structs.fields(event)
    return [_title(field.name) for field in fields if field.name not in _HEAD]


def add_event_types(builder: Builder) -> None:
    """Make the nodes of the types, below BaseEventType."""
    base = type_id(BASE)
    builder.event_type(base, BASE, standard(ua.ObjectIds.BaseEventType), "Events of a cell")
    _add(builder, base, {"Task": str, "Cycle": int})
    for kind in KINDS:
        node_id = type_id(kind.type_name)
        text = (kind.event.__doc__ or "").partition("\n")[0]
        builder.event_type(node_id, kind.type_name, base, text)
        _add(
            builder,
            node_id,
            {
                _title(field.name): field.type
                for field in msgspec.structs.fields(kind.event)
                if field.name not in _HEAD
            },
        )


def _add(builder: Builder, owner: ua.NodeId, fields: Mapping[str, Any]) -> None:
    for name, annotation in fields.items():
        variant, is_array = _wire(annotation)
        number = ua.ObjectIds.BaseDataType if variant is None else variant.value
        kind = variant or _T.String
        empty = [] if is_array else "" if kind is _T.String else ua.get_default_value(kind)
        value = ua.Variant(empty, kind, is_array=is_array)
        builder.property(
            owner,
            ua.NodeId(ua.String(f"{_name(owner)}.{name}"), ua.Int16(TYPES)),
            name,
            value,
            standard(number),
            namespace=TYPES,
        )


def _name(owner: ua.NodeId) -> str:
    return next(
        (kind.type_name for kind in KINDS if type_id(kind.type_name) == owner),
        BASE,
    )


def _title(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


_SCALARS: Final[dict[Any, ua.VariantType]] = {
    bool: _T.Boolean,
    int: _T.Int64,
    float: _T.Double,
    str: _T.String,
}


def _wire(annotation: Any) -> tuple[ua.VariantType | None, bool]:
    """Type on the wire and whether it is an array; None for what may be of several types."""
    origin = get_origin(annotation)
    if origin is types.UnionType:
        known = {item for item in get_args(annotation) if item is not types.NoneType}
        return _wire(known.pop()) if len(known) == 1 else (None, False)
    if origin is list:
        return _SCALARS[get_args(annotation)[0]], True
    if origin is dict:
        return _T.String, True
    return _SCALARS.get(annotation), False


def _variant(value: Any, annotation: Any) -> ua.Variant:
    variant, is_array = _wire(annotation)
    if value is None:
        return ua.Variant(None)
    if isinstance(value, dict):
        value = [f"{key}={item}" for key, item in value.items()]
    if variant is None:
        if isinstance(value, list | tuple):
            return ua.Variant(str(value), _T.String)
        variant = _SCALARS[type(value)]
    return ua.Variant(value, variant, is_array=is_array)
