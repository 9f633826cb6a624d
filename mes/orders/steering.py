"""Interrupting, resuming and ending a locked order on behalf of a person.

An order that runs is interrupted by its state (HELD); one that waits is held by a mark and keeps
its state. An engineering change holds by the mark, and only those who supervise take it away.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes.audit import changes
from cellwright.mes.definitions.events import PartChanged
from cellwright.mes.definitions.parts import Who, release_change
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.quantity import text
from cellwright.mes.orders import creation, events, order_flow
from cellwright.mes.orders.operation_states import OperationState
from cellwright.mes.orders.operations import mended_for
from cellwright.mes.orders.order_flow import PERSON
from cellwright.mes.orders.tables import QuantityCounts, WorkOrder
from cellwright.mes.orders.work_order_states import ENDED, WAITING, WorkOrderEvent, WorkOrderState

_ENDING = frozenset({WorkOrderEvent.CANCEL, WorkOrderEvent.ABORT, WorkOrderEvent.STOP})


def act(
    session: Session, order: WorkOrder, event: WorkOrderEvent, *, actor: str, reason: str
) -> None:
    """Do what a person asks for, but for `hold` and `resume`.

    Raises MesError ``no_routing``, ``invalid_state``, ``inspection_open`` or ``operations_open``.
    """
    at = utc.now(session)
    if order.held_by and event not in _ENDING:
        raise MesError(
            "invalid_state",
            f"cannot {event} work order {order.number}: it is held by {_holder(order)}; resume it "
            "first",
        )
    if event is WorkOrderEvent.RELEASE and not order.operations:
        creation.plan(session, order, actor=actor, reason=reason, at=at)
    if event is WorkOrderEvent.COMPLETE:
        _sum_up(session, order, actor=actor, reason=reason, at=at)
    order_flow.move(session, order, event, actor=actor, reason=reason, at=at)


def start(session: Session, order: WorkOrder, *, actor: str, reason: str) -> None:
    """Let a released order run: the cell takes its parts, people start its operations."""
    if order.state is WorkOrderState.RELEASED:
        act(session, order, WorkOrderEvent.MAKE_READY, actor=actor, reason=reason)
    act(session, order, WorkOrderEvent.START, actor=actor, reason=reason)


def hold_for_change(session: Session, changed: PartChanged) -> None:
    """Hold the orders of a changed part that have not ended."""
    orders = session.scalars(
        select(WorkOrder)
        .where(
            WorkOrder.part_definition_id == changed.part_definition_id,
            WorkOrder.state.not_in(sorted(ENDED)),
        )
        .order_by(WorkOrder.id)
        .with_for_update(of=WorkOrder)
        .execution_options(populate_existing=True)
    ).all()
    for order in orders:
        hold(session, order, actor=changed.actor, reason=changed.reason, change=changed.change)


def hold(session: Session, order: WorkOrder, *, actor: str, reason: str, change: str = "") -> None:
    """Stop starts and completions; ``change`` is the engineering change that demands it.

    Raises MesError ``invalid_state`` for an order that has ended or is held already.
    """
    if not change and (order.held_by or order.state is WorkOrderState.HELD):
        raise MesError(
            "invalid_state",
            f"cannot hold work order {order.number}: it is held already by {_holder(order)}",
        )
    if order.state in ENDED:
        raise MesError(
            "invalid_state",
            f"cannot hold work order {order.number}: it is {order.state}, and nothing is left to "
            "hold",
        )
    at = utc.now(session)
    runs = order.state in (WorkOrderState.RUNNING, WorkOrderState.SUSPENDED)
    if change or not runs:
        entry = order_flow.entry(order, "hold", actor=actor, reason=reason)
        with changes.changing(session, order, entry, at=at):
            order.held_by = change or PERSON
    if runs:
        order_flow.move(session, order, WorkOrderEvent.PAUSE, actor=actor, reason=reason, at=at)
    else:
        order_flow.tell(session, events.OrderHeld, order)


def resume(
    session: Session, order: WorkOrder, *, actor: str, reason: str, supervises: bool = False
) -> None:
    """Let an interrupted order go on; it completes at once when its last part was released.

    ``supervises``: the person may take away the mark of an engineering change. Raises MesError
    ``forbidden`` or ``invalid_state``.
    """
    at = utc.now(session)
    if order.held_by not in ("", PERSON) and not supervises:
        raise MesError(
            "forbidden",
            f"Forbidden: work order {order.number} is held by engineering change {order.held_by}; "
            "a Production Supervisor or Administrator resumes it",
        )
    if order.held_by:
        entry = order_flow.entry(order, "unhold", actor=actor, reason=reason)
        change = "" if order.held_by == PERSON else order.held_by
        with changes.changing(session, order, entry, at=at):
            order.held_by = ""
        if change and not _holds_others(session, change):
            release_change(session, Who(actor, reason, at), change)
        if order.state in WAITING:
            order_flow.tell(session, events.OrderResumed, order)
            return
    order_flow.move(session, order, WorkOrderEvent.RESUME, actor=actor, reason=reason, at=at)
    order_flow.complete_if_done(session, order, at=at)


def _holds_others(session: Session, change: str) -> bool:
    found = session.scalar(select(WorkOrder.id).where(WorkOrder.held_by == change).limit(1))
    return found is not None


def in_process(order: WorkOrder) -> Decimal:
    """Parts that hold a serial and are not released; none of an order that people report."""
    return max(order.reserved - order.good - order.rejected, Decimal(0))


def _holder(order: WorkOrder) -> str:
    return "a person" if order.held_by in ("", PERSON) else f"engineering change {order.held_by}"


def _sum_up(session: Session, order: WorkOrder, *, actor: str, reason: str, at: datetime) -> None:
    """Before people complete an order: all operations must be done; what they made is counted."""
    open_ones = [
        f"{each.sequence} ({each.name}) is {each.state}"
        for each in order.operations
        if each.state is not OperationState.COMPLETED
    ]
    if open_ones and order.state is WorkOrderState.RUNNING:
        raise MesError(
            "operations_open",
            f"cannot complete work order {order.number}: operation {', '.join(open_ones)}; "
            "complete them, or stop the order early",
        )
    if order.reserved or not order.operations or open_ones:
        return  # the cell has counted its parts
    last = [each for each in order.operations if each.rework_of is None][-1]
    good = last.good + mended_for(order, None)
    if order.quantity_counts is QuantityCounts.GOOD and good < order.quantity:
        raise MesError(
            "operations_open",
            f"cannot complete work order {order.number}: {text(good)} of {text(order.quantity)} "
            "are good; make the others, or stop the order early",
        )
    entry = order_flow.entry(order, "count", actor=actor, reason=reason)
    with changes.changing(session, order, entry, at=at):
        order.good = good
        order.rejected = sum((each.scrap for each in order.operations), Decimal(0))
