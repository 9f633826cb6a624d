"""The cell's model below Objects, built in one place for the server and for the NodeSet of a file.

The server puts what it does behind the nodes; a NodeSet only describes them, and nothing that
stands behind its nodes is ever asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Final, TextIO

from asyncua import ua
from asyncua.server.address_space import AddressSpace

from cellwright.io.messages import AnyCommand
from cellwright.io.plan import BAD_WAITING_FOR_INITIAL_DATA, Plan
from cellwright.io.timing.clock import MonotonicClock
from cellwright.opcua_model.address_space import nodeset, standard_cache
from cellwright.opcua_model.address_space.builder import Builder
from cellwright.opcua_model.address_space.ids import (
    CELL,
    CELL_URI,
    IO,
    IO_URI,
    TYPES,
    TYPES_URI,
    status_code,
    type_id,
    type_numbers,
)
from cellwright.opcua_model.address_space.tag_paths import TagPaths
from cellwright.opcua_model.address_space.virtual_nodes import VirtualNodes
from cellwright.opcua_model.errors import CommandUnavailableError
from cellwright.opcua_model.isa95 import structures
from cellwright.opcua_model.isa95.action_methods import add_action_methods
from cellwright.opcua_model.isa95.job_control import JobControl
from cellwright.opcua_model.isa95.mes_view import MesView
from cellwright.opcua_model.isa95.work_orders import WorkOrders
from cellwright.opcua_model.nodes.cell_tree import OBJECTS, CellNodes, CellTree
from cellwright.opcua_model.nodes.controller import CellControl
from cellwright.opcua_model.nodes.events.cell_events import CellEvents
from cellwright.opcua_model.nodes.history import add_history_nodes
from cellwright.opcua_model.nodes.tags import TagTree
from cellwright.opcua_model.services.command_sender import CommandSender
from cellwright.opcua_model.services.methods import CellMethods

VERSION: Final = version("cellwright")


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind the nodes."""

    paths: TagPaths
    read: Callable[[int], ua.DataValue]
    """The value of the tag of an index."""
    methods: CellMethods
    control: CellControl
    events: CellEvents
    mes: MesView | None
    refresh_mes: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Model:
    """The parts whose values change."""

    nodes: CellNodes
    work_orders: WorkOrders


def build_model(builder: Builder, nodes: VirtualNodes, plan: Plan, behind: Behind) -> Model:
    """Types, tree, tags, methods and MES of a plan. Raises ModelError."""
    for name in type_numbers():
        if name.endswith("Type") and not name.startswith("ISA95") and "Event" not in name:
            builder.object_type(type_id(name), name)
    for cls in structures.STRUCTURES:
        builder.structure(
            type_id(cls.__name__), cls.__name__, structures.definition(cls), cls.__doc__ or ""
        )
    if plan.history is not None:
        add_history_nodes(builder)
    tree = CellTree(builder, plan, VERSION)
    made = tree.build()
    tags = TagTree(builder, plan, behind.paths, behind.read, OBJECTS)
    tags.build(made.system, nodes)
    tree.stations(made.machine, tags.show)
    behind.control.build(builder, behind.methods, made.resource)
    behind.events.build(builder, made.machine, nodes, behind.paths)
    orders = WorkOrders(builder, plan.cell, made.mes)
    if behind.mes is not None:
        JobControl(behind.mes, orders, behind.refresh_mes).build(
            builder, behind.methods, plan.cell, made.machine
        )
        add_action_methods(
            builder,
            behind.methods,
            behind.mes,
            cell=plan.cell,
            mes_node=made.mes,
            orders=orders,
            refresh=behind.refresh_mes,
        )
    return Model(made, orders)


def write_nodeset(plan: Plan, published: datetime, out: TextIO) -> int:
    """Write a plan's model as a NodeSet2 document (OPC 10000-6, F); gives the number of nodes.

    ``published`` is the date of the model, in UTC. Raises ModelError.
    """
    uris = {TYPES: TYPES_URI, CELL: CELL_URI, IO: IO_URI}
    return nodeset.write(described(plan), uris, VERSION, published, out)


def described(plan: Plan) -> AddressSpace:
    """The address space of a plan with nothing behind its nodes. Raises ModelError."""
    space = AddressSpace()
    nodes = VirtualNodes.into(space)
    standard_cache.fill(space)
    unread = ua.DataValue(StatusCode=status_code(BAD_WAITING_FOR_INITIAL_DATA))
    methods = CellMethods(space)
    methods.stop()
    behind = Behind(
        TagPaths(plan),
        lambda _: unread,
        methods,
        CellControl(_NoScan()),
        CellEvents(plan, MonotonicClock(), lambda _: None, lambda _: None),
        None if plan.database is None else _NoMes(),
        _nothing,
    )
    build_model(Builder(space), nodes, plan, behind)
    return space


class _NoScan(CommandSender):
    def __init__(self) -> None:
        """There is no cell."""

    async def send(self, command: AnyCommand) -> tuple[int, str]:
        raise CommandUnavailableError("a NodeSet only describes methods")


class _NoMes(MesView):
    def __init__(self) -> None:
        """There is no store."""


async def _nothing() -> None:
    return
