"""A folder that names what is in it when somebody looks, for nodes that are made on demand."""

from __future__ import annotations

from collections.abc import Callable

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData


class LazyFolder(NodeData):
    """A folder whose members are described by a function."""

    def __init__(
        self, folder: NodeData, children: Callable[[], list[ua.ReferenceDescription]]
    ) -> None:
        self._children = children
        super().__init__(folder.nodeid)
        self.attributes = folder.attributes
        self._own = folder.references

    @classmethod
    def put(
        cls,
        space: AddressSpace,
        folder: ua.NodeId,
        children: Callable[[], list[ua.ReferenceDescription]],
    ) -> None:
        """Let a folder that is in the space have further members."""
        space[folder] = cls(space[folder], children)

    @property
    def references(self) -> list[ua.ReferenceDescription]:
        """Its type, what is above it, its folders, its members."""
        return [*self._own, *self._children()]

    @references.setter
    def references(self, wanted: list[ua.ReferenceDescription]) -> None:
        self._own = wanted
