"""``cellwright mes``: work orders, parts and the audit trail of a cell, by the MES's own services.

Works on the database of a cell's file, whether the cell runs or not; every rule is in ``mes``. The
MES is imported where it is used: no other command is to wait for SQLAlchemy.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cellwright.io.files.sqlite_url import sqlite_file
from cellwright.runtime.cell.run_folder import run_command
from cellwright.runtime.cli.common import DataOption, FileArgument, JsonOption, actor, fail
from cellwright.runtime.cli.compiling import compiled
from cellwright.runtime.cli.console import out
from cellwright.runtime.cli.offline.times import MOMENT_HELP, span
from cellwright.runtime.cli.views.records import (
    form_of,
    keys_of,
    part_table,
    record_rows,
    show,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

app = typer.Typer(help="Work orders, parts and audit trail of a cell.", no_args_is_help=True)

ReasonOption = Annotated[str, typer.Option("--reason", help="Reason, recorded in the audit trail.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="For spreadsheets; times are UTC.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Show only the newest ones.")]
AUDIT_KEYS: Final = ("sequence", "time", "actor", "action", "entity", "reason", "old", "new")
OrderArgument = Annotated[str, typer.Argument(help="Job order id.")]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(app, name="mes")


@contextmanager
def transaction(file: Path, data: Path | None, *, write: bool = False) -> Iterator[Session]:
    """A session of the cell's MES store; what goes wrong ends with exit code 1."""
    from cellwright.mes.errors import MesError
    from cellwright.mes.store import Store

    plan = compiled(file, data)
    if plan.database is None:
        fail(f"{plan.source} has no mes section; add 'mes: {{database: ...}}'", 2)
    database = sqlite_file(plan.database)
    if database is not None and not database.parent.is_dir():
        fail(f"{plan.source} has no records yet; they begin with '{run_command(plan.source)}'")
    try:
        store = Store.open(plan.database)
        try:
            with store.session() if write else store.reading() as session:
                yield session
        finally:
            store.close()
    except MesError as error:
        fail(str(error))


@app.command()
def orders(
    file: FileArgument = Path(),
    data: DataOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """List work orders."""
    from cellwright.mes import work_orders

    form = form_of(as_json=as_json, as_csv=as_csv)
    with transaction(file, data) as session:
        views = work_orders.list_orders(session, limit=limit)
    table = [
        {
            "order": v.number,
            "job order": v.job_order_id,
            "part": v.part_number,
            "rev": v.revision,
            "state": v.state,
            "good": v.good,
            "rejected": v.rejected,
            "of": v.quantity,
            "priority": v.priority,
        }
        for v in views
    ]
    show(form, keys_of(work_orders.WorkOrderView), record_rows(views), table)


@app.command()
def order(  # noqa: PLR0917 - as many as the command has options
    job_order_id: OrderArgument,
    part_number: Annotated[str, typer.Argument(help="Part number of the master data.")],
    quantity: Annotated[
        int, typer.Argument(min=1, help="Number of parts, including rejected ones.")
    ],
    file: Annotated[
        Path, typer.Option("--file", help="Cell file, or the folder that holds it.")
    ] = Path(),
    data: DataOption = None,
    revision: Annotated[str | None, typer.Option(help="Revision, if the part has several.")] = None,
    priority: Annotated[int, typer.Option(help="Higher runs first.")] = 0,
    reason: ReasonOption = "",
) -> None:
    """Store and start a work order."""
    from cellwright.mes import work_orders

    job = work_orders.JobOrder(job_order_id, part_number, revision, quantity, priority)
    with transaction(file, data, write=True) as session:
        view = work_orders.store_and_start(session, job, actor=actor(), reason=reason)
    out.print(f"{view.number} {view.state}", highlight=False)


@app.command(name="parts")
def list_parts(  # noqa: PLR0917 - as many as the command has options
    file: FileArgument = Path(),
    data: DataOption = None,
    order: Annotated[str | None, typer.Option(help="Number or job order id.")] = None,
    serial: Annotated[
        str | None, typer.Option(help="Serial number; * stands for any characters.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="Part number or part id; * stands for any characters.")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option(help="good, rejected, or open: still in the cell.")
    ] = None,
    since: Annotated[
        str, typer.Option(help=f"Arrived or released not before: {MOMENT_HELP}.")
    ] = "",
    until: Annotated[
        str, typer.Option(help="Arrived not after: the same; a date means its end.")
    ] = "",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """List parts with times, serial, mark, verdict and reason."""
    from cellwright.mes import parts

    form = form_of(as_json=as_json, as_csv=as_csv)
    if verdict is not None and verdict not in parts.VERDICTS:
        fail(f"--verdict: '{verdict}' is none; take one of {', '.join(parts.VERDICTS)}", 2)
    begin, end = span(since, until)
    wanted = parts.PartFilter(serial=serial, part=part, verdict=verdict, since=begin, until=end)
    with transaction(file, data) as session:
        views = parts.units(session, order, wanted=wanted, limit=limit)
    show(form, keys_of(parts.UnitView), record_rows(views), part_table(views))


@app.command(name="audit")
def audit_trail(  # noqa: PLR0917 - as many as the command has options
    file: FileArgument = Path(),
    data: DataOption = None,
    entity: Annotated[
        str, typer.Option(help="Kind of entity (unit, tag, work_order, ...), or kind:id.")
    ] = "",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Show the audit trail."""
    from cellwright.mes import audit

    form = form_of(as_json=as_json, as_csv=as_csv)
    kind, _, key = entity.partition(":")
    with transaction(file, data) as session:
        records = audit.trail(session, entity_type=kind or None, entity_id=key or None, limit=limit)
        rows = [
            {
                "sequence": r.sequence,
                "time": datetime.fromtimestamp(r.utc_us / 1e6, UTC).isoformat(
                    timespec="milliseconds"
                ),
                "actor": r.actor,
                "action": r.action,
                "entity": f"{r.entity_type}:{r.entity_id}",
                "reason": r.reason,
                "old": r.old,
                "new": r.new,
            }
            for r in records
        ]
    table = [
        {"": row["sequence"], "time (UTC)": row["time"]}
        | {key: row[key] for key in ("actor", "action", "entity", "reason")}
        for row in rows
    ]
    show(form, AUDIT_KEYS, rows, table)


@app.command()
def verify(file: FileArgument = Path(), data: DataOption = None) -> None:
    """Check the hash chain of the audit trail; exit code 1 when it is broken."""
    from cellwright.mes import audit

    with transaction(file, data) as session:
        result = audit.verify(session)
    if not result.ok:
        fail(f"the audit trail is broken at record {result.broken}: {result.problem}")
    out.print(f"{result.records} records, chain intact", highlight=False)
