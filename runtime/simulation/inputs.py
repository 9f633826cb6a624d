"""Scripts of timed inputs: a table of times, tags and values, as CSV or YAML.

Read once before the simulation begins; every complaint names file and line.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.error import YAMLError

from cellwright.io.messages import WriteTag
from cellwright.io.plan import Direction, Plan, Tag, Value
from cellwright.runtime.cell.tag_lookup import parse_value, unknown_tag
from cellwright.runtime.simulation.cell import SimulatedCell, nanoseconds
from cellwright.runtime.simulation.errors import SimulationError
from cellwright.runtime.simulation.records import ACTOR

COLUMNS = ("time", "tag", "value")


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
    try:
        seconds: str | float = float(time)
    except ValueError:
        seconds = time
    at_ns = nanoseconds(seconds)
    try:
        tag = plan.tag(name)
    except KeyError:
        raise SimulationError(unknown_tag(plan, name)) from None
    try:
        return TimedInput(at_ns, tag, parse_value(tag, text))
    except ValueError as error:
        raise SimulationError(f"{name}: {error}") from error


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
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise SimulationError(f"{file}:1: the header must be {','.join(COLUMNS)}")
    rows = []
    for row in reader:
        if None in row.values() or None in row:
            raise SimulationError(
                f"{file}:{reader.line_num}: a row has three columns, {', '.join(COLUMNS)}"
            )
        rows.append((reader.line_num, row))
    return rows


def _yaml(file: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    try:
        content = YAML(typ="rt").load(text)
    except YAMLError as error:
        raise SimulationError(f"{file} is not YAML: {error}") from error
    if not isinstance(content, CommentedSeq):
        raise SimulationError(f"{file}:1: write a list of mappings with {', '.join(COLUMNS)}")
    rows = []
    for number, row in enumerate(content):
        line = content.lc.item(number)[0] + 1
        if not isinstance(row, dict) or set(row) != set(COLUMNS):
            raise SimulationError(f"{file}:{line}: a row has the keys {', '.join(COLUMNS)}")
        rows.append((line, {key: _text(value) for key, value in row.items()}))
    return rows


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
