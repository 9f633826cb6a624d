"""What the orders ask about a person: skills, and what an hour costs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from cellwright.mes.kernel.money import Money
from cellwright.mes.people.tables import User, UserSkill


def has_skill(session: Session, username: str, skill: str, at: datetime) -> bool:
    """True when the person is certified for the skill at that time."""
    found = session.scalar(
        select(UserSkill.id)
        .join(User, User.id == UserSkill.user_id)
        .where(
            User.username == username,
            UserSkill.skill == skill,
            or_(UserSkill.until_utc.is_(None), UserSkill.until_utc >= at),
        )
    )
    return found is not None


def hourly_rate(session: Session, username: str) -> Money:
    """What an hour of the person costs; nothing for somebody whom the MES does not know."""
    row = session.execute(
        select(User.labour_rate, User.currency).where(User.username == username)
    ).one_or_none()
    return Money(row[0], row[1]) if row is not None else Money(Decimal(0))
