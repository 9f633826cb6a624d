"""Nodes as a NodeSet2 document (OPC 10000-6, F), for tools that want a model without a server.

Written as text, node by node, because a cell may have 100,000 of them. Of values only those of
properties are written: they describe, while other values are the cell's and come from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TextIO
from xml.sax.saxutils import escape, quoteattr

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData

from cellwright.opcua_model.address_space.builder import (
    COMPONENT,
    ENCODING,
    ORGANIZES,
    PROPERTY,
    PROPERTY_TYPE,
    READ,
    SUBTYPE,
    TYPE_DEFINITION,
    attribute,
    node_class,
    type_definition,
)

_A = ua.AttributeIds
_HEAD: Final = """<?xml version="1.0" encoding="utf-8"?>
<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
 xmlns:uax="http://opcfoundation.org/UA/2008/02/Types.xsd">
"""
_ALIASES: Final = {
    TYPE_DEFINITION: "HasTypeDefinition",
    COMPONENT: "HasComponent",
    PROPERTY: "HasProperty",
    ORGANIZES: "Organizes",
    SUBTYPE: "HasSubtype",
    ENCODING: "HasEncoding",
}
"""Importers look for the first by its name, not its number."""
_DOWN: Final = (TYPE_DEFINITION, ENCODING)
"""References that are written at the node above. Those of alarms to the methods of their types are
left out: importers take each node for a part of one other only, and warn."""
_ELEMENTS: Final = {
    ua.NodeClass.Object: "UAObject",
    ua.NodeClass.Variable: "UAVariable",
    ua.NodeClass.Method: "UAMethod",
    ua.NodeClass.ObjectType: "UAObjectType",
    ua.NodeClass.DataType: "UADataType",
}


def write(
    space: AddressSpace,
    uris: Mapping[int, str],
    version: str,
    published: datetime,
    out: TextIO,
) -> int:
    """Write the nodes of the namespaces ``uris`` (index to URI); gives their number.

    Each URI is a model of that version and date. All other references of the nodes must lead to
    nodes of the OPC UA namespace.
    """
    return _Writer(space, uris, out).write(version, published)


class _Writer:
    def __init__(self, space: AddressSpace, uris: Mapping[int, str], out: TextIO) -> None:
        self._space = space
        self._uris = uris
        self._index = {0: 0} | {server: place for place, server in enumerate(sorted(uris), 1)}
        """Namespace on the server to namespace in the document."""
        self._out = out

    def write(self, version: str, published: datetime) -> int:
        out = self._out
        out.write(_HEAD)
        out.write(" <NamespaceUris>\n")
        for server in sorted(self._uris):
            out.write(f"  <Uri>{escape(self._uris[server])}</Uri>\n")
        out.write(" </NamespaceUris>\n <Models>\n")
        date = f"{published:%Y-%m-%dT%H:%M:%SZ}"
        for server in sorted(self._uris):
            out.write(
                f"  <Model ModelUri={quoteattr(self._uris[server])} Version={quoteattr(version)}"
                f' PublicationDate="{date}"/>\n'
            )
        out.write(" </Models>\n <Aliases>\n")
        for node_id, name in _ALIASES.items():
            out.write(f'  <Alias Alias="{name}">{self._id(node_id)}</Alias>\n')
        out.write(" </Aliases>\n")
        count = 0
        for node_id in list(self._space.keys()):
            if node_id.NamespaceIndex in self._uris:
                self._node(self._space[node_id])
                count += 1
        out.write("</UANodeSet>\n")
        return count

    def _node(self, node: NodeData) -> None:
        kind = node_class(node)
        name = attribute(node, _A.BrowseName)
        facts = {
            "NodeId": self._id(node.nodeid),
            "BrowseName": f"{self._index[name.NamespaceIndex]}:{name.Name}",
        }
        parent = next((item for item in node.references if not item.IsForward), None)
        if parent is not None and kind not in (ua.NodeClass.ObjectType, ua.NodeClass.DataType):
            facts["ParentNodeId"] = self._id(parent.NodeId)
        if kind == ua.NodeClass.Variable:
            facts |= self._variable(node)
        elif attribute(node, _A.EventNotifier):
            facts["EventNotifier"] = str(attribute(node, _A.EventNotifier))
        element, out = _ELEMENTS[kind], self._out
        spelt = "".join(f" {key}={quoteattr(value)}" for key, value in facts.items())
        out.write(f" <{element}{spelt}>\n")
        for tag, held in (("DisplayName", _A.DisplayName), ("Description", _A.Description)):
            text = attribute(node, held)
            if text is not None:
                out.write(f"  <{tag}>{escape(text.Text)}</{tag}>\n")
        out.write("  <References>\n")
        for item in node.references:
            if not item.IsForward or item.ReferenceTypeId in _DOWN:
                out.write(f"   {self._reference(item)}\n")
        out.write("  </References>\n")
        if kind == ua.NodeClass.DataType:
            self._definition(name.Name, attribute(node, _A.DataTypeDefinition))
        if kind == ua.NodeClass.Variable and type_definition(node) == PROPERTY_TYPE:
            value = node.attributes[_A.Value].value
            if value is not None and value.Value is not None and value.Value.Value is not None:
                out.write(f"  <Value>{''.join(self._value(value.Value))}</Value>\n")
        out.write(f" </{element}>\n")

    def _variable(self, node: NodeData) -> dict[str, str]:
        facts = {"DataType": self._id(attribute(node, _A.DataType))}
        rank = attribute(node, _A.ValueRank)
        if rank != -1:
            facts["ValueRank"] = str(rank)
            facts["ArrayDimensions"] = ",".join(map(str, attribute(node, _A.ArrayDimensions)))
        if attribute(node, _A.AccessLevel) != READ:
            facts["AccessLevel"] = str(attribute(node, _A.AccessLevel))
        sampling = attribute(node, _A.MinimumSamplingInterval)
        if sampling:
            facts["MinimumSamplingInterval"] = f"{sampling:g}"
        return facts

    def _reference(self, item: ua.ReferenceDescription) -> str:
        kind = _ALIASES.get(item.ReferenceTypeId) or self._id(item.ReferenceTypeId)
        way = "" if item.IsForward else ' IsForward="false"'
        return f'<Reference ReferenceType="{kind}"{way}>{escape(self._id(item.NodeId))}</Reference>'

    def _definition(self, name: str, definition: ua.StructureDefinition) -> None:
        self._out.write(f"  <Definition Name={quoteattr(name)}>\n")
        for field in definition.Fields:
            facts = {"Name": field.Name, "DataType": self._id(field.DataType)}
            if field.ValueRank != -1:
                facts["ValueRank"] = str(field.ValueRank)
            if field.IsOptional:
                facts["IsOptional"] = "true"
            spelt = "".join(f" {key}={quoteattr(value)}" for key, value in facts.items())
            self._out.write(f"   <Field{spelt}/>\n")
        self._out.write("  </Definition>\n")

    def _id(self, node_id: ua.NodeId) -> str:
        inside = ua.NodeId(node_id.Identifier, ua.Int16(self._index[node_id.NamespaceIndex]))
        return inside.to_string()

    def _value(self, value: ua.Variant) -> Iterator[str]:
        """A value as OPC 10000-6, 5.3 has it.

        asyncua takes an element without text for null: a list begins with the end of a line.
        """
        name = value.VariantType.name
        if not value.is_array:
            yield from self._element(name, value.Value)
            return
        yield f"<uax:ListOf{name}>\n"
        for item in value.Value:
            yield from self._element(name, item)
        yield f"</uax:ListOf{name}>"

    def _element(self, name: str, value: Any) -> Iterator[str]:
        yield f"<uax:{name}>"
        if dataclasses.is_dataclass(value):
            yield "\n"
        if name == "ExtensionObject":
            kind = type(value).__name__
            number = getattr(ua.ObjectIds, f"{kind}_Encoding_DefaultXml")
            yield f"<uax:TypeId><uax:Identifier>i={number}</uax:Identifier></uax:TypeId><uax:Body>"
            yield f"<uax:{kind}>"
            yield from self._fields(value)
            yield f"</uax:{kind}></uax:Body>"
        elif isinstance(value, ua.NodeId):
            yield f"<uax:Identifier>{escape(self._id(value))}</uax:Identifier>"
        elif isinstance(value, bool):
            yield str(value).lower()
        elif dataclasses.is_dataclass(value):
            yield from self._fields(value)
        else:
            yield escape(str(value))
        yield f"</uax:{name}>"

    def _fields(self, value: Any) -> Iterator[str]:
        for field in dataclasses.fields(value):
            held = getattr(value, field.name)
            if field.name == "Encoding" or held is None:
                continue
            if isinstance(held, list):
                # Of the structures that describe, only an argument's dimensions are a list.
                yield f"<uax:{field.name}>"
                for item in held:
                    yield from self._element("UInt32", item)
                yield f"</uax:{field.name}>"
            else:
                yield from self._element(field.name, held)
