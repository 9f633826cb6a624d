"""Refusals that leave something behind, although nothing of the refused call is kept.

A wrong password must be counted and be on record, but the transaction in which it came to light is
rolled back. The dispatcher calls `OwnRecordError.keep` in a transaction of its own instead of
writing its general record of the refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from cellwright.mes.kernel.errors import Detail, MesError


class OwnRecordError(MesError):
    """A refusal with a record of its own."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Sequence[Detail] = (),
        *,
        keep: Callable[[Session], None] | None = None,
    ) -> None:
        """``keep`` writes the record; None: it is written already."""
        super().__init__(code, message, details)
        self.keep = keep
