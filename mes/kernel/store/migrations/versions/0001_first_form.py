"""First form: master data, work orders, parts, serials, marks, inspections, audit chain.

Runs once per database; never edited after a release, a new revision follows instead.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UTC = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

APPEND_ONLY = ("audit_record", "state_transition")


def upgrade() -> None:
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_head_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "audit_record",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("utc_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("entity_type", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("entity_version", sa.Integer(), nullable=False),
        sa.Column("old", sa.String(), nullable=False),
        sa.Column("new", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("correlation_id", sa.String(), nullable=False),
        sa.Column("prev_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_record")),
    )
    op.create_index(
        op.f("ix_audit_record_entity_type_entity_id"),
        "audit_record",
        ["entity_type", "entity_id"],
        unique=False,
    )
    op.create_table(
        "counter",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "inbox_position",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_inbox_position")),
    )
    op.create_table(
        "part_definition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("part_number", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("serial_pattern", sa.String(), nullable=False),
        sa.Column("fields", _JSON, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_utc", _UTC, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_part_definition")),
        sa.UniqueConstraint(
            "part_number", "revision", name=op.f("uq_part_definition_part_number_revision")
        ),
    )
    op.create_table(
        "state_transition",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
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
        op.f("ix_state_transition_entity_type_entity_id"),
        "state_transition",
        ["entity_type", "entity_id"],
        unique=False,
    )
    op.create_table(
        "routing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("part_definition_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["part_definition_id"],
            ["part_definition.id"],
            name=op.f("fk_routing_part_definition_id_part_definition"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing")),
        sa.UniqueConstraint("part_definition_id", name=op.f("uq_routing_part_definition_id")),
    )
    op.create_table(
        "work_order",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("job_order_id", sa.String(), nullable=False),
        sa.Column("part_definition_id", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column(
            "quantity_counts",
            sa.Enum(
                "attempted",
                "good",
                name="quantity_counts",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("parameters", _JSON, nullable=False),
        sa.Column("part_version", sa.Integer(), nullable=False),
        sa.Column("serial_pattern", sa.String(), nullable=False),
        sa.Column("fields", _JSON, nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "CREATED",
                "RELEASED",
                "READY",
                "RUNNING",
                "HELD",
                "SUSPENDED",
                "COMPLETED",
                "CLOSED",
                "CANCELLED",
                "ABORTED",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("good", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("planned_start_utc", _UTC, nullable=True),
        sa.Column("planned_end_utc", _UTC, nullable=True),
        sa.Column("created_utc", _UTC, nullable=False),
        sa.Column("started_utc", _UTC, nullable=True),
        sa.Column("ended_utc", _UTC, nullable=True),
        sa.CheckConstraint(
            "ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc",
            name=op.f("ck_work_order_end_after_start"),
        ),
        sa.CheckConstraint(
            "good >= 0 AND rejected >= 0 AND good + rejected <= reserved",
            name=op.f("ck_work_order_counters"),
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_work_order_quantity")),
        sa.ForeignKeyConstraint(
            ["part_definition_id"],
            ["part_definition.id"],
            name=op.f("fk_work_order_part_definition_id_part_definition"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_order")),
        sa.UniqueConstraint("job_order_id", name=op.f("uq_work_order_job_order_id")),
        sa.UniqueConstraint("number", name=op.f("uq_work_order_number")),
    )
    op.create_index(
        op.f("ix_work_order_state_priority"), "work_order", ["state", "priority"], unique=False
    )
    op.create_table(
        "operation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "mark",
                "inspect",
                "manual",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("sequential", sa.Boolean(), nullable=False),
        sa.Column("inspection_required", sa.Boolean(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "WAITING",
                "RUNNING",
                "COMPLETED",
                "STOPPED",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("started_utc", _UTC, nullable=True),
        sa.Column("ended_utc", _UTC, nullable=True),
        sa.CheckConstraint(
            "ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc",
            name=op.f("ck_operation_end_after_start"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_order.id"], name=op.f("fk_operation_order_id_work_order")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
        sa.UniqueConstraint("order_id", "sequence", name=op.f("uq_operation_order_id_sequence")),
    )
    op.create_table(
        "routing_operation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("routing_id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "mark",
                "inspect",
                "manual",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("sequential", sa.Boolean(), nullable=False),
        sa.Column("inspection_required", sa.Boolean(), nullable=False),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_routing_operation_sequence")),
        sa.ForeignKeyConstraint(
            ["routing_id"], ["routing.id"], name=op.f("fk_routing_operation_routing_id_routing")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_operation")),
        sa.UniqueConstraint(
            "routing_id", "sequence", name=op.f("uq_routing_operation_routing_id_sequence")
        ),
    )
    op.create_table(
        "unit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("part_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=True),
        sa.Column("refusal", sa.String(), nullable=False),
        sa.Column("inspection_verdict", sa.String(), nullable=True),
        sa.Column(
            "verdict",
            sa.Enum(
                "good",
                "rejected",
                name="verdict",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=True,
        ),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recovered", sa.Boolean(), nullable=False),
        sa.Column("arrived_utc", _UTC, nullable=False),
        sa.Column("released_utc", _UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_order.id"], name=op.f("fk_unit_order_id_work_order")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit")),
        sa.UniqueConstraint("part_id", name=op.f("uq_unit_part_id")),
    )
    op.create_index(op.f("ix_unit_order_id_verdict"), "unit", ["order_id", "verdict"], unique=False)
    op.create_table(
        "inspection",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("expected", sa.String(), nullable=False),
        sa.Column("read", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("unused_error_correction", sa.Double(), nullable=True),
        sa.Column("module_errors", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.Double(), nullable=True),
        sa.Column("frame", sa.BigInteger(), nullable=False),
        sa.Column("inspected_utc", _UTC, nullable=False),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_inspection_unit_id_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspection")),
    )
    op.create_index(op.f("ix_inspection_unit_id"), "inspection", ["unit_id"], unique=False)
    op.create_table(
        "mark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("authorised_utc", _UTC, nullable=True),
        sa.Column("completed_utc", _UTC, nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_mark_unit_id_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mark")),
    )
    op.create_index(op.f("ix_mark_serial"), "mark", ["serial"], unique=False)
    op.create_index(op.f("ix_mark_unit_id"), "mark", ["unit_id"], unique=False)
    op.create_table(
        "serial",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=True),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "RESERVED",
                "ASSIGNED",
                "SPENT",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("reserved_utc", _UTC, nullable=False),
        sa.Column("assigned_utc", _UTC, nullable=True),
        sa.Column("spent_utc", _UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_order.id"], name=op.f("fk_serial_order_id_work_order")
        ),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_serial_unit_id_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_serial")),
        sa.UniqueConstraint("serial", name=op.f("uq_serial_serial")),
        sa.UniqueConstraint("unit_id", name=op.f("uq_serial_unit_id")),
    )
    op.create_index(op.f("ix_serial_order_id"), "serial", ["order_id"], unique=False)

    # The chain begins with a head that has seen no record (see audit.GENESIS).
    op.execute(f"INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, '{'0' * 64}')")
    if op.get_bind().dialect.name == "postgresql":
        _refuse_changes_postgresql()
    else:
        _refuse_changes_sqlite()


def _refuse_changes_postgresql() -> None:
    op.execute(
        """
        CREATE FUNCTION cellwright_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP;
        END $$
        """
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION cellwright_append_only()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION cellwright_append_only()"
        )


def _refuse_changes_sqlite() -> None:
    for table in APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: {action} refused'); END"
            )
    # INSERT OR REPLACE deletes without firing the delete trigger.
    for table, key in (("audit_record", "sequence"), ("state_transition", "id")):
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: REPLACE refused'); END"
        )


def downgrade() -> None:
    op.drop_index(op.f("ix_serial_order_id"), table_name="serial")
    op.drop_table("serial")
    op.drop_index(op.f("ix_mark_unit_id"), table_name="mark")
    op.drop_index(op.f("ix_mark_serial"), table_name="mark")
    op.drop_table("mark")
    op.drop_index(op.f("ix_inspection_unit_id"), table_name="inspection")
    op.drop_table("inspection")
    op.drop_index(op.f("ix_unit_order_id_verdict"), table_name="unit")
    op.drop_table("unit")
    op.drop_table("routing_operation")
    op.drop_table("operation")
    op.drop_index(op.f("ix_work_order_state_priority"), table_name="work_order")
    op.drop_table("work_order")
    op.drop_table("routing")
    op.drop_index(op.f("ix_state_transition_entity_type_entity_id"), table_name="state_transition")
    op.drop_table("state_transition")
    op.drop_table("part_definition")
    op.drop_table("inbox_position")
    op.drop_table("counter")
    op.drop_index(op.f("ix_audit_record_entity_type_entity_id"), table_name="audit_record")
    op.drop_table("audit_record")
    op.drop_table("audit_head")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION cellwright_append_only()")
