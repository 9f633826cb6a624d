"""What every handler of journal events shares: time, audit, and events made storable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy.orm import Session

from cellwright.io.messages import AnyEvent, Event
from cellwright.mes import audit
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.text import mend, mend_key

MAX_INTEGER: Final = 2**63 - 1
"""BIGINT of both databases."""

_KEYS: Final = frozenset({"task", "part_id", "serial", "order", "station", "actor", "tag"})
"""Fields that become indexed columns."""

_NUMBERS: Final = frozenset({"module_errors", "frame"})
"""Fields that become BIGINT columns. Other numbers are recorded as JSON, which holds any."""

E = TypeVar("E", bound=Event)


def mended(event: E) -> E:
    """The event with every text and number in a form that both databases hold; see `text`."""
    changes: dict[str, Any] = {}
    for name in event.__struct_fields__:
        value: Any = getattr(event, name)
        repaired: Any
        if name in _KEYS and isinstance(value, str):
            repaired = mend_key(value)
        elif name in _NUMBERS and isinstance(value, int):
            repaired = min(max(value, -MAX_INTEGER), MAX_INTEGER)
        else:
            repaired = _mended(value)
        if repaired is not value:
            changes[name] = repaired
    return msgspec.structs.replace(event, **changes) if changes else event


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        repaired = mend(value)
        return value if repaired == value else repaired
    if isinstance(value, dict):
        return {mend(str(key)): _mended(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mended(item) for item in value]
    return value


def finite(value: float | None) -> float | None:
    """None for what is not a number; SQLite would turn it into NULL anyway."""
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class EventContext:
    """One event being consumed."""

    session: Session
    source: str
    sequence: int
    event: AnyEvent

    @cached_property
    def at(self) -> datetime:
        """When it happened, by the event's own clock."""
        return utc.from_ns(self.event.utc_ns)

    @property
    def actor(self) -> str:
        """The task that reported it."""
        return self.event.task

    @property
    def correlation_id(self) -> str:
        """The part id, or the event's place in its journal."""
        part_id = getattr(self.event, "part_id", "")
        return part_id or f"{self.source}:{self.sequence}"

    def audit(self, entity: str, entity_id: str, *, actor: str = "", reason: str = "") -> None:
        """Put the whole event on record."""
        content = msgspec.to_builtins(self.event)
        kind = content.pop("type")
        self._append(
            f"event.{kind}",
            (entity, entity_id),
            content,
            actor=actor or self.actor,
            reason=reason,
        )

    def anomaly(self, code: str, entity: str, entity_id: str, reason: str) -> None:
        """Put on record that this event should not have happened."""
        where = {"source": self.source, "sequence": self.sequence}
        self._append(f"anomaly.{code}", (entity, entity_id), where, actor=self.actor, reason=reason)

    def _append(
        self,
        action: str,
        entity: tuple[str, str],
        new: dict[str, Any],
        *,
        actor: str,
        reason: str,
    ) -> None:
        audit.append(
            self.session,
            audit.AuditEntry(
                actor=actor,
                action=action,
                entity_type=entity[0],
                entity_id=mend_key(entity[1]),
                new=new,
                reason=reason,
                correlation_id=self.correlation_id,
            ),
            at=self.at,
        )
