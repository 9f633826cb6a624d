"""Values at moments and aggregates of intervals, page by page (OPC 10000-11, 6.5.4 and 6.5.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from asyncua import ua
from sqlalchemy.orm import Session

from cellwright.io.plan import INTEGERS, REALS, Code, TagType
from cellwright.mes.history import aggregates
from cellwright.mes.history.aggregates import Got, Rows, Rules
from cellwright.mes.history.batch import Kind
from cellwright.mes.history.reading import around
from cellwright.mes.history.values import content
from cellwright.opcua_model.address_space import ranges
from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.address_space.values import NS_PER_MS
from cellwright.opcua_model.services.history import wire

MOST_ROWS: Final = 2_000_000
"""Values that one answer is computed of; about 100 MB."""
_NEAR_NS: Final = 3_600_000_000_000
"""Moments so near each other are looked up together."""
AGGREGATES: Final[Mapping[ua.NodeId, str]] = {
    standard(getattr(ua.ObjectIds, f"AggregateFunction_{name}")): name for name in aggregates.NAMES
}
_MEANS: Final = frozenset({"Average", "TimeAverage"})


@dataclass(frozen=True, slots=True)
class AtTimeTask:
    """Moments that are left, in the order in which they were asked for."""

    times_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProcessedTask:
    """Intervals that are left."""

    name: str
    start_ns: int
    end_ns: int
    step_ns: int
    page: int
    rules: Rules


def is_stepped(type_: TagType) -> bool:
    """Between two values of such a tag there is the first one, not a line."""
    return type_.is_array or type_.code not in REALS


def at_time(details: ua.ReadAtTimeDetails) -> AtTimeTask | int:
    """What a request asks of each node; a status code for one that cannot be."""
    times = [wire.nanoseconds(moment) for moment in details.ReqTimes or ()]
    known = tuple(moment for moment in times if moment is not None)
    return AtTimeTask(known) if known and len(known) == len(times) else _BAD_ARGUMENT


_BAD_ARGUMENT: Final[int] = ua.StatusCodes.BadInvalidArgument


def processed(details: Any, number: int, type_: TagType, most: int) -> ProcessedTask | int:
    """What a request asks of the node of that number; a status code for what cannot be."""
    name = AGGREGATES.get(details.AggregateType[number])
    if name is None:
        return int(ua.StatusCodes.BadAggregateNotSupported)
    numeric = not type_.is_array and type_.code in INTEGERS | REALS | {Code.TIME}
    if not numeric and name not in aggregates.OF_ANY_TYPE:
        return int(ua.StatusCodes.BadAggregateInvalidInputs)
    start, end = wire.nanoseconds(details.StartTime), wire.nanoseconds(details.EndTime)
    step_ms = details.ProcessingInterval
    if start is None or end is None or start == end or not 0 <= step_ms < 1e15:
        return _BAD_ARGUMENT
    rules = _rules(details.AggregateConfiguration, is_stepped(type_))
    if rules is None:
        return int(ua.StatusCodes.BadAggregateConfigurationRejected)
    step_ns = round(step_ms * NS_PER_MS) if step_ms else abs(end - start)
    return ProcessedTask(name, start, end, max(step_ns, 1000), most, rules)


def _rules(wanted: ua.AggregateConfiguration, stepped: bool) -> Rules | None:
    if wanted.UseServerCapabilitiesDefaults:
        return Rules(stepped)
    bad, good = int(wanted.PercentDataBad), int(wanted.PercentDataGood)
    if bad > 100 or good > 100 or good < 100 - bad or wanted.UseSlopedExtrapolation:
        return None
    return Rules(stepped, bool(wanted.TreatUncertainAsBad), bad, good)


class Computer:
    """One node's values on one snapshot of the database."""

    def __init__(self, session: Session, cell: str, key: int, type_: TagType) -> None:
        self._session, self._cell, self._key, self._type = session, cell, key, type_

    def at(self, task: AtTimeTask, index_range: str) -> tuple[list[tuple[int, bytes]], None] | None:
        """The values at all moments; None when they lie among too many values. Raises RangeError
        and MesError."""
        if index_range:
            ranges.bounds(index_range)
        rules = Rules(is_stepped(self._type))
        found: dict[int, tuple[int, bytes]] = {}
        for near in _near(sorted(set(task.times_ns))):
            rows = self._rows((near[0], near[-1] + 1), rules)
            if rows is None:
                return None
            found |= {time: self._written(rows, rows.at(time), index_range) for time in near}
        return [found[time] for time in task.times_ns], None

    def intervals(
        self, task: ProcessedTask, index_range: str
    ) -> tuple[list[tuple[int, bytes]], ProcessedTask | None] | None:
        """The aggregates of intervals, and what is left; None when one is made of too much."""
        if index_range:
            ranges.bounds(index_range)
        number, way = task.page, 1 if task.end_ns > task.start_ns else -1
        while True:
            end = task.start_ns + way * number * task.step_ns
            last = end if way * (task.end_ns - end) > 0 else task.end_ns
            wanted = aggregates.spans(task.start_ns, last, task.step_ns)
            low, high = sorted((task.start_ns, last))
            rows = self._rows((low, high + 1), task.rules)
            if rows is not None:
                break
            if number == 1:
                return None
            number = max(1, min(number, len(wanted)) // 4)
        got = aggregates.processed(task.name, rows, wanted)
        written = [self._of_aggregate(task.name, rows, each, index_range) for each in got]
        return written, None if last == task.end_ns else replace(task, start_ns=last)

    def _rows(self, span: tuple[int, int], rules: Rules) -> Rows | None:
        found = around(self._session, self._cell, self._key, span, MOST_ROWS)
        return None if found is None else Rows(found, rules)

    def _of_aggregate(self, name: str, rows: Rows, got: Got, index_range: str) -> tuple[int, bytes]:
        if got.value is None or name not in _MEANS | {"Count"}:
            return self._written(rows, got, index_range)
        if name == "Count":
            variant = ua.Variant(got.value, ua.VariantType.Int32)
        else:
            scale = NS_PER_MS if self._type.code is Code.TIME else 1
            variant = ua.Variant(got.value / scale, ua.VariantType.Double)
        return wire.value(variant, got.status, got.time_ns)

    def _written(self, rows: Rows, got: Got, index_range: str) -> tuple[int, bytes]:
        if got.value is None:
            return wire.value(None, got.status, got.time_ns)
        found: Any = got.value
        if rows.kind is Kind.TEXT:
            found = content(self._type, rows.summary.last.texts[int(found)])
        elif self._type.code is Code.BOOL:
            found = bool(found)
        variant, status = wire.variant_of(self._type, found), got.status
        if index_range:
            try:
                variant = ranges.cut(variant, index_range)
            except ranges.RangeError as error:
                return wire.value(None, error.code, got.time_ns)
        return wire.value(variant, status, got.time_ns)


def _near(times: Sequence[int]) -> list[list[int]]:
    """Sorted moments in groups that are looked up together."""
    groups: list[list[int]] = []
    for time in times:
        if groups and time - groups[-1][-1] <= _NEAR_NS:
            groups[-1].append(time)
        else:
            groups.append([time])
    return groups
