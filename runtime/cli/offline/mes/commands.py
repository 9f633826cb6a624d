"""``cellwright mes``: work orders, parts and the audit trail of a cell, by the MES's own services.

Works on the database of a cell's file, whether the cell runs or not; every rule is in ``mes``. The
MES is imported where it is used: no other command is to wait for SQLAlchemy.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cellwright.io.files.replace import replace_file
from cellwright.runtime.cli.common import DataOption, FileArgument, JsonOption, actor, fail
from cellwright.runtime.cli.console import out
from cellwright.runtime.cli.offline.mes.actions import ActionGroup, opened
from cellwright.runtime.cli.offline.mes.serve import serve
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

app = typer.Typer(
    cls=ActionGroup,
    help="Work orders, parts and audit trail of a cell.",
    no_args_is_help=True,
)
app.command()(serve)
serials_app = typer.Typer(help="Numbers of the serials to come.", no_args_is_help=True)
app.add_typer(serials_app, name="serials")

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
    with opened(file, data) as store, store.session() if write else store.reading() as session:
        yield session


@app.command()
def orders(
    file: FileArgument = Path(),
    data: DataOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """List work orders."""
    from cellwright.mes.orders import work_orders

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
    from cellwright.mes.orders import work_orders

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
    from cellwright.mes.shopfloor import parts

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
def verify(
    file: FileArgument = Path(),
    data: DataOption = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            help="A checkpoint that was kept elsewhere: finds a cut tail and a rewrite, too.",
        ),
    ] = None,
) -> None:
    """Check the hash chains of the audit trail; exit code 1 when one is broken."""
    from cellwright.mes import audit
    from cellwright.mes.audit import checkpoints

    with transaction(file, data) as session:
        kept = None if checkpoint is None else checkpoints.read_file(checkpoint)
        result = audit.verify(session, checkpoint=kept)
    if not result.ok:
        fail(f"the audit trail is broken at record {result.broken}: {result.problem}")
    out.print(f"{result.records} records, chain intact", highlight=False)


@app.command()
def checkpoint(
    file: FileArgument = Path(),
    data: DataOption = None,
    chain: Annotated[str, typer.Option("--chain", help="Which audit chain.")] = "people",
    to: Annotated[
        Path | None, typer.Option("--to", help="Write it to this file instead of the screen.")
    ] = None,
) -> None:
    """Sign how long an audit chain is and what it holds; keep it outside this PC."""
    from cellwright.mes.audit import checkpoints
    from cellwright.mes.kernel.secrets import secrets_folder

    with transaction(file, data, write=True) as session:
        key = checkpoints.CheckpointKey(secrets_folder(session))
        text = checkpoints.make(session, key, chain).to_file()
    if to is None:
        out.print(text.decode().rstrip(), highlight=False, markup=False, soft_wrap=True)
        return
    try:
        replace_file(to, text)
    except OSError as error:
        fail(f"cannot write {to}: {error.strerror}; choose another place")
    out.print(f"wrote {to}", highlight=False)


@app.command()
def roles(as_json: JsonOption = False) -> None:
    """Show which role may do what."""
    from cellwright.mes.people.roles import matrix

    table = [asdict(row) for row in matrix()]
    show(form_of(as_json=as_json, as_csv=False), list(table[0]), table, table)


@serials_app.command()
def skip(  # noqa: PLR0917 - as many as the command has options
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="PART|PATTERN",
            help="Part number, or a serial pattern like 'SN{year:02d}{n:06d}'.",
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Reason, recorded in the audit trail.")],
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, help="The last running number that is used already."),
    ] = None,
    by: Annotated[
        int | None, typer.Option("--by", min=1, help="How many numbers to leave out.")
    ] = None,
    file: Annotated[
        Path, typer.Option("--file", help="Cell file, or the folder that holds it.")
    ] = Path(),
    data: DataOption = None,
) -> None:
    """Leave out serial numbers that were used elsewhere, as after restoring an older backup.

    The numbers only ever move forward.
    """
    from cellwright.mes.kernel.origin import Origin, set_origin
    from cellwright.mes.shopfloor import serials

    if (to is None) == (by is None):
        fail("give --to, the last number that is used, or --by, how many to leave out", 2)
    with transaction(file, data, write=True) as session:
        set_origin(session, Origin(authentication="operating-system"))
        done = serials.skip(session, wanted, to=to, by=by, actor=actor(), reason=reason)
    following = f"the next serial is {done.next_serial}" if done.next_serial else "it is used up"
    out.print(
        f"{done.pattern}: numbers up to {done.last} are used (before: {done.former}), {following}",
        highlight=False,
        markup=False,
    )
