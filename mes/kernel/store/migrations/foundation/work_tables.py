"""The tables of revision 0002: definitions, orders and shop floor.

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


def create_definitions() -> None:
    """The tables of `mes/definitions`."""
    op.create_table(
        "part_definition",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("part_number", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("critical", sa.Boolean(), nullable=False),
        sa.Column("serial_pattern", sa.String(), nullable=False),
        sa.Column("fields", _JSON, nullable=False),
        sa.Column("changed_utc", _UTC, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_part_definition")),
        sa.UniqueConstraint(
            "tenant_id",
            "part_number",
            "revision",
            name=op.f("uq_part_definition_tenant_id_part_number_revision"),
        ),
    )
    op.create_table(
        "unit_factor",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("part_definition_id", _KEY, nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("numerator", sa.BigInteger(), nullable=False),
        sa.Column("denominator", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "numerator > 0 AND denominator > 0", name=op.f("ck_unit_factor_positive")
        ),
        sa.ForeignKeyConstraint(
            ["part_definition_id"],
            ["part_definition.id"],
            name=op.f("fk_unit_factor_part_definition_id_part_definition"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit_factor")),
        sa.UniqueConstraint(
            "tenant_id",
            "part_definition_id",
            "unit",
            name=op.f("uq_unit_factor_tenant_id_part_definition_id_unit"),
        ),
    )
    op.create_table(
        "work_centre",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("overhead_rate", _AMOUNT, nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_centre")),
        sa.UniqueConstraint("tenant_id", "code", name=op.f("uq_work_centre_tenant_id_code")),
    )
    op.create_table(
        "routing",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("part_definition_id", _KEY, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_utc", _UTC, nullable=False),
        sa.ForeignKeyConstraint(
            ["part_definition_id"],
            ["part_definition.id"],
            name=op.f("fk_routing_part_definition_id_part_definition"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing")),
        sa.UniqueConstraint(
            "tenant_id",
            "part_definition_id",
            "revision",
            name=op.f("uq_routing_tenant_id_part_definition_id_revision"),
        ),
    )
    op.create_table(
        "routing_operation",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("routing_id", _KEY, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("sequential", sa.Boolean(), nullable=False),
        sa.Column("inspection_required", sa.Boolean(), nullable=False),
        sa.Column("work_centre_id", _KEY, nullable=True),
        sa.Column("setup_s", _AMOUNT, nullable=False),
        sa.Column("run_s", _AMOUNT, nullable=False),
        sa.Column("required_skill", sa.String(), nullable=False),
        sa.Column("quality_critical", sa.Boolean(), nullable=False),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_routing_operation_sequence")),
        sa.ForeignKeyConstraint(
            ["routing_id"], ["routing.id"], name=op.f("fk_routing_operation_routing_id_routing")
        ),
        sa.ForeignKeyConstraint(
            ["work_centre_id"],
            ["work_centre.id"],
            name=op.f("fk_routing_operation_work_centre_id_work_centre"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_operation")),
        sa.UniqueConstraint(
            "tenant_id",
            "routing_id",
            "sequence",
            name=op.f("uq_routing_operation_tenant_id_routing_id_sequence"),
        ),
    )
    op.create_table(
        "bom",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("part_definition_id", _KEY, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_utc", _UTC, nullable=False),
        sa.ForeignKeyConstraint(
            ["part_definition_id"],
            ["part_definition.id"],
            name=op.f("fk_bom_part_definition_id_part_definition"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bom")),
        sa.UniqueConstraint(
            "tenant_id",
            "part_definition_id",
            "revision",
            name=op.f("uq_bom_tenant_id_part_definition_id_revision"),
        ),
    )
    op.create_table(
        "bom_line",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("bom_id", _KEY, nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("component_id", _KEY, nullable=False),
        sa.Column("quantity", _AMOUNT, nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_bom_line_quantity")),
        sa.ForeignKeyConstraint(["bom_id"], ["bom.id"], name=op.f("fk_bom_line_bom_id_bom")),
        sa.ForeignKeyConstraint(
            ["component_id"],
            ["part_definition.id"],
            name=op.f("fk_bom_line_component_id_part_definition"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bom_line")),
        sa.UniqueConstraint(
            "tenant_id", "bom_id", "line", name=op.f("uq_bom_line_tenant_id_bom_id_line")
        ),
    )
    op.create_table(
        "engineering_change",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("part_definition_id", _KEY, nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_utc", _UTC, nullable=False),
        sa.Column("released_utc", _UTC, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["part_definition_id"],
            ["part_definition.id"],
            name=op.f("fk_engineering_change_part_definition_id_part_definition"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_engineering_change")),
        sa.UniqueConstraint(
            "tenant_id", "number", name=op.f("uq_engineering_change_tenant_id_number")
        ),
    )
    op.create_index(
        op.f("ix_engineering_change_tenant_id_part_definition_id"),
        "engineering_change",
        ["tenant_id", "part_definition_id"],
        unique=False,
    )


def create_orders() -> None:
    """The tables of `mes/orders`."""
    op.create_table(
        "work_order",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("job_order_id", sa.String(), nullable=False),
        sa.Column("part_definition_id", _KEY, nullable=False),
        sa.Column("routing_id", _KEY, nullable=True),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("customer_order", sa.String(), nullable=False),
        sa.Column("target_date", sa.Date(), nullable=True),
        sa.Column("quantity", _AMOUNT, nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("quantity_counts", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("parameters", _JSON, nullable=False),
        sa.Column("part_version", sa.Integer(), nullable=False),
        sa.Column("serial_pattern", sa.String(), nullable=False),
        sa.Column("fields", _JSON, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("held_by", sa.String(), nullable=False),
        sa.Column("reserved", _AMOUNT, nullable=False),
        sa.Column("good", _AMOUNT, nullable=False),
        sa.Column("rejected", _AMOUNT, nullable=False),
        sa.Column("planned_start_utc", _UTC, nullable=True),
        sa.Column("planned_end_utc", _UTC, nullable=True),
        sa.Column("created_utc", _UTC, nullable=False),
        sa.Column("started_utc", _UTC, nullable=True),
        sa.Column("ended_utc", _UTC, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc",
            name=op.f("ck_work_order_end_after_start"),
        ),
        sa.CheckConstraint(
            "good >= 0 AND rejected >= 0 AND reserved >= 0", name=op.f("ck_work_order_counters")
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_work_order_quantity")),
        sa.ForeignKeyConstraint(
            ["part_definition_id"],
            ["part_definition.id"],
            name=op.f("fk_work_order_part_definition_id_part_definition"),
        ),
        sa.ForeignKeyConstraint(
            ["routing_id"], ["routing.id"], name=op.f("fk_work_order_routing_id_routing")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_order")),
        sa.UniqueConstraint(
            "tenant_id", "job_order_id", name=op.f("uq_work_order_tenant_id_job_order_id")
        ),
        sa.UniqueConstraint("tenant_id", "number", name=op.f("uq_work_order_tenant_id_number")),
    )
    op.create_index(
        op.f("ix_work_order_tenant_id_part_definition_id"),
        "work_order",
        ["tenant_id", "part_definition_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_work_order_tenant_id_state_priority"),
        "work_order",
        ["tenant_id", "state", "priority"],
        unique=False,
    )
    op.create_table(
        "operation",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", _KEY, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("sequential", sa.Boolean(), nullable=False),
        sa.Column("inspection_required", sa.Boolean(), nullable=False),
        sa.Column("work_centre_id", _KEY, nullable=True),
        sa.Column("setup_s", _AMOUNT, nullable=False),
        sa.Column("run_s", _AMOUNT, nullable=False),
        sa.Column("required_skill", sa.String(), nullable=False),
        sa.Column("quality_critical", sa.Boolean(), nullable=False),
        sa.Column("rework_of", sa.Integer(), nullable=True),
        sa.Column("return_to", sa.Integer(), nullable=True),
        sa.Column("offered", _AMOUNT, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("good", _AMOUNT, nullable=False),
        sa.Column("scrap", _AMOUNT, nullable=False),
        sa.Column("rework", _AMOUNT, nullable=False),
        sa.Column("equipment", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("started_utc", _UTC, nullable=True),
        sa.Column("ended_utc", _UTC, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "ended_utc IS NULL OR started_utc IS NULL OR ended_utc >= started_utc",
            name=op.f("ck_operation_end_after_start"),
        ),
        sa.CheckConstraint(
            "good >= 0 AND scrap >= 0 AND rework >= 0", name=op.f("ck_operation_counters")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_order.id"], name=op.f("fk_operation_order_id_work_order")
        ),
        sa.ForeignKeyConstraint(
            ["work_centre_id"],
            ["work_centre.id"],
            name=op.f("fk_operation_work_centre_id_work_centre"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
        sa.UniqueConstraint(
            "tenant_id",
            "order_id",
            "sequence",
            name=op.f("uq_operation_tenant_id_order_id_sequence"),
        ),
    )
    op.create_table(
        "labour",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", _KEY, nullable=False),
        sa.Column("operation_id", _KEY, nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("started_utc", _UTC, nullable=False),
        sa.Column("ended_utc", _UTC, nullable=False),
        sa.Column("labour_rate", _AMOUNT, nullable=False),
        sa.Column("overhead_rate", _AMOUNT, nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operation.id"], name=op.f("fk_labour_operation_id_operation")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_order.id"], name=op.f("fk_labour_order_id_work_order")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labour")),
    )
    op.create_index(
        op.f("ix_labour_tenant_id_order_id"), "labour", ["tenant_id", "order_id"], unique=False
    )


def create_shopfloor() -> None:
    """The tables of `mes/shopfloor`."""
    op.create_table(
        "unit",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("cell", sa.String(), nullable=False),
        sa.Column("part_id", sa.String(), nullable=False),
        sa.Column("order_id", _KEY, nullable=True),
        sa.Column("refusal", sa.String(), nullable=False),
        sa.Column("inspection_verdict", sa.String(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recovered", sa.Boolean(), nullable=False),
        sa.Column("arrived_utc", _UTC, nullable=False),
        sa.Column("released_utc", _UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_order.id"], name=op.f("fk_unit_order_id_work_order")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit")),
        sa.UniqueConstraint(
            "tenant_id", "cell", "part_id", name=op.f("uq_unit_tenant_id_cell_part_id")
        ),
    )
    op.create_index(
        op.f("ix_unit_tenant_id_order_id_verdict"),
        "unit",
        ["tenant_id", "order_id", "verdict"],
        unique=False,
    )
    op.create_table(
        "serial",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("unit_id", _KEY, nullable=False),
        sa.Column("order_id", _KEY, nullable=True),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reserved_utc", _UTC, nullable=False),
        sa.Column("assigned_utc", _UTC, nullable=True),
        sa.Column("spent_utc", _UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_order.id"], name=op.f("fk_serial_order_id_work_order")
        ),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_serial_unit_id_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_serial")),
        sa.UniqueConstraint("tenant_id", "serial", name=op.f("uq_serial_tenant_id_serial")),
        sa.UniqueConstraint("tenant_id", "unit_id", name=op.f("uq_serial_tenant_id_unit_id")),
    )
    op.create_index(
        op.f("ix_serial_tenant_id_order_id"), "serial", ["tenant_id", "order_id"], unique=False
    )
    op.create_table(
        "mark",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("unit_id", _KEY, nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("authorised_utc", _UTC, nullable=True),
        sa.Column("completed_utc", _UTC, nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("duration_ms", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_mark_unit_id_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mark")),
    )
    op.create_index(op.f("ix_mark_tenant_id_serial"), "mark", ["tenant_id", "serial"], unique=False)
    op.create_index(
        op.f("ix_mark_tenant_id_unit_id"), "mark", ["tenant_id", "unit_id"], unique=False
    )
    op.create_table(
        "inspection",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("unit_id", _KEY, nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("expected", sa.String(), nullable=False),
        sa.Column("read", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("unused_error_correction", sa.Float(), nullable=True),
        sa.Column("module_errors", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.Float(), nullable=True),
        sa.Column("frame", sa.BigInteger(), nullable=False),
        sa.Column("inspected_utc", _UTC, nullable=False),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_inspection_unit_id_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspection")),
    )
    op.create_index(
        op.f("ix_inspection_tenant_id_unit_id"),
        "inspection",
        ["tenant_id", "unit_id"],
        unique=False,
    )
    op.create_table(
        "inbox_position",
        sa.Column("site_id", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "source", name=op.f("pk_inbox_position")),
    )
