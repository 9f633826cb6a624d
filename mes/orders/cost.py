"""What an order has cost so far: labour, material and overhead, each to the cent.

Labour and overhead are taken from the records of work, which hold the rates of their day: a rate
that changes later changes no cost. The material is what the rooms above have charged to the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes.kernel.domain_events import ask
from cellwright.mes.kernel.money import DEFAULT_CURRENCY, Money
from cellwright.mes.orders.events import MaterialCost
from cellwright.mes.orders.tables import Labour, Operation, WorkOrder
from cellwright.mes.people.staff import hourly_rate

_US_PER_HOUR = Decimal(3_600_000_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """The parts of an order's cost; the total is their sum."""

    labour: Money
    material: Money
    overhead: Money

    @property
    def total(self) -> Money:
        """Sum of the three, as they are shown."""
        return self.labour + self.material + self.overhead


def cost(session: Session, order: WorkOrder) -> Cost:
    """The order's cost; MesError ``invalid_request`` when its work was paid in two currencies."""
    rows = session.scalars(
        select(Labour).where(Labour.order_id == order.id).order_by(Labour.id)
    ).all()
    currency = rows[0].currency if rows else DEFAULT_CURRENCY
    labour = overhead = Money(Decimal(0), currency)
    for row in rows:
        spent = row.ended_utc - row.started_utc
        hours = Decimal(spent.days * 86_400_000_000 + spent.seconds * 1_000_000
                        + spent.microseconds) / _US_PER_HOUR  # fmt: skip
        labour += Money(hours * row.labour_rate, row.currency)
        overhead += Money(hours * row.overhead_rate, row.currency)
    material = Money(Decimal(0), currency)
    for charged in ask(session, MaterialCost(order_id=order.id)):
        material += charged
    return Cost(labour.to_the_cent(), material.to_the_cent(), overhead.to_the_cent())


def record_labour(session: Session, operation: Operation) -> None:
    """Fix time and rates of the work: later rates change no cost."""
    if not operation.person or operation.started_utc is None or operation.ended_utc is None:
        return
    rate = hourly_rate(session, operation.person)
    centre = operation.work_centre
    session.add(
        Labour(
            order_id=operation.order_id,
            operation_id=operation.id,
            person=operation.person,
            started_utc=operation.started_utc,
            ended_utc=operation.ended_utc,
            labour_rate=rate.value,
            overhead_rate=Decimal(0) if centre is None else centre.overhead_rate,
            currency=rate.currency,
        )
    )
