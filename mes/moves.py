"""How a state machine's move is put on record: a transition row and, if wanted, an audit record."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

from cellwright.mes.models import StateTransition


def record(
    session: Session,
    entity: tuple[str, str],
    event: str,
    old: StrEnum | str,
    new: StrEnum | str,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """Add the row of one move; ``entity`` is type and id (``work_order``, ``WO-2026-000001``)."""
    session.add(
        StateTransition(
            entity_type=entity[0],
            entity_id=entity[1],
            event=str(event),
            old=str(old),
            new=str(new),
            actor=actor,
            reason=reason,
            utc=at,
        )
    )


def next_number(session: Session, counter: str) -> int:
    """Count up a named counter by one, from 1; concurrent callers never get the same number."""
    value = session.execute(
        text(
            "INSERT INTO counter (name, value) VALUES (:name, 1) "
            "ON CONFLICT (name) DO UPDATE SET value = counter.value + 1 RETURNING value"
        ),
        {"name": counter},
    ).scalar_one()
    return int(value)
