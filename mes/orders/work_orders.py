"""Work orders by their job order id: storing, starting, interrupting, ending, listing.

OPC UA methods, the command line and the ERP bridge call these services; each runs in the caller's
transaction (`Store.session`) and checks everything before it changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from cellwright.mes.kernel import quantity, utc
from cellwright.mes.orders import order_flow, steering
from cellwright.mes.orders.creation import create
from cellwright.mes.orders.job_order import MAX_QUANTITY, JobOrder, check_actor
from cellwright.mes.orders.tables import WorkOrder
from cellwright.mes.orders.work_order_states import (
    BEGUN,
    ENDED,
    WAITING,
    WorkOrderEvent,
    WorkOrderState,
)

__all__ = [
    "MAX_QUANTITY",
    "JobOrder",
    "WorkOrderState",
    "WorkOrderView",
    "abort",
    "cancel",
    "close",
    "complete",
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


@dataclass(frozen=True, slots=True)
class WorkOrderView:
    """A work order as readers see it. ``in_process`` parts hold a serial and are not released."""

    number: str
    job_order_id: str
    part_number: str
    revision: str
    description: str
    state: WorkOrderState
    quantity: int | Decimal
    good: int | Decimal
    rejected: int | Decimal
    in_process: int | Decimal
    priority: int
    created_utc: datetime
    started_utc: datetime | None
    ended_utc: datetime | None
    version: int
    """Counted up by every change; an action may ask for it."""
    held_by: str
    """``person``, or the engineering change that holds it; empty when nobody does."""
    customer_order: str
    target_date: date | None


def store(session: Session, job: JobOrder, *, actor: str, reason: str) -> WorkOrderView:
    """Take a job order: CREATED, RELEASED, READY.

    Raises MesError ``invalid_request``, ``duplicate`` (nothing is changed by a repetition),
    ``unknown_part`` or ``no_routing``.
    """
    order = create(session, job, actor=actor, reason=reason, to_release=True)
    at = utc.now(session)
    for event in (WorkOrderEvent.RELEASE, WorkOrderEvent.MAKE_READY):
        order_flow.move(session, order, event, actor=actor, reason=reason, at=at)
    return _view(order)


def store_and_start(session: Session, job: JobOrder, *, actor: str, reason: str) -> WorkOrderView:
    """`store`, then `start`."""
    store(session, job, actor=actor, reason=reason)
    return start(session, job.job_order_id, actor=actor, reason=reason)


def start(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """READY to RUNNING: its serials may be asked for."""
    return _by_job(session, job_order_id, WorkOrderEvent.START, actor, reason)


def pause(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Interrupt by a person: to HELD. Parts in process go on, new ones get no serial."""
    return _by_job(session, job_order_id, WorkOrderEvent.PAUSE, actor, reason)


def suspend(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Interrupt by the system: to SUSPENDED."""
    return _by_job(session, job_order_id, WorkOrderEvent.SUSPEND, actor, reason)


def resume(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Back to RUNNING; completes at once when its last part was released meanwhile.

    Raises MesError ``forbidden`` for an order that an engineering change holds.
    """
    return _by_job(session, job_order_id, WorkOrderEvent.RESUME, actor, reason)


def complete(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """RUNNING to COMPLETED by a person, when all operations are done.

    Raises MesError ``operations_open`` and ``inspection_open``.
    """
    return _by_job(session, job_order_id, WorkOrderEvent.COMPLETE, actor, reason)


def stop(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Complete early: what is not made yet is not made. Parts in process are still counted.

    Raises MesError ``inspection_open`` while a good part lacks its required inspection.
    """
    return _by_job(session, job_order_id, WorkOrderEvent.STOP, actor, reason)


def abort(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """End an order that has begun, without completing it."""
    return _by_job(session, job_order_id, WorkOrderEvent.ABORT, actor, reason)


def cancel(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """Take back an order of which nothing was consumed."""
    return _by_job(session, job_order_id, WorkOrderEvent.CANCEL, actor, reason)


def close(session: Session, job_order_id: str, *, actor: str, reason: str) -> WorkOrderView:
    """COMPLETED to CLOSED: reported and settled."""
    return _by_job(session, job_order_id, WorkOrderEvent.CLOSE, actor, reason)


def _by_job(
    session: Session, job_order_id: str, event: WorkOrderEvent, actor: str, reason: str
) -> WorkOrderView:
    check_actor(actor, reason)
    order = order_flow.find(session, job_order_id, lock=True)
    if event is WorkOrderEvent.RESUME:
        steering.resume(session, order, actor=actor, reason=reason)
    else:
        steering.act(session, order, event, actor=actor, reason=reason)
    return _view(order)


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
        for kind in (BEGUN, WAITING, ENDED):
            few = statement.where(WorkOrder.state.in_(sorted(kind))).limit(limit - len(found))
            found += session.scalars(few)
    return [_view(order) for order in sorted(found, key=lambda order: order.id)]


def get(session: Session, job_order_id: str) -> WorkOrderView:
    """One order; raises MesError ``unknown_order``."""
    return _view(order_flow.find(session, job_order_id, lock=False))


def _view(order: WorkOrder) -> WorkOrderView:
    return WorkOrderView(
        number=order.number,
        job_order_id=order.job_order_id,
        part_number=order.part_definition.part_number,
        revision=order.part_definition.revision,
        description=order.description,
        state=order.state,
        quantity=quantity.shown(order.quantity, order.unit),
        good=quantity.shown(order.good, order.unit),
        rejected=quantity.shown(order.rejected, order.unit),
        in_process=quantity.shown(steering.in_process(order), order.unit),
        priority=order.priority,
        created_utc=order.created_utc,
        started_utc=order.started_utc,
        ended_utc=order.ended_utc,
        version=order.version,
        held_by=order.held_by,
        customer_order=order.customer_order,
        target_date=order.target_date,
    )
