"""What the definitions tell the rooms above; see `kernel.domain_events`."""

from __future__ import annotations

from typing import ClassVar

from cellwright.mes.kernel.domain_events import DomainEvent


class PartChanged(DomainEvent, frozen=True, kw_only=True):
    """An engineering change of a part is on record; it holds the part's orders."""

    topic: ClassVar[str] = "engineering-change-opened"

    change: str
    """EC-YYYY-NNNNNN."""
    part_definition_id: int
    actor: str
    reason: str
