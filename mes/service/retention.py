"""Deletes what is older than its class says, and puts each row's end on record.

Each table declares its class (`Retention`). Rows go in groups, a row and those that exist only with
it; an open order, a part in the cell, and whatever a row that is kept longer refers to, stay. A
transaction takes `BATCH` groups: the audit's records and the deletion commit together, so that a
kill at any instant loses neither, and the next run goes on.

The wall clock alone decides nothing, or a clock set ahead would delete: see `_proven`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit.changes import content
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.actions import Sessions
from cellwright.mes.kernel.base import Base, Retention
from cellwright.mes.kernel.scope import Scope, scope_of
from cellwright.mes.kernel.tables import RetentionClock
from cellwright.mes.orders.order_flow import operation_name
from cellwright.mes.orders.tables import Labour, Operation, WorkOrder
from cellwright.mes.people.tables import UserSkill
from cellwright.mes.shopfloor.tables import Inspection, Mark, Serial, Unit

DELETE: Final = "retention.delete"
"""Action of the audit's record of a deleted row."""
YEARS: Final = {Retention.ORDERS: 7, Retention.NONCONFORMANCE: 10, Retention.QUALITY: 25}
BATCH: Final = 20
"""Groups of a transaction: writers wait for no more."""
_AHEAD: Final = 500
"""Keys read at once, in a snapshot that no writer waits for."""


@dataclass(frozen=True, slots=True)
class Part:
    """A table of a group, children before what they refer to."""

    table: type[Base]
    owner: str
    """Column with the key of the group's root."""
    name: Callable[[Any], str]
    """Id of a row in the audit."""


@dataclass(frozen=True, slots=True)
class Group:
    """A root and the rows that exist only with it; all have the root's class."""

    root: type[Any]
    since: str
    """Column with the end of the row's life; empty there: it lives."""
    name: Callable[[Any], str]
    parts: tuple[Part, ...] = ()
    kept: Callable[[], tuple[ColumnElement[bool], ...]] = tuple
    """What must be true besides, so that no row that is kept longer refers to it."""

    @property
    def years(self) -> int:
        """How long it is kept."""
        return YEARS[self.root.retention]


def _unreferred() -> tuple[ColumnElement[bool], ...]:
    return tuple(
        ~select(table.id).where(table.order_id == WorkOrder.id).exists() for table in (Unit, Serial)
    )


def _key(row: Any) -> str:
    return str(row.id)


GROUPS: Final = (
    Group(
        Unit,
        "released_utc",
        lambda row: str(row.part_id),
        (
            Part(Inspection, "unit_id", _key),
            Part(Mark, "unit_id", _key),
            Part(Serial, "unit_id", lambda row: str(row.serial)),
        ),
    ),
    Group(
        WorkOrder,
        "ended_utc",
        lambda row: str(row.number),
        (Part(Labour, "order_id", _key), Part(Operation, "order_id", operation_name)),
        _unreferred,
    ),
    Group(UserSkill, "until_utc", _key),
)


@dataclass(frozen=True, slots=True)
class Uptime:
    """How long the computer has run, as only itself can tell: time asleep counts."""

    boot_id: str
    us: int


def uptime() -> Uptime:
    """Of this computer."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Uptime(boot_id, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run deleted, or would have."""

    proven: datetime
    """The time that ages were measured by."""
    rows: dict[str, int]
    """By table."""


def run(
    store: Sessions,
    actor: str,
    *,
    scope: Scope | None = None,
    dry: bool = False,
    trust_clock: bool = False,
    up: Callable[[], Uptime] = uptime,
    stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Delete what is due in the scope's tenant. Raises StoreError; the next run goes on.

    ``dry``: only count. ``trust_clock``: somebody has looked at the wall clock and it is right.
    ``stopped``: asked before each transaction.
    """
    with store.reading(scope) as session:
        proven = _proven(session, up(), trust_clock=trust_clock)
    if not dry:
        with store.session(scope) as session:
            proven = _proven(session, up(), trust_clock=trust_clock)
            _note(session, proven, up())
    rows: dict[str, int] = {}
    for group in GROUPS:
        last = 0
        while keys := _due(store, scope, group, proven, last):
            for first in range(0, len(keys), BATCH):
                if stopped():
                    return Outcome(proven, rows)
                some = keys[first : first + BATCH]
                _take(store, scope, group, some, proven, actor=actor, dry=dry, rows=rows)
            last = keys[-1]
    return Outcome(proven, rows)


def _proven(session: Session, up: Uptime, *, trust_clock: bool) -> datetime:
    """How late it is for sure: never later than the wall clock, nor than the computer has run since
    the last run. Time in which it was off counts for nothing until somebody trusts the clock.

    The first run has nothing to measure by: it takes the present for the beginning of all ages.
    """
    now = utc.now(session)
    known = _clock(session)
    if trust_clock:
        return now
    if known is None:
        return utc.EPOCH
    since = max(up.us - known.up_us, 0) if known.boot_id == up.boot_id else 0
    return min(now, known.proven_utc + timedelta(microseconds=since))


def _clock(session: Session) -> RetentionClock | None:
    return session.get(RetentionClock, (scope_of(session).tenant_id, scope_of(session).site_id))


def _note(session: Session, proven: datetime, up: Uptime) -> None:
    known = _clock(session)
    if known is None:
        known = RetentionClock(proven_utc=proven, boot_id="", up_us=0)
        known.tenant_id, known.site_id = scope_of(session).tenant_id, scope_of(session).site_id
        session.add(known)
    if proven == utc.EPOCH:  # the first run
        proven = utc.now(session)
    known.proven_utc, known.boot_id, known.up_us = proven, up.boot_id, up.us


def _before(proven: datetime, years: int) -> datetime:
    year = max(proven.year - years, 1)
    try:
        return proven.replace(year=year)
    except ValueError:  # 29 February
        return proven.replace(year=year, day=28)


def _conditions(group: Group, proven: datetime) -> tuple[ColumnElement[bool], ...]:
    return (getattr(group.root, group.since) < _before(proven, group.years), *group.kept())


def _due(
    store: Sessions, scope: Scope | None, group: Group, proven: datetime, last: int
) -> list[int]:
    with store.reading(scope) as session:
        statement = (
            select(group.root.id)
            .where(group.root.id > last, *_conditions(group, proven))
            .order_by(group.root.id)
            .limit(_AHEAD)
        )
        return list(session.scalars(statement))


def _take(
    store: Sessions,
    scope: Scope | None,
    group: Group,
    keys: list[int],
    proven: datetime,
    *,
    actor: str,
    dry: bool,
    rows: dict[str, int],
) -> None:
    """Record and delete some groups, or count them."""
    with (store.reading if dry else store.session)(scope) as session:
        # Asked again: what was seen in the snapshot may be in use now.
        roots = select(group.root).where(group.root.id.in_(keys), *_conditions(group, proven))
        found = list(session.scalars(roots if dry else roots.with_for_update()))
        owners = [root.id for root in found]
        doomed: list[tuple[type[Any], list[Any], Callable[[Any], str]]] = []
        for part in group.parts:
            of_group = select(part.table).where(getattr(part.table, part.owner).in_(owners))
            doomed.append((part.table, list(session.scalars(of_group)), part.name))
        doomed.append((group.root, found, group.name))
        for table, those, _ in doomed:
            if those:
                rows[table.__tablename__] = rows.get(table.__tablename__, 0) + len(those)
        if dry:
            return
        reason = f"kept for {group.root.retention} since its end"
        for table, those, name in doomed:
            for row in those:
                entry = audit.AuditEntry(
                    actor=actor,
                    action=DELETE,
                    entity_type=table.__tablename__,
                    entity_id=name(row),
                    entity_version=getattr(row, "version", 0),
                    old=content(row),
                    reason=reason,
                )
                audit.append(session, entry)
        audit.flush(session)
        session.expunge_all()
        for table, those, _ in doomed:
            if those:
                ids = [row.id for row in those]
                session.execute(delete(table).where(table.id.in_(ids)))
