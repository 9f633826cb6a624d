"""The nodes of conditions, made when somebody asks for one: object, variables, methods.

A node of a variable that is monitored lives as long as its item, and is told of changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from cellwright.io.plan import LimitKind
from cellwright.opcua_model.address_space.builder import (
    COMPONENT,
    PROPERTY,
    PROPERTY_TYPE,
    TYPE_DEFINITION,
    Builder,
)
from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.events.record import Path, path
from cellwright.opcua_model.nodes.events.conditions import Condition

_A = ua.AttributeIds
_O = ua.ObjectIds
_HAS_CONDITION: Final = standard(_O.HasCondition)
_TWO_STATE: Final = standard(_O.TwoStateVariableType)
_CONDITION_VARIABLE: Final = standard(_O.ConditionVariableType)
_FINITE_STATE: Final = standard(_O.FiniteStateVariableType)
_UNSHELVE_TIME: Final = path("ShelvingState", "UnshelveTime")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a node below a condition is."""

    reference: ua.NodeId
    type: ua.NodeId
    data_type: ua.NodeId | None = None
    """None for an Object."""


def _property(data_type: int) -> _Shape:
    return _Shape(PROPERTY, PROPERTY_TYPE, standard(data_type))


def _variable(type_: ua.NodeId, data_type: int) -> _Shape:
    return _Shape(COMPONENT, type_, standard(data_type))


_BY_NAME: Final[dict[str, _Shape]] = {
    "EventType": _property(_O.NodeId),
    "EventId": _property(_O.ByteString),
    "SourceNode": _property(_O.NodeId),
    "SourceName": _property(_O.String),
    "Time": _property(_O.UtcTime),
    "ReceiveTime": _property(_O.UtcTime),
    "Message": _property(_O.LocalizedText),
    "Severity": _property(_O.UInt16),
    "ConditionClassId": _property(_O.NodeId),
    "ConditionClassName": _property(_O.LocalizedText),
    "ConditionName": _property(_O.String),
    "BranchId": _property(_O.NodeId),
    "Retain": _property(_O.Boolean),
    "ClientUserId": _property(_O.String),
    "Quality": _variable(_CONDITION_VARIABLE, _O.StatusCode),
    "LastSeverity": _variable(_CONDITION_VARIABLE, _O.UInt16),
    "Comment": _variable(_CONDITION_VARIABLE, _O.LocalizedText),
    "SourceTimestamp": _property(_O.UtcTime),
    "EnabledState": _variable(_TWO_STATE, _O.LocalizedText),
    "AckedState": _variable(_TWO_STATE, _O.LocalizedText),
    "ActiveState": _variable(_TWO_STATE, _O.LocalizedText),
    "SuppressedState": _variable(_TWO_STATE, _O.LocalizedText),
    "TransitionTime": _property(_O.UtcTime),
    "InputNode": _property(_O.NodeId),
    "SuppressedOrShelved": _property(_O.Boolean),
    "MaxTimeShelved": _property(_O.Duration),
    "UnshelveTime": _property(_O.Duration),
    "ShelvingState": _Shape(COMPONENT, standard(_O.ShelvedStateMachineType)),
    "LimitState": _Shape(COMPONENT, standard(_O.ExclusiveLimitStateMachineType)),
    "CurrentState": _variable(_FINITE_STATE, _O.LocalizedText),
    "HighHighLimit": _property(_O.Double),
    "HighLimit": _property(_O.Double),
    "LowLimit": _property(_O.Double),
    "LowLowLimit": _property(_O.Double),
}
_METHODS: Final[dict[Path, tuple[int, ...]]] = {
    (): (
        _O.ConditionType_Enable,
        _O.ConditionType_Disable,
        _O.ConditionType_AddComment,
        _O.AcknowledgeableConditionType_Acknowledge,
    ),
    path("ShelvingState"): (
        _O.ShelvedStateMachineType_TimedShelve,
        _O.ShelvedStateMachineType_OneShotShelve,
        _O.ShelvedStateMachineType_Unshelve,
    ),
}
"""The methods of the types are those of the instances (OPC 10000-3, 6.2.7)."""


class ConditionNodes:
    """Answers for the nodes below ``Alarms``."""

    def __init__(
        self, builder: Builder, conditions: Sequence[Condition], now_ns: Callable[[], int]
    ) -> None:
        self._builder = builder
        self._now_ns = now_ns
        self._at: dict[str, Condition] = {
            str(condition.place.node_id.Identifier): condition for condition in conditions
        }
        self._above: dict[str, ua.NodeId] = {}
        self._watched: WeakValueDictionary[tuple[ua.NodeId, Path], NodeData] = WeakValueDictionary()

    def put(self, folder: ua.NodeId, condition: Condition) -> None:
        """The folder that shows the condition."""
        self._above[str(condition.place.node_id.Identifier)] = folder

    def describe(self, condition: Condition, reference: ua.NodeId) -> ua.ReferenceDescription:
        """The reference to a condition from something above it."""
        name = condition.rule.name
        return ua.ReferenceDescription(
            reference,
            True,
            condition.place.node_id,
            ua.QualifiedName(name, condition.place.node_id.NamespaceIndex),
            ua.LocalizedText(name),
            ua.NodeClass.Object,
            condition.type,
        )

    def node(self, node_id: ua.NodeId) -> NodeData | None:
        """The node of a condition or of something below one."""
        found = self.find(node_id)
        if found is None:
            return None
        condition, at = found
        if not at:
            return self._object(condition)
        known = self._watched.get((condition.place.node_id, at))
        return known or self._below(condition, at)

    def node_ids(self) -> Iterator[ua.NodeId]:
        """Of every condition and everything below it."""
        for condition in self._at.values():
            yield condition.place.node_id
            for at in _paths(condition):
                yield _child(condition, at)

    def find(self, node_id: ua.NodeId) -> tuple[Condition, Path] | None:
        """The condition that a node belongs to, and the node's path below it."""
        text = node_id.Identifier
        if not isinstance(text, str):
            return None
        if text in self._at and self._at[text].place.node_id == node_id:
            return self._at[text], ()
        head, _, tail = text.partition("/")
        condition = self._at.get(head)
        if condition is None or condition.place.node_id.NamespaceIndex != node_id.NamespaceIndex:
            return None
        at = path(*tail.split("/"))
        return (condition, at) if at in _paths(condition) else None

    def changed(self, condition: Condition) -> None:
        """Offer what is new to those who monitor a variable of the condition."""
        for (node_id, at), node in list(self._watched.items()):
            if node_id == condition.place.node_id:
                value = self._value(condition, at)
                for watcher in list(node.attributes[_A.Value].datachange_callbacks.values()):
                    watcher.sample(value)  # type: ignore[attr-defined] # ours, not the library's

    def _value(self, condition: Condition, at: Path) -> ua.DataValue:
        value, time = condition.fields[at], condition.time
        if at == _UNSHELVE_TIME:
            value = ua.Variant(condition.unshelve_ms(self._now_ns()), ua.VariantType.Double)
        return ua.DataValue(value, SourceTimestamp=time)

    def _object(self, condition: Condition) -> NodeData:
        node_id = condition.place.node_id
        node = self._builder.loose_object(node_id, condition.rule.name)
        source = condition.place.source
        node.references = [
            self._builder.describe(TYPE_DEFINITION, condition.type, forward=True),
            self._builder.describe(COMPONENT, self._above[str(node_id.Identifier)], forward=False),
            self._builder.describe(_HAS_CONDITION, source, forward=False),
            *self._children(condition, ()),
        ]
        return node

    def _below(self, condition: Condition, at: Path) -> NodeData:
        shape, name = _shape(at), at[-1][1]
        node_id = _child(condition, at)
        if shape.data_type is None:
            node = self._builder.loose_object(node_id, name, namespace=0)
        else:
            node = self._builder.loose_variable(
                node_id, name, condition.fields[at], shape.data_type, namespace=0
            )
            held = AttributeValue(ua.DataValue())
            held.value_callback = lambda _, __: self._value(condition, at)
            node.attributes[_A.Value] = held
            self._watched[condition.place.node_id, at] = node
        node.references = [
            self._builder.describe(TYPE_DEFINITION, shape.type, forward=True),
            self._reference(condition, at, up=True),
            *self._children(condition, at),
        ]
        return node

    def _children(self, condition: Condition, above: Path) -> Iterator[ua.ReferenceDescription]:
        for at in _paths(condition):
            if at[:-1] == above:
                yield self._reference(condition, at, up=False)
        for number in _METHODS.get(above, ()):
            yield self._builder.describe(COMPONENT, standard(number), forward=True)

    def _reference(self, condition: Condition, at: Path, *, up: bool) -> ua.ReferenceDescription:
        """Between a node below the condition and what is above it, seen from one of both."""
        shape = _shape(at)
        if not up:
            class_ = ua.NodeClass.Object if shape.data_type is None else ua.NodeClass.Variable
            return _description(shape.reference, _child(condition, at), at[-1][1], class_, shape)
        if len(at) > 1:
            above = _shape(at[:-1])
            class_ = ua.NodeClass.Object if above.data_type is None else ua.NodeClass.Variable
            found = _description(
                shape.reference, _child(condition, at[:-1]), at[-2][1], class_, above
            )
        else:
            found = self.describe(condition, shape.reference)
        found.IsForward = False
        return found


def _shape(at: Path) -> _Shape:
    name = at[-1][1]
    if name != "Id":
        return _BY_NAME[name]
    return _property(_O.NodeId if at[-2][1] == "CurrentState" else _O.Boolean)


def _description(
    reference: ua.NodeId, node_id: ua.NodeId, name: str, class_: ua.NodeClass, shape: _Shape
) -> ua.ReferenceDescription:
    return ua.ReferenceDescription(
        reference,
        True,
        node_id,
        ua.QualifiedName(name, 0),
        ua.LocalizedText(name),
        class_,
        shape.type,
    )


def _paths(condition: Condition) -> dict[Path, None]:
    """Of all that lies below a condition: its fields, and the objects that group them."""
    limit = condition.rule.limit
    kind = None if limit is None else limit.kind
    found = _PATHS.get(kind)
    if found is None:
        found = _PATHS[kind] = {}
        for at in condition.fields:
            for length in range(1, len(at) + 1):
                found[at[:length]] = None
    return found


_PATHS: Final[dict[LimitKind | None, dict[Path, None]]] = {}
"""By what the alarm watches: conditions of one kind have the same."""


def _child(condition: Condition, at: Path) -> ua.NodeId:
    text = "/".join((str(condition.place.node_id.Identifier), *(name for _, name in at)))
    return ua.NodeId(ua.String(text), condition.place.node_id.NamespaceIndex)
