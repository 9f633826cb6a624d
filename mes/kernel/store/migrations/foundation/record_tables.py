"""The tables of revision 0002: counters, audit and people.

Never edited after a release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

_UTC = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AMOUNT = sa.Numeric(18, 6).with_variant(sa.BigInteger(), "sqlite")


def create_kernel() -> None:
    """The tables of `mes/kernel`."""
    op.create_table(
        "answered_request",
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("utc", _UTC, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "actor", "key", name=op.f("pk_answered_request")),
    )
    op.create_index(op.f("ix_answered_request_utc"), "answered_request", ["utc"], unique=False)
    op.create_table(
        "counter",
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_counter")),
    )


def create_audit() -> None:
    """The tables of `mes/audit`."""
    op.create_table(
        "audit_chain",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_chain")),
        sa.UniqueConstraint(
            "tenant_id", "site_id", "name", name=op.f("uq_audit_chain_tenant_id_site_id_name")
        ),
    )
    op.create_table(
        "audit_record",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("chain_id", _KEY, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("format", sa.SmallInteger(), nullable=False),
        sa.Column("utc_us", sa.BigInteger(), nullable=False),
        sa.Column("clock_quality", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("printed_name", sa.String(), nullable=False),
        sa.Column("authentication", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("entity_type", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("entity_version", sa.BigInteger(), nullable=False),
        sa.Column("old", sa.String(), nullable=False),
        sa.Column("new", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("correlation_id", sa.String(), nullable=False),
        sa.Column("application_version", sa.String(), nullable=False),
        sa.Column("prev_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id"], ["audit_chain.id"], name=op.f("fk_audit_record_chain_id_audit_chain")
        ),
        sa.PrimaryKeyConstraint("chain_id", "sequence", name=op.f("pk_audit_record")),
    )
    op.create_index(
        op.f("ix_audit_record_tenant_id_entity_type_entity_id"),
        "audit_record",
        ["tenant_id", "entity_type", "entity_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_audit_record_tenant_id_utc_us"),
        "audit_record",
        ["tenant_id", "utc_us"],
        unique=False,
    )
    op.create_table(
        "audit_tile",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("chain_id", _KEY, nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id"], ["audit_chain.id"], name=op.f("fk_audit_tile_chain_id_audit_chain")
        ),
        sa.PrimaryKeyConstraint("chain_id", "level", "position", name=op.f("pk_audit_tile")),
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("chain_id", _KEY, nullable=False),
        sa.Column("tree_size", sa.BigInteger(), nullable=False),
        sa.Column("root_hash", sa.String(), nullable=False),
        sa.Column("utc", _UTC, nullable=False),
        sa.Column("signed_text", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id"], ["audit_chain.id"], name=op.f("fk_audit_checkpoint_chain_id_audit_chain")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_checkpoint")),
    )
    op.create_index(
        op.f("ix_audit_checkpoint_tenant_id_chain_id_tree_size"),
        "audit_checkpoint",
        ["tenant_id", "chain_id", "tree_size"],
        unique=False,
    )
    op.create_table(
        "state_transition",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("entity_type", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("old", sa.String(), nullable=False),
        sa.Column("new", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("utc", _UTC, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_state_transition")),
    )
    op.create_index(
        op.f("ix_state_transition_tenant_id_entity_type_entity_id"),
        "state_transition",
        ["tenant_id", "entity_type", "entity_id"],
        unique=False,
    )


def create_people() -> None:
    """The tables of `mes/people`."""
    op.create_table(
        "tenant",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_utc", _UTC, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("name", name=op.f("uq_tenant_name")),
    )
    op.create_table(
        "site",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", _KEY, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_utc", _UTC, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_site_tenant_id_tenant")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_site_tenant_id_name")),
    )
    op.create_table(
        "user_account",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("printed_name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("roles", _JSON, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("locked_until_utc", _UTC, nullable=True),
        sa.Column("totp_secret", sa.String(), nullable=False),
        sa.Column("totp_active", sa.Boolean(), nullable=False),
        sa.Column("totp_last_step", sa.BigInteger(), nullable=False),
        sa.Column("labour_rate", _AMOUNT, nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("created_utc", _UTC, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sa.UniqueConstraint(
            "tenant_id", "username", name=op.f("uq_user_account_tenant_id_username")
        ),
    )
    op.create_table(
        "user_skill",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("skill", sa.String(), nullable=False),
        sa.Column("until_utc", _UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_user_skill_user_id_user_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_skill")),
        sa.UniqueConstraint(
            "tenant_id", "user_id", "skill", name=op.f("uq_user_skill_tenant_id_user_id_skill")
        ),
    )
    op.create_table(
        "refresh_token",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("issued_utc", _UTC, nullable=False),
        sa.Column("expires_utc", _UTC, nullable=False),
        sa.Column("used_utc", _UTC, nullable=True),
        sa.Column("ended_utc", _UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_refresh_token_user_id_user_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_token")),
        sa.UniqueConstraint(
            "tenant_id", "token_hash", name=op.f("uq_refresh_token_tenant_id_token_hash")
        ),
    )
    op.create_index(
        op.f("ix_refresh_token_tenant_id_family"),
        "refresh_token",
        ["tenant_id", "family"],
        unique=False,
    )
    op.create_table(
        "signature",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("signer_id", _KEY, nullable=False),
        sa.Column("printed_name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("meaning", sa.String(), nullable=False),
        sa.Column("utc", _UTC, nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("entity_type", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("entity_version", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("factors", sa.String(), nullable=False),
        sa.Column("continuous", sa.Boolean(), nullable=False),
        sa.Column("invalidates_id", _KEY, nullable=True),
        sa.Column("audit_chain", sa.String(), nullable=False),
        sa.Column("audit_sequence", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invalidates_id"], ["signature.id"], name=op.f("fk_signature_invalidates_id_signature")
        ),
        sa.ForeignKeyConstraint(
            ["signer_id"], ["user_account.id"], name=op.f("fk_signature_signer_id_user_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signature")),
    )
    op.create_index(
        op.f("ix_signature_tenant_id_entity_type_entity_id"),
        "signature",
        ["tenant_id", "entity_type", "entity_id"],
        unique=False,
    )
