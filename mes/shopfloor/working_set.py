"""What a batch of journal events works on, read once: parts, running orders, serials, numbers.

Made by the consumer for each transaction; the handlers ask it instead of the database, so that a
batch costs a handful of statements however many events it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload, selectinload, subqueryload

from cellwright.mes import audit
from cellwright.mes.definitions.serial_pattern import SerialPattern
from cellwright.mes.kernel.scope import scope_of
from cellwright.mes.kernel.store import numbering
from cellwright.mes.kernel.tables import Counter
from cellwright.mes.orders.tables import Operation, WorkOrder
from cellwright.mes.orders.work_order_states import WorkOrderState
from cellwright.mes.shopfloor.tables import Mark, Serial, Unit

_KEY: Final = "cellwright_working_set"
_MOST_SKIPPED: Final = 1_000
"""Numbers in use already that one request passes over before it gives up."""


class WorkingSet:
    """The rows of one transaction. Cheap to make; reads when asked."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cell = scope_of(session).cell
        self._units: dict[str, Unit | None] = {}
        self._running: list[WorkOrder] | None = None
        self._locked: set[int] = set()
        self._marked: dict[str, bool] = {}
        self._numbers: dict[str, _Block] = {}
        self.requests = 1
        """How many serials the batch may ask for: as many numbers are drawn at once."""

    def expect(self, parts: Iterable[str], serials: Iterable[str]) -> None:
        """Read what is known of these parts and serials."""
        wanted = sorted({part for part in parts if part not in self._units})
        if wanted:
            self._units |= dict.fromkeys(wanted)
            found = self._session.scalars(
                select(Unit)
                .where(Unit.cell == self._cell, Unit.part_id.in_(_padded(wanted)))
                .options(
                    joinedload(Unit.serial),
                    joinedload(Unit.order).joinedload(WorkOrder.part_definition),
                    joinedload(Unit.order).selectinload(WorkOrder.operations),
                    # Not by lists of keys: their length is part of the statement, and a driver
                    # keeps the last hundred different statements for each connection.
                    subqueryload(Unit.marks),
                    subqueryload(Unit.inspections),
                )
            )
            self._units |= {unit.part_id: unit for unit in found.unique()}
        texts = sorted({serial for serial in serials if serial and serial not in self._marked})
        if texts:
            self._marked |= dict.fromkeys(texts, False)
            marked = self._session.scalars(
                select(Mark.serial).where(
                    Mark.serial.in_(_padded(texts)), Mark.authorised_utc.is_not(None)
                )
            )
            self._marked |= dict.fromkeys(marked, True)

    def unit(self, part_id: str) -> Unit | None:
        """The part with that id, if it was ever mentioned."""
        if part_id not in self._units:
            self.expect([part_id], ())
        return self._units[part_id]

    def find_or_add(self, part_id: str, at: datetime) -> Unit:
        """The part with that id, made at its first mention."""
        unit = self.unit(part_id)
        if unit is None:
            unit = Unit(
                cell=self._cell,
                part_id=part_id,
                refusal="",
                reason="",
                recovered=False,
                arrived_utc=at,
                order=None,
                serial=None,
                marks=[],
                inspections=[],
            )
            self._session.add(unit)
            self._units[part_id] = unit
        return unit

    def mark_authorised(self, serial: str) -> bool:
        """True when marking of that serial was authorised before; from now on it was."""
        if serial not in self._marked:
            self.expect((), [serial])
        before = self._marked.get(serial, False)
        self._marked[serial] = True
        return before

    def running(self) -> list[WorkOrder]:
        """The running orders, locked, in the order in which they give their serials."""
        if self._running is None:
            self._session.flush()
            found = self._session.scalars(
                select(WorkOrder)
                .where(WorkOrder.state == WorkOrderState.RUNNING)
                .order_by(WorkOrder.priority.desc(), WorkOrder.id)
                .with_for_update(of=WorkOrder)
                .options(joinedload(WorkOrder.part_definition), selectinload(WorkOrder.operations))
                .execution_options(populate_existing=True)
            )
            self._running = list(found.unique())
            self._locked |= {order.id for order in self._running}
        return [order for order in self._running if order.state is WorkOrderState.RUNNING]

    def locked(self, order: WorkOrder) -> WorkOrder:
        """The order with its row locked, its counters and operations as they are now."""
        if order.id not in self._locked:
            self._session.flush()
            self._session.refresh(order, with_for_update={"of": WorkOrder})
            self._session.scalars(
                select(Operation)
                .where(Operation.order_id == order.id)
                .execution_options(populate_existing=True)
            ).all()
            self._locked.add(order.id)
        return order

    def next_serial(self, text: str, at: datetime) -> str | None:
        """The pattern's next serial that nobody has; None when its numbers are used up."""
        pattern = SerialPattern.parse(text)
        counter = pattern.counter(at)
        block = self._numbers.get(counter)
        for _ in range(_MOST_SKIPPED):
            if block is None or not block.numbers:
                block = self._numbers[counter] = self._draw(pattern, counter, at)
            number = block.numbers.pop(0)
            block.used = number
            if number > pattern.last:
                return None
            serial = pattern.render(at, number)
            if serial not in block.taken:
                return serial
        return None

    def _draw(self, pattern: SerialPattern, counter: str, at: datetime) -> _Block:
        numbers = list(numbering.next_numbers(self._session, counter, self.requests))
        serials = [pattern.render(at, number) for number in numbers if number <= pattern.last]
        # Another pattern may have made the same text.
        taken = self._session.scalars(
            select(Serial.serial).where(Serial.serial.in_(_padded(serials)))
        )
        return _Block(numbers, set(taken))

    def finish(self) -> None:
        """Give back the numbers that nobody took. Call it at the end of the batch."""
        for counter, block in self._numbers.items():
            if block.numbers:
                self._session.execute(
                    update(Counter)
                    .where(Counter.name == counter, Counter.value == block.numbers[-1])
                    .values(value=block.used)
                )


class _Block:
    """Numbers that were drawn together."""

    def __init__(self, numbers: list[int], taken: set[str]) -> None:
        self.numbers = numbers
        self.taken = taken
        self.used = numbers[0] - 1


def working_set(session: Session) -> WorkingSet:
    """The working set of this transaction; the session's chain is locked with the first one.

    Requests of one cell so take turns.
    """
    found: WorkingSet | None = session.info.get(_KEY)
    if found is None:
        audit.lock(session)
        found = session.info[_KEY] = WorkingSet(session)
    return found


def _padded(values: list[str]) -> list[str]:
    """The values, the last one repeated up to a power of two: a few statements for all lengths."""
    if not values:
        return [""]
    return values + values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values))
