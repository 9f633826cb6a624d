"""``cellwright mes``: work orders, parts and the audit trail of a cell, by the MES's own services.

Works on the database of a cell's file, whether the cell runs or not; every rule is in ``mes``. The
MES is imported where it is used: no other command is to wait for SQLAlchemy.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cellwright.io.files.sqlite_url import sqlite_file
from cellwright.runtime.cell.run_folder import run_command
from cellwright.runtime.cli.common import DataOption, FileArgument, actor, fail
from cellwright.runtime.cli.compiling import compiled
from cellwright.runtime.cli.console import out

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

app = typer.Typer(help="Work orders, parts and audit trail of a cell.", no_args_is_help=True)

ReasonOption = Annotated[str, typer.Option("--reason", help="Reason, recorded in the audit trail.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Show only the newest ones.")]
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


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Rows for people."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text("" if value is None else str(value)) for value in row))
    return shown


@app.command()
def orders(file: FileArgument = Path(), data: DataOption = None, limit: LimitOption = 50) -> None:
    """List work orders."""
    from cellwright.mes import work_orders

    with transaction(file, data) as session:
        views = work_orders.list_orders(session, limit=limit)
    columns = ("order", "job order", "part", "rev", "state", "good", "rejected", "of", "priority")
    rows = [
        (v.number, v.job_order_id, v.part_number, v.revision, v.state, v.good, v.rejected,
         v.quantity, v.priority)
        for v in views
    ]  # fmt: skip
    out.print(table(columns, rows))


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
def list_parts(
    file: FileArgument = Path(),
    data: DataOption = None,
    order: Annotated[str | None, typer.Option(help="Number or job order id.")] = None,
    limit: LimitOption = 50,
) -> None:
    """List parts with serial, mark, verdict and reason."""
    from cellwright.mes import parts

    with transaction(file, data) as session:
        views = parts.units(session, order, limit=limit)
    columns = ("part", "order", "serial", "mark", "read", "verdict", "reason")
    rows = [
        (v.part_id, v.order, v.serial, v.mark_outcome, v.read, v.verdict, v.reason) for v in views
    ]
    out.print(table(columns, rows))


@app.command(name="audit")
def audit_trail(
    file: FileArgument = Path(),
    data: DataOption = None,
    entity: Annotated[
        str, typer.Option(help="Kind of entity (unit, tag, work_order, ...), or kind:id.")
    ] = "",
    limit: LimitOption = 50,
) -> None:
    """Show the audit trail."""
    from cellwright.mes import audit

    kind, _, key = entity.partition(":")
    with transaction(file, data) as session:
        records = audit.trail(session, entity_type=kind or None, entity_id=key or None, limit=limit)
        rows = [
            (
                r.sequence,
                datetime.fromtimestamp(r.utc_us / 1e6, UTC).isoformat(timespec="milliseconds"),
                r.actor,
                r.action,
                f"{r.entity_type}:{r.entity_id}",
                r.reason,
            )
            for r in records
        ]
    out.print(table(("", "time (UTC)", "actor", "action", "entity", "reason"), rows))


@app.command()
def verify(file: FileArgument = Path(), data: DataOption = None) -> None:
    """Check the hash chain of the audit trail; exit code 1 when it is broken."""
    from cellwright.mes import audit

    with transaction(file, data) as session:
        result = audit.verify(session)
    if not result.ok:
        fail(f"the audit trail is broken at record {result.broken}: {result.problem}")
    out.print(f"{result.records} records, chain intact", highlight=False)
