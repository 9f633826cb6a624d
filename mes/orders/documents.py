"""A work order and its operations as REST and the command line show them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from cellwright.mes.kernel.actions import View
from cellwright.mes.kernel.quantity import shown
from cellwright.mes.orders.operation_states import OperationState
from cellwright.mes.orders.tables import Operation, WorkOrder
from cellwright.mes.orders.work_order_states import ENDED, WorkOrderState


class Priority(StrEnum):
    """How urgent an order is; over OPC UA it is a number, higher goes first."""

    HIGH = "High"
    MEDIUM = "Medium"
    LOW = "Low"


NUMBERS: Final = {Priority.HIGH: 100, Priority.MEDIUM: 0, Priority.LOW: -100}
"""The number of each."""
HELD: Final = WorkOrderState.HELD.capitalize()
"""Status of an order that is interrupted, whether it has begun or not."""


class OperationDocument(View, frozen=True, kw_only=True):
    """An operation of a work order; quantities have the order's unit."""

    id: str
    """Its number as text."""
    operation_number: int
    operation_name: str
    kind: str
    """``mark``, ``inspect`` or ``manual``."""
    status: str
    """Waiting, Running, Completed or Stopped."""
    quantity_good: int | Decimal
    quantity_scrap: int | Decimal
    quantity_rework: int | Decimal
    """Pieces that were sent to rework."""
    rework_of: int | None
    """Number of the operation whose pieces it mends."""
    equipment_id: str
    operator_id: str
    started_at: datetime | None
    completed_at: datetime | None
    version: int


class OrderDocument(View, frozen=True, kw_only=True):
    """A work order."""

    id: str
    """WO-YYYY-NNNNNN."""
    job_order_id: str
    """The ERP's name for it."""
    part_number: str
    revision: str
    description: str
    status: str
    """Created, Released, Ready, Running, Held, Suspended, Completed, Closed, Cancelled, Aborted."""
    held_by: str
    """``person``, or the engineering change that holds it; empty when nobody does."""
    priority: Priority
    quantity: int | Decimal
    unit: str
    """UNECE Recommendation 20."""
    quantity_good: int | Decimal
    quantity_scrap: int | Decimal
    progress: float
    """0 to 100."""
    target_date: date | None
    customer_order: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    version: int
    operations: list[OperationDocument]


def priority_of(number: int) -> Priority:
    """The word for a number."""
    if number > NUMBERS[Priority.MEDIUM]:
        return Priority.HIGH
    return Priority.MEDIUM if number == NUMBERS[Priority.MEDIUM] else Priority.LOW


def status(order: WorkOrder) -> str:
    """The state as people read it."""
    return HELD if order.held_by else order.state.capitalize()


def progress(order: WorkOrder) -> float:
    """Per cent of the routing's operations, each weighted by the pieces that it has done.

    0 at release, 100 when the order is completed.
    """
    if order.state in (WorkOrderState.COMPLETED, WorkOrderState.CLOSED):
        return 100.0
    planned = [each for each in order.operations if each.rework_of is None]
    if not planned:
        return 0.0
    shares = [
        Decimal(1)
        if each.state is OperationState.COMPLETED
        else min(Decimal(1), (each.good + each.scrap) / order.quantity)
        for each in planned
    ]
    return round(float(100 * sum(shares) / len(shares)), 1)


def operation_document(operation: Operation) -> OperationDocument:
    """The operation as readers see it."""
    code = operation.order.unit
    return OperationDocument(
        id=str(operation.sequence),
        operation_number=operation.sequence,
        operation_name=operation.name,
        kind=operation.kind.value,
        status=operation.state.capitalize(),
        quantity_good=shown(operation.good, code),
        quantity_scrap=shown(operation.scrap, code),
        quantity_rework=shown(operation.rework, code),
        rework_of=operation.rework_of,
        equipment_id=operation.equipment,
        operator_id=operation.person,
        started_at=operation.started_utc,
        completed_at=operation.ended_utc,
        version=operation.version,
    )


def order_document(order: WorkOrder) -> OrderDocument:
    """The order as readers see it. Of one that people report, the good pieces so far."""
    good, scrap = order.good, order.rejected
    if not order.reserved and order.state not in ENDED:
        planned = [each for each in order.operations if each.rework_of is None]
        good = planned[-1].good if planned else good
        scrap = sum((each.scrap for each in order.operations), Decimal(0))
    return OrderDocument(
        id=order.number,
        job_order_id=order.job_order_id,
        part_number=order.part_definition.part_number,
        revision=order.part_definition.revision,
        description=order.description,
        status=status(order),
        held_by=order.held_by,
        priority=priority_of(order.priority),
        quantity=shown(order.quantity, order.unit),
        unit=order.unit,
        quantity_good=shown(good, order.unit),
        quantity_scrap=shown(scrap, order.unit),
        progress=progress(order),
        target_date=order.target_date,
        customer_order=order.customer_order,
        created_at=order.created_utc,
        started_at=order.started_utc,
        completed_at=order.ended_utc,
        version=order.version,
        operations=[operation_document(each) for each in order.operations],
    )
