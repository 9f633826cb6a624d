"""What may be asked of the definitions: parts, routings, bills, work centres, changes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import select

from cellwright.mes.definitions import parts
from cellwright.mes.definitions.parts import Component, Step, Who
from cellwright.mes.definitions.tables import (
    Bom,
    EngineeringChange,
    OperationKind,
    PartDefinition,
    Routing,
    WorkCentre,
)
from cellwright.mes.kernel import paging, quantity
from cellwright.mes.kernel.actions import (
    Action,
    Change,
    Closed,
    Command,
    Context,
    Page,
    PageRequest,
    Request,
    Rest,
    View,
)
from cellwright.mes.kernel.money import DEFAULT_CURRENCY
from cellwright.mes.kernel.quantity import EACH

_ON_PAPER: Final = Closed("definitions are entered by planners at a desk, over REST or by file")
_BY_FILE: Final = Closed("the cell's master data file does it; see its reference")


class PartView(View, frozen=True, kw_only=True):
    """A part number in one revision."""

    part_number: str
    revision: str
    description: str
    unit: str
    """Base unit, UNECE Recommendation 20."""
    critical: bool
    """Its material needs a certificate."""
    serial_pattern: str
    fields: dict[str, str]
    """Content for the marking template."""
    routing_revision: int | None
    """Revision of the routing that new orders take; null while there is none."""
    changed_at: datetime
    version: int


class CreatePart(Change, frozen=True, kw_only=True):
    """A new part, or a new revision of one."""

    part_number: str
    revision: str = ""
    description: str = ""
    unit: str = EACH
    """Base unit of its quantities, UNECE Recommendation 20: C62 for pieces."""
    critical: bool = False
    """True: its material needs a certificate."""
    serial_pattern: str = ""
    """For example ``SN{year:02d}{n:06d}``; empty: its pieces get no serials."""
    fields: dict[str, str] = msgspec.field(default_factory=dict)
    """Further content for the marking template."""


class GetPart(Request, frozen=True, kw_only=True):
    """Which part."""

    part_number: str
    revision: str | None = None
    """Absent: the newest."""


class ListParts(PageRequest, frozen=True, kw_only=True):
    """Which parts."""

    part_number: str | None = None


class RoutingStep(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """One operation of a routing."""

    operation_number: int
    """1 to 999999; usually 10, 20, 30."""
    operation_name: str
    kind: OperationKind = OperationKind.MANUAL
    """``mark`` and ``inspect`` are reported by the cell, ``manual`` by a person."""
    station: str = ""
    """Station that reports it; empty: any of that kind."""
    sequential: bool = True
    """True: starts only when its predecessor is complete; false: pieces flow one by one."""
    inspection_required: bool | None = None
    """No completion while an inspection is open; absent: true for ``inspect``, else false."""
    work_center: str = ""
    """Code of the work centre."""
    setup_seconds: Decimal = Decimal(0)
    run_seconds: Decimal = Decimal(0)
    """For one piece."""
    required_skill: str = ""
    """What the person who starts it must be certified for."""
    quality_critical: bool = False


class CreateRouting(Change, frozen=True, kw_only=True):
    """A new revision of a part's routing."""

    part_number: str
    revision: str | None = None
    """Of the part; absent: its newest."""
    operations: list[RoutingStep]


class RoutingView(View, frozen=True, kw_only=True):
    """A revision of a routing."""

    part_number: str
    revision: str
    routing_revision: int
    operations: list[RoutingStep]
    created_at: datetime


class BomComponent(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """One line of a bill of material."""

    part_number: str
    quantity: int | Decimal
    """For one piece of the part."""
    unit: str = ""
    """Absent: the component's base unit."""


class CreateBom(Change, frozen=True, kw_only=True):
    """A new revision of a part's bill of material."""

    part_number: str
    revision: str | None = None
    components: list[BomComponent]


class BomView(View, frozen=True, kw_only=True):
    """A revision of a bill of material."""

    part_number: str
    revision: str
    bom_revision: int
    components: list[BomComponent]
    created_at: datetime


class CreateWorkCenter(Change, frozen=True, kw_only=True):
    """A new work centre."""

    code: str
    name: str = ""
    overhead_rate: Decimal = Decimal(0)
    """Money for an hour."""
    currency: str = DEFAULT_CURRENCY
    """ISO 4217."""


class WorkCenterView(View, frozen=True, kw_only=True):
    """A work centre."""

    code: str
    name: str
    overhead_rate: Decimal
    currency: str
    version: int


class OpenChange(Change, frozen=True, kw_only=True):
    """A new engineering change of a part."""

    part_number: str
    revision: str | None = None
    """Of the part; absent: its newest."""
    description: str
    """What changes."""


class ChangeView(View, frozen=True, kw_only=True):
    """An engineering change."""

    id: str
    """EC-YYYY-NNNNNN."""
    part_number: str
    revision: str
    description: str
    status: str
    created_at: datetime
    version: int


def _who(context: Context) -> Who:
    return Who(context.actor, context.reason, context.at)


def part_view(part: PartDefinition) -> PartView:
    """The part as readers see it."""
    routing = part.routing
    return PartView(
        part_number=part.part_number,
        revision=part.revision,
        description=part.description,
        unit=part.unit,
        critical=part.critical,
        serial_pattern=part.serial_pattern,
        fields=dict(part.fields),
        routing_revision=None if routing is None else routing.revision,
        changed_at=part.changed_utc,
        version=part.version,
    )


def _create_part(context: Context, request: CreatePart) -> PartView:
    part = parts.create_part(
        context.session,
        _who(context),
        part_number=request.part_number,
        revision=request.revision,
        description=request.description,
        unit=request.unit,
        critical=request.critical,
        serial_pattern=request.serial_pattern,
        fields=dict(request.fields),
    )
    return part_view(part)


def _get_part(context: Context, request: GetPart) -> PartView:
    return part_view(parts.find(context.session, request.part_number, request.revision))


def _list_parts(context: Context, request: ListParts) -> Page[PartView]:
    statement = select(PartDefinition).order_by(PartDefinition.id)
    if request.part_number is not None:
        statement = statement.where(PartDefinition.part_number == request.part_number)
    rows, total = paging.page_of(context.session, statement, request)
    return Page(items=[part_view(row) for row in rows], total=total)


def _create_routing(context: Context, request: CreateRouting) -> RoutingView:
    part = parts.referred(
        context.session, request.part_number, request.revision, field="partNumber"
    )
    steps = [
        Step(
            sequence=step.operation_number,
            name=step.operation_name,
            kind=step.kind,
            station=step.station,
            sequential=step.sequential,
            inspection_required=step.kind is OperationKind.INSPECT
            if step.inspection_required is None
            else step.inspection_required,
            work_centre=step.work_center,
            setup_s=step.setup_seconds,
            run_s=step.run_seconds,
            required_skill=step.required_skill,
            quality_critical=step.quality_critical,
        )
        for step in request.operations
    ]
    return _routing_view(parts.create_routing(context.session, _who(context), part, steps))


def _routing_view(routing: Routing) -> RoutingView:
    part = routing.part_definition
    return RoutingView(
        part_number=part.part_number,
        revision=part.revision,
        routing_revision=routing.revision,
        created_at=routing.created_utc,
        operations=[
            RoutingStep(
                operation_number=step.sequence,
                operation_name=step.name,
                kind=step.kind,
                station=step.station,
                sequential=step.sequential,
                inspection_required=step.inspection_required,
                work_center="" if step.work_centre is None else step.work_centre.code,
                setup_seconds=step.setup_s,
                run_seconds=step.run_s,
                required_skill=step.required_skill,
                quality_critical=step.quality_critical,
            )
            for step in routing.operations
        ],
    )


def _create_bom(context: Context, request: CreateBom) -> BomView:
    part = parts.referred(
        context.session, request.part_number, request.revision, field="partNumber"
    )
    components = [
        Component(part_number=each.part_number, quantity=Decimal(each.quantity), unit=each.unit)
        for each in request.components
    ]
    return _bom_view(parts.create_bom(context.session, _who(context), part, components))


def _bom_view(bom: Bom) -> BomView:
    return BomView(
        part_number=bom.part_definition.part_number,
        revision=bom.part_definition.revision,
        bom_revision=bom.revision,
        created_at=bom.created_utc,
        components=[
            BomComponent(
                part_number=line.component.part_number,
                quantity=quantity.shown(line.quantity, line.unit),
                unit=line.unit,
            )
            for line in bom.lines
        ],
    )


def _create_work_center(context: Context, request: CreateWorkCenter) -> WorkCenterView:
    centre = parts.create_work_centre(
        context.session,
        _who(context),
        code=request.code,
        name=request.name,
        rate=request.overhead_rate,
        currency=request.currency,
    )
    return _work_center_view(centre)


def _work_center_view(centre: WorkCentre) -> WorkCenterView:
    return WorkCenterView(
        code=centre.code,
        name=centre.name,
        overhead_rate=centre.overhead_rate,
        currency=centre.currency,
        version=centre.version,
    )


def _open_change(context: Context, request: OpenChange) -> ChangeView:
    part = parts.find(context.session, request.part_number, request.revision)
    return _change_view(
        parts.open_change(context.session, _who(context), part, request.description)
    )


def _change_view(change: EngineeringChange) -> ChangeView:
    return ChangeView(
        id=change.number,
        part_number=change.part_definition.part_number,
        revision=change.part_definition.revision,
        description=change.description,
        status=change.state.capitalize(),
        created_at=change.created_utc,
        version=change.version,
    )


ACTIONS: Final[tuple[Action[Any, Any], ...]] = (
    Action(
        name="parts.create",
        summary="Add a part, or a new revision of one.",
        request=CreatePart,
        answer=PartView,
        permission="workorders.create",
        entity="part_definition",
        run=_create_part,
        rest=Rest("POST", "/api/v1/parts", 201),
        opcua=_ON_PAPER,
        command=_BY_FILE,
        entity_id=lambda request: f"{request.part_number}/{request.revision}",
    ),
    Action(
        name="parts.list",
        summary="List the parts.",
        request=ListParts,
        answer=Page[PartView],
        permission="workorders.read",
        entity="part_definition",
        run=_list_parts,
        reads=True,
        rest=Rest("GET", "/api/v1/parts"),
        opcua=_ON_PAPER,
        command=Command("part", "list"),
    ),
    Action(
        name="parts.get",
        summary="Read a part.",
        request=GetPart,
        answer=PartView,
        permission="workorders.read",
        entity="part_definition",
        run=_get_part,
        reads=True,
        rest=Rest("GET", "/api/v1/parts/{partNumber}"),
        opcua=_ON_PAPER,
        command=Command("part", "show", ("part_number",)),
        entity_id=lambda request: request.part_number,
    ),
    Action(
        name="routings.create",
        summary="Add a revision of a part's routing; new orders take it.",
        request=CreateRouting,
        answer=RoutingView,
        permission="workorders.create",
        entity="routing",
        run=_create_routing,
        rest=Rest("POST", "/api/v1/routings", 201),
        opcua=_ON_PAPER,
        command=_BY_FILE,
        entity_id=lambda request: request.part_number,
    ),
    Action(
        name="boms.create",
        summary="Add a revision of a part's bill of material.",
        request=CreateBom,
        answer=BomView,
        permission="workorders.create",
        entity="bom",
        run=_create_bom,
        rest=Rest("POST", "/api/v1/boms", 201),
        opcua=_ON_PAPER,
        command=Closed("a bill has lines, which no command line takes well"),
        entity_id=lambda request: request.part_number,
    ),
    Action(
        name="workcenters.create",
        summary="Add a work centre with its overhead rate.",
        request=CreateWorkCenter,
        answer=WorkCenterView,
        permission="equipment.create",
        entity="work_centre",
        run=_create_work_center,
        rest=Rest("POST", "/api/v1/workcenters", 201),
        opcua=_ON_PAPER,
        command=Command("workcenter", "add", ("code",)),
        entity_id=lambda request: request.code,
    ),
    Action(
        name="parts.change",
        summary="Open an engineering change; it holds the part's orders that have not ended.",
        request=OpenChange,
        answer=ChangeView,
        permission="workorders.update",
        entity="engineering_change",
        run=_open_change,
        rest=Rest("POST", "/api/v1/parts/{partNumber}/changes", 201),
        opcua=_ON_PAPER,
        command=Command("part", "change", ("part_number", "description")),
        entity_id=lambda request: request.part_number,
    ),
)
"""What REST, OPC UA and the command line offer of this room."""
