"""Logging in and out: passwords, one-time codes, tokens.

Whoever is refused gets one answer, whether the name, the password or the lock is the cause; the
audit says which. Password hashing goes on outside any transaction, so that nobody waits for it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.actions import Caller, Context, Outside
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.origin import Origin, set_origin
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.secrets import secrets_folder
from cellwright.mes.people.credentials import passwords, refresh, totp
from cellwright.mes.people.credentials.passwords import Passwords
from cellwright.mes.people.credentials.tokens import tokens_of
from cellwright.mes.people.refusals import OwnRecordError
from cellwright.mes.people.tables import Site, Tenant, User

DEFAULT_TENANT: Final = "default"
_REFUSED: Final = "Unauthorized: user name or password is wrong"


@lru_cache(maxsize=1)
def hasher() -> Passwords:
    """The password hasher of this process."""
    return Passwords()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gives."""

    access: str
    refresh: str
    user: User
    login: str


def log_in(outside: Outside, username: str, password: str, otp: str, tenant: str) -> Tokens:
    """Tokens for the right name, password and code. Raises MesError ``unauthenticated``."""
    scope = _scope(outside, tenant)
    with outside.store.reading(scope) as session:
        found = session.scalars(select(User).where(User.username == username)).one_or_none()
        password_hash = None if found is None else found.password_hash
    right = hasher().matches(password_hash, password)
    with outside.store.session(scope) as session:
        _come_from(session, outside, "password")
        at = utc.now(session)
        user, problem = settle(session, username, right=right, otp=otp, at=at)
        if user is None:
            _record(session, username, "auth.refused", problem, at)
            answer = _REFUSED if "code" not in problem else f"Unauthorized: {problem}"
        else:
            renewed = hasher().renewed(user.password_hash, password)
            if renewed is not None:
                user.password_hash = renewed
            login = secrets.token_urlsafe(16)
            amr = ["pwd", "otp"] if user.totp_active else ["pwd"]
            refresh.forget_expired(session, user, at)
            given = Tokens(
                access=tokens_of(secrets_folder(session)).issue(user, scope, login, amr),
                refresh=refresh.issue(session, user, login, at),
                user=user,
                login=login,
            )
            _record(session, username, "auth.login", "", at)
            return given
    raise OwnRecordError("unauthenticated", answer)


def settle(
    session: Session,
    username: str,
    *,
    right: bool,
    otp: str,
    at: datetime,
    spared: bool = False,
) -> tuple[User | None, str]:
    """The user who gets in, or None and why not; failures count, and a success begins anew.

    ``right`` says that the password was. ``spared`` lets in where the name is locked.
    """
    user = session.scalars(
        select(User)
        .where(User.username == username)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    problem = _problem(user, right=right, at=at, spared=spared)
    if not problem and user is not None:
        problem = _code_problem(session, user, otp, at)
    if problem or user is None:
        if user is not None and problem != "locked":
            failure = passwords.count_failure(session, user, at)
            if failure.locked_until is not None:
                problem += f"; locked after {failure.failures} failures"
        return None, problem or "unknown user"
    passwords.count_success(session, user)
    return user, ""


def renew(outside: Outside, token: str) -> Tokens:
    """New tokens for a refresh token, which is used up. Raises MesError ``unauthenticated``."""
    tenant_id = refresh.tenant_of(token)
    problem = "malformed"
    if tenant_id is not None:
        with outside.store.session(Scope(tenant_id=tenant_id)) as session:
            _come_from(session, outside, "refresh token")
            at = utc.now(session)
            exchange = refresh.exchange(session, token, at)
            problem = exchange.problem
            user = None if exchange.row is None else session.get(User, exchange.row.user_id)
            if exchange.row is not None and user is not None and user.active and not problem:
                scope = Scope(tenant_id=user.tenant_id, site_id=user.site_id)
                login = exchange.row.family
                amr = ["pwd", "otp"] if user.totp_active else ["pwd"]
                return Tokens(
                    access=tokens_of(secrets_folder(session)).issue(user, scope, login, amr),
                    refresh=refresh.issue(session, user, login, at),
                    user=user,
                    login=login,
                )
            name = "unknown" if user is None else user.username
            _record(session, name, "auth.refused", f"refresh token {problem or 'unknown'}", at)
    raise OwnRecordError(
        "unauthenticated", "Unauthorized: the refresh token is not valid; log in again"
    )


def log_out(context: Context) -> None:
    """End the caller's login: neither of its tokens is good any more."""
    refresh.end(context.session, context.caller.session, context.at)
    _record(context.session, context.actor, "auth.logout", "", context.at)


def enrol(context: Context) -> tuple[str, str]:
    """Secret and otpauth URI of a new one-time code; it counts once `verify_code` has seen one."""
    user = _self(context)
    secret = totp.new_secret()
    user.totp_secret = totp.Seal(secrets_folder(context.session)).close(secret, user.username)
    user.totp_active, user.totp_last_step = False, 0
    _record(context.session, user.username, "auth.mfa_enrolled", "", context.at)
    return secret, totp.uri(secret, user.username)


def verify_code(context: Context, code: str) -> None:
    """Turn one-time codes on with the first right code. Raises MesError ``wrong_code``."""
    user = _self(context)
    step = None
    if user.totp_secret:
        secret = totp.Seal(secrets_folder(context.session)).open(user.totp_secret, user.username)
        step = totp.accepted_step(secret, code, context.at, user.totp_last_step)
    if step is None:
        raise MesError(
            "wrong_code",
            "the code is wrong, was used before, or nothing is enrolled",
            [Detail("code", "is not right now")],
        )
    user.totp_active, user.totp_last_step = True, step
    _record(context.session, user.username, "auth.mfa_verified", "", context.at)


def _self(context: Context) -> User:
    user = context.session.scalars(
        select(User)
        .where(User.id == context.caller.user_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if user is None:
        raise MesError("unknown_user", f"{context.actor} is no user of the MES")
    return user


def _scope(outside: Outside, tenant: str) -> Scope:
    """Where the user is looked for; of an unknown tenant a scope in which nobody is."""
    with outside.store.reading() as session:
        row = session.execute(
            select(Tenant.id, Site.id)
            .join(Site, Site.tenant_id == Tenant.id)
            .where(Tenant.name == (tenant or DEFAULT_TENANT))
            .order_by(Site.id)
            .limit(1)
        ).one_or_none()
    return Scope(tenant_id=row[0], site_id=row[1]) if row is not None else Scope()


def _problem(user: User | None, *, right: bool, at: datetime, spared: bool) -> str:
    if user is None:
        return "unknown user"
    if passwords.locked(user, at) and not spared:
        return "locked"
    if not right:
        return "wrong password"
    return "" if user.active else "inactive user"


def _code_problem(session: Session, user: User, otp: str, at: datetime) -> str:
    if not user.totp_active:
        return ""
    if not otp:
        return "a one-time code is needed"
    secret = totp.Seal(secrets_folder(session)).open(user.totp_secret, user.username)
    step = totp.accepted_step(secret, otp, at, user.totp_last_step)
    if step is None:
        return "the one-time code is wrong"
    user.totp_last_step = step
    return ""


def _come_from(session: Session, outside: Outside, way: str) -> None:
    caller: Caller = outside.caller
    set_origin(
        session,
        Origin(authentication=way, station=caller.address, correlation_id=outside.correlation_id),
    )


def _record(session: Session, username: str, action: str, why: str, at: datetime) -> None:
    audit.append(
        session,
        audit.AuditEntry(
            actor=username[:200] or "nobody",
            action=action,
            entity_type="user",
            entity_id=username[:200],
            reason=why,
        ),
        at=at,
    )
