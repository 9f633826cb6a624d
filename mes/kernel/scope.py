"""Whose records a session sees and writes: tenant and site, and the cell that it records for.

Every session of a store has a scope. Rows of other tenants do not exist for it: on PostgreSQL by
row-level security, on SQLite by a criterion that is added to every statement of the ORM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy.orm import Session

SCOPE_KEY: Final = "cellwright_scope"
"""Key of the scope in `Session.info`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The tenant and site of a session."""

    tenant_id: int = 1
    """Key of the tenant; 1 is the one that every database begins with."""
    site_id: int = 1
    """Key of the site; 1 is the one that every database begins with."""
    cell: str = ""
    """Name of the cell whose journal is consumed; empty when people or systems act."""

    @property
    def chain(self) -> str:
        """Name of the audit chain that such a session writes to.

        A cell and the people of a site have chains of their own, so that they do not wait for each
        other.
        """
        return f"cell/{self.cell}" if self.cell else "people"


DEFAULT_SCOPE: Final = Scope()


def scope_of(session: Session) -> Scope:
    """The scope that the session was begun with. Raises KeyError for a session without one."""
    return cast(Scope, session.info[SCOPE_KEY])
