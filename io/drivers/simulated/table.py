"""Values over time from a CSV file, for the simulated device and for the check of its options."""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from pathlib import Path

import msgspec

LARGEST_BYTES = 64 << 20


class TableError(Exception):
    """The file cannot be used; the sentence says why."""


class Table(msgspec.Struct, frozen=True):
    """Times in seconds, growing, and the value from each on."""

    times: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, at_s: float, *, repeat: bool) -> float:
        """The value at that time; before the first time the first value."""
        if repeat and self.times[-1] > 0:
            at_s %= self.times[-1]
        return self.values[max(0, bisect_right(self.times, at_s) - 1)]


def read_table(path: Path, column: str) -> Table:
    """The column of the file; raises TableError with the line that is wrong."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise TableError(f"{path} is larger than {LARGEST_BYTES >> 20} MiB")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or []
            for needed in ("time_s", column):
                if needed not in names:
                    raise TableError(
                        f"{path} has no column '{needed}', only {', '.join(names) or 'no line'}"
                    )
            times: list[float] = []
            values: list[float] = []
            for row in rows:
                at_s = _number(path, rows.line_num, "time_s", row)
                if at_s < 0 or (times and at_s <= times[-1]):
                    raise TableError(f"{path}:{rows.line_num}: the times do not grow from 0 on")
                times.append(at_s)
                values.append(_number(path, rows.line_num, column, row))
    except (OSError, UnicodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TableError(f"{path} cannot be read: {reason}") from error
    if not times:
        raise TableError(f"{path} has no values")
    return Table(tuple(times), tuple(values))


def _number(path: Path, line: int, name: str, row: dict[str, str | None]) -> float:
    text = row[name] or ""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TableError(f"{path}:{line}: {name} is '{text[:40]}', which is no number")
    return number
