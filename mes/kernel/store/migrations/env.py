"""Runs the revisions on the connection that `store` hands over, in its one transaction.

Alembic executes this file; it opens no connection of its own and reads no ini file.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from cellwright.mes.kernel.base import Base

connection: Connection | None = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations run through Store.open of mes.kernel.store, not by themselves")

context.configure(
    connection=connection,
    # Its naming convention names the constraints that revision 0001 leaves to it.
    target_metadata=Base.metadata,
    render_as_batch=True,
    # The store's SQLite connections begin transactions themselves, so DDL rolls back there too.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
