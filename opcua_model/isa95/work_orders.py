"""The MES's work orders in the address space: one object each, with flat scalar twins.

`server` builds it once and hands it every new `MesState`; it writes only what changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import NodeData

from cellwright.mes.orders.work_orders import WorkOrderView
from cellwright.mes.shopfloor.parts import UnitView
from cellwright.opcua_model.address_space.builder import COMPONENT, ORGANIZES, Builder, replace
from cellwright.opcua_model.address_space.ids import cell_id, standard, type_id
from cellwright.opcua_model.address_space.values import NO_TIME, date_time
from cellwright.opcua_model.isa95 import job_orders
from cellwright.opcua_model.isa95.mes_view import MesState
from cellwright.opcua_model.isa95.structures import (
    ISA95JobOrderAndStateDataType,
    ISA95JobResponseDataType,
)

_T = ua.VariantType

_ORDER_FIELDS: Final[tuple[tuple[str, str, ua.VariantType, str], ...]] = (
    ("Number", "number", _T.String, "Work order number"),
    ("JobOrderID", "job_order_id", _T.String, "Id that the ERP gave the order"),
    ("PartNumber", "part_number", _T.String, "What is made"),
    ("Revision", "revision", _T.String, "Revision of the part"),
    ("Description", "description", _T.String, "For people"),
    ("State", "state", _T.String, "State of the work order in the MES"),
    ("Priority", "priority", _T.Int16, "Higher goes first"),
    ("Quantity", "quantity", _T.UInt32, "Parts ordered"),
    ("Good", "good", _T.UInt32, "Parts released as good"),
    ("Rejected", "rejected", _T.UInt32, "Parts rejected"),
    ("InProcess", "in_process", _T.UInt32, "Parts that hold a serial and are not released"),
    ("Created", "created_utc", _T.DateTime, "When the order was stored"),
    ("Started", "started_utc", _T.DateTime, "When it first ran; 1601 before"),
    ("Ended", "ended_utc", _T.DateTime, "When it ended; 1601 before"),
    ("Version", "version", _T.UInt32, "Counted up by every change of the order"),
    ("HeldBy", "held_by", _T.String, "person, or the engineering change; empty: not held"),
    ("CustomerOrder", "customer_order", _T.String, "What the customer calls it"),
    ("TargetDate", "target_date", _T.DateTime, "Day on which it is wanted; 1601: none"),
)

_UNIT_FIELDS: Final[tuple[tuple[str, str], ...]] = (
    ("PartIDs", "Parts of the order in order of arrival; the newest ones of a long order"),
    ("Serials", "Serial of each part; empty before one is assigned"),
    ("Verdicts", "good, rejected, or in_process while the part is in the cell"),
    ("Reasons", "Why a part was rejected"),
)


def _moment(day: date) -> datetime:
    """A day is shown by the midnight (UTC) with which it begins."""
    return day if isinstance(day, datetime) else datetime(day.year, day.month, day.day, tzinfo=UTC)


def _order_values(view: WorkOrderView) -> dict[str, ua.Variant]:
    values: dict[str, ua.Variant] = {}
    for name, source, variant, _ in _ORDER_FIELDS:
        value: Any = getattr(view, source)
        if variant is _T.String:
            value = str(value)
        elif variant is _T.DateTime:
            value = NO_TIME if value is None else date_time(_moment(value))
        elif variant is _T.UInt32:
            value = int(value)
        values[name] = ua.Variant(value, variant)
    state = job_orders.STATES[view.state]
    values["StateNumber"] = ua.Variant(state[0][1], _T.UInt32)
    values["Progress"] = ua.Variant(
        float(100 * (view.good + view.rejected) / view.quantity), _T.Double
    )
    return values


def _unit_values(units: Sequence[UnitView]) -> dict[str, ua.Variant]:
    columns = {
        "PartIDs": [unit.part_id for unit in units],
        "Serials": [unit.serial for unit in units],
        "Verdicts": [job_orders.verdict(unit) for unit in units],
        "Reasons": [unit.reason for unit in units],
    }
    return {name: ua.Variant(column, _T.String, is_array=True) for name, column in columns.items()}


_EXTRA: Final = (
    ("StateNumber", "Number of the state in ISA-95 Job Control: 1 to 6"),
    ("Progress", "Released parts in per cent of the quantity"),
)


class WorkOrders:
    """The folder MES/WorkOrders, JobOrderList and JobOrderResponseList."""

    def __init__(self, builder: Builder, cell: str, mes: ua.NodeId) -> None:
        self._builder = builder
        self._path = f"{cell}.MES.WorkOrders"
        self._folder = builder.folder(mes, cell_id(self._path), "WorkOrders")
        self._count = builder.variable(
            mes,
            cell_id(f"{cell}.MES.WorkOrderCount"),
            "WorkOrderCount",
            ua.Variant(0, _T.UInt32),
            standard(ua.ObjectIds.UInt32),
            text="Number of work orders shown",
        )
        self._nodes: dict[str, dict[str, NodeData]] = {}
        self._shown = MesState()
        self._methods: list[ua.ReferenceDescription] = []
        """Of every order alike: one node for each method, at the type."""
        self._elements: dict[str, tuple[Any, Any]] = {}
        """Of each shown order its elements of the two lists."""
        self.job_order_list: NodeData | None = None
        self.job_response_list: NodeData | None = None

    def add_lists(self, control: ua.NodeId, results: ua.NodeId, cell: str) -> None:
        """Put JobOrderList and JobOrderResponseList where job management has them."""
        path = f"{cell}.JobManagement"
        self.job_order_list = self._builder.variable(
            control,
            cell_id(f"{path}.JobOrderControl.JobOrderList"),
            "JobOrderList",
            ua.Variant([], _T.ExtensionObject, is_array=True),
            type_id(ISA95JobOrderAndStateDataType.__name__),
        )
        self.job_response_list = self._builder.variable(
            results,
            cell_id(f"{path}.JobOrderResults.JobOrderResponseList"),
            "JobOrderResponseList",
            ua.Variant([], _T.ExtensionObject, is_array=True),
            type_id(ISA95JobResponseDataType.__name__),
        )

    def add_method(self, node_id: ua.NodeId) -> None:
        """Let every order that is shown from now on have this method of its type."""
        self._methods.append(self._builder.describe(COMPONENT, node_id, forward=True))

    def number_of(self, node_id: ua.NodeId) -> str | None:
        """The number of the order that a node is; None for any other node."""
        number = str(node_id.Identifier).removeprefix(f"{self._path}.")
        return number if number in self._nodes and node_id == self._order_id(number) else None

    def _order_id(self, number: str) -> ua.NodeId:
        return cell_id(f"{self._path}.{number}")

    def show(self, state: MesState, at: Any) -> int:
        """Write what differs from what is shown; ``at`` is the source timestamp. Gives a count."""
        if state == self._shown:
            return 0
        written = 0
        before = {view.number: view for view in self._shown.orders}
        elements: dict[str, tuple[Any, Any]] = {}
        for view in state.orders:
            units = state.units.get(view.number, ())
            if view.number not in self._nodes:
                self._add(view)
                before.pop(view.number, None)
            known = self._elements.get(view.number)
            if (
                known is None
                or before.get(view.number) != view
                or self._shown.units.get(view.number, ()) != units
            ):
                known = job_orders.job_order(view), job_orders.job_response(view, units)
            elements[view.number] = known
            if before.get(view.number) != view:
                written += self._write(view.number, _order_values(view), at)
            if self._shown.units.get(view.number, ()) != units or view.number not in before:
                written += self._write(view.number, _unit_values(units), at)
        self._remove(set(self._nodes) - {view.number for view in state.orders})
        self._elements = elements
        written += self._lists(at)
        self._shown = state
        return written

    def find(self, job_order_id: str) -> tuple[WorkOrderView, Sequence[UnitView]] | None:
        """A shown order by its job order id, with its parts."""
        for view in self._shown.orders:
            if view.job_order_id == job_order_id:
                return view, self._shown.units.get(view.number, ())
        return None

    @property
    def state(self) -> MesState:
        """What is shown."""
        return self._shown

    def _add(self, view: WorkOrderView) -> None:
        path = f"{self._path}.{view.number}"
        node_id = self._builder.object(
            self._folder, cell_id(path), view.number, type_id("WorkOrderType"), reference=ORGANIZES
        )
        self._builder.space[node_id].references += self._methods
        values: Mapping[str, ua.Variant] = {**_order_values(view), **_unit_values(())}
        texts = {name: text for name, _, _, text in _ORDER_FIELDS}
        texts.update(_EXTRA)
        texts.update(_UNIT_FIELDS)
        self._nodes[view.number] = {
            name: self._builder.variable(
                node_id,
                cell_id(f"{path}.{name}"),
                name,
                value,
                standard(value.VariantType.value),
                text=texts[name],
            )
            for name, value in values.items()
        }

    def _write(self, number: str, values: Mapping[str, ua.Variant], at: Any) -> int:
        written = 0
        for name, value in values.items():
            node = self._nodes[number][name]
            held = node.attributes[ua.AttributeIds.Value].value
            if held is None or held.Value != value or held.SourceTimestamp is None:
                replace(node, ua.DataValue(value, SourceTimestamp=at, ServerTimestamp=at))
                written += 1
        return written

    def _remove(self, numbers: set[str]) -> None:
        for number in numbers:
            del self._nodes[number]
            node = self._builder.space[self._order_id(number)]
            shared = {item.NodeId for item in self._methods}
            node.references[:] = [item for item in node.references if item.NodeId not in shared]
            self._builder.remove(self._builder.subtree(node.nodeid))

    def _lists(self, at: Any) -> int:
        written = 1
        count = ua.Variant(len(self._elements), _T.UInt32)
        replace(self._count, ua.DataValue(count, SourceTimestamp=at, ServerTimestamp=at))
        for node, place in ((self.job_order_list, 0), (self.job_response_list, 1)):
            if node is not None:
                values = [element[place] for element in self._elements.values()]
                value = ua.Variant(values, _T.ExtensionObject, is_array=True)
                replace(node, ua.DataValue(value, SourceTimestamp=at, ServerTimestamp=at))
                written += 1
        return written


def fields() -> list[tuple[str, str, str]]:
    """Name, type and meaning of every variable of a work order, for the reference."""
    scalars = [(name, variant.name, text) for name, _, variant, text in _ORDER_FIELDS]
    extra = [
        (name, kind, text) for (name, text), kind in zip(_EXTRA, ("UInt32", "Double"), strict=True)
    ]
    return scalars + extra + [(name, "String[]", text) for name, text in _UNIT_FIELDS]
