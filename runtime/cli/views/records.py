"""How ``cellwright mes`` shows its records: a table for people, JSON, or lines for a spreadsheet.

Times are UTC in JSON and in the spreadsheet, local in the table, where the zone stands once.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from cellwright.runtime.cli.common import fail
from cellwright.runtime.cli.console import columns
from cellwright.runtime.cli.views.folding import FoldedTable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from cellwright.mes.shopfloor.parts import UnitView

Row = Mapping[str, Any]


class Form(StrEnum):
    """In which form records are shown."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def form_of(*, as_json: bool, as_csv: bool) -> Form:
    """What was asked for; exit code 2 when that was two."""
    if as_json and as_csv:
        fail("--json and --csv cannot be had together; leave one out", 2)
    return Form.JSON if as_json else Form.CSV if as_csv else Form.TABLE


def show(form: Form, keys: Sequence[str], rows: Sequence[Row], table: Sequence[Row]) -> None:
    """The rows with these keys for machines, or the table's rows for people.

    All rows of a table have the same titles.
    """
    if form is Form.JSON:
        sys.stdout.write(json.dumps(list(rows), indent=2) + "\n")
    elif form is Form.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(keys)
        writer.writerows([row[key] for key in keys] for row in rows)
    elif not table:
        typer.echo("there are none")
    else:
        shown = FoldedTable(tuple(table[0]), columns())
        for line in shown.lines([tuple(row.values()) for row in table]):
            typer.echo(line)


def keys_of(kind: type[DataclassInstance]) -> tuple[str, ...]:
    """The keys of `record_rows` of such views, known also when there are none."""
    return tuple(field.name for field in fields(kind))


def record_rows(views: Sequence[DataclassInstance]) -> list[dict[str, Any]]:
    """All that is known of each record, as JSON has it."""
    return [{key: _plain(value) for key, value in asdict(view).items()} for view in views]


def part_table(views: Sequence[UnitView]) -> list[dict[str, object]]:
    """What a person asks first stands left; how long a part was in the cell is seen beside it."""
    zone = "/".join(dict.fromkeys(f"{view.arrived_utc.astimezone():%Z}" for view in views))
    return [
        {
            f"arrived ({zone})": _local(view.arrived_utc),
            "released": _local(view.released_utc, beside=view.arrived_utc),
            "serial": view.serial,
            "verdict": view.verdict or "in the cell",
            "reason": view.reason,
            "order": view.order,
            "mark": view.mark_outcome,
            "read": view.read,
            "part": view.part_id,
        }
        for view in views
    ]


def _local(at: datetime | None, beside: datetime | None = None) -> str:
    """Local time; without its date beside a time of the same day."""
    if at is None:
        return ""
    here = at.astimezone()
    if beside is not None and beside.astimezone().date() == here.date():
        return f"{here:%H:%M:%S}"
    return f"{here:%Y-%m-%d %H:%M:%S}"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, StrEnum) else value
