"""Work orders, their operations, and the work that people did on them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cellwright.mes.definitions.tables import (
    OperationKind,
    PartDefinition,
    Routing,
    WorkCentre,
)
from cellwright.mes.kernel.base import Base, Keyed, Retention, Scoped, Versioned, Word
from cellwright.mes.kernel.quantity import EACH
from cellwright.mes.orders.operation_states import OperationState
from cellwright.mes.orders.work_order_states import WorkOrderState


class QuantityCounts(StrEnum):
    """What an order's quantity counts."""

    ATTEMPTED = "attempted"
    """An order for 20 takes 20 parts, however many of them are good."""
    GOOD = "good"
    """An order for 20 goes on until 20 are good."""


class WorkOrder(Keyed, Scoped, Versioned, Base):
    """An order to make a quantity of one part."""

    __tablename__ = "work_order"
    __table_args__: Any = (
        UniqueConstraint("tenant_id", "number"),
        UniqueConstraint("tenant_id", "job_order_id"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc",
                        name="end_after_start"),
        CheckConstraint("good >= 0 AND rejected >= 0 AND reserved >= 0", name="counters"),
        Index(None, "tenant_id", "state", "priority"),
        Index(None, "tenant_id", "part_definition_id"),
    )  # fmt: skip
    retention = Retention.ORDERS

    number: Mapped[str]
    """WO-YYYY-NNNNNN."""
    job_order_id: Mapped[str]
    """The ERP's name for it; the number when it has none."""
    part_definition_id: Mapped[int] = mapped_column(ForeignKey("part_definition.id"))
    routing_id: Mapped[int | None] = mapped_column(ForeignKey("routing.id"))
    """The revision that its operations were copied from; None while the part had none."""
    description: Mapped[str]
    customer_order: Mapped[str] = mapped_column(default="")
    target_date: Mapped[date | None] = mapped_column(Date)
    quantity: Mapped[Decimal]
    unit: Mapped[str] = mapped_column(default=EACH)
    """Of all quantities of the order and its operations."""
    quantity_counts: Mapped[QuantityCounts] = mapped_column(Word(QuantityCounts))
    priority: Mapped[int] = mapped_column(Integer)
    """Higher goes first."""
    parameters: Mapped[dict[str, str]]
    part_version: Mapped[int] = mapped_column(Integer)
    """Version of the part definition when the order was stored; the next two were copied then."""
    serial_pattern: Mapped[str]
    fields: Mapped[dict[str, str]]
    """Content for the marking template: the part definition's, overlaid by the parameters."""
    state: Mapped[WorkOrderState] = mapped_column(Word(WorkOrderState))
    held_by: Mapped[str] = mapped_column(default="")
    """Number of the engineering change that holds it; empty when none does."""
    reserved: Mapped[Decimal] = mapped_column(default=Decimal(0))
    """Parts that hold a serial of this order, whatever became of them."""
    good: Mapped[Decimal] = mapped_column(default=Decimal(0))
    rejected: Mapped[Decimal] = mapped_column(default=Decimal(0))
    planned_start_utc: Mapped[datetime | None]
    planned_end_utc: Mapped[datetime | None]
    created_utc: Mapped[datetime]
    started_utc: Mapped[datetime | None]
    ended_utc: Mapped[datetime | None]
    part_definition: Mapped[PartDefinition] = relationship()
    routing: Mapped[Routing | None] = relationship()
    operations: Mapped[list[Operation]] = relationship(
        back_populates="order", order_by="Operation.sequence"
    )


class Operation(Keyed, Scoped, Versioned, Base):
    """One step of one order. Its quantities have the order's unit."""

    __tablename__ = "operation"
    __table_args__: Any = (
        UniqueConstraint("tenant_id", "order_id", "sequence"),
        CheckConstraint("good >= 0 AND scrap >= 0 AND rework >= 0", name="counters"),
        CheckConstraint("ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc",
                        name="end_after_start"),
    )  # fmt: skip
    retention = Retention.ORDERS

    order_id: Mapped[int] = mapped_column(ForeignKey("work_order.id"))
    sequence: Mapped[int] = mapped_column(Integer)
    name: Mapped[str]
    kind: Mapped[OperationKind] = mapped_column(Word(OperationKind))
    station: Mapped[str]
    sequential: Mapped[bool]
    inspection_required: Mapped[bool]
    work_centre_id: Mapped[int | None] = mapped_column(ForeignKey("work_centre.id"))
    setup_s: Mapped[Decimal] = mapped_column(default=Decimal(0))
    run_s: Mapped[Decimal] = mapped_column(default=Decimal(0))
    required_skill: Mapped[str] = mapped_column(default="")
    quality_critical: Mapped[bool] = mapped_column(default=False)
    rework_of: Mapped[int | None] = mapped_column(Integer)
    """Sequence of the operation whose pieces it mends; None for an operation of the routing."""
    return_to: Mapped[int | None] = mapped_column(Integer)
    """Of rework: sequence of the operation that its good pieces go to; None: they are finished."""
    offered: Mapped[Decimal] = mapped_column(default=Decimal(0))
    """Of rework: pieces that were sent to it."""
    state: Mapped[OperationState] = mapped_column(Word(OperationState))
    good: Mapped[Decimal] = mapped_column(default=Decimal(0))
    """Pieces that went on."""
    scrap: Mapped[Decimal] = mapped_column(default=Decimal(0))
    """Pieces that never go on."""
    rework: Mapped[Decimal] = mapped_column(default=Decimal(0))
    """Pieces that were sent to rework."""
    equipment: Mapped[str] = mapped_column(default="")
    """Where it was started."""
    person: Mapped[str] = mapped_column(default="")
    """Who started it."""
    started_utc: Mapped[datetime | None]
    ended_utc: Mapped[datetime | None]
    order: Mapped[WorkOrder] = relationship(back_populates="operations")
    work_centre: Mapped[WorkCentre | None] = relationship()


class Labour(Keyed, Scoped, Base):
    """Time of a person on an operation, at the rates of that day. Append-only by trigger."""

    __tablename__ = "labour"
    __table_args__: Any = (Index(None, "tenant_id", "order_id"),)
    retention = Retention.ORDERS

    order_id: Mapped[int] = mapped_column(ForeignKey("work_order.id"))
    operation_id: Mapped[int] = mapped_column(ForeignKey("operation.id"))
    person: Mapped[str]
    started_utc: Mapped[datetime]
    ended_utc: Mapped[datetime]
    labour_rate: Mapped[Decimal]
    """Money for an hour of the person."""
    overhead_rate: Mapped[Decimal]
    """Money for an hour of the work centre."""
    currency: Mapped[str]
