"""Who signs, whether he may, and the record of it. Called by the dispatcher, in this order:

`prove` hashes the password outside any transaction; `signer` decides inside that of the action;
`sign` puts the signature behind what the action did, in the same transaction. A signature that is
refused counts as a failed login and is on record.

The first signing takes both components, user name and password (and the one-time code of whoever
has enrolled); further ones of the same login take the password alone for as long as no more than
`CONTINUOUS` lies between them (21 CFR 11.200(a)(1)).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.actions import Caller, Context, Sessions, SignatureRequest
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.scope import scope_of
from cellwright.mes.kernel.secrets import secrets_folder
from cellwright.mes.people.credentials import passwords
from cellwright.mes.people.keys import totp
from cellwright.mes.people.keys.signature_keys import signature_keys
from cellwright.mes.people.logins import hasher
from cellwright.mes.people.refusals import OwnRecordError
from cellwright.mes.people.tables import Signature, User
from cellwright.mes.people.verification import caller_of

CONTINUOUS: Final = timedelta(minutes=15)
"""Longest time between two signings of a continuous session."""
MEANINGS: Final = ("approval", "review", "responsibility", "authorship")
"""What a signature may stand for (21 CFR 11.50(a)(3))."""
SIGN: Final = "signature.sign"
"""Action of the audit record that holds what was signed."""
INVALIDATE: Final = "signatures.invalidate"
"""The action whose signature takes back another one."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found outside the transaction; it is worth something only to `signer`."""

    given: SignatureRequest
    username: str
    password_hash: str | None
    right: bool


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs, proven."""

    user: User
    as_caller: Caller
    """For the question whether he may do what he signs."""
    meaning: str
    factors: str
    continuous: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What is signed."""

    action: str
    entity_type: str
    entity_id: str
    entity_version: int
    request: Mapping[str, Any]
    """Plain data without secrets."""


def required(action: str) -> MesError:
    """The refusal of a request that lacks its signature."""
    return MesError(
        "signature_required",
        f"{action} demands an electronic signature here; repeat the request with `signature`: "
        f"user name, password and meaning ({', '.join(MEANINGS)})",
        [Detail("signature", "is missing")],
    )


def prove(store: Sessions, caller: Caller, given: SignatureRequest) -> Proof:
    """Compare the password, as long as that takes. Raises MesError ``invalid_request`` and
    ``signature_required``."""
    if given.meaning not in MEANINGS:
        message = f"must be one of {', '.join(MEANINGS)}"
        raise MesError(
            "invalid_request",
            f"signature.meaning {message}",
            [Detail("signature.meaning", message)],
        )
    if not given.username and caller.user_id is None:
        raise _name_needed()
    username = given.username or caller.username
    with store.reading(caller.scope) as session:
        found = session.scalar(select(User.password_hash).where(User.username == username))
    return Proof(given, username, found, hasher().matches(found, given.password))


def signer(context: Context, action: str, proof: Proof) -> Signer:
    """The person who signs. Raises OwnRecordError ``signature_refused`` and ``signature_required``;
    whether he may do what he signs is the caller's to ask."""
    session, given = context.session, proof.given
    user = _locked(session, proof.username)
    problem = _problem(user, proof, context.at)
    if problem or user is None:
        raise _refused(context, action, proof.username, problem or "unknown user")
    code = ""
    if given.otp and user.totp_active:
        code = "totp"
        secret = totp.Seal(secrets_folder(session)).open(user.totp_secret, user.username)
        step = totp.accepted_step(secret, given.otp, context.at, user.totp_last_step)
        if step is None:
            raise _refused(context, action, user.username, "wrong one-time code")
        user.totp_last_step = step
    whole = bool(given.username) and (bool(code) or not user.totp_active)
    if not whole and not _continues(context, user):
        if given.username:
            raise MesError(
                "signature_required",
                f"the first signature of {user.username} in this session needs a one-time code",
                [Detail("signature.otp", "is missing")],
            )
        raise _name_needed()
    passwords.count_success(session, user)
    factors = "password+totp" if code else "password"
    return Signer(
        user,
        caller_of(user, context.caller.scope, authentication=factors),
        given.meaning,
        factors if whole else f"{factors} (continuous session)",
        not whole,
    )


def sign(context: Context, by: Signer, what: Signed) -> Signature:
    """Bind the signature to all that the transaction has done so far."""
    session, user = context.session, by.user
    content = {
        "action": what.action,
        "entity_type": what.entity_type,
        "entity_id": what.entity_id,
        "entity_version": what.entity_version,
        "request": what.request,
    }
    shown = {
        "printed_name": user.printed_name,
        "role": ", ".join(user.roles),
        "meaning": by.meaning,
        "zone": context.at.astimezone().isoformat()[-6:],
        "factors": by.factors,
        "continuous": by.continuous,
        "content_hash": content_hash(content),
    }
    audit.append(
        session,
        audit.AuditEntry(
            actor=user.username,
            action=SIGN,
            entity_type=what.entity_type,
            entity_id=what.entity_id,
            entity_version=what.entity_version,
            new={**shown, "content": content},
            reason=context.reason,
        ),
        at=context.at,
    )
    keys = signature_keys(secrets_folder(session))
    made = Signature(
        **shown,
        tenant_id=scope_of(session).tenant_id,
        site_id=scope_of(session).site_id,
        signer_id=user.id,
        utc=context.at,
        entity_type=what.entity_type,
        entity_id=what.entity_id,
        entity_version=what.entity_version,
        invalidates_id=_taken_back(session, what),
        audit_chain=scope_of(session).chain,
        audit_sequence=audit.flush(session),
        key_id=keys.newest,
        signature="",
    )
    made.signature = keys.sign(made.key_id, signed_text(made))
    session.add(made)
    session.flush()
    return made


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON; hexadecimal."""
    return hashlib.sha256(audit.canonical(content).encode()).hexdigest()


def signed_text(signature: Signature) -> str:
    """What the key signs: canonical JSON of everything that the row says."""
    return audit.canonical(
        {
            name: getattr(signature, name)
            for name in (
                "tenant_id", "site_id", "signer_id", "printed_name", "role", "meaning", "zone",
                "entity_type", "entity_id", "entity_version", "content_hash", "factors",
                "continuous", "invalidates_id", "audit_chain", "audit_sequence", "key_id",
            )
        }
        | {"utc_us": utc.to_us(signature.utc)}
    )  # fmt: skip


def _locked(session: Session, username: str) -> User | None:
    return session.scalars(
        select(User)
        .where(User.username == username)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def _problem(user: User | None, proof: Proof, at: datetime) -> str:
    if user is None:
        return "unknown user"
    if passwords.locked(user, at):
        return "locked"
    if not proof.right:
        return "wrong password"
    if not user.active:
        return "inactive user"
    return "" if user.password_hash == proof.password_hash else "password changed meanwhile"


def _continues(context: Context, user: User) -> bool:
    """True when the caller has signed in this login not long ago."""
    caller = context.caller
    if not caller.session or caller.user_id != user.id:
        return False
    last = context.session.execute(
        select(Signature.utc, AuditRecord.session)
        .join(
            AuditChain,
            (AuditChain.site_id == Signature.site_id) & (AuditChain.name == Signature.audit_chain),
        )
        .join(
            AuditRecord,
            (AuditRecord.chain_id == AuditChain.id)
            & (AuditRecord.sequence == Signature.audit_sequence),
        )
        .where(Signature.signer_id == user.id)
        .order_by(Signature.id.desc())
        .limit(1)
    ).one_or_none()
    if last is None or last[1] != caller.session:
        return False
    return timedelta(0) <= context.at - last[0] <= CONTINUOUS


def _taken_back(session: Session, what: Signed) -> int | None:
    if what.action != INVALIDATE:
        return None
    return find(session, int(what.entity_id)).id


def find(session: Session, number: int) -> Signature:
    """The site's signature of that number, which is its place in the audit chain of people.

    Raises MesError ``unknown_signature``.
    """
    scope = scope_of(session)
    found = session.scalars(
        select(Signature).where(
            Signature.site_id == scope.site_id,
            Signature.audit_chain == scope.chain,
            Signature.audit_sequence == number,
        )
    ).one_or_none()
    if found is None:
        raise MesError("unknown_signature", f"there is no signature {number}")
    return found


def _name_needed() -> MesError:
    return MesError(
        "signature_required",
        "the first signature of a session needs the user name beside the password, and so does "
        f"one after more than {CONTINUOUS.seconds // 60} minutes",
        [Detail("signature.username", "is missing")],
    )


def _refused(context: Context, action: str, username: str, problem: str) -> OwnRecordError:
    """One answer, whether the name, the password, the code or the lock is the cause."""
    actor, at = context.actor, context.at

    def keep(session: Session) -> None:
        why = problem
        user = _locked(session, username)
        if user is not None and problem != "locked":
            failure = passwords.count_failure(session, user, at)
            if failure.locked_until is not None:
                why += f"; locked after {failure.failures} failures"
        audit.append(
            session,
            audit.AuditEntry(
                actor=actor,
                action="signature.refused",
                entity_type="user",
                entity_id=username[:200],
                new={"action": action},
                reason=why,
            ),
            at=at,
        )

    return OwnRecordError(
        "signature_refused",
        "Forbidden: the signature is refused: user name or password is wrong",
        keep=keep,
    )
