"""The address space and the one way to add nodes to it: straight, without a search per node.

asyncua's AddNodes compares a new node with every sibling, which makes a folder of n nodes cost
n squared; here names and NodeIds are unique by construction. Attributes that never change are
shared between nodes. A DataValue in this space is never changed in place, only replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData

from cellwright.opcua_model.address_space.ids import below, standard, status_code
from cellwright.opcua_model.address_space.values import utc_now
from cellwright.opcua_model.errors import ModelError

ORGANIZES: Final = standard(ua.ObjectIds.Organizes)
COMPONENT: Final = standard(ua.ObjectIds.HasComponent)
PROPERTY: Final = standard(ua.ObjectIds.HasProperty)
SUBTYPE: Final = standard(ua.ObjectIds.HasSubtype)
ENCODING: Final = standard(ua.ObjectIds.HasEncoding)
TYPE_DEFINITION: Final = standard(ua.ObjectIds.HasTypeDefinition)

FOLDER_TYPE: Final = standard(ua.ObjectIds.FolderType)
DATA_VARIABLE_TYPE: Final = standard(ua.ObjectIds.BaseDataVariableType)
PROPERTY_TYPE: Final = standard(ua.ObjectIds.PropertyType)

READ: Final = 1
WRITE: Final = 2
HISTORY_READ: Final = 4
"""Bits of AccessLevel (OPC 10000-3, 8.57)."""

_A = ua.AttributeIds
_NULL_ID: Final = ua.NodeId()


def is_value(node: NodeData) -> bool:
    """True when the node is a Variable with a value attribute."""
    return _A.Value in node.attributes


def node_class(node: NodeData) -> ua.NodeClass:
    """The node's class."""
    return ua.NodeClass(attribute(node, _A.NodeClass))


def attribute(node: NodeData, attribute_id: ua.AttributeIds) -> Any:
    """Plain value of an attribute; None when the node does not have it or it is null."""
    held = node.attributes.get(attribute_id)
    if held is None or held.value is None or held.value.Value is None:
        return None
    return held.value.Value.Value


def type_definition(node: NodeData) -> ua.NodeId:
    """The type of an Object or Variable; the null NodeId for one without."""
    for item in node.references:
        if item.IsForward and item.ReferenceTypeId == TYPE_DEFINITION:
            definition: ua.NodeId = item.NodeId
            return definition
    return _NULL_ID


def replace(node: NodeData, value: ua.DataValue) -> None:
    """Put a new value into a Variable and offer it to the monitored items."""
    held = node.attributes[_A.Value]
    held.value = value
    watchers: Mapping[int, Any] = held.datachange_callbacks
    for watcher in watchers.values():
        watcher.sample(value)


def own(value: Any, variant: ua.VariantType) -> AttributeValue:
    """An attribute of one node, that never changes."""
    return AttributeValue(ua.DataValue(ua.Variant(value, variant)))


def dimensions(*lengths: int) -> AttributeValue:
    """ArrayDimensions; 0 where the length is not fixed (OPC 10000-3, 5.6.2)."""
    return AttributeValue(
        ua.DataValue(ua.Variant(list(lengths), ua.VariantType.UInt32, is_array=True))
    )


class Builder:
    """Adds nodes to a space and takes them out again."""

    def __init__(self, space: AddressSpace) -> None:
        self.space = space
        self.made = utc_now()
        """Time of the values that never change."""
        self._shared: dict[tuple[int, Any], AttributeValue] = {}

    def folder(
        self, parent: ua.NodeId, node_id: ua.NodeId, name: str, text: str = "", *, title: str = ""
    ) -> ua.NodeId:
        """A folder below ``parent``; gives its NodeId. ``title`` is shown instead of the name."""
        node = self._object(node_id, name, text)
        if title:
            node.attributes[_A.DisplayName] = own(
                ua.LocalizedText(title), ua.VariantType.LocalizedText
            )
        self._insert(node, parent, ORGANIZES, FOLDER_TYPE)
        return node_id

    def object(
        self,
        parent: ua.NodeId,
        node_id: ua.NodeId,
        name: str,
        type_definition: ua.NodeId,
        *,
        reference: ua.NodeId = COMPONENT,
        text: str = "",
        namespace: int | None = None,
    ) -> ua.NodeId:
        """An Object below ``parent``; gives its NodeId. Names of the standard: ``namespace`` 0."""
        node = self._object(node_id, name, text, namespace)
        self._insert(node, parent, reference, type_definition)
        return node_id

    def loose_object(
        self, node_id: ua.NodeId, name: str, *, namespace: int | None = None
    ) -> NodeData:
        """An Object without references that is in no space."""
        return self._object(node_id, name, namespace=namespace)

    def notifier(self, node_id: ua.NodeId) -> None:
        """Let clients subscribe to events at an Object, and read past ones (OPC 10000-3, 8.59)."""
        self.space[node_id].attributes[_A.EventNotifier] = self.constant(
            _A.EventNotifier, 5, ua.VariantType.Byte
        )

    def variable(
        self,
        parent: ua.NodeId,
        node_id: ua.NodeId,
        name: str,
        value: ua.Variant,
        data_type: ua.NodeId,
        *,
        type_definition: ua.NodeId = DATA_VARIABLE_TYPE,
        reference: ua.NodeId = COMPONENT,
        text: str = "",
        namespace: int | None = None,
    ) -> NodeData:
        """A Variable below ``parent``; gives the node, whose value `replace` replaces.

        Its BrowseName is in the namespace of its NodeId or in the one that is given.
        """
        node = self.loose_variable(node_id, name, value, data_type, text=text, namespace=namespace)
        self._insert(node, parent, reference, type_definition)
        return node

    def loose_variable(
        self,
        node_id: ua.NodeId,
        name: str,
        value: ua.Variant,
        data_type: ua.NodeId,
        *,
        text: str = "",
        namespace: int | None = None,
    ) -> NodeData:
        """A Variable without references that is in no space."""
        node = self._node(node_id, name, ua.NodeClass.Variable, text, namespace)
        attributes = node.attributes
        attributes[_A.Value] = AttributeValue(ua.DataValue(value, SourceTimestamp=self.made))
        attributes[_A.DataType] = self.constant(_A.DataType, data_type, ua.VariantType.NodeId)
        rank = 1 if value.is_array else -1
        attributes[_A.ValueRank] = self.constant(_A.ValueRank, rank, ua.VariantType.Int32)
        if value.is_array:
            attributes[_A.ArrayDimensions] = dimensions(0)
        for level in (_A.AccessLevel, _A.UserAccessLevel):
            attributes[level] = self.constant(level, READ, ua.VariantType.Byte)
        self.extend_access(node, READ)
        attributes[_A.MinimumSamplingInterval] = self.constant(
            _A.MinimumSamplingInterval, 0.0, ua.VariantType.Double
        )
        attributes[_A.Historizing] = self.constant(_A.Historizing, False, ua.VariantType.Boolean)
        return node

    def extend_access(self, node: NodeData, access: int) -> None:
        """Give a Variable its AccessLevelEx: the access level in 32 bits (OPC 10000-3, 8.58)."""
        node.attributes[_A.AccessLevelEx] = self.constant(
            _A.AccessLevelEx, access, ua.VariantType.UInt32
        )

    def property(
        self,
        parent: ua.NodeId,
        node_id: ua.NodeId,
        name: str,
        value: ua.Variant,
        data_type: ua.NodeId,
        *,
        namespace: int = 0,
    ) -> NodeData:
        """A Property of ``parent``. Names of the standard are in namespace 0."""
        return self.variable(
            parent,
            node_id,
            name,
            value,
            data_type,
            type_definition=PROPERTY_TYPE,
            reference=PROPERTY,
            namespace=namespace,
        )

    def method(
        self,
        parent: ua.NodeId,
        node_id: ua.NodeId,
        name: str,
        *,
        inputs: Sequence[ua.Argument],
        outputs: Sequence[ua.Argument],
        text: str = "",
    ) -> NodeData:
        """A Method of ``parent`` with its argument properties; `services` holds what it does."""
        node = self._node(node_id, name, ua.NodeClass.Method, text)
        for level in (_A.Executable, _A.UserExecutable):
            node.attributes[level] = self.constant(level, True, ua.VariantType.Boolean)
        self._insert(node, parent, COMPONENT, None)
        for label, arguments in (("InputArguments", inputs), ("OutputArguments", outputs)):
            if arguments:
                self.property(
                    node_id,
                    below(node_id, label),
                    label,
                    ua.Variant(list(arguments), ua.VariantType.ExtensionObject, is_array=True),
                    standard(ua.ObjectIds.Argument),
                )
        return node

    def object_type(self, node_id: ua.NodeId, name: str, text: str = "") -> None:
        """A subtype of BaseObjectType."""
        node = self._node(node_id, name, ua.NodeClass.ObjectType, text)
        node.attributes[_A.IsAbstract] = self.constant(_A.IsAbstract, False, ua.VariantType.Boolean)
        self._insert(node, standard(ua.ObjectIds.BaseObjectType), SUBTYPE, None)

    def event_type(self, node_id: ua.NodeId, name: str, parent: ua.NodeId, text: str = "") -> None:
        """A subtype of an event type."""
        node = self._node(node_id, name, ua.NodeClass.ObjectType, text)
        node.attributes[_A.IsAbstract] = self.constant(_A.IsAbstract, False, ua.VariantType.Boolean)
        self._insert(node, parent, SUBTYPE, None)

    def structure(
        self, node_id: ua.NodeId, name: str, definition: ua.StructureDefinition, text: str = ""
    ) -> None:
        """A structure DataType and its Default Binary encoding (OPC 10000-3, 5.8.2)."""
        node = self._node(node_id, name, ua.NodeClass.DataType, text)
        node.attributes[_A.IsAbstract] = self.constant(_A.IsAbstract, False, ua.VariantType.Boolean)
        node.attributes[_A.DataTypeDefinition] = AttributeValue(
            ua.DataValue(ua.Variant(definition, ua.VariantType.ExtensionObject))
        )
        self._insert(node, standard(ua.ObjectIds.Structure), SUBTYPE, None)
        encoding = self._object(definition.DefaultEncodingId, "Default Binary", namespace=0)
        self._insert(encoding, node_id, ENCODING, standard(ua.ObjectIds.DataTypeEncodingType))

    def reference(self, source: ua.NodeId, kind: ua.NodeId, target: ua.NodeId) -> None:
        """A further reference between two nodes that exist, in both directions."""
        self.space[source].references.append(self.describe(kind, target, forward=True))
        self.space[target].references.append(self.describe(kind, source, forward=False))

    def remove(self, node_ids: Iterable[ua.NodeId]) -> None:
        """Take nodes out, with every reference to them; monitored items learn that they went."""
        gone = {node_id for node_id in node_ids if node_id in self.space}
        neighbours: set[ua.NodeId] = set()
        unknown = ua.DataValue(StatusCode=status_code(ua.StatusCodes.BadNodeIdUnknown))
        for node_id in gone:
            node = self.space[node_id]
            neighbours.update(reference.NodeId for reference in node.references)
            for held in node.attributes.values():
                watchers: Mapping[int, Any] = held.datachange_callbacks
                for handle, watcher in list(watchers.items()):
                    watcher.sample(unknown)
                    self.space.delete_datachange_callback(handle)
            del self.space[node_id]
        for neighbour in neighbours - gone:
            data = self.space.get(neighbour)
            if data is not None:
                data.references[:] = [item for item in data.references if item.NodeId not in gone]

    def subtree(self, root: ua.NodeId) -> list[ua.NodeId]:
        """``root`` and everything below it that hierarchical references of our making reach."""
        seen: dict[ua.NodeId, None] = {}
        pending = [root]
        while pending:
            node_id = pending.pop()
            if node_id in seen or node_id not in self.space:
                continue
            seen[node_id] = None
            pending.extend(
                item.NodeId
                for item in self.space[node_id].references
                if item.IsForward and item.ReferenceTypeId in (COMPONENT, PROPERTY, ORGANIZES)
            )
        return list(seen)

    def _object(
        self, node_id: ua.NodeId, name: str, text: str = "", namespace: int | None = None
    ) -> NodeData:
        node = self._node(node_id, name, ua.NodeClass.Object, text, namespace)
        node.attributes[_A.EventNotifier] = self.constant(_A.EventNotifier, 0, ua.VariantType.Byte)
        return node

    def _node(
        self,
        node_id: ua.NodeId,
        name: str,
        class_: ua.NodeClass,
        text: str = "",
        namespace: int | None = None,
    ) -> NodeData:
        node = NodeData(node_id)
        attributes = node.attributes
        attributes[_A.NodeId] = own(node_id, ua.VariantType.NodeId)
        attributes[_A.NodeClass] = self.constant(_A.NodeClass, class_, ua.VariantType.Int32)
        attributes[_A.BrowseName] = own(
            ua.QualifiedName(name, node_id.NamespaceIndex if namespace is None else namespace),
            ua.VariantType.QualifiedName,
        )
        attributes[_A.DisplayName] = own(ua.LocalizedText(name), ua.VariantType.LocalizedText)
        if text:
            attributes[_A.Description] = own(ua.LocalizedText(text), ua.VariantType.LocalizedText)
        for mask in (_A.WriteMask, _A.UserWriteMask):
            attributes[mask] = self.constant(mask, 0, ua.VariantType.UInt32)
        return node

    def constant(
        self, attribute_id: ua.AttributeIds, value: Any, variant: ua.VariantType
    ) -> AttributeValue:
        """An attribute that many nodes have alike, made once; it must never change."""
        key = (int(attribute_id), value)
        held = self._shared.get(key)
        if held is None:
            held = self._shared[key] = AttributeValue(ua.DataValue(ua.Variant(value, variant)))
        return held

    def _insert(
        self,
        node: NodeData,
        parent: ua.NodeId,
        reference: ua.NodeId,
        type_definition: ua.NodeId | None,
    ) -> None:
        if node.nodeid in self.space:
            raise ModelError(
                f"two nodes want the NodeId {node.nodeid.to_string()}; rename one of them"
            )
        above = self.space.get(parent)
        if above is None:
            raise ModelError(
                f"node {node.nodeid.to_string()} has no parent {parent.to_string()}; "
                "the tree must be built from the root down"
            )
        self.space[node.nodeid] = node
        if type_definition is not None:
            node.references.append(self.describe(TYPE_DEFINITION, type_definition, forward=True))
        node.references.append(self.describe(reference, parent, forward=False))
        above.references.append(self.describe(reference, node.nodeid, forward=True))

    def describe(
        self, kind: ua.NodeId, target: ua.NodeId, *, forward: bool
    ) -> ua.ReferenceDescription:
        """A reference to a node that exists, as Browse tells it."""
        node = self.space[target]
        kind_of_node = node_class(node)
        definition = _NULL_ID
        if kind_of_node in (ua.NodeClass.Object, ua.NodeClass.Variable):
            definition = type_definition(node)
        return ua.ReferenceDescription(
            kind,
            forward,
            target,
            attribute(node, _A.BrowseName),
            attribute(node, _A.DisplayName),
            kind_of_node,
            definition,
        )
