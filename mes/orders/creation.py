"""Storing an order: the order itself, its operations from the part's routing, and their record."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes.audit import changes, transitions
from cellwright.mes.definitions.tables import PartDefinition, RoutingOperation
from cellwright.mes.kernel import quantity, utc
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.store import numbering
from cellwright.mes.kernel.text import fields_complaint
from cellwright.mes.orders import events, order_flow
from cellwright.mes.orders.job_order import JobOrder, check, check_actor
from cellwright.mes.orders.operation_states import OperationState
from cellwright.mes.orders.tables import Operation, QuantityCounts, WorkOrder
from cellwright.mes.orders.work_order_states import (
    Facts,
    WorkOrderEvent,
    WorkOrderState,
    step,
)


def create(
    session: Session, job: JobOrder, *, actor: str, reason: str, to_release: bool = False
) -> WorkOrder:
    """Take an order and leave it CREATED.

    ``to_release``: it is to be released at once, so its part must have a routing. Raises MesError
    ``invalid_request``, ``duplicate``, ``unknown_part`` or ``no_routing``.
    """
    check_actor(actor, reason)
    counts = check(job, named=to_release)
    if job.job_order_id:
        existing = session.scalar(
            select(WorkOrder.number).where(WorkOrder.job_order_id == job.job_order_id)
        )
        if existing is not None:
            raise MesError(
                "duplicate",
                f"job order '{job.job_order_id}' is stored already as work order {existing}; use "
                "another id for a new order",
            )
    definition = _definition(session, job)
    if to_release:
        routing = definition.routing
        step(
            f"for job order '{job.job_order_id}' ({job.part_number})",
            WorkOrderState.CREATED,
            WorkOrderEvent.RELEASE,
            Facts(has_routing=routing is not None and bool(routing.operations)),
        )
    fields = {name: job.parameters.get(name, value) for name, value in definition.fields.items()}
    complaint = fields_complaint(fields)
    if complaint:
        raise MesError(
            "invalid_request",
            f"cannot store job order{_named(job)}: {complaint}; shorten its parameters",
        )
    at = utc.now(session)
    order = _order(session, job, definition, counts, fields, at=at)
    _plan(order)
    session.add(order)
    session.flush()
    _record_creation(session, order, actor=actor, reason=reason, at=at)
    return order


def _order(
    session: Session,
    job: JobOrder,
    definition: PartDefinition,
    counts: QuantityCounts,
    fields: dict[str, str],
    *,
    at: datetime,
) -> WorkOrder:
    """The order as it is created, without operations."""
    number = f"WO-{at.year}-{numbering.next_number(session, f'work_order/{at.year}'):06d}"
    return WorkOrder(
        number=number,
        job_order_id=job.job_order_id or number,
        part_definition=definition,
        description=job.description or definition.description,
        customer_order=job.customer_order,
        target_date=job.target_date,
        quantity=quantity.amount(job.quantity, definition.unit),
        unit=definition.unit,
        quantity_counts=counts,
        priority=job.priority,
        parameters=dict(job.parameters),
        part_version=definition.version,
        serial_pattern=definition.serial_pattern,
        fields=fields,
        state=WorkOrderState.CREATED,
        held_by="",
        reserved=Decimal(0),
        good=Decimal(0),
        rejected=Decimal(0),
        planned_start_utc=job.start_utc,
        planned_end_utc=job.end_utc,
        created_utc=at,
        operations=[],
    )


def plan(session: Session, order: WorkOrder, *, actor: str, reason: str, at: datetime) -> None:
    """Copy the part's newest routing into an order that was created when there was none."""
    _plan(order)
    session.flush()
    _record_operations(session, order, actor=actor, reason=reason, at=at)


def _plan(order: WorkOrder) -> None:
    routing = order.part_definition.routing
    if routing is not None:
        order.routing = routing
        order.operations = [_operation(planned) for planned in routing.operations]


def _operation(planned: RoutingOperation) -> Operation:
    return Operation(
        sequence=planned.sequence,
        name=planned.name,
        kind=planned.kind,
        station=planned.station,
        sequential=planned.sequential,
        inspection_required=planned.inspection_required,
        work_centre=planned.work_centre,
        setup_s=planned.setup_s,
        run_s=planned.run_s,
        required_skill=planned.required_skill,
        quality_critical=planned.quality_critical,
        state=OperationState.WAITING,
        offered=Decimal(0),
        good=Decimal(0),
        scrap=Decimal(0),
        rework=Decimal(0),
        equipment="",
        person="",
    )


def _record_creation(
    session: Session, order: WorkOrder, *, actor: str, reason: str, at: datetime
) -> None:
    transitions.record(
        session,
        ("work_order", order.number),
        "create",
        "",
        WorkOrderState.CREATED,
        actor=actor,
        reason=reason,
        at=at,
    )
    entry = order_flow.entry(order, "create", actor=actor, reason=reason)
    changes.created(session, order, entry, at=at)
    _record_operations(session, order, actor=actor, reason=reason, at=at)
    order_flow.tell(session, events.OrderCreated, order)


def _record_operations(
    session: Session, order: WorkOrder, *, actor: str, reason: str, at: datetime
) -> None:
    for operation in order.operations:
        planned = order_flow.operation_entry(operation, "create", actor=actor, reason=reason)
        changes.created(session, operation, planned, at=at)


def _definition(session: Session, job: JobOrder) -> PartDefinition:
    found = session.scalars(
        select(PartDefinition)
        .where(PartDefinition.part_number == job.part_number)
        .order_by(PartDefinition.revision)
    ).all()
    revisions = ", ".join(f"'{definition.revision}'" for definition in found)
    if not found:
        raise MesError(
            "unknown_part",
            f"cannot store job order{_named(job)}: there is no part '{job.part_number}'; "
            "add it to the master data",
            [Detail("partNumber", "there is no such part")],
        )
    if job.revision is None:
        if len(found) > 1:
            raise MesError(
                "invalid_request",
                f"cannot store job order{_named(job)}: part '{job.part_number}' has "
                f"revisions {revisions}; name one",
            )
        return found[0]
    for definition in found:
        if definition.revision == job.revision:
            return definition
    raise MesError(
        "unknown_part",
        f"cannot store job order{_named(job)}: part '{job.part_number}' has no revision "
        f"'{job.revision}', only {revisions}; correct the order or add it to the master data",
    )


def _named(job: JobOrder) -> str:
    return f" '{job.job_order_id}'" if job.job_order_id else ""
