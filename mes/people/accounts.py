"""Users: adding, changing, finding them. Nobody is ever deleted, only made inactive.

Only administrators give roles, and the last active one stays. The audit holds what changed and
never a password or its hash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit import changes
from cellwright.mes.kernel import money, quantity
from cellwright.mes.kernel.domain_events import publish
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.text import MAX_KEY
from cellwright.mes.people import roles
from cellwright.mes.people.credentials import refresh
from cellwright.mes.people.events import UserChanged
from cellwright.mes.people.tables import User

SECRET: Final = frozenset({"password_hash", "totp_secret", "totp_last_step"})
"""Columns that no record shows."""
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


@dataclass(frozen=True, slots=True)
class Who:
    """Who does it, why and when."""

    actor: str
    reason: str
    at: datetime


def find(session: Session, username: str, *, lock: bool = False) -> User:
    """The user of that name; raises MesError ``unknown_user``."""
    statement = select(User).where(User.username == username)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    user = session.scalars(statement).one_or_none()
    if user is None:
        raise MesError("unknown_user", f"there is no user {username!r:.80}")
    return user


def create(
    session: Session,
    who: Who,
    *,
    username: str,
    password_hash: str,
    given: Sequence[str],
    printed_name: str = "",
    email: str = "",
    labour_rate: Decimal = Decimal(0),
    currency: str = money.DEFAULT_CURRENCY,
) -> User:
    """Add a user. Raises MesError ``duplicate``, ``unknown_role`` and ``invalid_request``."""
    check_name(username)
    _check_email(email)
    if session.scalar(select(User.id).where(User.username == username)) is not None:
        raise MesError(
            "duplicate",
            f"there is a user {username} already; take another name",
            [Detail("username", "is taken")],
        )
    user = User(
        username=username,
        printed_name=printed_name or username,
        email=email,
        password_hash=password_hash,
        roles=roles.names(given),
        active=True,
        failed_logins=0,
        totp_secret="",
        totp_active=False,
        totp_last_step=0,
        labour_rate=quantity.amount(labour_rate, "HUR", field="labourRate"),
        currency=money.currency(currency),
        created_utc=who.at,
    )
    session.add(user)
    session.flush()
    audit.append(session, replace(_entry(who, user, "create"), new=_shown(user)), at=who.at)
    return user


def change(session: Session, who: Who, user: User, wanted: Mapping[str, Any]) -> None:
    """Give the locked user these columns (``roles`` by any of their names).

    Raises MesError ``last_administrator``, ``unknown_role`` and ``invalid_request``.
    """
    before = _shown(user)
    was = user.active and roles.ADMINISTRATOR in user.roles
    if "roles" in wanted:
        user.roles = roles.names(wanted["roles"])
    if "email" in wanted:
        _check_email(wanted["email"])
        user.email = wanted["email"]
    if "labour_rate" in wanted:
        user.labour_rate = quantity.amount(wanted["labour_rate"], "HUR", field="labourRate")
    for name in ("printed_name", "active"):
        if name in wanted:
            setattr(user, name, wanted[name])
    _keep_an_administrator(session, user, was=was)
    _record(session, who, user, "change", before)


def set_password(session: Session, who: Who, user: User, password_hash: str) -> None:
    """Give the locked user a new password; every login of his ends."""
    user.password_hash = password_hash
    user.failed_logins, user.locked_until_utc = 0, None
    session.flush()
    refresh.end_all(session, user, who.at)
    entry = replace(_entry(who, user, "password"), entity_version=user.version)
    audit.append(session, entry, at=who.at)
    publish(session, UserChanged(user_id=user.id, username=user.username))


def import_users(
    session: Session, who: Who, entries: Mapping[str, tuple[str, Sequence[str]]]
) -> list[str]:
    """Take over users of a file: name to argon2 hash and roles. Gives the names that were new.

    Whoever is known stays as he is. A role that the MES does not know is left out; a user with
    none that it knows is taken over without rights.
    """
    known = set(session.scalars(select(User.username)))
    new = []
    for name, (password_hash, given) in sorted(entries.items()):
        if name in known:
            continue
        kept = [role for role in given if roles.known(role)]
        create(session, who, username=name, password_hash=password_hash, given=kept)
        new.append(name)
    return new


def check_name(username: str) -> None:
    """Raises MesError ``invalid_request`` for a name that nobody could type."""
    complaint = ""
    if not username or username != username.strip():
        complaint = "is empty, or has spaces around it"
    elif len(username) > MAX_KEY or not username.isprintable():
        complaint = f"must be 1 to {MAX_KEY} printable characters"
    if complaint:
        raise MesError("invalid_request", f"username {complaint}", [Detail("username", complaint)])


def _check_email(email: str) -> None:
    if email and not _EMAIL.fullmatch(email):
        raise MesError("invalid_request", "email is no address", [Detail("email", "is no address")])


def _keep_an_administrator(session: Session, user: User, *, was: bool) -> None:
    if not was or (user.active and roles.ADMINISTRATOR in user.roles):
        return
    with session.no_autoflush:
        others = session.scalars(
            select(User).where(User.active.is_(True), User.id != user.id).with_for_update()
        ).all()
    if not any(roles.ADMINISTRATOR in other.roles for other in others):
        raise MesError(
            "last_administrator",
            f"{user.username} is the last active Administrator; give another user that role first",
        )


def _shown(user: User) -> dict[str, Any]:
    return {name: value for name, value in changes.content(user).items() if name not in SECRET}


def _entry(who: Who, user: User, what: str) -> audit.AuditEntry:
    return audit.AuditEntry(
        actor=who.actor,
        action=f"user.{what}",
        entity_type="user",
        entity_id=user.username,
        entity_version=user.version or 0,
        reason=who.reason,
        correlation_id=user.username,
    )


def _record(session: Session, who: Who, user: User, what: str, before: Mapping[str, Any]) -> None:
    session.flush()
    after = _shown(user)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        entry = replace(
            _entry(who, user, what),
            old={name: before[name] for name in changed},
            new={name: after[name] for name in changed},
        )
        audit.append(session, entry, at=who.at)
        publish(session, UserChanged(user_id=user.id, username=user.username))
