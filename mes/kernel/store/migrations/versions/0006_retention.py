"""The retention service: what it measures ages by, and the one way to delete a row of `labour`.

Labour stays append-only but for a row whose end the audit has recorded in the same transaction.
Runs once per database; never edited after a release, a new revision follows instead.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cellwright.mes.kernel.store.migrations.foundation import isolation_policies

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLE = "retention_clock"
_RECORDED = (
    "EXISTS (SELECT 1 FROM audit_record WHERE tenant_id = OLD.tenant_id AND entity_type = 'labour' "
    "AND entity_id = CAST(OLD.id AS TEXT) AND action = 'retention.delete')"
)
_REFUSAL = "labour is append-only: DELETE refused"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("proven_utc", sa.DateTime(timezone=True), nullable=False),
        sa.Column("boot_id", sa.String(), nullable=False),
        sa.Column("up_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "site_id", name=op.f("pk_retention_clock")),
    )
    if not _postgresql():
        op.execute("DROP TRIGGER labour_no_delete")
        op.execute(
            f"CREATE TRIGGER labour_no_delete BEFORE DELETE ON labour WHEN NOT {_RECORDED} "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
        return
    isolation_policies.confine(TABLE)
    op.execute(
        "CREATE FUNCTION cellwright_delete_labour() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NOT {_RECORDED} THEN RAISE EXCEPTION '{_REFUSAL}'; END IF; "
        "RETURN OLD; END $$"
    )
    op.execute("DROP TRIGGER labour_append_only ON labour")
    op.execute(
        "CREATE TRIGGER labour_append_only BEFORE UPDATE ON labour "
        "FOR EACH ROW EXECUTE FUNCTION cellwright_append_only()"
    )
    op.execute(
        "CREATE TRIGGER labour_delete BEFORE DELETE ON labour "
        "FOR EACH ROW EXECUTE FUNCTION cellwright_delete_labour()"
    )


def downgrade() -> None:
    op.drop_table(TABLE)
    if not _postgresql():
        op.execute("DROP TRIGGER labour_no_delete")
        op.execute(
            "CREATE TRIGGER labour_no_delete BEFORE DELETE ON labour "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
        return
    op.execute("DROP TRIGGER labour_delete ON labour")
    op.execute("DROP FUNCTION cellwright_delete_labour()")
    op.execute("DROP TRIGGER labour_append_only ON labour")
    op.execute(
        "CREATE TRIGGER labour_append_only BEFORE UPDATE OR DELETE ON labour "
        "FOR EACH ROW EXECUTE FUNCTION cellwright_append_only()"
    )


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
