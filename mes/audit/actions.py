"""What may be asked of the audit: trails, search, verification, checkpoints and proofs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Select, select

from cellwright.mes.audit import checkpoints, merkle, search
from cellwright.mes.audit.checkpoints import CheckpointKey
from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.audit.tree import ChainTree, store_tiles
from cellwright.mes.audit.verification import verify
from cellwright.mes.kernel import paging
from cellwright.mes.kernel.actions import (
    Access,
    Action,
    Closed,
    Command,
    Context,
    Page,
    PageRequest,
    Request,
    Rest,
    View,
)
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.secrets import secrets_folder

PEOPLE: Final = "people"
"""The chain of a site's people."""
_DESK: Final = Closed("the audit is read at a desk")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class RecordView(View, frozen=True, kw_only=True):
    """One record of the audit."""

    chain: str
    sequence: int
    time: datetime
    clock_quality: str
    actor: str
    printed_name: str
    authentication: str
    session: str
    station: str
    action: str
    entity_type: str
    entity_id: str
    entity_version: int
    old: Any
    new: Any
    reason: str
    correlation_id: str
    application_version: str
    format: int
    """1 for records of databases made before there were tenants, else 2."""
    prev_hash: str
    hash: str


class EntityTrail(PageRequest, frozen=True, kw_only=True):
    """Records of one entity, oldest first."""

    entity_type: str
    """``work_order``, ``operation``, ``unit``, ``user``, ..."""
    entity_id: str


class AnyTrail(PageRequest, frozen=True, kw_only=True):
    """Records of whatever has that id, oldest first."""

    entity_id: str


class Search(PageRequest, frozen=True, kw_only=True):
    """Records that hold all of these words, newest first."""

    q: str = ""
    """Words in action, entity, actor, reason, old or new: ``WO-2026*`` is the beginning of a word,
    ``"out of tolerance"`` words in a row; at most 1000 characters and 32 words; absent: all."""


class Verify(Request, frozen=True, kw_only=True):
    """Which chain."""

    chain: str | None = None
    """Absent: all."""


class VerifyView(View, frozen=True, kw_only=True):
    """Outcome of a walk over the chains."""

    ok: bool
    records: int
    """Records that are right."""
    chain: str
    """Where the first wrong one is."""
    broken: int | None
    """Sequence of the first wrong one."""
    problem: str


class GetCheckpoint(Request, frozen=True, kw_only=True):
    """Of which chain."""

    chain: str = PEOPLE


class CheckpointView(View, frozen=True, kw_only=True):
    """A signed statement of how long a chain is and what its root is; keep it elsewhere."""

    chain: str
    tree_size: int
    root_hash: str
    time: datetime
    signed_text: str
    signature: str
    """Ed25519 over the text, hexadecimal."""
    public_key: str
    key_id: str


class GetProof(Request, frozen=True, kw_only=True):
    """Of which record, in which tree."""

    sequence: int
    """Of the record, from 1."""
    chain: str = PEOPLE
    tree_size: int | None = None
    """Absent: the chain as it is now."""


class ProofView(View, frozen=True, kw_only=True):
    """RFC 9162, 2.1.3: the path from the record to the root."""

    chain: str
    leaf_index: int
    leaf_hash: str
    tree_size: int
    root_hash: str
    path: list[str]


class GetConsistency(Request, frozen=True, kw_only=True):
    """Two sizes of one chain."""

    first: int
    second: int
    chain: str = PEOPLE


class ConsistencyView(View, frozen=True, kw_only=True):
    """RFC 9162, 2.1.4: the larger tree begins with the smaller one."""

    chain: str
    first: int
    second: int
    first_root: str
    second_root: str
    path: list[str]


def _view(record: AuditRecord, chain: str) -> RecordView:
    return RecordView(
        chain=chain,
        sequence=record.sequence,
        time=_EPOCH + timedelta(microseconds=record.utc_us),
        clock_quality=record.clock_quality,
        actor=record.actor,
        printed_name=record.printed_name,
        authentication=record.authentication,
        session=record.session,
        station=record.station,
        action=record.action,
        entity_type=record.entity_type,
        entity_id=record.entity_id,
        entity_version=record.entity_version,
        old=msgspec.json.decode(record.old),
        new=msgspec.json.decode(record.new),
        reason=record.reason,
        correlation_id=record.correlation_id,
        application_version=record.application_version,
        format=record.format,
        prev_hash=record.prev_hash,
        hash=record.hash,
    )


def _page(
    context: Context, request: PageRequest, statement: Select[Any], *, newest: bool
) -> Page[RecordView]:
    order = (AuditRecord.utc_us, AuditRecord.chain_id, AuditRecord.sequence)
    statement = statement.order_by(*(each.desc() for each in order) if newest else order)
    rows, total = paging.page_of(context.session, statement, request)
    chains = context.session.execute(select(AuditChain.id, AuditChain.name)).all()
    names = {row[0]: row[1] for row in chains}
    return Page(items=[_view(row, names[row.chain_id]) for row in rows], total=total)


def _trail(context: Context, request: EntityTrail) -> Page[RecordView]:
    statement = select(AuditRecord).where(
        AuditRecord.entity_type == request.entity_type, AuditRecord.entity_id == request.entity_id
    )
    return _page(context, request, statement, newest=False)


def _any_trail(context: Context, request: AnyTrail) -> Page[RecordView]:
    statement = select(AuditRecord).where(AuditRecord.entity_id == request.entity_id)
    return _page(context, request, statement, newest=False)


def _search(context: Context, request: Search) -> Page[RecordView]:
    statement = search.narrowed(context.session, select(AuditRecord), request.q)
    return _page(context, request, statement, newest=True)


def _verify(context: Context, request: Verify) -> VerifyView:
    found = verify(context.session, chain=request.chain)
    return VerifyView(
        ok=found.ok,
        records=found.records,
        chain=found.chain,
        broken=found.broken,
        problem=found.problem,
    )


def _checkpoint(context: Context, request: GetCheckpoint) -> CheckpointView:
    key = CheckpointKey(secrets_folder(context.session))
    signed = checkpoints.make(context.session, key, request.chain)
    return CheckpointView(
        chain=signed.chain,
        tree_size=signed.tree_size,
        root_hash=signed.root_hash,
        time=signed.time,
        signed_text=signed.signed_text,
        signature=signed.signature,
        public_key=signed.public_key,
        key_id=signed.key_id,
    )


def _proof(context: Context, request: GetProof) -> ProofView:
    chain_id, present = checkpoints.find_chain(context.session, request.chain)
    size = present if request.tree_size is None else request.tree_size
    if not 1 <= request.sequence <= present:
        raise MesError(
            "unknown_record",
            f"chain {request.chain} has no record {request.sequence}; it has {present}",
        )
    if not request.sequence <= size <= present:
        message = f"must be {request.sequence} to {present}"
        raise MesError("invalid_request", f"treeSize {message}", [Detail("treeSize", message)])
    store_tiles(context.session, chain_id, present)
    tree = ChainTree(context.session, chain_id)
    index = request.sequence - 1
    tree.read_ahead(index, size)
    return ProofView(
        chain=request.chain,
        leaf_index=index,
        leaf_hash=tree.leaf(index).hex(),
        tree_size=size,
        root_hash=merkle.root(tree, size).hex(),
        path=[each.hex() for each in merkle.inclusion_proof(tree, index, size)],
    )


def _consistency(context: Context, request: GetConsistency) -> ConsistencyView:
    chain_id, present = checkpoints.find_chain(context.session, request.chain)
    if not 1 <= request.first <= request.second <= present:
        message = f"must be 1 <= first <= second <= {present}"
        raise MesError("invalid_request", message, [Detail("first", message)])
    tree = ChainTree(context.session, chain_id)
    return ConsistencyView(
        chain=request.chain,
        first=request.first,
        second=request.second,
        first_root=merkle.root(tree, request.first).hex(),
        second_root=merkle.root(tree, request.second).hex(),
        path=[each.hex() for each in merkle.consistency_proof(tree, request.first, request.second)],
    )


def _entity(request: Any) -> str:
    return str(request.entity_id)


ACTIONS: Final[tuple[Action[Any, Any], ...]] = (
    Action(
        name="audit.trail",
        summary="Read the audit trail of an entity.",
        request=EntityTrail,
        answer=Page[RecordView],
        permission=Access.SIGNED_IN,
        entity="audit",
        run=_trail,
        reads=True,
        rest=Rest("GET", "/api/v1/traceability/audit/{entityType}/{entityId}"),
        opcua=_DESK,
        command=Closed("`cellwright mes audit --entity KIND:ID` shows it"),
        entity_id=_entity,
    ),
    Action(
        name="audit.entity",
        summary="Read the audit trail of whatever has this id.",
        request=AnyTrail,
        answer=Page[RecordView],
        permission=Access.SIGNED_IN,
        entity="audit",
        run=_any_trail,
        reads=True,
        rest=Rest("GET", "/api/v1/traceability/audit-trail/{entityId}"),
        opcua=_DESK,
        command=Closed("`cellwright mes audit --entity KIND:ID` shows it"),
        entity_id=_entity,
    ),
    Action(
        name="audit.search",
        summary="Search the audit.",
        request=Search,
        answer=Page[RecordView],
        permission=Access.SIGNED_IN,
        entity="audit",
        run=_search,
        reads=True,
        rest=Rest("GET", "/api/v1/audit"),
        opcua=_DESK,
        command=Command("trail", "search", ("q",)),
    ),
    Action(
        name="audit.verify",
        summary="Walk the audit chains and name the first record that is wrong.",
        request=Verify,
        answer=VerifyView,
        permission=Access.SIGNED_IN,
        entity="audit",
        run=_verify,
        reads=True,
        rest=Rest("GET", "/api/v1/audit/verify"),
        opcua=_DESK,
        command=Closed("`cellwright mes verify` does it"),
    ),
    Action(
        name="audit.checkpoint",
        summary="Get the signed checkpoint of a chain, to be kept elsewhere.",
        request=GetCheckpoint,
        answer=CheckpointView,
        permission=Access.SIGNED_IN,
        entity="audit",
        run=_checkpoint,
        rest=Rest("GET", "/api/v1/audit/checkpoint"),
        opcua=_DESK,
        command=Command("trail", "checkpoint"),
    ),
    Action(
        name="audit.proof",
        summary="Get the proof that a record is in a chain.",
        request=GetProof,
        answer=ProofView,
        permission=Access.SIGNED_IN,
        entity="audit",
        run=_proof,
        rest=Rest("GET", "/api/v1/audit/records/{sequence}/proof"),
        opcua=_DESK,
        command=Command("trail", "proof", ("sequence",)),
        entity_id=lambda request: str(request.sequence),
    ),
    Action(
        name="audit.consistency",
        summary="Get the proof that a chain begins with what it was before.",
        request=GetConsistency,
        answer=ConsistencyView,
        permission=Access.SIGNED_IN,
        entity="audit",
        run=_consistency,
        reads=True,
        rest=Rest("GET", "/api/v1/audit/consistency"),
        opcua=_DESK,
        command=Command("trail", "consistency", ("first", "second")),
    ),
)
"""What REST, OPC UA and the command line offer of this room."""
