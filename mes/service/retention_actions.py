"""The action behind ``cellwright mes retention run``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from cellwright.mes.kernel.actions import (
    Access,
    Action,
    Closed,
    Command,
    Detached,
    Outside,
    Request,
    View,
)
from cellwright.mes.service import retention

_MACHINE: Final = Closed("records are deleted by the service itself and at its machine only")


class RunRetention(Request, frozen=True, kw_only=True):
    """How."""

    dry_run: bool = False
    """Only count what would be deleted."""
    trust_clock: bool = False
    """The computer's clock was looked at and is right; time in which it was off counts, too."""


class DeletedRows(View, frozen=True, kw_only=True):
    """Rows of one table."""

    table: str
    rows: int


class RetentionView(View, frozen=True, kw_only=True):
    """What a run deleted, or would have."""

    measured_at: datetime
    """The time that ages were measured by; never later than it is for sure."""
    dry_run: bool
    deleted: list[DeletedRows]


def _run(outside: Outside, request: RunRetention) -> RetentionView:
    done = retention.run(
        outside.store,
        outside.caller.username,
        scope=outside.caller.scope,
        dry=request.dry_run,
        trust_clock=request.trust_clock,
    )
    return RetentionView(
        measured_at=done.proven,
        dry_run=request.dry_run,
        deleted=[DeletedRows(table=name, rows=count) for name, count in sorted(done.rows.items())],
    )


ACTIONS: Final[tuple[Action[Any, Any], ...]] = (
    Action(
        name="retention.run",
        summary="Delete the records that have been kept as long as their class says.",
        request=RunRetention,
        answer=RetentionView,
        permission=Access.ADMINISTRATOR,
        entity="retention",
        run=Detached(_run),
        rest=_MACHINE,
        opcua=_MACHINE,
        command=Command("retention", "run"),
    ),
)
