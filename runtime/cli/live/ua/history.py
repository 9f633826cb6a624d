"""Values that a server has kept: as they were, or as aggregates of intervals."""

from __future__ import annotations

import csv
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import typer
from asyncua import Client, Node, ua

from cellwright.runtime.cli.common import fail
from cellwright.runtime.cli.live.ua.values import plain, shown

AGGREGATES: Final = (
    "Average", "TimeAverage", "Minimum", "Maximum", "Count", "Interpolative", "Range", "Start",
    "End",
)  # fmt: skip
PAGE: Final = 1000


async def history(
    client: Client,
    node: Node,
    span: tuple[datetime, datetime],
    limit: int,
    *,
    aggregate: tuple[str, float] | None,
    as_csv: bool,
) -> None:
    """Print values of a span, the earliest first; ``aggregate`` is its name and interval in s."""
    details: Any = _raw(span) if aggregate is None else _processed(span, *aggregate)
    writer = csv.writer(sys.stdout) if as_csv else None
    if writer is not None:
        writer.writerow(("time", "value", "status"))
    count = 0
    async for value in _values(client, node, details):
        count += 1
        row = _row(value)
        if writer is not None:
            writer.writerow(row)
        else:
            marked = "" if row[2] == "Good" else f"  {row[2]}"
            typer.echo(f"{row[0]}  {row[1]}{marked}")
        if count == limit:
            break
    if not count and writer is None:
        typer.echo("no values in that time")


def span_of(start: str | None, end: str | None, now: datetime) -> tuple[datetime, datetime]:
    """From the words of a person: ISO times, by default the last hour; exit code 2 for others."""
    last = now if end is None else _moment(end)
    first = last - timedelta(hours=1) if start is None else _moment(start)
    if first >= last:
        fail(f"--from {first:%Y-%m-%dT%H:%M:%S} is not before --to {last:%Y-%m-%dT%H:%M:%S}", 2)
    return first, last


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r:.60} is no time; write it like 2026-11-30T14:00 or with +01:00", 2)
    return moment.astimezone(UTC)


def _raw(span: tuple[datetime, datetime]) -> ua.ReadRawModifiedDetails:
    return ua.ReadRawModifiedDetails(
        IsReadModified=False,
        StartTime=ua.DateTime.fromtimestamp(span[0].timestamp(), UTC),
        EndTime=ua.DateTime.fromtimestamp(span[1].timestamp(), UTC),
        NumValuesPerNode=ua.Counter(PAGE),
        ReturnBounds=False,
    )


def _processed(
    span: tuple[datetime, datetime], name: str, interval_s: float
) -> ua.ReadProcessedDetails:
    known = {each.casefold(): each for each in AGGREGATES}
    chosen = known.get(name.casefold())
    if chosen is None:
        fail(f"there is no aggregate '{name}'; they are {', '.join(AGGREGATES)}", 2)
    number = getattr(ua.ObjectIds, f"AggregateFunction_{chosen}")
    return ua.ReadProcessedDetails(
        StartTime=ua.DateTime.fromtimestamp(span[0].timestamp(), UTC),
        EndTime=ua.DateTime.fromtimestamp(span[1].timestamp(), UTC),
        ProcessingInterval=ua.Duration(interval_s * 1000.0),
        AggregateType=[ua.NodeId(ua.Int32(number))],
    )


async def _values(client: Client, node: Node, details: Any) -> AsyncIterator[ua.DataValue]:
    wanted = ua.HistoryReadValueId(NodeId=node.nodeid)
    while True:
        (result,) = await client.uaclient.history_read(
            ua.HistoryReadParameters(
                HistoryReadDetails=details,
                TimestampsToReturn=ua.TimestampsToReturn.Source,
                ReleaseContinuationPoints=False,
                NodesToRead=[wanted],
            )
        )
        result.StatusCode.check()
        for value in result.HistoryData.DataValues or []:
            yield value
        if not result.ContinuationPoint:
            return
        wanted.ContinuationPoint = result.ContinuationPoint


def _row(value: ua.DataValue) -> tuple[str, str, str]:
    status = "Good" if value.StatusCode is None else str(value.StatusCode.name)
    time = plain(value.SourceTimestamp) if value.SourceTimestamp else "-"
    return time, shown(value.Value), status
