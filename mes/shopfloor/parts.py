"""Unit records: finding them by part id, counting and listing them for reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session, joinedload, subqueryload

from cellwright.mes.definitions.tables import PartDefinition
from cellwright.mes.kernel.scope import scope_of
from cellwright.mes.orders.tables import WorkOrder
from cellwright.mes.shopfloor.tables import Mark, Serial, SerialState, Unit, Verdict
from cellwright.mes.shopfloor.working_set import working_set

OPEN: Final = "open"
"""Instead of a verdict: the part is still in the cell."""
VERDICTS: Final = (*map(str, Verdict), OPEN)


@dataclass(frozen=True, slots=True)
class Counts:
    """Parts of the whole store."""

    good: int
    rejected: int
    recorded: int
    """Parts with a final verdict on record."""
    duplicates: int
    """Marks beyond the first that were authorised with one and the same serial; must be 0."""


@dataclass(frozen=True, slots=True)
class UnitView:
    """One part as readers see it; empty text where nothing is known yet."""

    part_id: str
    order: str
    """Work order number; empty when the part never held a serial."""
    part_number: str
    revision: str
    serial: str
    serial_state: SerialState | None
    verdict: Verdict | None
    """None while the part is in the cell."""
    reason: str
    recovered: bool
    mark_outcome: str
    content: str
    """What the last mark was to hold."""
    inspection_verdict: str
    read: str
    """What the last inspection read."""
    arrived_utc: datetime
    released_utc: datetime | None


@dataclass(frozen=True, slots=True)
class PartFilter:
    """Which parts are wanted; None leaves a question open. Times are with their zone."""

    serial: str | None = None
    """A serial number; ``*`` stands for any characters."""
    part: str | None = None
    """A part number or the id of one part; ``*`` stands for any characters."""
    verdict: str | None = None
    """One of `VERDICTS`."""
    since: datetime | None = None
    """Arrived or released then or later."""
    until: datetime | None = None
    """Arrived then or earlier."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """For a statement about units."""
        found: list[ColumnElement[bool]] = []
        if self.serial is not None:
            found.append(Unit.serial.has(Serial.serial.like(_like(self.serial), escape="\\")))
        if self.part is not None:
            like = _like(self.part)
            definition = PartDefinition.part_number.like(like, escape="\\")
            found.append(
                or_(
                    Unit.part_id.like(like, escape="\\"),
                    Unit.order.has(WorkOrder.part_definition.has(definition)),
                )
            )
        if self.verdict is not None:
            found.append(
                Unit.verdict.is_(None)
                if self.verdict == OPEN
                else Unit.verdict == Verdict(self.verdict)
            )
        if self.since is not None:
            found.append(or_(Unit.arrived_utc >= self.since, Unit.released_utc >= self.since))
        if self.until is not None:
            found.append(Unit.arrived_utc <= self.until)
        return found


def _like(pattern: str) -> str:
    """The pattern as SQL has it."""
    for special in "\\%_":
        pattern = pattern.replace(special, f"\\{special}")
    return pattern.replace("*", "%")


def find(session: Session, part_id: str) -> Unit | None:
    """The unit with that part id of the session's cell."""
    return working_set(session).unit(part_id)


def adopt_units(session: Session) -> None:
    """Give parts that are recorded for no cell to the session's.

    A database made before cells had names held the parts of one cell only.
    """
    session.execute(update(Unit).where(Unit.cell == "").values(cell=scope_of(session).cell))


def find_or_add(session: Session, part_id: str, at: datetime) -> Unit:
    """The unit with that part id, made at its first mention."""
    return working_set(session).find_or_add(part_id, at)


def counts(session: Session) -> Counts:
    """Totals over all parts."""
    rows = session.execute(
        select(Unit.verdict, func.count(Unit.id))
        .where(Unit.verdict.is_not(None))
        .group_by(Unit.verdict)
    )
    totals = {verdict: int(number) for verdict, number in rows}
    marks = (
        select(func.count(Mark.id).label("times"))
        .where(Mark.authorised_utc.is_not(None), Mark.serial != "")
        .group_by(Mark.serial)
        .subquery()
    )
    duplicates = session.scalars(select(func.coalesce(func.sum(marks.c.times - 1), 0))).one()
    return Counts(
        good=totals.get(Verdict.GOOD, 0),
        rejected=totals.get(Verdict.REJECTED, 0),
        recorded=sum(totals.values()),
        duplicates=int(duplicates),
    )


def units(
    session: Session,
    order: str | None = None,
    *,
    wanted: PartFilter | None = None,
    limit: int | None = None,
) -> list[UnitView]:
    """All parts in order of arrival, or those of one order (its number or job order id).

    With ``wanted`` only those that it lets through, with ``limit`` only that many of the newest.
    """
    statement = (
        select(Unit)
        .options(
            joinedload(Unit.serial),
            joinedload(Unit.order).joinedload(WorkOrder.part_definition),
            # Not by lists of keys: their length is part of the statement, and a driver keeps
            # the last hundred different statements, 50 KiB each, for each connection.
            subqueryload(Unit.marks),
            subqueryload(Unit.inspections),
        )
        .order_by(Unit.id.desc())
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    if order is not None:
        statement = statement.join(WorkOrder, Unit.order_id == WorkOrder.id).where(
            or_(WorkOrder.number == order, WorkOrder.job_order_id == order)
        )
    if wanted is not None:
        statement = statement.where(*wanted.conditions())
    return [_view(unit) for unit in session.scalars(statement)][::-1]


def _view(unit: Unit) -> UnitView:
    definition = unit.order.part_definition if unit.order else None
    mark = unit.marks[-1] if unit.marks else None
    inspection = unit.inspections[-1] if unit.inspections else None
    return UnitView(
        part_id=unit.part_id,
        order=unit.order.number if unit.order else "",
        part_number=definition.part_number if definition else "",
        revision=definition.revision if definition else "",
        serial=unit.serial.serial if unit.serial else "",
        serial_state=unit.serial.state if unit.serial else None,
        verdict=unit.verdict,
        reason=unit.reason,
        recovered=unit.recovered,
        mark_outcome=mark.outcome if mark else "",
        content=mark.content if mark else "",
        inspection_verdict=inspection.verdict if inspection else "",
        read=inspection.read if inspection else "",
        arrived_utc=unit.arrived_utc,
        released_utc=unit.released_utc,
    )
