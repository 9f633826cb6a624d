"""What may be asked of the shop floor: the as-built record of an order."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from cellwright.mes.kernel.actions import Action, Closed, Command, Context, Request, Rest, View
from cellwright.mes.kernel.quantity import shown
from cellwright.mes.orders import order_flow
from cellwright.mes.orders.documents import OperationDocument, operation_document
from cellwright.mes.shopfloor import parts
from cellwright.mes.shopfloor.parts import UnitView


class GetGenealogy(Request, frozen=True, kw_only=True):
    """Of which order, and how many of its parts."""

    id: str
    """WO-YYYY-NNNNNN."""
    limit: int = 1000
    """Newest parts, 1 to 1000."""


class BuiltPart(View, frozen=True, kw_only=True):
    """One part as it was made."""

    part_id: str
    serial: str
    verdict: str | None
    """``good`` or ``rejected``; null while it is in the cell."""
    reason: str
    content: str
    """What the last mark was to hold."""
    mark_outcome: str
    inspection_verdict: str
    read: str
    """What the last inspection read."""
    arrived_at: datetime
    released_at: datetime | None


class Genealogy(View, frozen=True, kw_only=True):
    """The as-built record of a work order."""

    id: str
    part_number: str
    revision: str
    quantity: int | Decimal
    operations: list[OperationDocument]
    parts: list[BuiltPart]


def _genealogy(context: Context, request: GetGenealogy) -> Genealogy:
    order = order_flow.find_number(context.session, request.id, lock=False)
    limit = min(max(request.limit, 1), 1000)
    made = parts.units(context.session, order.number, limit=limit)
    return Genealogy(
        id=order.number,
        part_number=order.part_definition.part_number,
        revision=order.part_definition.revision,
        quantity=shown(order.quantity, order.unit),
        operations=[operation_document(each) for each in order.operations],
        parts=[_built(unit) for unit in made],
    )


def _built(unit: UnitView) -> BuiltPart:
    return BuiltPart(
        part_id=unit.part_id,
        serial=unit.serial,
        verdict=None if unit.verdict is None else unit.verdict.value,
        reason=unit.reason,
        content=unit.content,
        mark_outcome=unit.mark_outcome,
        inspection_verdict=unit.inspection_verdict,
        read=unit.read,
        arrived_at=unit.arrived_utc,
        released_at=unit.released_utc,
    )


ACTIONS: Final[tuple[Action[Any, Any], ...]] = (
    Action(
        name="workorders.genealogy",
        summary="Read what was made for a work order: each part with its serial, mark and reading.",
        request=GetGenealogy,
        answer=Genealogy,
        permission="workorders.read",
        entity="work_order",
        run=_genealogy,
        reads=True,
        rest=Rest("GET", "/api/v1/workorders/{id}/genealogy"),
        opcua=Closed("RequestJobResponseByJobOrderID of JobOrderResults tells it"),
        command=Command("workorder", "genealogy", ("id",)),
        entity_id=lambda request: str(request.id),
    ),
)
"""What REST, OPC UA and the command line offer of this room."""
