"""The plan's tags as variables below IO and Controller, each under the path that its NodeId spells.

Built once at start: the folders are kept, the tags' nodes are made when somebody asks for one, so
that 100,000 tags cost neither time at the start nor memory. A folder shows 200 tags at most; more
lie in folders below it, which their NodeIds do not name.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from asyncua import ua
from asyncua.server.address_space import NodeData

from cellwright.io.plan import Direction, Plan, Tag
from cellwright.opcua_model.address_space import tag_paths
from cellwright.opcua_model.address_space.builder import COMPONENT, ORGANIZES, Builder
from cellwright.opcua_model.address_space.ids import io_id
from cellwright.opcua_model.address_space.tag_paths import TagPaths
from cellwright.opcua_model.address_space.virtual_nodes import VirtualNodes
from cellwright.opcua_model.errors import ModelError
from cellwright.opcua_model.nodes.lazy_folder import LazyFolder
from cellwright.opcua_model.nodes.tag_nodes import TagNode, TagNodes

MOST_CHILDREN: Final = 200
"""Tags that a folder shows; people scroll through lists, and clients ask for whole ones."""


class TagTree:
    """IO/{Inputs,Outputs,Memory}/<device>/<tag> and the folder of the system tags."""

    def __init__(
        self,
        builder: Builder,
        plan: Plan,
        paths: TagPaths,
        read: Callable[[int], ua.DataValue],
        objects: ua.NodeId,
    ) -> None:
        """``read`` gives the value of the tag of an index."""
        self._builder = builder
        self._plan = plan
        self._paths = paths
        self._nodes = TagNodes(builder, read, plan.scan.base_ns / 1e6, self._records)
        self._folders: list[ua.ReferenceDescription] = []
        """References up to those that hold tags."""
        self._folder_of = array("L", bytes(array("L").itemsize * len(plan.tags)))
        """The place in it of each tag's folder."""
        self._shown: dict[int, list[ua.NodeId]] = {}
        """Other objects that show a tag."""
        self._root = builder.folder(objects, io_id(f"{plan.cell}.IO"), "IO", "Tags by device")

    def _records(self, tag: Tag) -> bool:
        """There is a history of it."""
        return self._plan.history is not None and tag.name in self._plan.history.deadbands

    def build(self, system: ua.NodeId, nodes: VirtualNodes) -> None:
        """Make the folders and answer for the tags from now on; ``system`` is there already."""
        members: dict[str, array[int]] = {}
        known: dict[str, ua.NodeId] = {}
        for name in tag_paths.FOLDERS.values():
            path = f"{self._plan.cell}.IO.{name}"
            known[path] = self._builder.folder(self._root, io_id(path), name)
            members[path] = array("L")
        known[str(system.Identifier)] = system
        for tag in self._plan.tags:
            members.setdefault(self._paths.folder(tag), array("L")).append(tag.index)
        for path in members:
            if path not in known:
                known[path] = self._folder(known, path)
        for path, indexes in members.items():
            self._fill(known[path], indexes, 0)
        nodes.add(self)

    def show(self, index: int, parent: ua.NodeId) -> None:
        """Let another object show a tag as its component."""
        tag = self._plan.tags[index]
        self._builder.space[parent].references.append(
            self._nodes.describe(COMPONENT, tag, self._paths.node_id(tag))
        )
        self._shown.setdefault(index, []).append(parent)

    def node(self, node_id: ua.NodeId) -> NodeData | None:
        """The node of a tag or of a property of a tag."""
        tag = self._paths.tag_of(node_id)
        if tag is not None:
            above = [self._folders[self._folder_of[tag.index]]]
            above += [
                self._builder.describe(COMPONENT, parent, forward=False)
                for parent in self._shown.get(tag.index, ())
            ]
            return TagNode(self._nodes, tag, node_id, above)
        found = self._paths.property_of(node_id)
        if found is None:
            return None
        tag, name = found
        return self._nodes.property(tag, name, self._paths.node_id(tag))

    def node_ids(self) -> Iterator[ua.NodeId]:
        """Of every tag and every property of one."""
        for tag in self._plan.tags:
            owner = self._paths.node_id(tag)
            yield owner
            for name in tag_paths.properties(tag):
                yield self._nodes.describe_property(owner, name).NodeId

    def _folder(self, known: dict[str, ua.NodeId], path: str) -> ua.NodeId:
        above, _, name = path.rpartition(".")
        node_id = io_id(path)
        tag = self._paths.tag_of(node_id)
        if tag is not None:
            raise ModelError(
                f"the tag '{tag.name}' and a folder of tags want the same NodeId {path}; "
                "rename the tag"
            )
        return self._builder.folder(known[above], node_id, name)

    def _fill(self, folder: ua.NodeId, indexes: Sequence[int], first: int) -> None:
        """Put tags into a folder, by way of further ones when they are many.

        Those are named by the places of their tags, counted from ``first``, in the order of the
        cell's file: a tag that is added at the end moves no other.
        """
        if len(indexes) <= MOST_CHILDREN:
            number = len(self._folders)
            kind = _kind(self._plan.tags[indexes[0]]) if indexes else ORGANIZES
            self._folders.append(self._builder.describe(kind, folder, forward=False))
            for index in indexes:
                self._folder_of[index] = number
            space = self._builder.space
            LazyFolder.put(space, folder, lambda: self._children(indexes))
            return
        span = MOST_CHILDREN
        while len(indexes) > span * MOST_CHILDREN:
            span *= MOST_CHILDREN
        for start in range(0, len(indexes), span):
            part = indexes[start : start + span]
            name = f"{first + start + 1}-{first + start + span}"
            node_id = io_id(f"{folder.Identifier!s}.{name}")
            ends = [tag_paths.name(self._plan.tags[place]) for place in (part[0], part[-1])]
            self._builder.folder(folder, node_id, name, title=" … ".join(ends))
            self._fill(node_id, part, first + start)

    def _children(self, indexes: Sequence[int]) -> list[ua.ReferenceDescription]:
        found = []
        for index in indexes:
            tag = self._plan.tags[index]
            found.append(self._nodes.describe(_kind(tag), tag, self._paths.node_id(tag)))
        return found


def _kind(tag: Tag) -> ua.NodeId:
    """How a tag lies in its folder."""
    return COMPONENT if tag.direction is Direction.SYSTEM else ORGANIZES
