"""Work orders: storing, starting, interrupting, ending, listing.

OPC UA methods, the command line and the ERP bridge call these services; each runs in the caller's
transaction (`Store.session`) and checks everything before it changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from cellwright.mes import audit, moves, order_flow, utc
from cellwright.mes.errors import MesError
from cellwright.mes.models import Operation, PartDefinition, QuantityCounts, WorkOrder
from cellwright.mes.operation_states import OperationState
from cellwright.mes.text import fields_complaint, storable
from cellwright.mes.work_order_states import (
    ENDED,
    Facts,
    WorkOrderEvent,
    WorkOrderState,
    step,
)

__all__ = [
    "JobOrder",
    "WorkOrderState",
    "WorkOrderView",
    "abort",
    "cancel",
    "close",
    "get",
    "list_orders",
    "pause",
    "resume",
    "start",
    "stop",
    "store",
    "store_and_start",
    "suspend",
]

MAX_QUANTITY: Final = 1_000_000
MAX_TEXT: Final = 200
"""Longest id, part number, revision or actor in characters."""

_BEGUN: Final = frozenset({WorkOrderState.RUNNING, WorkOrderState.HELD, WorkOrderState.SUSPENDED})
_WAITING: Final = frozenset(WorkOrderState) - _BEGUN - ENDED

QUANTITY_COUNTS: Final = "quantity_counts"
"""Job order parameter: ``attempted`` (default) or ``good``; see `models.QuantityCounts`."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What the ERP (or an operator) asks for; names follow ISA-95 Job Control (OPC 10031-4)."""

    job_order_id: str
    part_number: str
    revision: str | None
    """None: the only revision that the part number has."""
    quantity: int
    """1 to 1,000,000."""
    priority: int = 0
    """Int16; higher goes first."""
    description: str = ""
    start_utc: datetime | None = None
    """Planned start."""
    end_utc: datetime | None = None
    """Planned end."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """``quantity_counts``, and values for the marking fields that the part definition names."""


@dataclass(frozen=True, slots=True)
class WorkOrderView:
    """A work order as readers see it. ``in_process`` parts hold a serial and are not released."""

    number: str
    job_order_id: str
    part_number: str
    revision: str
    description: str
    state: WorkOrderState
    quantity: int
    good: int
    rejected: int
    in_process: int
    priority: int
    created_utc: datetime
    started_utc: datetime | None
    ended_utc: datetime | None


def store(session: Session, job: JobOrder, *, actor: str, reason: str) -> WorkOrderView:
    """Take a job order: CREATED, RELEASED, READY.

    Raises MesError ``invalid_request``, ``duplicate`` (nothing is changed by a repetition),
    ``unknown_part`` or ``no_routing``.
    """
    _check_actor(actor, reason)
    counts = _check(job)
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
    steps = definition.routing.operations if definition.routing else []
    step(
        f"for job order '{job.job_order_id}' ({job.part_number})",
        WorkOrderState.CREATED,
        WorkOrderEvent.RELEASE,
        Facts(has_routing=bool(steps)),
    )
    fields = {name: job.parameters.get(name, value) for name, value in definition.fields.items()}
    complaint = fields_complaint(fields)
    if complaint:
        raise MesError(
            "invalid_request",
            f"cannot store job order '{job.job_order_id}': {complaint}; shorten its parameters",
        )
    at = utc.now(session)
    order = _order(session, job, definition, counts, fields, at=at)
    session.add(order)
    session.flush()
    _record_creation(session, order, actor=actor, reason=reason, at=at)
    for event in (WorkOrderEvent.RELEASE, WorkOrderEvent.MAKE_READY):
        order_flow.move(session, order, event, actor=actor, reason=reason, at=at)
    return _view(order)


def _order(
    session: Session,
    job: JobOrder,
    definition: PartDefinition,
    counts: QuantityCounts,
    fields: dict[str, str],
    *,
    at: datetime,
) -> WorkOrder:
    """The order as it is created, with an operation for each step of the routing."""
    order = WorkOrder(
        number=f"WO-{at.year}-{moves.next_number(session, f'work_order/{at.year}'):06d}",
        job_order_id=job.job_order_id,
        part_definition=definition,
        description=job.description or definition.description,
        quantity=job.quantity,
        quantity_counts=counts,
        priority=job.priority,
        parameters=dict(job.parameters),
        part_version=definition.version,
        serial_pattern=definition.serial_pattern,
        fields=fields,
        state=WorkOrderState.CREATED,
        version=1,
        reserved=0,
        good=0,
        rejected=0,
        planned_start_utc=job.start_utc,
        planned_end_utc=job.end_utc,
        created_utc=at,
    )
    order.operations = [
        Operation(
            sequence=planned.sequence,
            name=planned.name,
            kind=planned.kind,
            station=planned.station,
            sequential=planned.sequential,
            inspection_required=planned.inspection_required,
            state=OperationState.WAITING,
            done=0,
        )
        for planned in (definition.routing.operations if definition.routing else [])
    ]
    return order


def _record_creation(
    session: Session, order: WorkOrder, *, actor: str, reason: str, at: datetime
) -> None:
    moves.record(
        session,
        ("work_order", order.number),
        "create",
        "",
        WorkOrderState.CREATED,
        actor=actor,
        reason=reason,
        at=at,
    )
    audit.append(
        session,
        audit.AuditEntry(
            actor=actor,
            action="work_order.create",
            entity_type="work_order",
            entity_id=order.number,
            entity_version=order.version,
            new={
                "state": order.state,
                "job_order_id": order.job_order_id,
                "part_number": order.part_definition.part_number,
                "revision": order.part_definition.revision,
                "part_version": order.part_version,
                "serial_pattern": order.serial_pattern,
                "fields": order.fields,
                "quantity": order.quantity,
                "quantity_counts": order.quantity_counts,
                "priority": order.priority,
                "parameters": order.parameters,
            },
            reason=reason,
            correlation_id=order.job_order_id,
        ),
        at=at,
    )


def store_and_start(session: Session, job: JobOrder, *, actor: str, reason: str) -> WorkOrderView:
    """`store`, then `start`."""
    store(session, job, actor=actor, reason=reason)
    return start(session, job.job_order_id, actor=actor, reason=reason)


def start(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """READY to RUNNING: its serials may be asked for."""
    return _move(session, job_order_id, WorkOrderEvent.START, actor, reason)


def pause(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Interrupt by a person: to HELD. Parts in process go on, new ones get no serial."""
    return _move(session, job_order_id, WorkOrderEvent.PAUSE, actor, reason)


def suspend(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Interrupt by the system: to SUSPENDED."""
    return _move(session, job_order_id, WorkOrderEvent.SUSPEND, actor, reason)


def resume(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Back to RUNNING; completes at once when its last part was released meanwhile."""
    return _move(session, job_order_id, WorkOrderEvent.RESUME, actor, reason)


def stop(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Complete early: what is not made yet is not made. Parts in process are still counted.

    Raises MesError ``inspection_open`` while a good part lacks its required inspection.
    """
    return _move(session, job_order_id, WorkOrderEvent.STOP, actor, reason)


def abort(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """End an order that has begun, without completing it."""
    return _move(session, job_order_id, WorkOrderEvent.ABORT, actor, reason)


def cancel(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Take back an order of which nothing was consumed."""
    return _move(session, job_order_id, WorkOrderEvent.CANCEL, actor, reason)


def close(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """COMPLETED to CLOSED: reported and settled."""
    return _move(session, job_order_id, WorkOrderEvent.CLOSE, actor, reason)


def list_orders(session: Session, *, limit: int | None = None) -> list[WorkOrderView]:
    """All orders, oldest first; with ``limit`` only that many.

    Those that were begun go before those that wait, and those before ended ones; of each kind the
    newest. An order in work is so never hidden by later ones.
    """
    statement = (
        select(WorkOrder)
        .options(joinedload(WorkOrder.part_definition))
        .order_by(WorkOrder.id.desc())
        .execution_options(populate_existing=True)
    )
    if limit is None:
        found = list(session.scalars(statement))
    else:
        # One statement a kind: each stops at its limit, however many orders have ended.
        found = []
        for kind in (_BEGUN, _WAITING, ENDED):
            few = statement.where(WorkOrder.state.in_(sorted(kind))).limit(limit - len(found))
            found += session.scalars(few)
    return [_view(order) for order in sorted(found, key=lambda order: order.id)]


def get(session: Session, job_order_id: str) -> WorkOrderView:
    """One order; raises MesError ``unknown_order``."""
    return _view(order_flow.find(session, job_order_id, lock=False))


def _move(
    session: Session, job_order_id: str, event: WorkOrderEvent, actor: str, reason: str
) -> WorkOrderView:
    _check_actor(actor, reason)
    order = order_flow.find(session, job_order_id, lock=True)
    at = utc.now(session)
    order_flow.move(session, order, event, actor=actor, reason=reason, at=at)
    if event is WorkOrderEvent.RESUME:
        order_flow.complete_if_done(session, order, at=at)
    return _view(order)


def _view(order: WorkOrder) -> WorkOrderView:
    return WorkOrderView(
        number=order.number,
        job_order_id=order.job_order_id,
        part_number=order.part_definition.part_number,
        revision=order.part_definition.revision,
        description=order.description,
        state=order.state,
        quantity=order.quantity,
        good=order.good,
        rejected=order.rejected,
        in_process=order.reserved - order.good - order.rejected,
        priority=order.priority,
        created_utc=order.created_utc,
        started_utc=order.started_utc,
        ended_utc=order.ended_utc,
    )


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
            f"cannot store job order '{job.job_order_id}': there is no part '{job.part_number}'; "
            "add it to the master data",
        )
    if job.revision is None:
        if len(found) > 1:
            raise MesError(
                "invalid_request",
                f"cannot store job order '{job.job_order_id}': part '{job.part_number}' has "
                f"revisions {revisions}; name one",
            )
        return found[0]
    for definition in found:
        if definition.revision == job.revision:
            return definition
    raise MesError(
        "unknown_part",
        f"cannot store job order '{job.job_order_id}': part '{job.part_number}' has no revision "
        f"'{job.revision}', only {revisions}; correct the order or add it to the master data",
    )


def _check(job: JobOrder) -> QuantityCounts:
    """Refuse what no order may say; returns how its quantity counts."""
    complaints = [
        complaint
        for name, value, optional in (
            ("job_order_id", job.job_order_id, False),
            ("part_number", job.part_number, False),
            ("revision", job.revision or "", True),
        )
        if (complaint := _complaint(name, value, optional=optional))
    ]
    if isinstance(job.quantity, bool) or not isinstance(job.quantity, int):
        complaints.append(f"quantity must be a whole number, not {job.quantity!r}")
    elif not 1 <= job.quantity <= MAX_QUANTITY:
        complaints.append(f"quantity must be 1 to {MAX_QUANTITY}, not {job.quantity}")
    if isinstance(job.priority, bool) or not isinstance(job.priority, int):
        complaints.append(f"priority must be a whole number, not {job.priority!r}")
    elif not -32768 <= job.priority <= 32767:
        complaints.append(f"priority must be -32768 to 32767 (Int16), not {job.priority}")
    for name, moment in (("start_utc", job.start_utc), ("end_utc", job.end_utc)):
        if moment is not None and moment.tzinfo is None:
            complaints.append(f"{name} has no time zone; give it in UTC")
    if not complaints and job.start_utc and job.end_utc and job.end_utc < job.start_utc:
        complaints.append("end_utc lies before start_utc")
    texts = [job.description, *job.parameters, *job.parameters.values()]
    if not all(isinstance(text, str) and storable(text) for text in texts):
        complaints.append("description and parameters must be valid text without NUL characters")
    counts = job.parameters.get(QUANTITY_COUNTS, QuantityCounts.ATTEMPTED)
    known = [member.value for member in QuantityCounts]
    if counts not in known:
        complaints.append(f"parameter {QUANTITY_COUNTS} must be {' or '.join(known)}")
    if complaints:
        raise MesError(
            "invalid_request",
            f"cannot store job order {job.job_order_id!r:.80}: {'; '.join(complaints)}",
        )
    return QuantityCounts(counts)


def _check_actor(actor: str, reason: str) -> None:
    complaint = _complaint("actor", actor, optional=False)
    if not complaint and not (isinstance(reason, str) and storable(reason)):
        complaint = "reason must be valid text without NUL characters"
    if complaint:
        raise MesError("invalid_request", f"cannot change a work order: {complaint}")


def _complaint(name: str, value: str, *, optional: bool) -> str:
    if not isinstance(value, str):
        return f"{name} must be text, not {value!r}"
    if not value and not optional:
        return f"{name} is empty"
    if len(value) > MAX_TEXT:
        return f"{name} has {len(value)} characters, at most {MAX_TEXT} are allowed"
    if value and not value.isprintable():
        return f"{name} holds characters that cannot be printed"
    return ""
