"""The tables of the MES store as typed SQLAlchemy models.

Services and migrations use them; nobody outside this room does. A test holds the migrations to
this metadata on both databases. Free text has no length limit: a fact from the journal must never
be refused for its size.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from cellwright.mes.operation_states import OperationState
from cellwright.mes.work_order_states import WorkOrderState


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; refuses naive ones. SQLite keeps ISO text, which sorts in time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; give it in UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class OperationKind(StrEnum):
    """Who reports an operation's progress."""

    MARK = "mark"
    """`MarkCompleted` events."""
    INSPECT = "inspect"
    """`InspectionCompleted` events."""
    MANUAL = "manual"
    """A person, through the services."""


class QuantityCounts(StrEnum):
    """What an order's quantity counts."""

    ATTEMPTED = "attempted"
    """An order for 20 takes 20 parts, however many of them are good."""
    GOOD = "good"
    """An order for 20 goes on until 20 are good."""


class SerialState(StrEnum):
    """How far a serial has come. It belongs to its part for ever and never goes back."""

    RESERVED = "RESERVED"
    ASSIGNED = "ASSIGNED"
    """The station has taken it; nothing is on metal."""
    SPENT = "SPENT"
    """Metal may carry it (`MarkAuthorised`)."""


class Verdict(StrEnum):
    """The control program's decision on a part."""

    GOOD = "good"
    REJECTED = "rejected"


def _enum(kind: type[StrEnum], name: str) -> Enum:
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=20,
        values_callable=lambda members: [member.value for member in members],
    )


_BIG_KEY = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only in a column spelled INTEGER (64 bits wide there anyway)."""


class Base(DeclarativeBase):
    """Common metadata; every constraint has a name, because SQLite batch migrations need one."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - declared so by SQLAlchemy
        datetime: UtcDateTime(),
        str: String(),
        dict[str, str]: JSON().with_variant(JSONB(), "postgresql"),
        WorkOrderState: _enum(WorkOrderState, "state"),
        OperationState: _enum(OperationState, "state"),
        OperationKind: _enum(OperationKind, "kind"),
        QuantityCounts: _enum(QuantityCounts, "quantity_counts"),
        SerialState: _enum(SerialState, "state"),
        Verdict: _enum(Verdict, "verdict"),
    }


class PartDefinition(Base):
    """A part number in one revision: what is marked on it and how its serials look."""

    __tablename__ = "part_definition"
    __table_args__: Any = (UniqueConstraint("part_number", "revision"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    part_number: Mapped[str]
    revision: Mapped[str]
    description: Mapped[str]
    serial_pattern: Mapped[str]
    fields: Mapped[dict[str, str]]
    """Further content for the marking template."""
    version: Mapped[int]
    """Counts the changes of this definition, from 1."""
    changed_utc: Mapped[datetime]
    routing: Mapped[Routing | None] = relationship(
        back_populates="part_definition", cascade="all, delete-orphan"
    )


class Routing(Base):
    """The operations that make a part, in order."""

    __tablename__ = "routing"

    id: Mapped[int] = mapped_column(primary_key=True)
    part_definition_id: Mapped[int] = mapped_column(ForeignKey("part_definition.id"), unique=True)
    part_definition: Mapped[PartDefinition] = relationship(back_populates="routing")
    operations: Mapped[list[RoutingOperation]] = relationship(
        order_by="RoutingOperation.sequence", cascade="all, delete-orphan"
    )


class RoutingOperation(Base):
    """One step of a routing; copied into each order when the order is stored."""

    __tablename__ = "routing_operation"
    __table_args__: Any = (
        UniqueConstraint("routing_id", "sequence"),
        CheckConstraint("sequence > 0", name="sequence"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    routing_id: Mapped[int] = mapped_column(ForeignKey("routing.id"))
    sequence: Mapped[int]
    name: Mapped[str]
    kind: Mapped[OperationKind]
    station: Mapped[str]
    sequential: Mapped[bool]
    """True: starts only when its predecessor is complete; False: pieces flow one by one."""
    inspection_required: Mapped[bool]


class WorkOrder(Base):
    """An order to make a quantity of one part."""

    __tablename__ = "work_order"
    __table_args__: Any = (
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc",
                        name="end_after_start"),
        CheckConstraint("good >= 0 AND rejected >= 0 AND good + rejected <= reserved",
                        name="counters"),
        Index(None, "state", "priority"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    """WO-YYYY-NNNNNN."""
    job_order_id: Mapped[str] = mapped_column(unique=True)
    """The ERP's name for it."""
    part_definition_id: Mapped[int] = mapped_column(ForeignKey("part_definition.id"))
    description: Mapped[str]
    quantity: Mapped[int]
    quantity_counts: Mapped[QuantityCounts]
    priority: Mapped[int]
    """Higher goes first."""
    parameters: Mapped[dict[str, str]]
    part_version: Mapped[int]
    """Version of the part definition when the order was stored; the next two were copied then."""
    serial_pattern: Mapped[str]
    fields: Mapped[dict[str, str]]
    """Content for the marking template: the part definition's, overlaid by the parameters."""
    state: Mapped[WorkOrderState]
    version: Mapped[int]
    reserved: Mapped[int] = mapped_column(default=0)
    """Parts that hold a serial of this order, whatever became of them."""
    good: Mapped[int] = mapped_column(default=0)
    rejected: Mapped[int] = mapped_column(default=0)
    planned_start_utc: Mapped[datetime | None]
    planned_end_utc: Mapped[datetime | None]
    created_utc: Mapped[datetime]
    started_utc: Mapped[datetime | None]
    ended_utc: Mapped[datetime | None]
    part_definition: Mapped[PartDefinition] = relationship()
    operations: Mapped[list[Operation]] = relationship(
        back_populates="order", order_by="Operation.sequence"
    )


class Operation(Base):
    """One step of one order."""

    __tablename__ = "operation"
    __table_args__: Any = (
        UniqueConstraint("order_id", "sequence"),
        CheckConstraint("ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc",
                        name="end_after_start"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("work_order.id"))
    sequence: Mapped[int]
    name: Mapped[str]
    kind: Mapped[OperationKind]
    station: Mapped[str]
    sequential: Mapped[bool]
    inspection_required: Mapped[bool]
    state: Mapped[OperationState]
    done: Mapped[int] = mapped_column(default=0)
    """Pieces that went through."""
    started_utc: Mapped[datetime | None]
    ended_utc: Mapped[datetime | None]
    order: Mapped[WorkOrder] = relationship(back_populates="operations")


class Unit(Base):
    """One physical part, by the ``part_id`` that the cell gave it."""

    __tablename__ = "unit"
    __table_args__: Any = (Index(None, "order_id", "verdict"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    part_id: Mapped[str] = mapped_column(unique=True)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("work_order.id"))
    refusal: Mapped[str] = mapped_column(default="")
    """Reason of the last refused serial request; empty when none was refused."""
    inspection_verdict: Mapped[str | None]
    """Verdict of the latest inspection; None while there is none."""
    verdict: Mapped[Verdict | None]
    reason: Mapped[str] = mapped_column(default="")
    recovered: Mapped[bool] = mapped_column(default=False)
    arrived_utc: Mapped[datetime]
    released_utc: Mapped[datetime | None]
    order: Mapped[WorkOrder | None] = relationship()
    serial: Mapped[Serial | None] = relationship(back_populates="unit")
    marks: Mapped[list[Mark]] = relationship(back_populates="unit", order_by="Mark.id")
    inspections: Mapped[list[Inspection]] = relationship(
        back_populates="unit", order_by="Inspection.id"
    )


class Serial(Base):
    """A serial number; unique in the whole system, bound to one part for ever."""

    __tablename__ = "serial"

    id: Mapped[int] = mapped_column(primary_key=True)
    serial: Mapped[str] = mapped_column(unique=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.id"), unique=True)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("work_order.id"), index=True)
    station: Mapped[str]
    state: Mapped[SerialState]
    reserved_utc: Mapped[datetime]
    assigned_utc: Mapped[datetime | None]
    spent_utc: Mapped[datetime | None]
    unit: Mapped[Unit] = relationship(back_populates="serial")
    order: Mapped[WorkOrder | None] = relationship()


class Mark(Base):
    """One authorisation to mark metal, and what the marker answered.

    ``serial`` is what the event said, not a foreign key: a mark that should never have happened
    must be recordable.
    """

    __tablename__ = "mark"

    id: Mapped[int] = mapped_column(primary_key=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.id"), index=True)
    serial: Mapped[str] = mapped_column(index=True)
    station: Mapped[str]
    device: Mapped[str]
    template: Mapped[str]
    content: Mapped[str]
    authorised_utc: Mapped[datetime | None]
    """None when the marker answered without an authorisation on record."""
    completed_utc: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(default="")
    """``acknowledged``, ``unknown`` or ``failed``; empty while the marker has not answered."""
    detail: Mapped[str] = mapped_column(default="")
    duration_ms: Mapped[float | None]
    unit: Mapped[Unit] = relationship(back_populates="marks")


class Inspection(Base):
    """One reading of a part by a camera."""

    __tablename__ = "inspection"

    id: Mapped[int] = mapped_column(primary_key=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.id"), index=True)
    serial: Mapped[str]
    station: Mapped[str]
    expected: Mapped[str]
    read: Mapped[str]
    verdict: Mapped[str]
    reason: Mapped[str]
    unused_error_correction: Mapped[float | None]
    module_errors: Mapped[int | None] = mapped_column(BigInteger)
    duration_ms: Mapped[float | None]
    frame: Mapped[int] = mapped_column(BigInteger)
    inspected_utc: Mapped[datetime]
    unit: Mapped[Unit] = relationship(back_populates="inspections")


class StateTransition(Base):
    """One move of a state machine. Append-only by trigger."""

    __tablename__ = "state_transition"
    __table_args__: Any = (Index(None, "entity_type", "entity_id"),)

    id: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True)
    entity_type: Mapped[str]
    entity_id: Mapped[str]
    event: Mapped[str]
    old: Mapped[str]
    new: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    utc: Mapped[datetime]


class Counter(Base):
    """The last number given out under a name (order numbers of a year, serials of a pattern)."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class InboxPosition(Base):
    """How far a journal has been consumed; moves in the same transaction as the effects."""

    __tablename__ = "inbox_position"

    source: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)


class AuditRecord(Base):
    """One link of the audit chain. Append-only by trigger; see `audit`."""

    __tablename__ = "audit_record"
    __table_args__: Any = (Index(None, "entity_type", "entity_id"),)

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    utc_us: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str]
    action: Mapped[str]
    entity_type: Mapped[str]
    entity_id: Mapped[str]
    entity_version: Mapped[int]
    old: Mapped[str]
    """Canonical JSON text, kept as text so that no database rewrites it."""
    new: Mapped[str]
    reason: Mapped[str]
    correlation_id: Mapped[str]
    prev_hash: Mapped[str]
    hash: Mapped[str]


class AuditHead(Base):
    """The end of the chain: one row, locked by every writer."""

    __tablename__ = "audit_head"
    __table_args__: Any = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str]
