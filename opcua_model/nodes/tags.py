"""The plan's tags as variables below IO and Controller, each under the path that its NodeId spells.

Called once at start. Gives the publisher the node of every tag by index.
"""

from __future__ import annotations

from asyncua import ua
from asyncua.server.address_space import NodeData

from cellwright.io.plan import BAD_WAITING_FOR_INITIAL_DATA, INTEGERS, REALS, Direction, Plan, Tag
from cellwright.io.plan.units import UNECE_NAMESPACE, lookup
from cellwright.opcua_model.address_space.builder import (
    COMPONENT,
    DATA_VARIABLE_TYPE,
    ORGANIZES,
    READ,
    WRITE,
    Builder,
)
from cellwright.opcua_model.address_space.ids import below, io_id, standard, status_code
from cellwright.opcua_model.address_space.tag_values import TagValues
from cellwright.opcua_model.address_space.values import wire_type
from cellwright.opcua_model.services.writes import WritePath

ANALOG_UNIT_TYPE = standard(ua.ObjectIds.AnalogUnitType)
ANALOG_UNIT_RANGE_TYPE = standard(ua.ObjectIds.AnalogUnitRangeType)
ANALOG_ITEM_TYPE = standard(ua.ObjectIds.AnalogItemType)
BASE_ANALOG_TYPE = standard(ua.ObjectIds.BaseAnalogType)

_FOLDERS = {
    Direction.INPUT: "Inputs",
    Direction.OUTPUT: "Outputs",
    Direction.MEMORY: "Memory",
}


class TagTree:
    """Builds IO/{Inputs,Outputs,Memory}/<device>/<tag> and the folder of the system tags."""

    def __init__(
        self,
        builder: Builder,
        plan: Plan,
        writes: WritePath,
        values: TagValues,
        objects: ua.NodeId,
    ) -> None:
        self._builder = builder
        self._values = values
        self._plan = plan
        self._writes = writes
        self._folders: dict[str, ua.NodeId] = {}
        root = f"{plan.cell}.IO"
        self._folders[root] = builder.folder(objects, io_id(root), "IO", "Tags by device")
        for name in _FOLDERS.values():
            self._folder(root, name)

    def build(self, system: ua.NodeId) -> list[NodeData]:
        """Every tag's node, by tag index; ``system`` is the folder for the system tags."""
        return [self._tag(tag, system) for tag in self._plan.tags]

    def _folder(self, above: str, name: str) -> str:
        path = f"{above}.{name}"
        if path not in self._folders:
            self._folders[path] = self._builder.folder(self._folders[above], io_id(path), name)
        return path

    def _tag(self, tag: Tag, system: ua.NodeId) -> NodeData:
        if tag.direction is Direction.SYSTEM:
            name = tag.name.removeprefix("sys.")
            return self._variable(tag, system, below(system, name), name)
        path = f"{self._plan.cell}.IO.{_FOLDERS[tag.direction]}"
        name = tag.name
        if tag.address is not None:
            path = self._folder(path, tag.address.device)
        elif "." in name:
            owner, _, name = name.partition(".")
            path = self._folder(path, owner)
        return self._variable(tag, self._folders[path], io_id(f"{path}.{name}"), name)

    def _variable(self, tag: Tag, parent: ua.NodeId, node_id: ua.NodeId, name: str) -> NodeData:
        wire = wire_type(tag.type)
        value = ua.Variant(wire.encode(tag.initial), wire.variant, is_array=tag.type.is_array)
        node = self._builder.variable(
            parent,
            node_id,
            name,
            value,
            wire.data_type,
            type_definition=_type_definition(tag),
            reference=ORGANIZES if tag.direction is not Direction.SYSTEM else COMPONENT,
            dimensions=wire.dimensions,
            access=READ | (WRITE if tag.write else 0),
            text=tag.description,
            sampling_ms=self._plan.scan.base_ns / 1e6,
            data_value=ua.DataValue(
                ua.Variant(None, ua.VariantType.Null), status_code(BAD_WAITING_FOR_INITIAL_DATA)
            ),
        )
        self._values.add(node_id, tag.index)
        node.attributes[ua.AttributeIds.Value].value_callback = self._values.reader_of(tag.index)
        if tag.write:
            self._writes.add(node_id, tag)
        self._limits(tag, node_id)
        return node

    def _limits(self, tag: Tag, node_id: ua.NodeId) -> None:
        def add(name: str, value: object, data_type: int) -> None:
            self._builder.property(
                node_id,
                below(node_id, name),
                name,
                ua.Variant(value, ua.VariantType.ExtensionObject),
                standard(data_type),
            )

        if tag.range is not None:
            add("EURange", ua.Range(*map(float, tag.range)), ua.ObjectIds.Range)
        if tag.scale is not None and tag.address is not None:
            scale = tag.scale
            ends = sorted(
                scale.gain * raw + scale.offset for raw in (scale.raw_low, scale.raw_high)
            )
            add("InstrumentRange", ua.Range(*ends), ua.ObjectIds.Range)
        if tag.unit:
            add("EngineeringUnits", eu_information(tag.unit), ua.ObjectIds.EUInformation)


def eu_information(symbol: str) -> ua.EUInformation:
    """A unit as OPC UA names it (OPC 10000-8, 5.6.3); raises UnknownUnitError."""
    unit = lookup(symbol)
    return ua.EUInformation(
        ua.String(UNECE_NAMESPACE),
        ua.Int32(unit.unit_id),
        ua.LocalizedText(unit.display),
        ua.LocalizedText(unit.description),
    )


def _type_definition(tag: Tag) -> ua.NodeId:
    if tag.type.code not in INTEGERS | REALS:
        return DATA_VARIABLE_TYPE
    if tag.unit and tag.range is not None:
        return ANALOG_UNIT_RANGE_TYPE
    if tag.unit:
        return ANALOG_UNIT_TYPE
    return ANALOG_ITEM_TYPE if tag.range is not None else DATA_VARIABLE_TYPE
