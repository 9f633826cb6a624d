"""Parts, routings, bills of material, work centres and engineering changes, as people enter them.

`master_data` does the same for a cell's file. Routings and bills are revisions: what is entered
anew stands beside the old one, and orders keep the one that they were made with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit import changes
from cellwright.mes.definitions.events import PartChanged
from cellwright.mes.definitions.serial_pattern import MAX_LENGTH, SerialPattern
from cellwright.mes.definitions.tables import (
    Bom,
    BomLine,
    ChangeState,
    EngineeringChange,
    OperationKind,
    PartDefinition,
    Routing,
    RoutingOperation,
    WorkCentre,
)
from cellwright.mes.kernel import money, quantity
from cellwright.mes.kernel.domain_events import publish
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.store import numbering
from cellwright.mes.kernel.text import MAX_KEY, fields_complaint

MAX_OPERATIONS = 1_000
"""Most operations of a routing, and most lines of a bill."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who enters it, why and when."""

    actor: str
    reason: str
    at: datetime

    def entry(self, action: str, entity_type: str, entity_id: str) -> audit.AuditEntry:
        """What the audit is told, but for the content."""
        return audit.AuditEntry(
            actor=self.actor,
            action=f"{entity_type}.{action}",
            entity_type=entity_type,
            entity_id=entity_id,
            reason=self.reason,
            correlation_id=entity_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation of a new routing."""

    sequence: int
    name: str
    kind: OperationKind
    station: str
    sequential: bool
    inspection_required: bool
    work_centre: str
    """Code; empty: none."""
    setup_s: Decimal
    run_s: Decimal
    required_skill: str
    quality_critical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One line of a new bill of material."""

    part_number: str
    quantity: Decimal
    unit: str
    """Empty: the component's base unit."""


def find(session: Session, part_number: str, revision: str | None = None) -> PartDefinition:
    """The part in that revision, or in its newest; raises MesError ``unknown_entity``."""
    statement = select(PartDefinition).where(PartDefinition.part_number == part_number)
    if revision is not None:
        statement = statement.where(PartDefinition.revision == revision)
    found = session.scalars(statement.order_by(PartDefinition.id.desc()).limit(1)).one_or_none()
    if found is None:
        named = f" in revision {revision!r:.80}" if revision is not None else ""
        raise MesError(
            "unknown_entity",
            f"there is no part {part_number!r:.80}{named}; look it up in the list, or add it",
        )
    return found


def referred(
    session: Session, part_number: str, revision: str | None, *, field: str
) -> PartDefinition:
    """As `find`, for a part that a request only mentions: MesError ``unknown_part``."""
    try:
        return find(session, part_number, revision)
    except MesError as error:
        detail = Detail(field, f"there is no part {part_number!r:.80}")
        raise MesError("unknown_part", error.message, [detail]) from None


def create_part(session: Session, who: Who, **columns: Any) -> PartDefinition:
    """Add a part in a revision. Raises MesError ``duplicate`` and ``invalid_request``."""
    part_number, revision = columns["part_number"], columns["revision"]
    _check_name(part_number, "partNumber")
    if revision:
        _check_name(revision, "revision")
    quantity.unit(columns["unit"])
    _check_marking(columns["serial_pattern"], columns["fields"])
    known = session.scalar(
        select(PartDefinition.id).where(
            PartDefinition.part_number == part_number, PartDefinition.revision == revision
        )
    )
    if known is not None:
        raise MesError(
            "duplicate",
            f"part {part_number} revision '{revision}' is there already; give another revision",
            [Detail("partNumber", "is there already in this revision")],
        )
    part = PartDefinition(**columns, changed_utc=who.at, routings=[])
    session.add(part)
    entry = who.entry("create", "part_definition", f"{part_number}/{revision}")
    changes.created(session, part, entry, at=who.at)
    return part


def create_routing(
    session: Session, who: Who, part: PartDefinition, steps: Sequence[Step]
) -> Routing:
    """Add the part's next routing. Raises MesError ``invalid_request``."""
    _check_steps(steps)
    revision = len(part.routings) + 1
    routing = Routing(
        part_definition=part,
        revision=revision,
        created_utc=who.at,
        operations=[_step(session, step) for step in steps],
    )
    session.add(routing)
    session.flush()
    routing.operations.sort(key=lambda each: each.sequence)
    audit.append(
        session,
        replace(
            who.entry(
                "create", "routing", f"{part.part_number}/{part.revision}/{routing.revision}"
            ),
            new={"operations": [changes.content(each) for each in routing.operations]},
        ),
        at=who.at,
    )
    return routing


def create_bom(
    session: Session, who: Who, part: PartDefinition, components: Sequence[Component]
) -> Bom:
    """Add the part's next bill of material. Raises MesError ``invalid_request``."""
    if not 1 <= len(components) <= MAX_OPERATIONS:
        raise _invalid("components", f"must be 1 to {MAX_OPERATIONS}, not {len(components)}")
    lines = []
    for place, wanted in enumerate(components):
        field = f"components[{place}]"
        component = referred(session, wanted.part_number, None, field=f"{field}.partNumber")
        if component.id == part.id:
            raise _invalid(f"{field}.partNumber", "is the part itself; a part holds others")
        code = quantity.unit(wanted.unit or component.unit, field=f"{field}.unit").code
        number = quantity.amount(wanted.quantity, code, field=f"{field}.quantity")
        if number <= 0:
            raise _invalid(f"{field}.quantity", "must be above 0")
        lines.append(BomLine(line=place + 1, component=component, quantity=number, unit=code))
    last = session.scalar(select(func.max(Bom.revision)).where(Bom.part_definition_id == part.id))
    bom = Bom(part_definition=part, revision=(last or 0) + 1, created_utc=who.at, lines=lines)
    session.add(bom)
    session.flush()
    audit.append(
        session,
        replace(
            who.entry("create", "bom", f"{part.part_number}/{part.revision}/{bom.revision}"),
            new={"lines": [changes.content(each) for each in bom.lines]},
        ),
        at=who.at,
    )
    return bom


def create_work_centre(
    session: Session, who: Who, *, code: str, name: str, rate: Decimal, currency: str
) -> WorkCentre:
    """Add a work centre. Raises MesError ``duplicate`` and ``invalid_request``."""
    _check_name(code, "code")
    if session.scalar(select(WorkCentre.id).where(WorkCentre.code == code)) is not None:
        raise MesError(
            "duplicate",
            f"work centre {code} is there already; give another code",
            [Detail("code", "is there already")],
        )
    centre = WorkCentre(
        code=code,
        name=name,
        overhead_rate=quantity.amount(rate, "HUR", field="overheadRate"),
        currency=money.currency(currency),
    )
    session.add(centre)
    changes.created(session, centre, who.entry("create", "work_centre", code), at=who.at)
    return centre


def open_change(
    session: Session, who: Who, part: PartDefinition, description: str
) -> EngineeringChange:
    """Put an engineering change on record; it holds the part's orders that have not ended."""
    if not description.strip():
        raise _invalid("description", "is empty; say what changes")
    year = who.at.year
    number = f"EC-{year}-{numbering.next_number(session, f'engineering_change/{year}'):06d}"
    change = EngineeringChange(
        number=number,
        part_definition=part,
        description=description,
        state=ChangeState.OPEN,
        created_utc=who.at,
    )
    session.add(change)
    changes.created(session, change, who.entry("create", "engineering_change", number), at=who.at)
    publish(
        session,
        PartChanged(change=number, part_definition_id=part.id, actor=who.actor, reason=description),
    )
    return change


def release_change(session: Session, who: Who, number: str) -> None:
    """The last order that the change held has been let go on."""
    change = session.scalars(
        select(EngineeringChange).where(EngineeringChange.number == number)
    ).one()
    entry = who.entry("release", "engineering_change", number)
    with changes.changing(session, change, entry, at=who.at):
        change.state = ChangeState.RELEASED
        change.released_utc = who.at


def _step(session: Session, step: Step) -> RoutingOperation:
    centre = None
    if step.work_centre:
        centre = session.scalars(
            select(WorkCentre).where(WorkCentre.code == step.work_centre)
        ).one_or_none()
        if centre is None:
            raise _invalid(
                "operations.workCenter",
                f"there is no work centre {step.work_centre!r:.80}; add it first",
            )
    return RoutingOperation(
        sequence=step.sequence,
        name=step.name,
        kind=step.kind,
        station=step.station,
        sequential=step.sequential,
        inspection_required=step.inspection_required,
        work_centre=centre,
        setup_s=quantity.amount(step.setup_s, "SEC", field="setupSeconds"),
        run_s=quantity.amount(step.run_s, "SEC", field="runSeconds"),
        required_skill=step.required_skill,
        quality_critical=step.quality_critical,
    )


def _check_steps(steps: Sequence[Step]) -> None:
    if not 1 <= len(steps) <= MAX_OPERATIONS:
        raise _invalid("operations", f"must be 1 to {MAX_OPERATIONS}, not {len(steps)}")
    seen: set[int] = set()
    for place, step in enumerate(steps):
        field = f"operations[{place}]"
        if not 1 <= step.sequence <= 999_999:
            raise _invalid(f"{field}.operationNumber", "must be 1 to 999999")
        if step.sequence in seen:
            raise _invalid(f"{field}.operationNumber", f"{step.sequence} is there twice")
        seen.add(step.sequence)
        _check_name(step.name, f"{field}.operationName")
        if step.setup_s < 0 or step.run_s < 0:
            raise _invalid(f"{field}.runSeconds", "a time cannot be negative")


def _check_marking(pattern: str, fields: dict[str, str]) -> None:
    if pattern:
        try:
            length = SerialPattern.parse(pattern).length
        except ValueError as error:
            raise _invalid("serialPattern", str(error)) from error
        if length > MAX_LENGTH:
            raise _invalid(
                "serialPattern",
                f"makes serials of {length} characters; at most {MAX_LENGTH} can be marked",
            )
    complaint = fields_complaint(fields)
    if complaint:
        raise _invalid("fields", complaint)


def _check_name(value: str, field: str) -> None:
    if not value or value != value.strip():
        raise _invalid(field, "is empty, or has spaces around it")
    if len(value) > MAX_KEY:
        raise _invalid(field, f"has {len(value)} characters, at most {MAX_KEY} are allowed")
    if not value.isprintable():
        raise _invalid(field, "holds characters that cannot be printed")


def _invalid(field: str, message: str) -> MesError:
    return MesError("invalid_request", f"{field}: {message}", [Detail(field, message)])
