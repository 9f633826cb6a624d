"""``cellwright history``: what is recorded of the tags of a cell, shown and written to files.

Reads the database of a cell's file, whether the cell runs or not, and changes nothing. The MES is
imported where it is used: no other command is to wait for it.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from cellwright.io.files.problems import nearest
from cellwright.runtime.cli.common import DataOption, fail
from cellwright.runtime.cli.offline.times import MOMENT_HELP, span

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cellwright.mes.history.reading import Recorded

TITLES: Final = (
    "tag", "time_utc", "value", "status", "minimum", "maximum", "mean", "count", "bad",
)  # fmt: skip
"""Of a file. The last five are empty in a row that is one value; else it stands for a span that
begins at its time, and the value is the last one in it."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PARQUET_ROWS: Final = 100_000

app = typer.Typer(help="Recorded values of the tags of a cell.", no_args_is_help=True)

FileOption = Annotated[Path, typer.Option("--file", help="Cell file, or the folder that holds it.")]
SinceOption = Annotated[str, typer.Option("--since", "--from", help=f"Not before: {MOMENT_HELP}.")]
UntilOption = Annotated[
    str, typer.Option("--until", "--to", help="Not after: the same; a date means its end.")
]


class Row(NamedTuple):
    """One value, or a span of time with its last one."""

    tag: str
    time: datetime
    value: Any
    status: str
    low: Any = None
    high: Any = None
    mean: float | None = None
    values: int | None = None
    """How many the span has that are good."""
    bad: int | None = None


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(app, name="history")


@app.command("show")
def history_show(  # noqa: PLR0917 - as many as the command has options
    tag: Annotated[list[str] | None, typer.Argument(help="Tags. Default: list them all.")] = None,
    file: FileOption = Path(),
    data: DataOption = None,
    since: SinceOption = "",
    until: UntilOption = "",
    limit: Annotated[int, typer.Option(min=1, help="Show only the newest ones of each.")] = 20,
) -> None:
    """Show the newest recorded values of tags, or which tags are recorded."""
    with _snapshot(file, data) as (session, cell):
        known = _known(session, cell)
        for one in _chosen(known, tag) if tag else known:
            newest = _rows(session, cell, one, *_span(since, until), backward=True)
            rows = list(islice(newest, limit if tag else 1))
            if not tag:
                last = f"{_text(rows[0].value)}  {_local(rows[0].time)}" if rows else "no value"
                typer.echo(f"{one.name}  {one.type}  {last}")
                continue
            typer.echo(f"{one.name}  {one.type}")
            for row in reversed(rows):
                span_ = "" if row.values is None else f"  {_text(row.low)} to {_text(row.high)}"
                typer.echo(f"  {_local(row.time)}  {_text(row.value)}  {row.status}{span_}")
        if not known:
            typer.echo("nothing is recorded; give tags the key `history` in the cell's file")


@app.command("export")
def history_export(  # noqa: PLR0917 - as many as the command has options
    tag: Annotated[list[str], typer.Argument(help="Tags; '*' for all of them.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .csv or .parquet.")
    ],
    file: FileOption = Path(),
    data: DataOption = None,
    since: SinceOption = "",
    until: UntilOption = "",
) -> None:
    """Write recorded values to a file, each tag's in the order of time; times are UTC."""
    write = {".csv": _write_csv, ".parquet": _write_parquet}.get(output.suffix.lower())
    if write is None:
        fail(f"{output} names no kind of file; let it end with .csv or .parquet", 2)
    begin, end = _span(since, until)
    unfinished = output.with_name(f"{output.name}.part")
    with _snapshot(file, data) as (session, cell):
        known = _known(session, cell)
        wanted = known if tag == ["*"] else _chosen(known, tag)
        rows = (row for one in wanted for row in _rows(session, cell, one, begin, end))
        try:
            count = write(unfinished, rows)
            os.replace(unfinished, output)
        except OSError as error:
            fail(
                f"cannot write {output}: {error.strerror or error}; name a file in a folder that "
                "can be written and has space"
            )
        finally:
            unfinished.unlink(missing_ok=True)
    typer.echo(f"wrote {output}: {count} rows of {len(wanted)} tags")


@contextmanager
def _snapshot(file: Path, data: Path | None) -> Iterator[tuple[Session, str]]:
    """One state of the cell's database, and the cell's name; errors end with exit code 1."""
    from cellwright.mes.kernel.errors import MesError
    from cellwright.runtime.cli.compiling import compiled
    from cellwright.runtime.cli.offline.mes.actions import opened

    cell = compiled(file, data).cell
    with opened(file, data) as store:
        try:
            with store.reading() as session:
                yield session, cell
        except MesError as error:
            fail(str(error))


def _span(since: str, until: str) -> tuple[int, int]:
    """First nanosecond, and the first one behind."""
    from cellwright.mes.history.reading import FIRST_NS, LAST_NS

    begin, end = span(since, until)
    microsecond = timedelta(microseconds=1)
    return (
        FIRST_NS if begin is None else (begin - _EPOCH) // microsecond * 1000,
        LAST_NS if end is None else (end - _EPOCH) // microsecond * 1000 + 1000,
    )


def _known(session: Session, cell: str) -> list[Recorded]:
    from cellwright.mes.history.reading import tags

    return tags(session, cell)


def _chosen(known: list[Recorded], names: Sequence[str]) -> list[Recorded]:
    """Those of these names; a tag that had several types is several."""
    there = {one.name for one in known}
    for name in names:
        if name not in there:
            remedy = nearest(name, there) if there else "give the tag the key `history`"
            fail(f"nothing is recorded of a tag '{name}'; {remedy}", 2)
    return [one for name in dict.fromkeys(names) for one in known if one.name == name]


def _rows(
    session: Session, cell: str, tag: Recorded, begin: int, end: int, *, backward: bool = False
) -> Iterator[Row]:
    from cellwright.io.plan import TagType, quality
    from cellwright.mes.history.reading import read
    from cellwright.mes.history.values import number, recorded

    type_ = TagType.parse(tag.type)
    for piece in read(session, cell, tag.key, begin, end, backward=backward):
        it = piece.values
        order = range(len(it))
        for row in reversed(order) if backward else order:
            time = _EPOCH + timedelta(microseconds=int(it.last.time[row]) // 1000)
            status = quality.name(int(it.last.status[row]))
            made = Row(tag.name, time, recorded(type_, it.last, row), status)
            if not piece.raw:
                made = made._replace(values=int(it.count[row]), bad=int(it.bad[row]))
                if made.values and tag.kind.name != "TEXT":
                    bits = (it.low[row : row + 1], it.high[row : row + 1])
                    low, high = (number(type_, one, tag.kind) for one in bits)
                    made = made._replace(low=low, high=high, mean=float(it.mean[row]))
            yield made


def _write_csv(path: Path, rows: Iterator[Row]) -> int:
    # With the mark by which spreadsheets know UTF-8.
    count = 0
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        made = csv.writer(stream)
        made.writerow(TITLES)
        for row in rows:
            count += 1
            shown = [row.tag, _utc(row.time), _text(row.value), *row[3:]]
            made.writerow(["" if field is None else field for field in shown])
    return count


def _write_parquet(path: Path, rows: Iterator[Row]) -> int:
    """A column ``number`` beside the exact text of each value; NULL for what is no number."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        fail("Parquet takes the package pyarrow; install it: pip install 'cellwright[parquet]'")
    types = {
        "tag": pyarrow.string(), "time_utc": pyarrow.timestamp("us", tz="UTC"),
        "value": pyarrow.string(), "number": pyarrow.float64(), "status": pyarrow.string(),
        "minimum": pyarrow.float64(), "maximum": pyarrow.float64(), "mean": pyarrow.float64(),
        "count": pyarrow.int64(), "bad": pyarrow.int64(),
    }  # fmt: skip
    schema = pyarrow.schema(list(types.items()))
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as made:
        while part := list(islice(rows, _PARQUET_ROWS)):
            count += len(part)
            table = [
                (
                    row.tag, row.time, _text(row.value), _number(row.value), row.status,
                    _number(row.low), _number(row.high), row.mean, row.values, row.bad,
                )
                for row in part
            ]  # fmt: skip
            columns_ = [list(column) for column in zip(*table, strict=True)]
            made.write_table(pyarrow.table(dict(zip(types, columns_, strict=True)), schema=schema))
    return count


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, bool | int | float) else None


def _text(value: Any) -> str:
    """A value as cell files spell it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"
    return repr(value) if isinstance(value, float) else str(value)


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _local(moment: datetime) -> str:
    return moment.astimezone().isoformat(sep=" ", timespec="milliseconds")
