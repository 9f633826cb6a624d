"""Part definitions and routings from a YAML file.

The gateway loads the cell's file at start and the command line on request; applying the same
content again changes nothing, changed content is audited. Orders keep what they were stored with:
operations, serial pattern and marking fields.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from cellwright.io.files.located_yaml import Node, parse
from cellwright.io.files.problems import Problems, TooManyProblemsError
from cellwright.mes import audit
from cellwright.mes.definitions.serial_pattern import MAX_LENGTH, SerialPattern
from cellwright.mes.definitions.tables import (
    OperationKind,
    PartDefinition,
    Routing,
    RoutingOperation,
)
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.errors import MasterDataError
from cellwright.mes.kernel.text import MAX_KEY, fields_complaint


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds characters that cannot be printed; write plain text")
    return value


def _pattern(value: str) -> str:
    length = SerialPattern.parse(value).length
    if length > MAX_LENGTH:
        raise ValueError(
            f"'{value}' makes serials of {length} characters; at most {MAX_LENGTH} can be marked"
        )
    return value


def _fields(value: dict[str, str]) -> dict[str, str]:
    complaint = fields_complaint(value)
    if complaint:
        raise ValueError(complaint)
    return value


Key = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_KEY), AfterValidator(_printable)
]
Revision = Annotated[str, StringConstraints(max_length=MAX_KEY), AfterValidator(_printable)]
Text = Annotated[str, AfterValidator(_printable)]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class RoutingOperationData(_Model):
    """One operation of a routing."""

    sequence: int = Field(ge=1, le=9999)
    """Place in the routing; usually 10, 20, 30."""
    name: Key
    kind: OperationKind = Field(strict=False)
    """``mark`` and ``inspect`` are reported by the cell, ``manual`` by a person."""
    station: Text = ""
    """Station that reports it; empty: any station of that kind."""
    sequential: bool = False
    """True: starts only when its predecessor is complete; False: pieces flow one by one."""
    required: bool = True
    """Of an inspection: no completion while one of a good part is open or failed."""


class PartData(_Model):
    """A part number in one revision."""

    part_number: Key
    revision: Revision = ""
    description: Text = ""
    serial_pattern: Annotated[str, AfterValidator(_pattern)]
    """``SN{year:02d}{n:06d}``; fields: ``{n:0Wd}`` and of the date in UTC ``{year:02d}``,
    ``{year:04d}``, ``{month:02d}``, ``{day:02d}``. Parts with one pattern share its numbers."""
    fields: Annotated[dict[Key, Text], AfterValidator(_fields)] = {}
    """Further content for the marking template; an order's parameters may override them."""
    routing: tuple[RoutingOperationData, ...] = Field((), strict=False)
    """Without a routing no order for the part can be released."""

    @model_validator(mode="after")
    def _in_order(self) -> PartData:
        sequences = [operation.sequence for operation in self.routing]
        if any(later <= earlier for earlier, later in pairwise(sequences)):
            raise ValueError(
                f"operations of part {self.part_number} are numbered {sequences}; number them "
                "in rising order, each once"
            )
        return self


class MasterData(_Model):
    """A master data file."""

    parts: tuple[PartData, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _unique(self) -> MasterData:
        seen: set[tuple[str, str]] = set()
        for part in self.parts:
            key = (part.part_number, part.revision)
            if key in seen:
                raise ValueError(
                    f"part {part.part_number} revision '{part.revision}' is defined twice; keep one"
                )
            seen.add(key)
        return self


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did, as ``part_number/revision``."""

    created: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]


def load_file(path: Path | str) -> MasterData:
    """Read and check a file; raises MasterDataError with all problems at once."""
    root = _tree(Path(path))
    try:
        return MasterData.model_validate(None if root is None else root.plain())
    except ValidationError as error:
        raise MasterDataError(
            [_problem(path, root, detail) for detail in error.errors(include_url=False)]
        ) from error


def _tree(path: Path) -> Node | None:
    """What the file says and where; None when it is empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MasterDataError(
            [
                f"{path}:1:1: cannot read the file: {error.strerror}; check its name and its "
                "access rights"
            ]
        ) from error
    problems, root = Problems(str(path)), None
    with suppress(TooManyProblemsError):
        root = parse(data, problems)
    if problems.errors:
        raise MasterDataError(
            [
                f"{found.file}:{found.line}:{found.column}: not valid YAML: {found.what}; "
                f"{found.why}; {found.remedy}"
                for found in problems.ordered()
            ]
        )
    return root


def apply(session: Session, data: MasterData, actor: str, *, reason: str = "") -> Applied:
    """Bring the store to this content; parts that the data does not name stay as they are."""
    created: list[str] = []
    changed: list[str] = []
    unchanged: list[str] = []
    for part in data.parts:
        name = f"{part.part_number}/{part.revision}"
        known = session.scalars(
            select(PartDefinition)
            .where(
                PartDefinition.part_number == part.part_number,
                PartDefinition.revision == part.revision,
            )
            .with_for_update(of=PartDefinition)
        ).one_or_none()
        old = None if known is None else _content(known)
        new = part.model_dump(mode="json")
        if new == old:
            unchanged.append(name)
            continue
        definition = _write(session, known, part)
        (created if known is None else changed).append(name)
        audit.append(
            session,
            audit.AuditEntry(
                actor=actor,
                action="part_definition.create" if known is None else "part_definition.change",
                entity_type="part_definition",
                entity_id=name,
                entity_version=definition.version,
                old=old,
                new=new,
                reason=reason,
                correlation_id=name,
            ),
            at=definition.changed_utc,
        )
    return Applied(tuple(created), tuple(changed), tuple(unchanged))


def _write(session: Session, known: PartDefinition | None, part: PartData) -> PartDefinition:
    definition = known or PartDefinition(
        part_number=part.part_number, revision=part.revision, routings=[]
    )
    definition.description = part.description
    definition.serial_pattern = part.serial_pattern
    definition.fields = dict(part.fields)
    definition.changed_utc = utc.now(session)
    session.add(definition)
    flag_modified(definition, "changed_utc")  # a new version, also within one tick of the clock
    session.flush()
    if _steps(definition) != list(part.routing):
        # Orders point at the revision that they were made with, so none is ever edited.
        definition.routings.append(_routing(definition, part))
        session.flush()
    return definition


def _routing(definition: PartDefinition, part: PartData) -> Routing:
    """The next revision; without operations when the file gives the part no routing any more."""
    return Routing(
        revision=len(definition.routings) + 1,
        created_utc=definition.changed_utc,
        operations=[
            RoutingOperation(
                sequence=operation.sequence,
                name=operation.name,
                kind=operation.kind,
                station=operation.station,
                sequential=operation.sequential,
                inspection_required=_requires(operation),
            )
            for operation in part.routing
        ],
    )


def _requires(operation: RoutingOperationData) -> bool:
    return operation.required and operation.kind is OperationKind.INSPECT


def _content(definition: PartDefinition) -> dict[str, Any]:
    """What the store holds, in the shape of `PartData`; not judged by the rules of today."""
    return PartData.model_construct(
        part_number=definition.part_number,
        revision=definition.revision,
        description=definition.description,
        serial_pattern=definition.serial_pattern,
        fields=definition.fields,
        routing=tuple(_steps(definition)),
    ).model_dump(mode="json")


def _steps(definition: PartDefinition) -> list[RoutingOperationData]:
    """The operations of the newest routing, as a file gives them."""
    return [
        RoutingOperationData(
            sequence=planned.sequence,
            name=planned.name,
            kind=planned.kind,
            station=planned.station,
            sequential=planned.sequential,
            required=planned.inspection_required if planned.kind is OperationKind.INSPECT else True,
        )
        for planned in (definition.routing.operations if definition.routing else [])
    ]


_HINTS = {
    "missing": "add it",
    "extra_forbidden": "remove it or correct its spelling",
    "string_type": "put the value in quotes",
}


def _problem(path: Path | str, root: Node | None, detail: Any) -> str:
    place = tuple(detail["loc"])
    line, column = (1, 1) if root is None else root.at(place, key=True)
    name = ".".join(str(part) for part in place) or "file"
    message = str(detail["msg"]).removeprefix("Value error, ")
    hint = _HINTS.get(detail["type"])
    return f"{path}:{line}:{column}: {name}: {message}" + (f"; {hint}" if hint else "")
