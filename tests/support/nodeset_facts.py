"""What a NodeSet2 document says of its nodes, as asyncua has them after an import.

Run as a script in a process of its own, because an import makes classes of the structures for good:
``python nodeset_facts.py FILE`` prints the facts as JSON, and what asyncua warns of on stderr.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from asyncua import Server, ua
from asyncua.server.address_space import AddressSpace

from cellwright.opcua_model.address_space.builder import attribute, node_class

_A = ua.AttributeIds
REFERENCES = {
    ua.ObjectIds.HasTypeDefinition: "HasTypeDefinition",
    ua.ObjectIds.HasComponent: "HasComponent",
    ua.ObjectIds.HasProperty: "HasProperty",
    ua.ObjectIds.Organizes: "Organizes",
    ua.ObjectIds.HasSubtype: "HasSubtype",
}


def _is_of_type(item: ua.ReferenceDescription) -> bool:
    """An alarm has the methods of its type; a document does not say so (see the writer)."""
    method = item.NodeClass == ua.NodeClass.Method
    return bool(method and item.NodeId.NamespaceIndex == 0)


def facts(space: AddressSpace, shift: int) -> dict[str, dict[str, Any]]:
    """What the document says of each node of our namespaces, their indices less ``shift``."""

    def spelt(node_id: ua.NodeId) -> str:
        index = node_id.NamespaceIndex
        return ua.NodeId(node_id.Identifier, index - shift if index else 0).to_string()

    found: dict[str, dict[str, Any]] = {}
    for node_id in list(space.keys()):
        if node_id.NamespaceIndex < 2:
            continue
        node, name = space[node_id], attribute(space[node_id], _A.BrowseName)
        kind = node_class(node)
        it: dict[str, Any] = {
            "class": kind.name,
            "name": f"{name.NamespaceIndex - shift if name.NamespaceIndex else 0}:{name.Name}",
            "shown": attribute(node, _A.DisplayName).Text,
            "references": sorted(
                f"{REFERENCES[item.ReferenceTypeId.Identifier]} {spelt(item.NodeId)}"
                for item in node.references
                if item.IsForward
                and item.ReferenceTypeId.Identifier in REFERENCES
                and not _is_of_type(item)
            ),
        }
        if kind is ua.NodeClass.Variable:
            it["type"] = spelt(attribute(node, _A.DataType))
            it["rank"] = attribute(node, _A.ValueRank)
            it["access"] = attribute(node, _A.AccessLevel)
            value = attribute(node, _A.Value)
            if name.Name == "EURange":
                it["value"] = [value.Low, value.High]
            elif name.Name.endswith("putArguments"):
                it["value"] = [argument.Name for argument in value]
        found[spelt(node_id)] = it
    return found


async def _imported(file: str) -> dict[str, dict[str, Any]]:
    server = Server()
    await server.init()
    await server.import_xml(file)
    return facts(server.iserver.aspace, 0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    print(json.dumps(asyncio.run(_imported(sys.argv[1]))))
