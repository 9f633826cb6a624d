"""History of tags: chunks of values, and how far they are thinned out.

Runs once per database; never edited after a release, a new revision follows instead.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cellwright.mes.kernel.store.migrations.foundation import isolation_policies

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = ("history_tag", "history_chunk", "history_thinned")


def upgrade() -> None:
    _create(
        "history_tag",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.UniqueConstraint("tenant_id", "site_id", "cell", "name", "type"),
    )
    _create(
        "history_chunk",
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_index(
        op.f("ix_history_chunk_tenant_id_site_id_cell_level_block_start_ns"),
        "history_chunk",
        ["tenant_id", "site_id", "cell", "level", "block", "start_ns"],
    )
    _create(
        "history_thinned",
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("tenant_id", "site_id", "cell", "level"),
    )
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            isolation_policies.confine(table)


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)


def _create(name: str, *more: sa.Column[Any] | sa.Constraint) -> None:
    op.create_table(
        name,
        sa.Column("id", KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("cell", sa.String(), nullable=False),
        *more,
        sa.PrimaryKeyConstraint("id"),
    )
