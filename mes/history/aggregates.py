"""Values at moments, and of intervals, as OPC 10000-13 computes them. Pure functions over rows.

The rows of `Summary` are raw values, each a summary of one, or where these are thinned out the
summaries of spans; what is computed of both is the same but for the instants of the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellwright.mes.history.batch import Floats, Kind, Longs
from cellwright.mes.history.summary import BAD, UNCERTAIN, WIDE, Summary, numbers

CALCULATED: Final = 0x0401
INTERPOLATED: Final = 0x0402
PARTIAL: Final = 0x0404
"""Information bits of a status, with those that say what they are (OPC 10000-4, 7.39.1)."""
SUB_NORMAL: Final = 0x40A4_0000
"""Uncertain_DataSubNormal: not all that it is made of was Good."""
NO_DATA: Final = 0x809B_0000
"""Bad_NoData."""

Value = int | float | None


@dataclass(frozen=True, slots=True)
class Rules:
    """How statuses count (OPC 10000-13, 4.2.1.2)."""

    stepped: bool
    """Between two values there is the first one, not a line."""
    uncertain_is_bad: bool = True
    percent_bad: int = 100
    percent_good: int = 100


class Got(NamedTuple):
    """One result."""

    time_ns: int
    value: Value
    """None with a status that is Bad. Of a text the index."""
    status: int


class Rows:
    """Rows of one tag, with those before and behind the asked time that it takes to join them."""

    def __init__(self, summary: Summary, rules: Rules) -> None:
        self.summary = summary
        self.rules = rules
        self.time: Longs = summary.last.time
        self.status = summary.last.status
        limit = UNCERTAIN if rules.uncertain_is_bad else BAD
        self.good: NDArray[np.bool_] = (self.status < limit) & (summary.count > 0)
        self.kind = Kind(int(summary.last.kind[0])) if len(summary) else Kind.FLOAT
        self.value: Floats = numbers(summary.last.bits, summary.last.kind)
        self._good_places = np.flatnonzero(self.good)
        self._good_times = self.time[self._good_places]

    def exact(self, row: int) -> Value:
        """The last value of a row, as it was recorded."""
        return _number(self.summary.last.bits[row : row + 1], self.kind)

    def at(self, time_ns: int) -> Got:
        """The value at a moment: recorded, or between the nearest Good ones before and behind it
        (OPC 10000-13, 3.1.8: interpolated bounding value)."""
        here = int(np.searchsorted(self.time, time_ns, "right")) - 1
        if here >= 0 and self.time[here] == time_ns and self.good[here]:
            return Got(time_ns, self.exact(here), int(self.status[here]))
        number = int(np.searchsorted(self._good_times, time_ns, "right"))
        if number == 0:
            return Got(time_ns, None, NO_DATA)
        before = int(self._good_places[number - 1])
        after = int(self._good_places[number]) if number < len(self._good_places) else None
        if self.rules.stepped:
            sure = before == here
            return Got(time_ns, self.exact(before), (0 if sure else SUB_NORMAL) | INTERPOLATED)
        if after is None:  # where the line goes is not known: it is held
            return Got(time_ns, self.exact(before), SUB_NORMAL | INTERPOLATED)
        share = (time_ns - self.time[before]) / (self.time[after] - self.time[before])
        line = self.value[before] * (1 - share) + self.value[after] * share
        value = float(line) if self.kind is Kind.FLOAT else round(float(line))
        sure = after == before + 1
        return Got(time_ns, value, (0 if sure else SUB_NORMAL) | INTERPOLATED)


class Span(NamedTuple):
    """An interval; ``stamp_ns`` is what its result bears."""

    stamp_ns: int
    start_ns: int
    end_ns: int
    """First time behind it."""
    partial: bool = False
    """Shorter than the others."""


def spans(start_ns: int, end_ns: int, step_ns: int) -> list[Span]:
    """The intervals from start to end; an end before the start gives them backward, each with its
    later end for a stamp and with the values at that (OPC 10000-13, 4.2.1.1)."""
    step_ns = step_ns or max(1, abs(end_ns - start_ns))
    found = []
    if start_ns <= end_ns:
        for at in range(start_ns, end_ns, step_ns):
            found.append(Span(at, at, min(at + step_ns, end_ns), at + step_ns > end_ns))
    else:
        for at in range(start_ns, end_ns, -step_ns):
            first = max(at - step_ns, end_ns)
            found.append(Span(at, first + 1, at + 1, at - step_ns < end_ns))
    return found


def _interpolative(rows: Rows, span: Span, inside: slice) -> tuple[Value, int]:
    got = rows.at(span.stamp_ns)
    return got.value, got.status


def _average(rows: Rows, span: Span, inside: slice) -> tuple[Value, int]:
    good = rows.good[inside]
    count = rows.summary.count[inside][good]
    if not len(count):
        return None, NO_DATA
    mean = rows.summary.mean[inside][good]
    return float(np.sum(mean * (count / count.sum()))), _counted(rows, inside) | CALCULATED


def _extreme(rows: Rows, inside: slice, *, least: bool) -> Value:
    good = rows.good[inside]
    if not good.any():
        return None
    words = (rows.summary.low if least else rows.summary.high)[inside][good]
    typed = words.view(WIDE[rows.kind])
    found = typed.min() if least else typed.max()
    return float(found) if rows.kind is Kind.FLOAT else int(found)


def _minimum(rows: Rows, span: Span, inside: slice) -> tuple[Value, int]:
    return _of_good(rows, inside, _extreme(rows, inside, least=True))


def _maximum(rows: Rows, span: Span, inside: slice) -> tuple[Value, int]:
    return _of_good(rows, inside, _extreme(rows, inside, least=False))


def _range(rows: Rows, span: Span, inside: slice) -> tuple[Value, int]:
    low, high = (_extreme(rows, inside, least=least) for least in (True, False))
    return _of_good(rows, inside, None if low is None or high is None else high - low)


def _of_good(rows: Rows, inside: slice, value: Value) -> tuple[Value, int]:
    if value is None:
        return None, NO_DATA
    clean = bool(rows.good[inside].all()) and not rows.summary.bad[inside].any()
    return value, (0 if clean else SUB_NORMAL) | CALCULATED


def _count(rows: Rows, span: Span, inside: slice) -> tuple[Value, int]:
    good = rows.good[inside]
    count = int(rows.summary.count[inside][good].sum())
    if not count and not len(good) and _outside(rows, span):
        return None, NO_DATA
    status = _counted(rows, inside) if count else (0 if not len(good) else SUB_NORMAL)
    return count, status | CALCULATED


def _outside(rows: Rows, span: Span) -> bool:
    return not len(rows.time) or span.end_ns <= rows.time[0] or span.start_ns > rows.time[-1]


def _counted(rows: Rows, inside: slice) -> int:
    """The status by the share of the values that are Good (OPC 10000-13, 5.3.3.2.1)."""
    good = rows.good[inside]
    right = int(rows.summary.count[inside][good].sum())
    total = int((rows.summary.count[inside] + rows.summary.bad[inside]).sum())
    return _by_share(rows.rules, right / total)


def _by_share(rules: Rules, good: float) -> int:
    if good * 100 >= rules.percent_good:
        return 0
    return NO_DATA if (1 - good) * 100 >= rules.percent_bad else SUB_NORMAL


def _time_average(rows: Rows, span: Span, inside: slice) -> tuple[Value, int]:
    """The mean over time, of lines or steps between Good values (OPC 10000-13, 5.4.3.6)."""
    ends = [rows.at(span.start_ns), rows.at(span.end_ns)]
    good = np.flatnonzero(rows.good[inside]) + inside.start
    time, value = rows.time[good], rows.value[good]
    if ends[0].value is not None and (not len(time) or time[0] > span.start_ns):
        time, value = np.append(span.start_ns, time), np.append(float(ends[0].value), value)
    if not len(time):
        return None, NO_DATA
    last = ends[1].value
    end = float(last) if last is not None and not rows.rules.stepped else value[-1]
    time, value = np.append(time, span.end_ns), np.append(value, end)
    width = np.diff(time).astype(np.float64)
    height = value[:-1] if rows.rules.stepped else (value[:-1] + value[1:]) / 2
    whole = width.sum()
    clean = time[0] == span.start_ns and bool(rows.good[inside].all())
    clean &= not any(got.status & UNCERTAIN for got in ends)
    return float((width * height).sum() / whole), (0 if clean else SUB_NORMAL) | CALCULATED


Compute = Callable[[Rows, Span, slice], tuple[Value, int]]
AGGREGATES: Final[Mapping[str, Compute]] = {
    "Interpolative": _interpolative,
    "Average": _average,
    "TimeAverage": _time_average,
    "Minimum": _minimum,
    "Maximum": _maximum,
    "Range": _range,
    "Count": _count,
}
"""By the names of the standard; `Start` and `End` have results of another form."""
ENDS: Final = ("Start", "End")
NAMES: Final = (*AGGREGATES, *ENDS)
OF_ANY_TYPE: Final = frozenset({"Interpolative", "Count", *ENDS})
"""These are told of texts and of BOOL too."""


def processed(name: str, rows: Rows, wanted: Sequence[Span]) -> list[Got]:
    """The aggregate of each interval."""
    found = []
    for span in wanted:
        first = int(np.searchsorted(rows.time, span.start_ns))
        inside = slice(first, int(np.searchsorted(rows.time, span.end_ns)))
        if name in ENDS:
            found.append(_end(rows, span, inside, last=(name == "End")))
            continue
        value, status = AGGREGATES[name](rows, span, inside)
        if span.partial and value is not None and name != "Interpolative":
            status |= PARTIAL
        found.append(Got(span.stamp_ns, value, status))
    return found


def _end(rows: Rows, span: Span, inside: slice, *, last: bool) -> Got:
    """The first or last value of an interval with its own time (OPC 10000-13, 5.4.3.22)."""
    if inside.start == inside.stop:
        return Got(span.stamp_ns, None, NO_DATA)
    backward = span.stamp_ns != span.start_ns and span.end_ns == span.stamp_ns + 1
    row = inside.stop - 1 if last != backward else inside.start
    status = int(rows.status[row])
    return Got(int(rows.time[row]), None if status >= BAD else rows.exact(row), status)


def _number(words: NDArray[np.uint64], kind: Kind) -> Value:
    if kind is Kind.TEXT:
        return int(words[0])
    value = words.view(WIDE[kind])[0]
    return float(value) if kind is Kind.FLOAT else int(value)
