"""The tree of event types in the address space: who is a subtype of whom, and what a type has."""

from __future__ import annotations

from typing import Final

from asyncua import ua
from asyncua.server.address_space import AddressSpace

from cellwright.opcua_model.address_space.builder import COMPONENT, PROPERTY, SUBTYPE, attribute
from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.events.record import Path

BASE_EVENT: Final = standard(ua.ObjectIds.BaseEventType)
CONDITION: Final = standard(ua.ObjectIds.ConditionType)
_CHILDREN: Final = (COMPONENT, PROPERTY)
_DEPTH: Final = 4
"""Steps of the longest path: ShelvingState/CurrentState/Id and one to spare."""


class EventTypes:
    """Questions about event types, answered from the address space once and then from memory."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._above: dict[ua.NodeId, frozenset[ua.NodeId]] = {}
        self._fields: dict[ua.NodeId, frozenset[Path]] = {}

    def is_event(self, type_: ua.NodeId) -> bool:
        """True for BaseEventType and what derives from it."""
        return BASE_EVENT in self.above(type_)

    def above(self, type_: ua.NodeId) -> frozenset[ua.NodeId]:
        """The type and all its supertypes; empty for a node that is no type of the server."""
        known = self._above.get(type_)
        if known is None:
            if type_ not in self._space:
                return frozenset()
            known = self._above[type_] = self._supertypes(type_)
        return known

    def has(self, type_: ua.NodeId, field: Path) -> bool:
        """True when an event of the type, or of a type below or above it, may have the field."""
        return field in self._all(type_)

    def _supertypes(self, type_: ua.NodeId) -> frozenset[ua.NodeId]:
        found: set[ua.NodeId] = set()
        todo = [type_]
        while todo:
            one = todo.pop()
            if one in found:
                continue
            found.add(one)
            todo += [
                item.NodeId
                for item in self._space[one].references
                if item.ReferenceTypeId == SUBTYPE and not item.IsForward
            ]
        return frozenset(found)

    def _all(self, type_: ua.NodeId) -> frozenset[Path]:
        known = self._fields.get(type_)
        if known is None:
            family = set(self.above(type_))
            todo = [type_]
            while todo:
                one = todo.pop()
                family.add(one)
                todo += [
                    item.NodeId
                    for item in self._space[one].references
                    if item.ReferenceTypeId == SUBTYPE and item.IsForward
                ]
            known = frozenset(field for one in family for field in self._own(one, _DEPTH))
            self._fields[type_] = known
        return known

    def _own(self, node_id: ua.NodeId, depth: int) -> set[Path]:
        node = self._space.get(node_id)
        if node is None or not depth:
            return set()
        found: set[Path] = set()
        for item in node.references:
            if not item.IsForward or item.ReferenceTypeId not in _CHILDREN:
                continue
            child = self._space.get(item.NodeId)
            if child is None or attribute(child, ua.AttributeIds.NodeClass) == ua.NodeClass.Method:
                continue
            name = attribute(child, ua.AttributeIds.BrowseName)
            step = ((name.NamespaceIndex, name.Name),)
            found.add(step)
            found.update(step + rest for rest in self._own(item.NodeId, depth - 1))
        return found
