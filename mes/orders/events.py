"""What the orders tell the rooms above, and what they ask them; see `kernel.domain_events`."""

from __future__ import annotations

from typing import ClassVar

from cellwright.mes.kernel.domain_events import DomainEvent, Question


class OrderEvent(DomainEvent, frozen=True, kw_only=True):
    """Something happened to a work order."""

    number: str
    """WO-YYYY-NNNNNN."""
    job_order_id: str
    part_number: str


class OrderCreated(OrderEvent, frozen=True, kw_only=True):
    """An order is stored."""

    topic: ClassVar[str] = "work-order-created"


class OrderReleased(OrderEvent, frozen=True, kw_only=True):
    """An order may be worked on; material may be allocated."""

    topic: ClassVar[str] = "work-order-released"


class OrderStarted(OrderEvent, frozen=True, kw_only=True):
    """Work on an order has begun."""

    topic: ClassVar[str] = "work-order-started"


class OrderHeld(OrderEvent, frozen=True, kw_only=True):
    """An order is interrupted."""

    topic: ClassVar[str] = "work-order-held"


class OrderResumed(OrderEvent, frozen=True, kw_only=True):
    """An interrupted order goes on."""

    topic: ClassVar[str] = "work-order-resumed"


class OrderCompleted(OrderEvent, frozen=True, kw_only=True):
    """An order is made."""

    topic: ClassVar[str] = "work-order-completed"


class OrderCancelled(OrderEvent, frozen=True, kw_only=True):
    """An order was cancelled or aborted."""

    topic: ClassVar[str] = "work-order-cancelled"


class OperationEvent(DomainEvent, frozen=True, kw_only=True):
    """Something happened to an operation of a work order."""

    number: str
    """Of the work order."""
    sequence: int
    """Of the operation."""
    equipment: str = ""
    person: str = ""


class OperationStarted(OperationEvent, frozen=True, kw_only=True):
    """Work on an operation has begun; its equipment is in use."""

    topic: ClassVar[str] = "operation-started"


class OperationCompleted(OperationEvent, frozen=True, kw_only=True):
    """An operation is done; material may be consumed and an inspection opened."""

    topic: ClassVar[str] = "operation-completed"


class OpenInspections(Question, frozen=True, kw_only=True):
    """How many parts of the order lack a required inspection or failed it; answer: int."""

    order_id: int


class MaterialCost(Question, frozen=True, kw_only=True):
    """What the material of the order has cost so far; answer: `money.Money`."""

    order_id: int
