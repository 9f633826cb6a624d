"""What the cells report: parts, serials, marks, readings, and how far each journal is consumed."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cellwright.mes.kernel.base import Base, Keyed, Retention, Scoped, Word
from cellwright.mes.orders.tables import WorkOrder


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


class Unit(Keyed, Scoped, Base):
    """One physical part, by the ``part_id`` that its cell gave it."""

    __tablename__ = "unit"
    __table_args__: Any = (
        UniqueConstraint("tenant_id", "cell", "part_id"),
        Index(None, "tenant_id", "order_id", "verdict"),
    )
    retention = Retention.QUALITY

    cell: Mapped[str] = mapped_column(default="")
    part_id: Mapped[str]
    order_id: Mapped[int | None] = mapped_column(ForeignKey("work_order.id"))
    refusal: Mapped[str] = mapped_column(default="")
    """Reason of the last refused serial request; empty when none was refused."""
    inspection_verdict: Mapped[str | None]
    """Verdict of the latest inspection; None while there is none."""
    verdict: Mapped[Verdict | None] = mapped_column(Word(Verdict))
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


class Serial(Keyed, Scoped, Base):
    """A serial number; unique for the whole tenant, bound to one part for ever."""

    __tablename__ = "serial"
    __table_args__: Any = (
        UniqueConstraint("tenant_id", "serial"),
        UniqueConstraint("tenant_id", "unit_id"),
        Index(None, "tenant_id", "order_id"),
    )
    retention = Retention.QUALITY

    serial: Mapped[str]
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.id"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey("work_order.id"))
    station: Mapped[str]
    state: Mapped[SerialState] = mapped_column(Word(SerialState))
    reserved_utc: Mapped[datetime]
    assigned_utc: Mapped[datetime | None]
    spent_utc: Mapped[datetime | None]
    unit: Mapped[Unit] = relationship(back_populates="serial")
    order: Mapped[WorkOrder | None] = relationship()


class Mark(Keyed, Scoped, Base):
    """One authorisation to mark metal, and what the marker answered.

    ``serial`` is what the event said, not a foreign key: a mark that should never have happened
    must be recordable.
    """

    __tablename__ = "mark"
    __table_args__: Any = (
        Index(None, "tenant_id", "unit_id"),
        Index(None, "tenant_id", "serial"),
    )
    retention = Retention.QUALITY

    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.id"))
    serial: Mapped[str]
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
    duration_ms: Mapped[float | None] = mapped_column(Float)
    unit: Mapped[Unit] = relationship(back_populates="marks")


class Inspection(Keyed, Scoped, Base):
    """One reading of a part by a camera."""

    __tablename__ = "inspection"
    __table_args__: Any = (Index(None, "tenant_id", "unit_id"),)
    retention = Retention.QUALITY

    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.id"))
    serial: Mapped[str]
    station: Mapped[str]
    expected: Mapped[str]
    read: Mapped[str]
    verdict: Mapped[str]
    reason: Mapped[str]
    unused_error_correction: Mapped[float | None] = mapped_column(Float)
    module_errors: Mapped[int | None]
    duration_ms: Mapped[float | None] = mapped_column(Float)
    frame: Mapped[int]
    inspected_utc: Mapped[datetime]
    unit: Mapped[Unit] = relationship(back_populates="inspections")


class InboxPosition(Scoped, Base):
    """How far a journal has been consumed; moves in the same transaction as the effects."""

    __tablename__ = "inbox_position"
    retention = Retention.WORKING

    tenant_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int]
