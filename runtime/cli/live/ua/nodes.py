"""Looking at nodes: browse, read, write, call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import typer
from asyncua import Client, Node, ua
from asyncua.common.ua_utils import data_type_to_variant_type

from cellwright.runtime.cli.common import fail
from cellwright.runtime.cli.console import columns
from cellwright.runtime.cli.live.ua.values import plain, shown, typed
from cellwright.runtime.cli.live.ua.words import remedy

_A = ua.AttributeIds
NARROW = 30
"""Columns that a name takes at least, before its value."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One node of a tree."""

    depth: int
    node_id: str
    name: str
    kind: str
    value: str


async def browse(client: Client, node: Node, depth: int, *, as_json: bool) -> None:
    """Print what is below a node."""
    seen = [each async for each in _below(client, node, 0, depth)]
    if as_json:
        typer.echo(json.dumps([_facts(each) for each in seen], ensure_ascii=False, indent=2))
        return
    if not seen:
        typer.echo("nothing below it")
    for each in seen:
        name = f"{'  ' * each.depth}{each.name}"
        told = f"{name:<{NARROW}} {each.value}".rstrip() if each.value else name
        if each.kind == "Method":
            told = f"{name}()"
        room = columns() - len(told) - 2
        where = each.node_id if len(each.node_id) <= room else ""
        typer.echo(f"{told}  {where}".rstrip()[: max(columns(), len(name))])


def _facts(each: Seen) -> dict[str, Any]:
    return {
        "depth": each.depth,
        "nodeId": each.node_id,
        "name": each.name,
        "class": each.kind,
        "value": each.value or None,
    }


async def _below(client: Client, node: Node, depth: int, most: int) -> AsyncIterator[Seen]:
    found = await node.get_children_descriptions()
    children = list({each.NodeId: each for each in found}.values())  # by two references, once
    variables = [each for each in children if each.NodeClass == ua.NodeClass.Variable]
    values = await _values(client, [each.NodeId for each in variables])
    for child in children:
        value = values.get(child.NodeId)
        yield Seen(
            depth,
            child.NodeId.to_string(),
            str(child.BrowseName.Name),
            ua.NodeClass(child.NodeClass).name,
            "" if value is None else _brief(value),
        )
        if depth + 1 < most:
            async for deeper in _below(client, client.get_node(child.NodeId), depth + 1, most):
                yield deeper


async def _values(client: Client, node_ids: list[ua.NodeId]) -> dict[ua.NodeId, ua.DataValue]:
    found: dict[ua.NodeId, ua.DataValue] = {}
    for start in range(0, len(node_ids), 500):
        part = node_ids[start : start + 500]
        read = await client.uaclient.read_attributes(part, _A.Value)
        found.update(zip(part, read, strict=True))
    return found


def _brief(value: ua.DataValue) -> str:
    if value.StatusCode is not None and not value.StatusCode.is_good():
        return str(value.StatusCode.name)
    return shown(value.Value)


async def read(client: Client, nodes: list[tuple[str, Node]], *, as_json: bool) -> None:
    """Print values with type, status and times; exit code 1 when one is Bad."""
    values = await client.uaclient.read_attributes([node.nodeid for _, node in nodes], _A.Value)
    told = [_told(name, value) for (name, _), value in zip(nodes, values, strict=True)]
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        for each in told:
            status = "" if each["status"] == "Good" else f"  {each['status']}"
            typer.echo(f"{each['node']} = {shown(each['value'])}  ({each['type']}){status}")
            times = [each[word] for word in ("sourceTime", "serverTime") if each[word]]
            typer.echo(f"  source {times[0]}, server {times[-1]}" if times else "  no time")
            hint = remedy(each["status"])
            if hint:
                typer.echo(f"  {hint}", err=True)
    if any(value.StatusCode is not None and value.StatusCode.is_bad() for value in values):
        raise typer.Exit(1)


def _told(name: str, value: ua.DataValue) -> dict[str, Any]:
    kind = "-" if value.Value is None else value.Value.VariantType.name
    if value.Value is not None and value.Value.is_array:
        kind += "[]"
    return {
        "node": name,
        "value": plain(value.Value),
        "type": kind,
        "status": "Good" if value.StatusCode is None else value.StatusCode.name,
        "sourceTime": plain(value.SourceTimestamp) if value.SourceTimestamp else None,
        "serverTime": plain(value.ServerTimestamp) if value.ServerTimestamp else None,
    }


async def write(node: Node, name: str, text: str) -> None:
    """Write a value of the node's own type."""
    kind = await node.read_data_type_as_variant_type()
    rank = (await node.read_attribute(_A.ValueRank)).Value
    try:
        value = typed(text, kind, is_array=rank is not None and rank.Value >= 0)
    except ValueError as error:
        fail(f"{name}: {error}", 2)
    await node.write_attribute(_A.Value, ua.DataValue(value))
    typer.echo(f"{name} = {shown(value)}")


async def call(client: Client, method: Node, name: str, given: list[str], *, as_json: bool) -> None:
    """Call a method on the object that has it, and print what it gives back by name."""
    owner = await _owner(client, method, name)
    wanted = await _arguments(method, "InputArguments")
    if len(given) != len(wanted):
        takes = ", ".join(f"{each.Name}" for each in wanted) or "no arguments"
        fail(f"{name} takes {takes}; {len(given)} given", 2)
    inputs = []
    for argument, text in zip(wanted, given, strict=True):
        kind = await _built_in(client, argument.DataType)
        try:
            inputs.append(typed(text, kind, is_array=argument.ValueRank >= 0))
        except ValueError as error:
            fail(f"{name}: {argument.Name}: {error}", 2)
    request = ua.CallMethodRequest(owner, method.nodeid, inputs)
    (result,) = await client.uaclient.call([request])
    result.StatusCode.check()
    outputs = await _arguments(method, "OutputArguments")
    told = {
        str(argument.Name): plain(value)
        for argument, value in zip(outputs, result.OutputArguments, strict=False)
    }
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    typer.echo(f"{name}: {result.StatusCode.name}")
    for key, value in told.items():
        typer.echo(f"  {key} = {shown(value)}")


async def _owner(client: Client, method: Node, name: str) -> ua.NodeId:
    above = await method.get_references(
        ua.ObjectIds.HierarchicalReferences, ua.BrowseDirection.Inverse
    )
    if not above:
        fail(f"{name} is no method of an object")
    owner: ua.NodeId = above[0].NodeId
    return owner


async def _arguments(method: Node, name: str) -> list[ua.Argument]:
    for child in await method.get_properties():
        if (await child.read_browse_name()).Name == name:
            return list(await child.read_value() or [])
    return []


async def _built_in(client: Client, data_type: ua.NodeId) -> ua.VariantType:
    kind: ua.VariantType = await data_type_to_variant_type(client.get_node(data_type))
    return kind
