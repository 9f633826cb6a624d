"""Nodes that are made when somebody asks for them, beside those that are kept.

The library's address space looks every node up in a dictionary; here is one that asks sources for
what it does not hold: the tag tree and the alarms, which are added while they are built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData


class Source(Protocol):
    """Makes nodes on demand."""

    def node(self, node_id: ua.NodeId) -> NodeData | None:
        """The node of that NodeId; None when there is none."""

    def node_ids(self) -> Iterable[ua.NodeId]:
        """Every NodeId for which there is one."""


class VirtualNodes(dict[ua.NodeId, NodeData]):
    """A dictionary of nodes of which only some are in it; `len` and iterating tell of those."""

    def __init__(self) -> None:
        super().__init__()
        self._sources: list[Source] = []

    def add(self, source: Source) -> None:
        """Ask this one, too, from now on."""
        self._sources.append(source)

    def get(self, node_id: ua.NodeId, default: Any = None) -> Any:
        """The node that is kept or made, or ``default``."""
        found = dict.get(self, node_id)
        if found is None:
            found = self._made(node_id)
        return default if found is None else found

    def __missing__(self, node_id: ua.NodeId) -> NodeData:
        made = self._made(node_id)
        if made is None:
            raise KeyError(node_id)
        return made

    def __contains__(self, node_id: object) -> bool:
        if dict.__contains__(self, node_id):
            return True
        return isinstance(node_id, ua.NodeId) and self._made(node_id) is not None

    def keys(self) -> Any:
        """Every NodeId, those of nodes that are not kept too."""
        return list(self._all())

    @classmethod
    def into(cls, space: AddressSpace) -> VirtualNodes:
        """Let an address space without nodes keep its nodes so."""
        nodes = space._nodes = cls()
        return nodes

    def _made(self, node_id: ua.NodeId) -> NodeData | None:
        for source in self._sources:
            made = source.node(node_id)
            if made is not None:
                return made
        return None

    def _all(self) -> Iterator[ua.NodeId]:
        yield from dict.keys(self)
        for source in self._sources:
            yield from source.node_ids()
