"""Shows alarms on a terminal. Makes text of what was read, judges nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cellwright.io.image import ACTIVE, UNACKNOWLEDGED, AlarmStatus
from cellwright.io.plan import Plan
from cellwright.runtime.cli.common import counted
from cellwright.runtime.cli.console import out
from cellwright.runtime.cli.views.words import shown


def watch_alarms(plan: Plan, look: Callable[[], Iterable[AlarmStatus]]) -> None:
    """Show what each look finds until it is interrupted."""
    try:
        with Live(console=out, auto_refresh=False) as live:
            while True:
                live.update(alarm_view(plan, look()), refresh=True)
                time.sleep(0.2)
    except KeyboardInterrupt:
        return
    finally:
        if not out.is_terminal:
            out.line()


def alarm_view(plan: Plan, statuses: Iterable[AlarmStatus]) -> RenderableType:
    """Alarms as a table below a line that counts them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("state", "alarm", "severity", "since", "value", "group", "text"):
        table.add_column(column, overflow="fold", no_wrap=column in ("state", "alarm", "since"))
    standing = waiting = 0
    for one in statuses:
        standing += one.state in ACTIVE
        waiting += one.state in UNACKNOWLEDGED
        since = ""
        if one.since_utc_ns:
            since = time.strftime("%d.%m. %H:%M:%S", time.localtime(one.since_utc_ns / 1e9))
        text = Text(one.text)
        if one.first_out:
            text.append("  first of its group", style="bold")
        if one.held:
            text.append(f"  kept, not judged: {one.held}", style="yellow")
        table.add_row(
            Text(one.state.name.replace("_", " "), style=_style(one)),
            one.name,
            str(one.severity),
            since,
            Text("" if one.value is None else shown(one.value)),
            one.group,
            text,
        )
    head = f"{plan.cell}: {counted(standing, 'alarm')} standing, {waiting} to acknowledge"
    return Group(Text(head), table) if table.row_count else Text(head)


def _style(status: AlarmStatus) -> str:
    if status.state in UNACKNOWLEDGED:
        return "bold red"
    return "red" if status.state in ACTIVE else "dim"
