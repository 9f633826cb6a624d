"""Foundation: tenants, people, quantities, revisions, several audit chains.

Takes over everything that a database of revision 0001 holds. Its one audit chain becomes the chain
``people`` of the default site and goes on verifying. Runs once per database; never edited after a
release, a new revision follows instead.
"""

from __future__ import annotations

import importlib

import sqlalchemy as sa
from alembic import op
from alembic.util.exc import CommandError

from cellwright.mes.kernel.store.migrations.foundation import (
    isolation_policies,
    record_tables,
    work_tables,
)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OLD = (
    "audit_head", "audit_record", "counter", "inbox_position", "part_definition",
    "state_transition", "routing", "work_order", "operation", "routing_operation", "unit",
    "inspection", "mark", "serial",
)  # fmt: skip
APPEND_ONLY = ("audit_record", "state_transition", "audit_checkpoint", "signature", "labour")
KEYS = {"audit_record": ("chain_id", "sequence")}
"""Key columns of the append-only tables that have no ``id``."""

NEW = (
    "answered_request", "counter", "audit_chain", "audit_record", "audit_tile", "audit_checkpoint",
    "state_transition", "tenant", "site", "user_account", "user_skill", "refresh_token",
    "signature", "part_definition", "unit_factor", "work_centre", "routing", "routing_operation",
    "bom", "bom_line", "engineering_change", "work_order", "operation", "labour", "unit", "serial",
    "mark", "inspection", "inbox_position",
)  # fmt: skip
FIRST_FORM = "cellwright.mes.kernel.store.migrations.versions.0001_first_form"

GIVEN_BACK = {
    "audit_record": "sequence utc_us actor action entity_type entity_id entity_version old new "
    "reason correlation_id prev_hash hash",
    "counter": "name value",
    "inbox_position": "source sequence",
    "state_transition": "id entity_type entity_id event old new actor reason utc",
    "part_definition": "id part_number revision description serial_pattern fields version "
    "changed_utc",
    "routing": "id part_definition_id",
    "routing_operation": "id routing_id sequence name kind station sequential inspection_required",
}
PARTS_GIVEN_BACK = {
    "unit": "id part_id order_id refusal inspection_verdict verdict reason recovered arrived_utc "
    "released_utc",
    "inspection": "id unit_id serial station expected read verdict reason unused_error_correction "
    "module_errors duration_ms frame inspected_utc",
    "mark": "id unit_id serial station device template content authorised_utc completed_utc "
    "outcome detail duration_ms",
    "serial": "id serial unit_id order_id station state reserved_utc assigned_utc spent_utc",
}

SCOPE = {"tenant_id": "1", "site_id": "1"}
NO_WORK_CENTRE = {
    "work_centre_id": "NULL",
    "setup_s": "0",
    "run_s": "0",
    "required_skill": "''",
    "quality_critical": "FALSE",
}


def upgrade() -> None:
    _drop_triggers()
    _rename(OLD, "old_")
    record_tables.create_kernel()
    record_tables.create_audit()
    record_tables.create_people()
    work_tables.create_definitions()
    work_tables.create_orders()
    work_tables.create_shopfloor()
    _begin_scope()
    _take_over()
    for table in reversed(OLD):
        op.drop_table(f"old_{table}")
    _number_on()
    _refuse_changes()
    if _postgresql():
        isolation_policies.create_policies()


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _begin_scope() -> None:
    now = "CURRENT_TIMESTAMP" if _postgresql() else "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    op.execute(f"INSERT INTO tenant (id, name, created_utc) VALUES (1, 'default', {now})")
    op.execute(
        f"INSERT INTO site (id, tenant_id, name, created_utc) VALUES (1, 1, 'default', {now})"
    )
    if _postgresql():
        op.execute("ALTER SEQUENCE tenant_id_seq RESTART WITH 2")
        op.execute("ALTER SEQUENCE site_id_seq RESTART WITH 2")
        op.execute("ALTER SEQUENCE audit_chain_id_seq RESTART WITH 2")


def _copy(table: str, same: str, **computed: str) -> None:
    """Fill the new table from the old one: columns as they are, and computed ones."""
    columns = {name: f"o.{name}" for name in same.split()} | SCOPE | computed
    op.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {', '.join(columns.values())} FROM old_{table} AS o"
    )


def _amount(name: str) -> str:
    """A number of pieces as a column of six decimals holds it."""
    return f"o.{name}" if _postgresql() else f"o.{name} * 1000000"


def _take_over() -> None:
    op.execute(
        "INSERT INTO audit_chain (id, tenant_id, site_id, name, sequence, hash) "
        "SELECT 1, 1, 1, 'people', sequence, hash FROM old_audit_head"
    )
    _copy(
        "audit_record",
        "sequence utc_us actor action entity_type entity_id entity_version old new reason "
        "correlation_id prev_hash hash",
        chain_id="1",
        format="1",
        clock_quality="''",
        station="''",
        printed_name="''",
        authentication="''",
        session="''",
        application_version="''",
    )
    _copy("counter", "name value")
    _copy("inbox_position", "source sequence")
    _copy("state_transition", "id entity_type entity_id event old new actor reason utc")
    _copy(
        "part_definition",
        "id part_number revision description serial_pattern fields version changed_utc",
        unit="'C62'",
        critical="FALSE",
    )
    op.execute(
        "INSERT INTO routing (id, tenant_id, site_id, part_definition_id, revision, created_utc) "
        "SELECT o.id, 1, 1, o.part_definition_id, 1, p.changed_utc FROM old_routing AS o "
        "JOIN old_part_definition AS p ON p.id = o.part_definition_id"
    )
    _copy(
        "routing_operation",
        "id routing_id sequence name kind station sequential inspection_required",
        **NO_WORK_CENTRE,
    )
    _take_over_orders()
    _take_over_parts()


def _take_over_orders() -> None:
    _copy(
        "work_order",
        "id number job_order_id part_definition_id description quantity_counts priority parameters "
        "part_version serial_pattern fields state version planned_start_utc planned_end_utc "
        "created_utc started_utc ended_utc",
        routing_id="(SELECT r.id FROM old_routing AS r "
        "WHERE r.part_definition_id = o.part_definition_id)",
        customer_order="''",
        unit="'C62'",
        held_by="''",
        quantity=_amount("quantity"),
        reserved=_amount("reserved"),
        good=_amount("good"),
        rejected=_amount("rejected"),
    )
    _copy(
        "operation",
        "id order_id sequence name kind station sequential inspection_required state started_utc "
        "ended_utc",
        **NO_WORK_CENTRE,
        offered="0",
        good=_amount("done"),
        scrap="0",
        rework="0",
        equipment="''",
        person="''",
        version="1",
    )


def _take_over_parts() -> None:
    _copy(
        "unit",
        "id part_id order_id refusal inspection_verdict verdict reason recovered arrived_utc "
        "released_utc",
        cell="''",
    )
    _copy("serial", "id serial unit_id order_id station state reserved_utc assigned_utc spent_utc")
    _copy(
        "mark",
        "id unit_id serial station device template content authorised_utc completed_utc outcome "
        "detail duration_ms",
    )
    _copy(
        "inspection",
        "id unit_id serial station expected read verdict reason unused_error_correction "
        "module_errors duration_ms frame inspected_utc",
    )


def downgrade() -> None:
    _refuse_loss()
    if _postgresql():
        isolation_policies.drop_policies()
    _drop_triggers()
    if _postgresql():
        op.execute("DROP FUNCTION cellwright_append_only()")
    _rename(NEW, "old_")
    importlib.import_module(FIRST_FORM).upgrade()
    _give_back()
    for table in reversed(NEW):
        op.drop_table(f"old_{table}")
    _number_on()


def _refuse_loss() -> None:
    """What revision 0001 cannot hold must not be lost by going back to it."""
    bind = op.get_bind()
    if _postgresql():
        bind.execute(sa.text("SELECT set_config('cellwright.tenant', '1', true)"))
    for what, count in (
        ("records of the audit that were written since", "audit_record WHERE format <> 1"),
        ("users", "user_account"),
        ("tenants beside the first", "tenant WHERE id <> 1"),
        ("parts of several cells", "unit WHERE cell <> ''"),
    ):
        found = bind.scalar(sa.text(f"SELECT count(*) FROM {count}"))
        if found:
            raise CommandError(
                f"revision 0001 has no place for {found} {what}; restore the copy that was made "
                "before the update instead"
            )


def _give_back() -> None:
    whole = "CAST(o.{0} AS INTEGER)" if _postgresql() else "o.{0} / 1000000"
    op.execute("DELETE FROM audit_head")
    op.execute(
        "INSERT INTO audit_head (id, sequence, hash) SELECT 1, sequence, hash FROM old_audit_chain "
        "WHERE name = 'people'"
    )
    for table, columns in GIVEN_BACK.items():
        _return(table, columns)
    _return(
        "work_order",
        "id number job_order_id part_definition_id description quantity_counts priority parameters "
        "part_version serial_pattern fields state version planned_start_utc planned_end_utc "
        "created_utc started_utc ended_utc",
        **{name: whole.format(name) for name in ("quantity", "reserved", "good", "rejected")},
    )
    _return(
        "operation",
        "id order_id sequence name kind station sequential inspection_required state started_utc "
        "ended_utc",
        done=whole.format("good"),
    )
    for table, columns in PARTS_GIVEN_BACK.items():
        _return(table, columns)


def _return(table: str, same: str, **computed: str) -> None:
    columns = {name: f"o.{name}" for name in same.split()} | computed
    op.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {', '.join(columns.values())} FROM old_{table} AS o"
    )


def _rename(tables: tuple[str, ...], prefix: str) -> None:
    """Put tables aside, and their indexes and sequences, whose names the new ones take."""
    bind = op.get_bind()
    inspector = sa.inspect(bind)
    for table in tables:
        if _postgresql():
            names = bind.execute(
                sa.text(
                    "SELECT c.relname, c.relkind FROM pg_class AS c JOIN pg_depend AS d "
                    "ON d.objid = c.oid AND d.classid = 'pg_class'::regclass "
                    "WHERE d.refobjid = to_regclass(:table) AND c.relkind = 'S' "
                    "UNION SELECT c.relname, c.relkind FROM pg_class AS c JOIN pg_index AS i "
                    "ON i.indexrelid = c.oid WHERE i.indrelid = to_regclass(:table)"
                ),
                {"table": table},
            ).all()
            for name, kind in names:
                what = "SEQUENCE" if kind in ("S", b"S") else "INDEX"
                op.execute(f'ALTER {what} "{name}" RENAME TO "{prefix}{name}"')
        else:
            for index in inspector.get_indexes(table):
                op.drop_index(str(index["name"]), table_name=table)
        op.rename_table(table, f"{prefix}{table}")


def _number_on() -> None:
    """PostgreSQL's sequences go on behind the rows that came with their keys."""
    if not _postgresql():
        return
    bind = op.get_bind()
    for table in sa.inspect(bind).get_table_names():
        bind.execute(
            sa.text(
                "SELECT setval(pg_get_serial_sequence(:table, 'id'), "
                f"GREATEST((SELECT max(id) FROM {table}), 1), "
                f"EXISTS (SELECT 1 FROM {table})) "
                "WHERE pg_get_serial_sequence(:table, 'id') IS NOT NULL"
            )
            if _has_id(table)
            else sa.text("SELECT 1 WHERE :table = ''"),
            {"table": table},
        )


def _has_id(table: str) -> bool:
    return any(column["name"] == "id" for column in sa.inspect(op.get_bind()).get_columns(table))


def _drop_triggers() -> None:
    bind = op.get_bind()
    if _postgresql():
        found = bind.execute(
            sa.text(
                "SELECT DISTINCT trigger_name, event_object_table "
                "FROM information_schema.triggers WHERE trigger_schema = current_schema() "
                "UNION SELECT tgname, c.relname FROM pg_trigger JOIN pg_class AS c "
                "ON c.oid = tgrelid WHERE NOT tgisinternal "
                "AND c.relnamespace = current_schema()::regnamespace"
            )
        ).all()
        for name, table in found:
            op.execute(f"DROP TRIGGER {name} ON {table}")
    else:
        names = bind.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
        for name in names.scalars().all():
            op.execute(f"DROP TRIGGER {name}")


def _refuse_changes() -> None:
    for table in APPEND_ONLY:
        if _postgresql():
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION cellwright_append_only()"
            )
            op.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION cellwright_append_only()"
            )
            continue
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: {action} refused'); END"
            )
        # INSERT OR REPLACE deletes without firing the delete trigger.
        same = " AND ".join(f"{key} = NEW.{key}" for key in KEYS.get(table, ("id",)))
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: REPLACE refused'); END"
        )
