"""Runs actions: the one way from any door into the MES.

Order of what happens: permission, text, idempotency, signature, then the action itself in one
transaction (lock, version, rule, change, audit, events) and the commit. Authentication and decoding
are the door's. A refused call changes nothing but is put on record in a transaction of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.actions import (
    Access,
    Action,
    Caller,
    Change,
    Context,
    Detached,
    Outside,
    Request,
    Sessions,
)
from cellwright.mes.kernel.domain_events import DomainEvent, published
from cellwright.mes.kernel.errors import Detail, Kind, MesError
from cellwright.mes.kernel.origin import Origin, set_origin
from cellwright.mes.kernel.scope import scope_of
from cellwright.mes.kernel.tables import AnsweredRequest
from cellwright.mes.kernel.text import MAX_KEY, storable
from cellwright.mes.people.refusals import OwnRecordError
from cellwright.mes.people.signatures import demands, signing

KEPT: Final = timedelta(days=7)
"""How long an answer is kept for a repetition of its request."""
MAX_TEXT: Final = 10_000
"""Most characters of one text in a request."""
SECRET_FIELDS: Final = frozenset({"password", "otp", "refreshToken"})
"""Fields of requests that leave no trace anywhere."""
ADMINISTRATOR: Final = "Administrator"
"""Role that may what `Access.ADMINISTRATOR` says."""

_log = structlog.get_logger(__name__)

R = TypeVar("R", bound=Request)
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Answered(Generic[A]):
    """What came of a call."""

    answer: A
    events: tuple[DomainEvent, ...] = ()
    """What it published."""
    repeated: bool = False
    """True: the request was answered before, and this is that answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A call that was refused, for the record."""

    action: Action[Any, Any]
    request: Any
    caller: Caller
    error: MesError
    correlation_id: str


class Dispatcher:
    """Runs actions on a store. Threads may share it."""

    def __init__(
        self,
        store: Sessions,
        *,
        on_refusal: Callable[[Sessions, Refused], None] | None = None,
        on_events: Callable[[tuple[DomainEvent, ...]], None] | None = None,
    ) -> None:
        """``on_refusal`` puts refused calls on record; None records none. ``on_events`` is told
        what was published, after the commit and before the answer goes out."""
        self._store = store
        self._on_refusal = on_refusal
        self._on_events = on_events

    def call(
        self,
        action: Action[R, A],
        request: R,
        caller: Caller,
        *,
        correlation_id: str = "",
        idempotency_key: str = "",
    ) -> Answered[A]:
        """Run the action. Raises MesError; nothing has then changed.

        The same ``idempotency_key`` of the same caller with the same request gives the same answer
        for seven days; with another request it raises ``key_reused``.
        """
        try:
            permit(action, caller)
            _check_texts(request)
            run = action.run
            if isinstance(run, Detached):
                outside = Outside(store=self._store, caller=caller, correlation_id=correlation_id)
                return Answered(run.call(outside, request))
            if action.reads:
                with self._store.reading(caller.scope) as session:
                    return Answered(run(_context(session, request, caller, correlation_id),
                                               request))  # fmt: skip
            key = "" if action.secret else idempotency_key
            answered = self._change(
                action, run, request, caller, correlation_id=correlation_id, key=key
            )
            if self._on_events is not None and answered.events:
                self._on_events(answered.events)
            return answered
        except MesError as error:
            self._record(Refused(action=action, request=request, caller=caller, error=error,
                                 correlation_id=correlation_id))  # fmt: skip
            raise

    def _change(
        self,
        action: Action[R, A],
        run: Callable[[Context, R], A],
        request: R,
        caller: Caller,
        *,
        correlation_id: str,
        key: str,
    ) -> Answered[A]:
        given = request.signature if isinstance(request, Change) else None
        # Hashing a password takes long, and nobody shall wait for it.
        proof = None if given is None else signing.prove(self._store, caller, given)
        with self._store.session(caller.scope) as session:
            context = _context(session, request, caller, correlation_id)
            digest = _digest(action, request) if key else ""
            if key:
                known = _claim(session, caller, key, digest, context)
                if known is not None:
                    return Answered(msgspec.json.decode(known, type=action.answer), repeated=True)
            signer = _signer(context, action, proof)
            answer = run(context, request)
            session.flush()
            if signer is not None:
                signing.sign(context, signer, _signed(session, action, request, answer))
            if key:
                _keep(session, caller, key, msgspec.json.encode(answer))
            return Answered(answer, published(session))

    def _record(self, refused: Refused) -> None:
        """Reads that find nothing are no news; a store that is away cannot be told so."""
        quiet = {Kind.UNAVAILABLE} | (
            {Kind.UNKNOWN, Kind.INVALID} if refused.action.reads else set()
        )
        error = refused.error
        try:
            if isinstance(error, OwnRecordError):
                if error.keep is not None:
                    with self._store.session(refused.caller.scope) as session:
                        _context(session, refused.request, refused.caller, refused.correlation_id)
                        error.keep(session)
                return
            if self._on_refusal is None or error.kind in quiet:
                return
            self._on_refusal(self._store, refused)
        except MesError as trouble:
            _log.warning("a refused call is not on record", action=refused.action.name,
                         error=trouble.message)  # fmt: skip


def permit(action: Action[Any, Any], caller: Caller) -> None:
    """Raises MesError ``unauthenticated`` or ``forbidden`` when the caller may not."""
    needed = action.permission
    if needed == Access.PUBLIC:
        return
    if not caller.authentication:
        raise MesError("unauthenticated", "Unauthorized: log in first")
    allowed = (
        needed == Access.SIGNED_IN
        or (needed == Access.ADMINISTRATOR and ADMINISTRATOR in caller.roles)
        or needed in caller.permissions
    )
    if not allowed:
        raise MesError(
            "forbidden",
            f"Forbidden: {caller.username} lacks {_named(needed)}; ask an administrator for a role "
            "that has it",
        )


def _named(needed: str) -> str:
    return "the role Administrator" if needed == Access.ADMINISTRATOR else f"permission {needed}"


def _signer(
    context: Context, action: Action[Any, Any], proof: signing.Proof | None
) -> signing.Signer | None:
    """Who signs the call; None when nobody does and nobody must."""
    if proof is None:
        if action.signed or demands.demanded(context.session, action.name):
            raise signing.required(action.name)
        return None
    signer = signing.signer(context, action.name, proof)
    try:
        permit(action, signer.as_caller)
    except MesError as error:
        raise MesError("signature_refused", error.message) from error
    return signer


def _signed(
    session: Session, action: Action[Any, Any], request: Any, answer: Any
) -> signing.Signed:
    """What is signed: the request without secrets, about the entity as the audit names it."""
    entity_id, version = audit.last_of(session, action.entity) or (action.entity_id(request), 0)
    content = _without_secrets(msgspec.to_builtins(request))
    return signing.Signed(
        action=action.name,
        entity_type=action.entity,
        entity_id=entity_id,
        entity_version=getattr(answer, "version", version),
        request={name: value for name, value in content.items() if name != "signature"},
    )


def _context(session: Session, request: Any, caller: Caller, correlation_id: str) -> Context:
    set_origin(
        session,
        Origin(
            printed_name=caller.printed_name or caller.username,
            authentication=caller.authentication,
            session=caller.session,
            station=caller.address,
            correlation_id=correlation_id,
        ),
    )
    change = request if isinstance(request, Change) else Change()
    return Context(
        session=session,
        caller=caller,
        at=utc.now(session),
        reason=change.reason,
        version=change.version,
        correlation_id=correlation_id,
        signature=change.signature,
    )


def _check_texts(request: Any) -> None:
    """Raises MesError ``invalid_request`` for text that no database holds or that nobody reads."""
    details: list[Detail] = []
    _walk(msgspec.to_builtins(request, builtin_types=(bytes,)), "", details)
    if details:
        first = details[0]
        raise MesError("invalid_request", f"{first.field}: {first.message}", details)


def _walk(value: Any, where: str, details: list[Detail]) -> None:
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            details.append(Detail(where, f"has {len(value)} characters, at most {MAX_TEXT}"))
        elif not storable(value):
            details.append(Detail(where, "holds a NUL character or half of a surrogate pair"))
    elif isinstance(value, dict):
        for key, item in value.items():
            _walk(str(key), where, details)
            _walk(item, f"{where}.{key}" if where else str(key), details)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _walk(item, f"{where}[{index}]", details)


def _digest(action: Action[Any, Any], request: Any) -> str:
    content = _without_secrets(msgspec.to_builtins(request))
    body = msgspec.json.encode(content, order="sorted")
    return hashlib.sha256(action.name.encode() + b"\0" + body).hexdigest()


def _without_secrets(value: Any) -> Any:
    """A plain hash of a password in the store could be guessed at leisure."""
    if isinstance(value, dict):
        return {
            key: _without_secrets(item) for key, item in value.items() if key not in SECRET_FIELDS
        }
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def _claim(
    session: Session, caller: Caller, key: str, digest: str, context: Context
) -> bytes | None:
    """The answer given before, or None: then the key is this request's. Waits for one at work."""
    if not key.isprintable() or len(key) > MAX_KEY:
        raise MesError(
            "invalid_request",
            f"Idempotency-Key must be 1 to {MAX_KEY} printable characters",
            [Detail("Idempotency-Key", "is too long or cannot be printed")],
        )
    scope = scope_of(session)
    session.execute(
        delete(AnsweredRequest).where(
            AnsweredRequest.actor == caller.username, AnsweredRequest.utc < context.at - KEPT
        )
    )
    values = {
        "tenant_id": scope.tenant_id,
        "site_id": scope.site_id,
        "actor": caller.username,
        "key": key,
        "request_hash": digest,
        "answer": b"",
        "utc": context.at,
    }
    make: Any = (
        postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    )
    taken = session.execute(
        make(AnsweredRequest).values(values).on_conflict_do_nothing().returning(AnsweredRequest.key)
    ).one_or_none()
    if taken is not None:
        return None
    found = session.scalars(
        select(AnsweredRequest).where(
            AnsweredRequest.actor == caller.username, AnsweredRequest.key == key
        )
    ).one()
    if found.request_hash != digest:
        raise MesError(
            "key_reused",
            f"Idempotency-Key {key!r:.80} was used for another request; take a new key",
            [Detail("Idempotency-Key", "was used for another request")],
        )
    return found.answer


def _keep(session: Session, caller: Caller, key: str, answer: bytes) -> None:
    session.execute(
        update(AnsweredRequest)
        .where(AnsweredRequest.actor == caller.username, AnsweredRequest.key == key)
        .values(answer=answer)
    )
