"""What may be asked about signatures: show them, take one back, say where they are demanded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from cellwright.mes.kernel import paging
from cellwright.mes.kernel.actions import (
    Access,
    Action,
    Actions,
    Change,
    Closed,
    Command,
    Context,
    Detached,
    Page,
    PageRequest,
    Request,
    Rest,
    View,
)
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.people.signatures import demands
from cellwright.mes.people.signatures.reading import Shown, shown, verify
from cellwright.mes.people.signatures.signing import INVALIDATE, find
from cellwright.mes.people.tables import Signature, SignatureDemand, User

_DESK: Final = Closed("signatures are looked after at a desk")


class SignatureView(View, frozen=True, kw_only=True):
    """An electronic signature as it is shown with its record (21 CFR 11.50)."""

    id: int
    """Number of its record in the audit chain of the site's people."""
    signer: str
    """User name."""
    printed_name: str
    role: str
    """The signer's roles at that time."""
    meaning: str
    """``approval``, ``review``, ``responsibility`` or ``authorship``."""
    time: datetime
    zone: str
    """Offset from UTC where it was given, ``+01:00``."""
    action: str
    """What was signed, ``workorders.release``."""
    entity_type: str
    entity_id: str
    entity_version: int
    content_hash: str
    """SHA-256 of the canonical JSON of what was signed: ``content`` in the audit record."""
    factors: str
    """``password``, ``password+totp``, and whether it was given in a continuous session."""
    continuous: bool
    invalidated_by: int | None
    """The signature that takes it back."""
    valid: bool
    """It holds, and was not taken back."""
    problem: str
    """Why it does not hold."""


class ListSignatures(PageRequest, frozen=True, kw_only=True):
    """Signatures, oldest first; those of one record, or of one person."""

    entity_type: str | None = None
    """Kind of entity, ``work_order``."""
    entity_id: str | None = None
    """Number or name of the entity."""
    signer: str | None = None
    """User name."""


class Verify(Request, frozen=True, kw_only=True):
    """All of the site."""


class VerifySignaturesView(View, frozen=True, kw_only=True):
    """Outcome of a walk over the signatures."""

    ok: bool
    signatures: int
    """Signatures that hold, before the first that does not."""
    broken: int | None
    """Number of the first that does not."""
    problem: str


class Invalidate(Change, frozen=True, kw_only=True):
    """Which signature is taken back; the reason must be given."""

    id: int
    """Its number."""


class DemandView(View, frozen=True, kw_only=True):
    """Whether an action demands a signature at this site."""

    action: str
    demanded: bool
    fixed: bool
    """True: it always does."""
    version: int


class ListDemands(Request, frozen=True, kw_only=True):
    """All actions that demand a signature, or did."""


class Demand(Change, frozen=True, kw_only=True):
    """Which action shall demand a signature, or no longer."""

    action: str
    """Its name, ``workorders.release``."""
    demanded: bool = True
    """False: no longer."""


def view(found: Shown) -> SignatureView:
    """The signature as readers see it."""
    row = found.row
    return SignatureView(
        id=row.audit_sequence,
        signer=found.signer,
        printed_name=row.printed_name,
        role=row.role,
        meaning=row.meaning,
        time=row.utc,
        zone=row.zone,
        action=found.action,
        entity_type=row.entity_type,
        entity_id=row.entity_id,
        entity_version=row.entity_version,
        content_hash=row.content_hash,
        factors=row.factors,
        continuous=row.continuous,
        invalidated_by=found.invalidated_by,
        valid=not found.problem and found.invalidated_by is None,
        problem=found.problem,
    )


def _list(context: Context, request: ListSignatures) -> Page[SignatureView]:
    statement = select(Signature).order_by(Signature.id)
    if request.entity_type is not None:
        statement = statement.where(Signature.entity_type == request.entity_type)
    if request.entity_id is not None:
        statement = statement.where(Signature.entity_id == request.entity_id)
    if request.signer is not None:
        signer = select(User.id).where(User.username == request.signer).scalar_subquery()
        statement = statement.where(Signature.signer_id == signer)
    rows, total = paging.page_of(context.session, statement, request)
    return Page(items=[view(each) for each in shown(context.session, rows)], total=total)


def _verify(context: Context, _request: Verify) -> VerifySignaturesView:
    found = verify(context.session)
    return VerifySignaturesView(
        ok=not found.problem,
        signatures=found.signatures,
        broken=found.broken,
        problem=found.problem,
    )


def _invalidate(context: Context, request: Invalidate) -> SignatureView:
    if not request.reason.strip():
        raise MesError(
            "invalid_request",
            "reason: say why the signature is taken back",
            [Detail("reason", "is missing")],
        )
    row = find(context.session, request.id)
    (found,) = shown(context.session, [row])
    if found.invalidated_by is not None or row.invalidates_id is not None:
        what = "takes back another one" if row.invalidates_id else "was taken back already"
        raise MesError("invalid_state", f"signature {request.id} {what}")
    return view(found)


def _id(request: Any) -> str:
    return str(request.id)


def _action(request: Any) -> str:
    return str(request.action)


def _can_be_signed(action: Action[Any, Any]) -> bool:
    return (
        issubclass(action.request, Change)
        and not action.reads
        and not isinstance(action.run, Detached)
        and not (isinstance(action.rest, Rest) and action.rest.method == "DELETE")
    )


def _demands(known: Callable[[], Actions]) -> Callable[[Context, ListDemands], list[DemandView]]:
    """The service behind ``signatures.demands``."""

    def listed(context: Context, _request: ListDemands) -> list[DemandView]:
        always = {
            name: DemandView(action=name, demanded=True, fixed=True, version=0)
            for name, action in known().items()
            if action.signed
        }
        said = {row.action: _demand_view(row) for row in demands.demanding(context.session)}
        return [each for _, each in sorted((said | always).items())]

    return listed


def _demand(known: Callable[[], Actions]) -> Callable[[Context, Demand], DemandView]:
    """The service behind ``signatures.demand``."""

    def said(context: Context, request: Demand) -> DemandView:
        action = known().get(request.action)
        complaint = ""
        if action is None:
            complaint = f"there is no action {request.action!r:.80}"
        elif action.signed and not request.demanded:
            complaint = f"{action.name} always demands a signature"
        elif not _can_be_signed(action):
            complaint = f"{action.name} is nothing that can be signed"
        if complaint:
            raise MesError("invalid_request", f"action: {complaint}", [Detail("action", complaint)])
        row = demands.demand(context, request.action, wanted=request.demanded)
        context.session.flush()
        return _demand_view(row)

    return said


def _demand_view(row: SignatureDemand) -> DemandView:
    return DemandView(action=row.action, demanded=row.demanded, fixed=False, version=row.version)


_OF_SIGNATURES: Final[tuple[Action[Any, Any], ...]] = (
    Action(
        name="signatures.list",
        summary="List electronic signatures, and say of each whether it holds.",
        request=ListSignatures,
        answer=Page[SignatureView],
        permission=Access.SIGNED_IN,
        entity="signature",
        run=_list,
        reads=True,
        rest=Rest("GET", "/api/v1/signatures"),
        opcua=_DESK,
        command=Command("signatures", "list"),
    ),
    Action(
        name=INVALIDATE,
        summary="Take a signature back; it stays, and so does the new one that says so.",
        request=Invalidate,
        answer=SignatureView,
        permission=Access.ADMINISTRATOR,
        entity="signature",
        run=_invalidate,
        signed=True,
        rest=Rest("POST", "/api/v1/signatures/{id}/invalidate"),
        opcua=_DESK,
        command=Command("signatures", "invalidate", ("id",)),
        entity_id=_id,
    ),
    Action(
        name="signatures.verify",
        summary="Say whether all electronic signatures hold, and which does not.",
        request=Verify,
        answer=VerifySignaturesView,
        permission=Access.SIGNED_IN,
        entity="signature",
        run=_verify,
        reads=True,
        rest=Rest("GET", "/api/v1/signatures/verify"),
        opcua=_DESK,
        command=Command("signatures", "verify"),
    ),
)


def actions(known: Callable[[], Actions]) -> tuple[Action[Any, Any], ...]:
    """What REST, OPC UA and the command line offer of this room; ``known`` gives all actions."""
    return (
        *_OF_SIGNATURES,
        Action(
            name="signatures.demands",
            summary="List the actions that demand a signature at this site.",
            request=ListDemands,
            answer=list[DemandView],
            permission=Access.SIGNED_IN,
            entity="signature_demand",
            run=_demands(known),
            reads=True,
            rest=Rest("GET", "/api/v1/signatures/demands"),
            opcua=_DESK,
            command=Command("signatures", "demands"),
        ),
        Action(
            name="signatures.demand",
            summary="Let an action demand a signature at this site, or no longer.",
            request=Demand,
            answer=DemandView,
            permission=Access.ADMINISTRATOR,
            entity="signature_demand",
            run=_demand(known),
            signed=True,
            rest=Rest("PUT", "/api/v1/signatures/demands/{action}"),
            opcua=_DESK,
            command=Command("signatures", "demand", ("action",)),
            entity_id=_action,
        ),
    )
