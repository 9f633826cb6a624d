"""Where each tag stands in the tree: its path, which is its NodeId, and back from there to the tag.

Called by the tag tree, the values and the write path. Paths are not kept: a table of names leads
from a NodeId to the tag, whose path is then made and compared.
"""

from __future__ import annotations

from typing import Final

from asyncua import ua

from cellwright.io.plan import Direction, Plan, Tag
from cellwright.opcua_model.address_space.ids import CELL, IO
from cellwright.opcua_model.errors import ModelError

EU_RANGE: Final = "EURange"
INSTRUMENT_RANGE: Final = "InstrumentRange"
ENGINEERING_UNITS: Final = "EngineeringUnits"

FOLDERS: Final = {
    Direction.INPUT: "Inputs",
    Direction.OUTPUT: "Outputs",
    Direction.MEMORY: "Memory",
}
SYSTEM_PREFIX: Final = "sys."


def properties(tag: Tag) -> tuple[str, ...]:
    """Names of the properties that a tag's node has (OPC 10000-8, 5.3.2)."""
    names = []
    if tag.range is not None:
        names.append(EU_RANGE)
    if tag.scale is not None and tag.address is not None:
        names.append(INSTRUMENT_RANGE)
    if tag.unit:
        names.append(ENGINEERING_UNITS)
    return tuple(names)


def name(tag: Tag) -> str:
    """A tag's BrowseName: what its path has behind its folder."""
    if tag.direction is Direction.SYSTEM:
        return tag.name.removeprefix(SYSTEM_PREFIX)
    return tag.name if tag.address is not None else tag.name.partition(".")[2] or tag.name


class TagPaths:
    """The paths of one plan's tags. Raises ModelError when two nodes want the same one."""

    def __init__(self, plan: Plan) -> None:
        self._tags = plan.tags
        self._io = f"{plan.cell}.IO."
        self._system = f"{plan.cell}.Controller.Resources.PLC1.System."
        self._by_name = {tag.name: tag.index for tag in plan.tags}
        for tag in plan.tags:
            if "." in tag.name and tag.direction is not Direction.SYSTEM:
                self._check(tag)

    def folder(self, tag: Tag) -> str:
        """The path of the folder that the tag lies in, however that is divided."""
        if tag.direction is Direction.SYSTEM:
            return self._system[:-1]
        above = self._io + FOLDERS[tag.direction]
        if tag.address is not None:
            return f"{above}.{tag.address.device}"
        owner, dot, _ = tag.name.partition(".")
        return f"{above}.{owner}" if dot else above

    def path(self, tag: Tag) -> str:
        """The identifier of the tag's NodeId."""
        if tag.direction is Direction.SYSTEM:
            return self._system + tag.name.removeprefix(SYSTEM_PREFIX)
        above = self._io + FOLDERS[tag.direction]
        if tag.address is not None:
            return f"{above}.{tag.address.device}.{tag.name}"
        return f"{above}.{tag.name}"

    def node_id(self, tag: Tag) -> ua.NodeId:
        """The NodeId of the tag."""
        space = CELL if tag.direction is Direction.SYSTEM else IO
        return ua.NodeId(ua.String(self.path(tag)), ua.Int16(space), ua.NodeIdType.String)

    def tag_of(self, node_id: ua.NodeId) -> Tag | None:
        """The tag behind a node, or None."""
        path = node_id.Identifier
        return self._find(path, node_id.NamespaceIndex) if isinstance(path, str) else None

    def tag_named(self, name: str) -> Tag | None:
        """The tag of that name, or None."""
        index = self._by_name.get(name)
        return None if index is None else self._tags[index]

    def index_of(self, node_id: ua.NodeId) -> int | None:
        """The index of the tag behind a node, or None."""
        tag = self.tag_of(node_id)
        return None if tag is None else tag.index

    def property_of(self, node_id: ua.NodeId) -> tuple[Tag, str] | None:
        """The tag whose property a node is, and which one; None for any other node."""
        path = node_id.Identifier
        if not isinstance(path, str):
            return None
        owner, _, last = path.rpartition(".")
        tag = self._find(owner, node_id.NamespaceIndex)
        return (tag, last) if tag is not None and last in properties(tag) else None

    def _find(self, path: str, namespace: int) -> Tag | None:
        if namespace == IO and path.startswith(self._io):
            rest = path[len(self._io) :].partition(".")[2]
            for wanted in (rest, rest.partition(".")[2]):
                tag = self._named(wanted)
                if tag is not None and tag.direction in FOLDERS and self.path(tag) == path:
                    return tag
        elif namespace == CELL and path.startswith(self._system):
            rest = path[len(self._system) :]
            for wanted in (SYSTEM_PREFIX + rest, rest):
                tag = self._named(wanted)
                if tag is not None and tag.direction is Direction.SYSTEM:
                    return tag
        return None

    def _named(self, wanted: str) -> Tag | None:
        index = self._by_name.get(wanted)
        return None if index is None else self._tags[index]

    def _check(self, tag: Tag) -> None:
        """Two tags, or a tag and a property of another, must not have the same path."""
        path = self.path(tag)
        other = self._named(tag.name.partition(".")[2])
        if other is not None and tag.address is None and self.path(other) == path:
            raise ModelError(
                f"the tags '{tag.name}' and '{other.name}' want the same NodeId {path}; "
                "rename one of them"
            )
        owner, _, last = path.rpartition(".")
        above = self._find(owner, IO)
        if above is not None and last in properties(above):
            raise ModelError(
                f"the tag '{tag.name}' and the property {last} of the tag '{above.name}' want the "
                f"same NodeId {path}; rename one of the tags"
            )
