"""Nodes as people name them: a NodeId, a path of browse names, or a tag of the cell."""

from __future__ import annotations

from asyncua import Client, Node, ua

from cellwright.io.plan import Plan
from cellwright.opcua_model.address_space.tag_paths import TagPaths
from cellwright.runtime.cell.tag_lookup import unknown_tag
from cellwright.runtime.cli.common import fail


async def found(client: Client, text: str, plan: Plan | None) -> Node:
    """The node that is meant; exit code 1 when there is none.

    ``ns=4;s=...`` and ``i=2253`` are NodeIds; ``/Objects/IO`` is a path from the root, its names
    without a namespace unless two are alike (``4:IO``); anything else is a tag of ``plan``.
    """
    if text.startswith("/"):
        return await _by_path(client, text)
    if "=" in text:
        try:
            return client.get_node(ua.NodeId.from_string(text))
        except (ValueError, ua.UaError):
            fail(f"{text!r:.80} is no NodeId; one is written like ns=4;s=Cell.IO.tag or i=2253", 2)
    if plan is None:
        fail(
            f"{text!r:.80} is neither a NodeId (ns=4;s=...) nor a path (/Objects/...); tags by "
            "their names are found in the folder of a running cell, without --url",
            2,
        )
    paths = TagPaths(plan)
    tag = paths.tag_named(text)
    if tag is None:
        fail(unknown_tag(plan, text))
    return client.get_node(paths.node_id(tag))


async def _by_path(client: Client, text: str) -> Node:
    node = client.get_root_node()
    passed = ""
    for step in filter(None, text.split("/")):
        children = await node.get_children_descriptions()
        number, colon, name = step.partition(":")
        wanted = (number, name) if colon and number.isdecimal() else ("", step)
        alike = [
            child
            for child in children
            if child.BrowseName.Name == wanted[1]
            and (not wanted[0] or child.BrowseName.NamespaceIndex == int(wanted[0]))
        ]
        if not alike:
            names = ", ".join(str(child.BrowseName.Name) for child in children[:12])
            fail(f"{passed or '/'} has no '{step}'; it has {names or 'nothing below it'}")
        if len({child.NodeId for child in alike}) > 1:
            which = ", ".join(
                f"{child.BrowseName.NamespaceIndex}:{child.BrowseName.Name}" for child in alike
            )
            fail(f"{passed or '/'} has more than one '{step}': {which}; give the namespace")
        node = client.get_node(alike[0].NodeId)
        passed += f"/{step}"
    return node
