"""The cell's own objects: Machines/<Cell> with its stations, and Controller with its tasks.

Built once at start from the plan; the statistics' nodes are handed to `Diagnostics`, the stations
show the same variables as IO does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import NodeData

from cellwright.io.image import figures
from cellwright.io.plan import Edge, Plan, Task
from cellwright.opcua_model.address_space.builder import ORGANIZES, Builder, attribute
from cellwright.opcua_model.address_space.ids import below, cell_id, standard, type_id
from cellwright.opcua_model.nodes.diagnostics import variables

_T = ua.VariantType
OBJECTS: Final = standard(ua.ObjectIds.ObjectsFolder)

STATIONS: Final = {
    "marking.station": ("Marking", "MarkingStationType"),
    "vision.station": ("Vision", "VisionStationType"),
}
"""Programs whose tasks are stations, the folder and the type of each."""


@dataclass(slots=True)
class CellNodes:
    """The nodes whose values change, and the parents that other builders need."""

    machine: ua.NodeId
    mes: ua.NodeId
    system: ua.NodeId
    resource: ua.NodeId
    tasks: list[dict[str, NodeData]] = field(default_factory=list)
    devices: list[dict[str, NodeData]] = field(default_factory=list)
    status: dict[str, NodeData] = field(default_factory=dict)


class CellTree:
    """Adds the objects in the order of the tree."""

    def __init__(self, builder: Builder, plan: Plan, version: str) -> None:
        self._builder = builder
        self._plan = plan
        self._version = version

    def build(self) -> CellNodes:
        """Machines/<Cell> and Controller, without tags and job management."""
        builder, cell = self._builder, self._plan.cell
        machines = builder.folder(OBJECTS, cell_id("Machines"), "Machines")
        machine = builder.object(
            machines, cell_id(cell), cell, type_id("CellType"), text=f"Cell at {self._plan.site}"
        )
        self._identification(machine)
        resource = self._controller()
        nodes = CellNodes(
            machine=machine,
            mes=builder.object(machine, cell_id(f"{cell}.MES"), "MES", type_id("MesType")),
            system=below(resource, "System"),
            resource=resource,
        )
        self._status(machine, nodes)
        self._tasks(nodes)
        self._devices(nodes)
        return nodes

    def stations(self, machine: ua.NodeId, show: Callable[[int, ua.NodeId], None]) -> None:
        """Marking and Vision: one object for each station, with its task's variables.

        ``show`` lets an object show the tag of that index.
        """
        for folder, type_name in STATIONS.values():
            path = f"{self._plan.cell}.{folder}"
            parent = self._builder.folder(machine, cell_id(path), folder)
            for task in self._plan.tasks:
                if STATIONS.get(task.program, ("",))[0] != folder:
                    continue
                station = self._builder.object(
                    parent, cell_id(f"{path}.{task.name}"), task.name, type_id(type_name)
                )
                for tag in self._plan.tags:
                    if tag.name.startswith(f"{task.name}.") and tag.address is None:
                        show(tag.index, station)

    def _identification(self, machine: ua.NodeId) -> None:
        plan = self._plan
        path = f"{plan.cell}.Identification"
        node_id = self._builder.object(
            machine, cell_id(path), "Identification", type_id("IdentificationType")
        )
        for name, value in (
            ("Manufacturer", ua.Variant(ua.LocalizedText("Cellwright"), _T.LocalizedText)),
            ("Model", ua.Variant(ua.LocalizedText(plan.cell), _T.LocalizedText)),
            ("SerialNumber", ua.Variant(f"{plan.site}-{plan.cell}", _T.String)),
            ("ProductInstanceUri", ua.Variant(application_uri(plan), _T.String)),
            ("SoftwareRevision", ua.Variant(self._version, _T.String)),
            ("Location", ua.Variant(plan.site, _T.String)),
        ):
            self._property(node_id, name, value)

    def _status(self, machine: ua.NodeId, nodes: CellNodes) -> None:
        cell = self._plan.cell
        blocks = self._builder.folder(
            machine, cell_id(f"{cell}.MachineryBuildingBlocks"), "MachineryBuildingBlocks"
        )
        counters = self._builder.object(
            blocks,
            below(blocks, "OperationCounters"),
            "OperationCounters",
            type_id("OperationCountersType"),
        )
        status = self._builder.object(
            machine, cell_id(f"{cell}.Status"), "Status", type_id("StatusType")
        )
        for parent, name, variant, data_type, text in (
            (blocks, "MachineryItemState", _T.Int32, ua.ObjectIds.Int32,
             "0 NotAvailable, 1 OutOfService, 2 NotExecuting, 3 Executing"),
            (counters, "PowerOnDuration", _T.Double, ua.ObjectIds.Duration,
             "Time that the scan has run since it started"),
            (counters, "OperationDuration", _T.Double, ua.ObjectIds.Duration,
             "Time in RUN, as far as this server has seen it since it started"),
            (status, "State", _T.Int32, ua.ObjectIds.Int32,
             "Operating state: 0 INIT, 1 STOP, 2 RUN, 3 PAUSE, 4 FAULT"),
            (status, "StateText", _T.String, ua.ObjectIds.String, "Operating state in words"),
            (status, "CurrentState", _T.LocalizedText, ua.ObjectIds.LocalizedText,
             "PackML state (OPC 30050)"),
            (status, "CurrentStateNumber", _T.Int32, ua.ObjectIds.Int32,
             "Number of the PackML state"),
        ):  # fmt: skip
            default: object = {
                _T.Int32: 0, _T.Double: 0.0, _T.String: "", _T.LocalizedText: ua.LocalizedText("")
            }[variant]  # fmt: skip
            nodes.status[name] = self._builder.variable(
                parent,
                below(parent, name),
                name,
                ua.Variant(default, variant),
                standard(data_type),
                text=text,
            )

    def _controller(self) -> ua.NodeId:
        cell = self._plan.cell
        controller = self._builder.object(
            OBJECTS,
            cell_id(f"{cell}.Controller"),
            "Controller",
            type_id("CtrlConfigurationType"),
            reference=ORGANIZES,
        )
        resources = self._builder.folder(
            controller, cell_id(f"{cell}.Controller.Resources"), "Resources"
        )
        resource = self._builder.object(
            resources,
            cell_id(f"{cell}.Controller.Resources.PLC1"),
            "PLC1",
            type_id("CtrlResourceType"),
        )
        self._builder.folder(
            resource, below(resource, "System"), "System", "System tags of the runtime"
        )
        return resource

    def _tasks(self, nodes: CellNodes) -> None:
        resource = cell_id(f"{self._plan.cell}.Controller.Resources.PLC1")
        tasks = self._builder.folder(resource, below(resource, "Tasks"), "Tasks")
        for task in self._plan.tasks:
            node_id = self._builder.object(
                tasks, below(tasks, task.name), task.name, type_id("CtrlTaskType")
            )
            self._property(node_id, "Priority", ua.Variant(task.priority, _T.UInt32))
            for name, text in self._runs(task):
                self._property(node_id, name, ua.Variant(text, _T.String))
            self._property(node_id, "Program", ua.Variant(task.program, _T.String))
            self._property(
                node_id, "Watchdog", ua.Variant(f"T#{task.watchdog_ns / 1e6:g}ms", _T.String)
            )
            nodes.tasks.append(self._values(node_id, figures.TASK))

    def _runs(self, task: Task) -> list[tuple[str, str]]:
        """What runs the task; Interval and Single are named as OPC 30000 names them."""
        if task.event is not None:
            edge = "" if task.edge is Edge.RISING else f" ({task.edge})"
            return [("Single", self._plan.tags[task.event].name + edge)]
        if task.freewheeling:
            return [("Interval", "freewheeling")]
        return [("Interval", f"T#{task.interval_ns / 1e6:g}ms"), ("Overrun", str(task.overrun))]

    def _devices(self, nodes: CellNodes) -> None:
        path = f"{self._plan.cell}.Controller.Devices"
        parent = self._builder.folder(
            cell_id(f"{self._plan.cell}.Controller"), cell_id(path), "Devices"
        )
        for device in self._plan.devices:
            node_id = self._builder.object(
                parent, cell_id(f"{path}.{device.name}"), device.name, type_id("DeviceType")
            )
            self._property(node_id, "Kind", ua.Variant(device.kind, _T.String))
            self._property(node_id, "Driver", ua.Variant(device.driver, _T.String))
            nodes.devices.append(self._values(node_id, figures.DEVICE))

    def _values(
        self, parent: ua.NodeId, shown: Sequence[figures.Figure[Any]]
    ) -> dict[str, NodeData]:
        return {
            name: self._builder.variable(
                parent,
                below(parent, name),
                name,
                ua.Variant(ua.get_default_value(variant), variant),
                standard(data_type),
                text=text,
            )
            for name, variant, data_type, text in variables(shown)
        }

    def _property(self, parent: ua.NodeId, name: str, value: ua.Variant) -> None:
        self._builder.property(
            parent,
            below(parent, name),
            name,
            value,
            standard(value.VariantType.value),
            namespace=parent.NamespaceIndex,
        )


def application_uri(plan: Plan) -> str:
    """The server's application URI: one for each cell of a site."""
    return f"urn:cellwright:{_urn(plan.site)}:{_urn(plan.cell)}"


def _urn(text: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in text)


def browse_name(node: NodeData) -> str:
    """A node's BrowseName without its namespace."""
    return str(attribute(node, ua.AttributeIds.BrowseName).Name)
