"""How a state machine's move is put on record: a transition row and, if wanted, an audit record."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from cellwright.mes.audit.tables import StateTransition


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
