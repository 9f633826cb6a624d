"""What the actions on orders are asked with, and the answer on cost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
from msgspec import UNSET, UnsetType

from cellwright.mes.kernel.actions import Change, PageRequest, Request, View
from cellwright.mes.orders.documents import Priority


class CreateOrder(Change, frozen=True, kw_only=True):
    """A new work order; it waits in Created until it is released."""

    part_number: str
    quantity: Decimal
    """Above 0, in the part's base unit; whole for counted units."""
    priority: Priority = Priority.MEDIUM
    target_date: date | None = None
    """When the customer wants it."""
    customer_order: str = ""
    revision: str | None = None
    """Of the part; absent: the only one that it has."""
    description: str = ""
    job_order_id: str = ""
    """The ERP's name for it; absent: the order's number."""
    parameters: dict[str, str] = msgspec.field(default_factory=dict)
    """Values for the marking fields that the part names, and ``quantity_counts``."""


class GetOrder(Request, frozen=True, kw_only=True):
    """Which order."""

    id: str
    """WO-YYYY-NNNNNN."""


class ListOrders(PageRequest, frozen=True, kw_only=True):
    """Which orders, oldest first."""

    status: str | None = None
    """Created, Released, Ready, Running, Held, Suspended, Completed, Closed, Cancelled, Aborted."""
    part_number: str | None = None


class UpdateOrder(Change, frozen=True, kw_only=True):
    """What is to be changed; absent fields stay as they are."""

    id: str
    priority: Priority | UnsetType = UNSET
    target_date: date | UnsetType | None = UNSET
    customer_order: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    quantity: Decimal | UnsetType = UNSET
    """Not below what was begun."""


class ActOnOrder(Change, frozen=True, kw_only=True):
    """Which order."""

    id: str


class StartOperation(Change, frozen=True, kw_only=True):
    """Which operation, where, and by whom."""

    id: str
    op_id: str
    """Number of the operation."""
    equipment_id: str | None = None
    operator_id: str | None = None
    """User name of the person who works on it; absent: who asks."""


class CompleteOperation(Change, frozen=True, kw_only=True):
    """Pieces that an operation has done since the last report."""

    id: str
    op_id: str
    quantity_good: Decimal
    quantity_scrap: Decimal = Decimal(0)
    quantity_rework: Decimal = Decimal(0)
    """Pieces that go to an operation of rework."""
    final: bool = True
    """False: the operation goes on."""


class CostView(View, frozen=True, kw_only=True):
    """What an order has cost so far, to the cent."""

    id: str
    labour: Decimal
    material: Decimal
    overhead: Decimal
    total: Decimal
    currency: str
    """ISO 4217."""
