"""Scripts of timed inputs: a table of times, tags and values, as CSV or YAML.

Read once before the simulation begins; every complaint names file and line.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cellwright.io.files.located_yaml import Node, parse
from cellwright.io.files.problems import Problems
from cellwright.io.messages import WriteTag
from cellwright.io.plan import Direction, Plan, Tag, Value
from cellwright.runtime.cell.tag_lookup import parse_value, unknown_tag
from cellwright.runtime.simulation.cell import SimulatedCell, nanoseconds
from cellwright.runtime.simulation.errors import SimulationError
from cellwright.runtime.simulation.records import ACTOR

COLUMNS = ("time", "tag", "value")
LONGEST_S: Final = 366 * 86_400.0
_SECONDS: Final = re.compile(r"\s*\d+(\.\d*)?([eE][+-]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimedInput:
    """At that simulated time after the start, this tag gets this value."""

    at_ns: int
    tag: Tag
    value: Value


def read_script(file: Path, plan: Plan) -> list[TimedInput]:
    """The rows of a file in the order of their times; raises SimulationError.

    CSV has the header ``time,tag,value``, YAML a list of mappings with these keys. Times carry
    their unit (``1.5s``) or are seconds.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise SimulationError(
            f"the inputs {file} cannot be read: {why}; give a file of time, tag and value"
        ) from error
    rows = _yaml(file, text) if file.suffix in (".yaml", ".yml") else _csv(file, text)
    found = []
    for line, row in rows:
        try:
            found.append(timed_input(plan, row["time"], row["tag"], row["value"]))
        except SimulationError as error:
            raise SimulationError(f"{file}:{line}: {error}") from error
    return sorted(found, key=lambda one: one.at_ns)


def timed_input(plan: Plan, time: str, name: str, text: str) -> TimedInput:
    """One row as it was typed; raises SimulationError."""
    at_ns = _instant(time)
    try:
        tag = plan.tag(name)
    except KeyError:
        raise SimulationError(unknown_tag(plan, name)) from None
    try:
        return TimedInput(at_ns, tag, parse_value(tag, text))
    except ValueError as error:
        raise SimulationError(f"{name}: {error}") from error


def _instant(text: str) -> int:
    """Nanoseconds after the start: seconds, or a number with its unit."""
    if _SECONDS.fullmatch(text) is None:
        return nanoseconds(text)
    seconds = float(text)
    if seconds > LONGEST_S:
        raise SimulationError(
            f"the time {text} is later than {LONGEST_S:g} s, the longest there is"
        )
    return nanoseconds(seconds)


def play(cell: SimulatedCell, inputs: list[TimedInput]) -> None:
    """Let each row happen at its time from now on. A refused write stays in the cell's events."""
    begin_ns = cell.clock.now_ns()
    for one in inputs:
        cell.at(begin_ns + one.at_ns, _action(cell, one))


def _action(cell: SimulatedCell, one: TimedInput) -> Callable[[], None]:
    if one.tag.direction is Direction.INPUT:
        return lambda: cell.hold(one.tag, one.value)
    command = WriteTag(tag=one.tag.name, value=one.value, actor=ACTOR, reason="script")

    def write() -> None:
        cell.post(command)

    return write


def _csv(file: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    rows = []
    try:
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise SimulationError(f"{file}:1: the header must be {','.join(COLUMNS)}")
        for row in reader:
            if None in row.values() or None in row:
                raise SimulationError(
                    f"{file}:{reader.line_num}: a row has three columns, {', '.join(COLUMNS)}"
                )
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise SimulationError(f"{file}:{reader.line_num + 1}: not CSV: {error}") from error
    return rows


def _yaml(file: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    """Rows with each value as it is written: ``00123`` for a STRING stays ``00123``."""
    problems = Problems(str(file))
    root = parse(text.encode(), problems)
    if problems.found:
        complaints = "; ".join(map(str, problems.ordered()))
        raise SimulationError(f"the script is not YAML of times, tags and values: {complaints}")
    if root is None or root.kind != "sequence":
        raise SimulationError(f"{file}:1: write a list of mappings with {', '.join(COLUMNS)}")
    rows = []
    for row in root.items:
        if row.kind != "mapping" or set(row.entries) != set(COLUMNS):
            raise SimulationError(
                f"{file}:{row.mark.line}: a row has the keys {', '.join(COLUMNS)}"
            )
        values = {key: _written(entry.node) for key, entry in row.entries.items()}
        rows.append((row.mark.line, values))
    return rows


def _written(node: Node) -> str:
    """A scalar as it stands in the file, a list as JSON."""
    return json.dumps(node.plain()) if node.kind in ("sequence", "mapping") else node.text
