"""Signatures: which actions demand one at a site, an index for the last one of a person, and one
that lets no signature be copied to a second row.

The table of signatures itself, append-only and apart by tenant, is of revision 0002. Runs once per
database; never edited after a release, a new revision follows instead.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cellwright.mes.kernel.store.migrations.foundation import isolation_policies

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = "signature_demand"
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("demanded", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signature_demand")),
        sa.UniqueConstraint(
            "tenant_id",
            "site_id",
            "action",
            name=op.f("uq_signature_demand_tenant_id_site_id_action"),
        ),
    )
    op.create_index(
        op.f("ix_signature_tenant_id_signer_id_id"),
        "signature",
        ["tenant_id", "signer_id", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_signature_tenant_id_site_id_audit_chain_audit_sequence"),
        "signature",
        ["tenant_id", "site_id", "audit_chain", "audit_sequence"],
        unique=True,
    )
    if op.get_bind().dialect.name == "postgresql":
        isolation_policies.confine(TABLE)


def downgrade() -> None:
    op.drop_index(
        op.f("ix_signature_tenant_id_site_id_audit_chain_audit_sequence"), table_name="signature"
    )
    op.drop_index(op.f("ix_signature_tenant_id_signer_id_id"), table_name="signature")
    op.drop_table(TABLE)
