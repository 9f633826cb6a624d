"""The commands about alarms: list, acknowledge, shelve. Thin adapters to the view and the ring."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cellwright.io.files.problems import nearest
from cellwright.io.image import (
    ACTIVE,
    ANNUNCIATED,
    UNACKNOWLEDGED,
    AlarmStatus,
    AlarmView,
    SnapshotReader,
)
from cellwright.io.messages import AcknowledgeAlarm, ShelveAlarm, UnshelveAlarm
from cellwright.io.plan import Plan
from cellwright.runtime.cli.acting import acting
from cellwright.runtime.cli.common import CellOption, JsonOption, ReasonOption, actor, fail
from cellwright.runtime.cli.running import attached
from cellwright.runtime.cli.views.history import with_their_coming

ALL = "all"
"""Instead of an alarm's name: every one that waits for acknowledgement."""

AlarmArgument = Annotated[str, typer.Argument(help="Name of the alarm.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    app.command()(alarms)
    app.command()(ack)
    app.command()(shelve)
    app.command()(unshelve)


def alarms(
    cell: CellOption = None,
    every: Annotated[bool, typer.Option("--all", help="Also list normal alarms.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Update live until interrupted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List alarms that are active, unacknowledged, shelved or cannot be evaluated."""
    with attached(cell) as (plan, image):
        reader = image.snapshot_reader()
        if as_json:
            rows = [report(one) for one in _chosen(plan, reader, every)]
            sys.stdout.write(json.dumps(rows, indent=2) + "\n")
            return
        # They bring rich, which costs as much as all the rest.
        from cellwright.runtime.cli.console import out  # noqa: PLC0415
        from cellwright.runtime.cli.views.alarms import (  # noqa: PLC0415
            alarm_view,
            watch_alarms,
        )

        if watch:
            watch_alarms(plan, lambda: _chosen(plan, reader, every))
        else:
            out.print(alarm_view(plan, _chosen(plan, reader, every)))


def ack(
    name: Annotated[str, typer.Argument(help="Name of the alarm, or 'all'.")],
    cell: CellOption = None,
    reason: ReasonOption = "",
) -> None:
    """Acknowledge one alarm, or all of them."""
    with acting(cell) as target:
        if name != ALL:
            _known(target.plan, name)
        wanted = "" if name == ALL else name
        target.send(AcknowledgeAlarm(alarm=wanted, actor=actor(), reason=reason))
        target.say(f"{name} acknowledged")


def shelve(
    name: AlarmArgument,
    reason: Annotated[str, typer.Option("--reason", help="Reason, recorded in the audit trail.")],
    duration: Annotated[str, typer.Option("--for", help="Duration, like 30min; at most a day.")],
    cell: CellOption = None,
) -> None:
    """Shelve an alarm for a limited time."""
    # They bring the configuration's models, and of the four commands this one alone needs them.
    from pydantic_core import PydanticCustomError  # noqa: PLC0415

    from cellwright.runtime.config.sections.durations import (  # noqa: PLC0415
        parse_duration,
        show_duration,
    )

    try:
        length_ns = parse_duration(duration)
    except PydanticCustomError as error:
        fail(error.message(), 2)
    with acting(cell) as target:
        _known(target.plan, name)
        target.send(
            ShelveAlarm(alarm=name, duration_s=length_ns / 1e9, actor=actor(), reason=reason)
        )
        target.say(f"{name} shelved for {show_duration(length_ns)}")


def unshelve(name: AlarmArgument, cell: CellOption = None, reason: ReasonOption = "") -> None:
    """Unshelve an alarm before its time is up."""
    with acting(cell) as target:
        _known(target.plan, name)
        target.send(UnshelveAlarm(alarm=name, actor=actor(), reason=reason))
        target.say(f"{name} unshelved")


def _known(plan: Plan, name: str) -> None:
    names = [rule.name for rule in plan.alarms]
    if name not in names:
        fail(f"cell '{plan.cell}' has no alarm '{name}'; {nearest(name, names)}")


# --- what is shown --------------------------------------------------------------------------------


def report(status: AlarmStatus) -> dict[str, Any]:
    """One alarm as plain data; ``since`` is UTC, None for one that has never been active.

    It is when the alarm came, of one that is put away when that was done.
    """
    since = None
    if status.since_utc_ns:
        since = datetime.fromtimestamp(status.since_utc_ns / 1e9, UTC).isoformat()
    return {
        "name": status.name,
        "state": status.state.name,
        "active": status.state in ACTIVE,
        "acknowledged": status.state not in UNACKNOWLEDGED,
        "severity": status.severity,
        "text": status.text,
        "group": status.group,
        "first_out": status.first_out,
        "consequence": str(status.consequence),
        "held": status.held,
        "value": status.value,
        "since": since,
    }


def _chosen(plan: Plan, reader: SnapshotReader, every: bool) -> list[AlarmStatus]:
    """Most urgent first; the order of the configuration among equals."""
    reader.read()
    statuses = AlarmView(plan, reader).statuses()
    if not every:
        statuses = [one for one in statuses if one.state != 0 or one.held]
    statuses = with_their_coming(plan, statuses)
    return sorted(statuses, key=lambda one: (one.state not in ANNUNCIATED, -one.severity))
