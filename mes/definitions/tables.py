"""What may be made and how: parts, routings, bills of material, work centres, changes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cellwright.mes.kernel.base import Base, Keyed, Retention, Scoped, Versioned, Word
from cellwright.mes.kernel.money import DEFAULT_CURRENCY
from cellwright.mes.kernel.quantity import EACH


class OperationKind(StrEnum):
    """Who reports an operation's progress."""

    MARK = "mark"
    """`MarkCompleted` events."""
    INSPECT = "inspect"
    """`InspectionCompleted` events."""
    MANUAL = "manual"
    """A person, through the services."""


class ChangeState(StrEnum):
    """How far an engineering change has come."""

    OPEN = "OPEN"
    """It holds the orders of its part."""
    RELEASED = "RELEASED"
    """A supervisor has let the orders go on."""


class PartDefinition(Keyed, Scoped, Versioned, Base):
    """A part number in one revision: what is marked on it and how its serials look."""

    __tablename__ = "part_definition"
    __table_args__: Any = (UniqueConstraint("tenant_id", "part_number", "revision"),)
    retention = Retention.FOREVER

    part_number: Mapped[str]
    revision: Mapped[str]
    description: Mapped[str]
    unit: Mapped[str] = mapped_column(default=EACH)
    """Base unit of its quantities, UNECE Recommendation 20."""
    critical: Mapped[bool] = mapped_column(default=False)
    """Its material needs a certificate."""
    serial_pattern: Mapped[str]
    """Empty: its pieces have no serials of ours."""
    fields: Mapped[dict[str, str]]
    """Further content for the marking template."""
    changed_utc: Mapped[datetime]
    routings: Mapped[list[Routing]] = relationship(
        back_populates="part_definition", order_by="Routing.revision"
    )

    @property
    def routing(self) -> Routing | None:
        """The newest routing, which new orders take."""
        return self.routings[-1] if self.routings else None


class UnitFactor(Keyed, Scoped, Base):
    """How many of a part's base unit one of another unit is, as a rational number."""

    __tablename__ = "unit_factor"
    __table_args__: Any = (
        UniqueConstraint("tenant_id", "part_definition_id", "unit"),
        CheckConstraint("numerator > 0 AND denominator > 0", name="positive"),
    )
    retention = Retention.FOREVER

    part_definition_id: Mapped[int] = mapped_column(ForeignKey("part_definition.id"))
    unit: Mapped[str]
    numerator: Mapped[int]
    denominator: Mapped[int]


class WorkCentre(Keyed, Scoped, Versioned, Base):
    """Where work is done, and what an hour there costs beside the people."""

    __tablename__ = "work_centre"
    __table_args__: Any = (UniqueConstraint("tenant_id", "code"),)
    retention = Retention.FOREVER

    code: Mapped[str]
    name: Mapped[str]
    overhead_rate: Mapped[Decimal] = mapped_column(default=Decimal(0))
    """Money for an hour."""
    currency: Mapped[str] = mapped_column(default=DEFAULT_CURRENCY)


class Routing(Keyed, Scoped, Base):
    """The operations that make a part, in order; a revision that is never edited."""

    __tablename__ = "routing"
    __table_args__: Any = (UniqueConstraint("tenant_id", "part_definition_id", "revision"),)
    retention = Retention.FOREVER

    part_definition_id: Mapped[int] = mapped_column(ForeignKey("part_definition.id"))
    revision: Mapped[int] = mapped_column(Integer)
    """From 1."""
    created_utc: Mapped[datetime]
    part_definition: Mapped[PartDefinition] = relationship(back_populates="routings")
    operations: Mapped[list[RoutingOperation]] = relationship(
        order_by="RoutingOperation.sequence", cascade="all"
    )


class RoutingOperation(Keyed, Scoped, Base):
    """One step of a routing; copied into each order when the order is stored."""

    __tablename__ = "routing_operation"
    __table_args__: Any = (
        UniqueConstraint("tenant_id", "routing_id", "sequence"),
        CheckConstraint("sequence > 0", name="sequence"),
    )
    retention = Retention.FOREVER

    routing_id: Mapped[int] = mapped_column(ForeignKey("routing.id"))
    sequence: Mapped[int] = mapped_column(Integer)
    name: Mapped[str]
    kind: Mapped[OperationKind] = mapped_column(Word(OperationKind))
    station: Mapped[str]
    sequential: Mapped[bool]
    """True: starts only when its predecessor is complete; False: pieces flow one by one."""
    inspection_required: Mapped[bool]
    work_centre_id: Mapped[int | None] = mapped_column(ForeignKey("work_centre.id"))
    setup_s: Mapped[Decimal] = mapped_column(default=Decimal(0))
    """Planned set-up time in seconds."""
    run_s: Mapped[Decimal] = mapped_column(default=Decimal(0))
    """Planned time for one piece in seconds."""
    required_skill: Mapped[str] = mapped_column(default="")
    quality_critical: Mapped[bool] = mapped_column(default=False)
    work_centre: Mapped[WorkCentre | None] = relationship()


class Bom(Keyed, Scoped, Base):
    """What goes into a part. A revision, never edited: a change makes a new one."""

    __tablename__ = "bom"
    __table_args__: Any = (UniqueConstraint("tenant_id", "part_definition_id", "revision"),)
    retention = Retention.FOREVER

    part_definition_id: Mapped[int] = mapped_column(ForeignKey("part_definition.id"))
    revision: Mapped[int] = mapped_column(Integer)
    created_utc: Mapped[datetime]
    part_definition: Mapped[PartDefinition] = relationship()
    lines: Mapped[list[BomLine]] = relationship(order_by="BomLine.line", cascade="all")


class BomLine(Keyed, Scoped, Base):
    """One component of a bill of material."""

    __tablename__ = "bom_line"
    __table_args__: Any = (
        UniqueConstraint("tenant_id", "bom_id", "line"),
        CheckConstraint("quantity > 0", name="quantity"),
    )
    retention = Retention.FOREVER

    bom_id: Mapped[int] = mapped_column(ForeignKey("bom.id"))
    line: Mapped[int] = mapped_column(Integer)
    component_id: Mapped[int] = mapped_column(ForeignKey("part_definition.id"))
    quantity: Mapped[Decimal]
    """For one piece of the part."""
    unit: Mapped[str]
    component: Mapped[PartDefinition] = relationship()


class EngineeringChange(Keyed, Scoped, Versioned, Base):
    """A change of a part; it holds the part's orders that have not ended until it is released."""

    __tablename__ = "engineering_change"
    __table_args__: Any = (
        UniqueConstraint("tenant_id", "number"),
        Index(None, "tenant_id", "part_definition_id"),
    )
    retention = Retention.FOREVER

    number: Mapped[str]
    """EC-YYYY-NNNNNN."""
    part_definition_id: Mapped[int] = mapped_column(ForeignKey("part_definition.id"))
    description: Mapped[str]
    state: Mapped[ChangeState] = mapped_column(Word(ChangeState))
    created_utc: Mapped[datetime]
    released_utc: Mapped[datetime | None]
    part_definition: Mapped[PartDefinition] = relationship()
