"""Refresh tokens and the logins that they belong to.

A token is 256 random bits, behind the key of its tenant, under which alone it can be looked up;
only its SHA-256 is stored. Each is exchanged once; a second time means that two hold it, and ends
the whole login.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from cellwright.mes.kernel.domain_events import publish
from cellwright.mes.kernel.scope import scope_of
from cellwright.mes.people.events import LoginEnded
from cellwright.mes.people.tables import RefreshToken, User

LIFE: Final = timedelta(days=30)
_SHAPE: Final = re.compile(r"([1-9][0-9]{0,17})\.[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What became of a token that was handed in."""

    row: RefreshToken | None
    """None: nobody has issued it."""
    problem: str = ""
    """``expired``, ``ended`` or ``used before``; empty: it was exchanged."""


def tenant_of(token: str) -> int | None:
    """The tenant that the token names; None for what cannot be one of ours."""
    found = _SHAPE.fullmatch(token)
    return int(found[1]) if found else None


def issue(session: Session, user: User, login: str, at: datetime) -> str:
    """A new token of the login."""
    token = f"{scope_of(session).tenant_id}.{secrets.token_urlsafe(32)}"
    session.add(
        RefreshToken(
            user_id=user.id,
            family=login,
            token_hash=_hash(token),
            issued_utc=at,
            expires_utc=at + LIFE,
        )
    )
    session.flush()
    return token


def exchange(session: Session, token: str, at: datetime) -> Exchange:
    """Use the token up. A second use ends its login, which the caller must commit."""
    row = session.scalars(
        select(RefreshToken)
        .where(RefreshToken.token_hash == _hash(token))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        return Exchange(None)
    if row.ended_utc is not None:
        return Exchange(row, "ended")
    if row.used_utc is not None:
        end(session, row.family, at)
        return Exchange(row, "used before")
    if at >= row.expires_utc:
        return Exchange(row, "expired")
    row.used_utc = at
    session.flush()
    return Exchange(row)


def end(session: Session, login: str, at: datetime) -> bool:
    """End the login; False when it had ended."""
    ended = session.execute(
        update(RefreshToken)
        .where(RefreshToken.family == login, RefreshToken.ended_utc.is_(None))
        .values(ended_utc=at)
        .returning(RefreshToken.id)
        .execution_options(synchronize_session=False)
    ).all()
    if ended:
        publish(session, LoginEnded(login=login))
    return bool(ended)


def end_all(session: Session, user: User, at: datetime) -> None:
    """End every login of the user."""
    families = session.scalars(
        select(RefreshToken.family)
        .where(RefreshToken.user_id == user.id, RefreshToken.ended_utc.is_(None))
        .distinct()
    ).all()
    for family in families:
        end(session, family, at)


def forget_expired(session: Session, user: User, at: datetime) -> None:
    """Remove the user's rows that can no longer be asked for."""
    session.execute(
        delete(RefreshToken)
        .where(RefreshToken.user_id == user.id, RefreshToken.expires_utc < at - timedelta(days=1))
        .execution_options(synchronize_session=False)
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
