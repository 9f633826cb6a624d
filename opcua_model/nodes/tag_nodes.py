"""What one tag's node and those of its properties look like, made when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, cast

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from cellwright.io.plan import INTEGERS, REALS, Tag
from cellwright.io.plan.units import UNECE_NAMESPACE, lookup
from cellwright.opcua_model.address_space import tag_paths
from cellwright.opcua_model.address_space.builder import (
    DATA_VARIABLE_TYPE,
    HISTORY_READ,
    PROPERTY,
    PROPERTY_TYPE,
    READ,
    TYPE_DEFINITION,
    WRITE,
    Builder,
    dimensions,
    own,
)
from cellwright.opcua_model.address_space.ids import below, standard
from cellwright.opcua_model.address_space.values import wire_type
from cellwright.opcua_model.nodes.history import configured

ANALOG_UNIT_TYPE = standard(ua.ObjectIds.AnalogUnitType)
ANALOG_UNIT_RANGE_TYPE = standard(ua.ObjectIds.AnalogUnitRangeType)
ANALOG_ITEM_TYPE = standard(ua.ObjectIds.AnalogItemType)
BASE_ANALOG_TYPE = standard(ua.ObjectIds.BaseAnalogType)

_A = ua.AttributeIds
_T = ua.VariantType


class TagNode(NodeData):
    """A Variable whose attributes and references are made one by one, when they are wanted."""

    def __init__(
        self,
        nodes: TagNodes,
        tag: Tag,
        node_id: ua.NodeId,
        above: list[ua.ReferenceDescription],
    ) -> None:
        """``above``: the references to what the tag lies below."""
        super().__init__(node_id)
        self.tag = tag
        self._nodes = nodes
        self._above = above
        # What the library does with attributes, a mapping can do as well as its dict.
        self.attributes = cast(Any, _Attributes(nodes, tag, node_id))
        del self.references  # made below

    @cached_property
    def references(self) -> list[ua.ReferenceDescription]:  # type: ignore[override] # made late
        """Its type, what it lies below, its properties."""
        builder = self._nodes.builder
        return [
            builder.describe(TYPE_DEFINITION, type_of(self.tag), forward=True),
            *self._above,
            *(
                self._nodes.describe_property(self.nodeid, name)
                for name in tag_paths.properties(self.tag)
            ),
            *([configured(builder, self.tag)] if self._nodes.records(self.tag) else ()),
        ]


class TagNodes:
    """Makes the nodes of tags and of their properties."""

    def __init__(
        self,
        builder: Builder,
        read: Callable[[int], ua.DataValue],
        sampling_ms: float,
        records: Callable[[Tag], bool],
    ) -> None:
        """``records``: whether there is a history of a tag."""
        self.builder = builder
        self.read = read
        self.sampling_ms = sampling_ms
        self.records = records

    def describe(self, kind: ua.NodeId, tag: Tag, node_id: ua.NodeId) -> ua.ReferenceDescription:
        """The reference from something above to a tag."""
        name = tag_paths.name(tag)
        return ua.ReferenceDescription(
            kind,
            True,
            node_id,
            ua.QualifiedName(name, node_id.NamespaceIndex),
            ua.LocalizedText(name),
            ua.NodeClass.Variable,
            type_of(tag),
        )

    def describe_property(self, owner: ua.NodeId, name: str) -> ua.ReferenceDescription:
        """The reference from a tag to one of its properties."""
        return ua.ReferenceDescription(
            PROPERTY,
            True,
            below(owner, name),
            ua.QualifiedName(name, 0),
            ua.LocalizedText(name),
            ua.NodeClass.Variable,
            PROPERTY_TYPE,
        )

    def property(self, tag: Tag, name: str, owner: ua.NodeId) -> NodeData:
        """The node of a tag's property."""
        data_type, value = _property(tag, name)
        node = self.builder.loose_variable(
            below(owner, name),
            name,
            ua.Variant(value, _T.ExtensionObject),
            standard(data_type),
            namespace=0,
        )
        up = self.describe(PROPERTY, tag, owner)
        up.IsForward = False
        node.references += [
            self.builder.describe(TYPE_DEFINITION, PROPERTY_TYPE, forward=True),
            up,
        ]
        return node


class _Attributes(Mapping[ua.AttributeIds, AttributeValue]):
    """The attributes of a tag's node."""

    def __init__(self, nodes: TagNodes, tag: Tag, node_id: ua.NodeId) -> None:
        self.nodes = nodes
        self.tag = tag
        self.node_id = node_id

    def __getitem__(self, attribute: ua.AttributeIds) -> AttributeValue:
        if attribute not in self:
            raise KeyError(attribute)
        return _MAKE[attribute](self)

    def __contains__(self, attribute: object) -> bool:
        if attribute == _A.ArrayDimensions:
            return self.tag.type.is_array
        if attribute == _A.Description:
            return bool(self.tag.description)
        return attribute in _MAKE

    def __iter__(self) -> Iterator[ua.AttributeIds]:
        return (attribute for attribute in _MAKE if attribute in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def constant(
        self, attribute: ua.AttributeIds, value: Any, variant: ua.VariantType
    ) -> AttributeValue:
        return self.nodes.builder.constant(attribute, value, variant)

    def value(self) -> AttributeValue:
        index, read = self.tag.index, self.nodes.read
        held = AttributeValue(ua.DataValue())
        held.value_callback = lambda node_id, attribute: read(index)
        return held

    def access(self, attribute: ua.AttributeIds, variant: ua.VariantType) -> AttributeValue:
        level = READ | (WRITE if self.tag.write else 0)
        return self.constant(attribute, level | (HISTORY_READ if self.recorded else 0), variant)

    @property
    def recorded(self) -> bool:
        return self.nodes.records(self.tag)


_MAKE: Final[Mapping[ua.AttributeIds, Callable[[_Attributes], AttributeValue]]] = {
    _A.NodeId: lambda it: own(it.node_id, _T.NodeId),
    _A.NodeClass: lambda it: it.constant(_A.NodeClass, ua.NodeClass.Variable, _T.Int32),
    _A.BrowseName: lambda it: own(
        ua.QualifiedName(tag_paths.name(it.tag), it.node_id.NamespaceIndex), _T.QualifiedName
    ),
    _A.DisplayName: lambda it: own(ua.LocalizedText(tag_paths.name(it.tag)), _T.LocalizedText),
    _A.Description: lambda it: own(ua.LocalizedText(it.tag.description), _T.LocalizedText),
    _A.WriteMask: lambda it: it.constant(_A.WriteMask, 0, _T.UInt32),
    _A.UserWriteMask: lambda it: it.constant(_A.UserWriteMask, 0, _T.UInt32),
    _A.Value: _Attributes.value,
    _A.DataType: lambda it: it.constant(_A.DataType, wire_type(it.tag.type).data_type, _T.NodeId),
    _A.ValueRank: lambda it: it.constant(_A.ValueRank, wire_type(it.tag.type).value_rank, _T.Int32),
    _A.ArrayDimensions: lambda it: dimensions(it.tag.type.count),
    _A.AccessLevel: lambda it: it.access(_A.AccessLevel, _T.Byte),
    _A.UserAccessLevel: lambda it: it.access(_A.UserAccessLevel, _T.Byte),
    _A.AccessLevelEx: lambda it: it.access(_A.AccessLevelEx, _T.UInt32),
    _A.MinimumSamplingInterval: lambda it: it.constant(
        _A.MinimumSamplingInterval, it.nodes.sampling_ms, _T.Double
    ),
    _A.Historizing: lambda it: it.constant(_A.Historizing, it.recorded, _T.Boolean),
}


def _property(tag: Tag, name: str) -> tuple[int, Any]:
    """Number of the data type, and the value, of one of `tag_paths.properties`."""
    if name == tag_paths.ENGINEERING_UNITS:
        return ua.ObjectIds.EUInformation, eu_information(tag.unit)
    if name == tag_paths.EU_RANGE:
        assert tag.range is not None
        return ua.ObjectIds.Range, ua.Range(*map(float, tag.range))
    scale = tag.scale
    assert scale is not None
    ends = sorted(scale.gain * raw + scale.offset for raw in (scale.raw_low, scale.raw_high))
    return ua.ObjectIds.Range, ua.Range(*ends)


def eu_information(symbol: str) -> ua.EUInformation:
    """A unit as OPC UA names it (OPC 10000-8, 5.6.3); raises UnknownUnitError."""
    unit = lookup(symbol)
    return ua.EUInformation(
        ua.String(UNECE_NAMESPACE),
        ua.Int32(unit.unit_id),
        ua.LocalizedText(unit.display),
        ua.LocalizedText(unit.description),
    )


def type_of(tag: Tag) -> ua.NodeId:
    """The type of a tag's Variable (OPC 10000-8, 5.3.2)."""
    if tag.type.code not in INTEGERS | REALS:
        return DATA_VARIABLE_TYPE
    if tag.unit and tag.range is not None:
        return ANALOG_UNIT_RANGE_TYPE
    if tag.unit:
        return ANALOG_UNIT_TYPE
    return ANALOG_ITEM_TYPE if tag.range is not None else DATA_VARIABLE_TYPE
