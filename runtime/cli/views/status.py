"""Tables of how a cell does and of what a PC grants it, made of reports. They read nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cellwright.io.image import figures
from cellwright.io.image.figures import Kind
from cellwright.runtime.cli.views.folding import printable
from cellwright.runtime.cli.views.history import history_lines
from cellwright.runtime.cli.views.programs import program_lines
from cellwright.runtime.cli.views.tags import STATE_STYLE
from cellwright.runtime.realtime.machine_check import Item


def status_view(report: dict[str, Any]) -> RenderableType:
    """The report for people."""
    ticks = report["ticks"]
    state = report["state"]
    head = Text.assemble(
        (f"{report['cell']}", "bold"),
        f" ({report['site']})  " if report["site"] else "  ",
        (state, STATE_STYLE.get(state, "")),
        f"  {report['source']}",
    )
    parts: list[RenderableType] = [head]
    if report["first_fault"]:
        parts.append(Text(f"first fault: {report['first_fault']}", style="red"))
    if report["simulated"]:
        parts.append(Text(report["simulated"], style="bold red"))
    if report["degraded"]:
        parts.append(Text(f"degraded: {report['degraded']}", style="yellow"))
    if report["forces_active"]:
        parts.append(Text("forces are active", style="yellow"))
    parts += [Text(printable(line), style=style) for line, style in history_lines(report)]
    parts.append(
        Text(
            f"ticks: {ticks['run']} run + {ticks['skipped']} skipped = {ticks['elapsed']} elapsed, "
            f"base {report['base_ms']:g} ms"
        )
    )
    line, *more = program_lines(report["programs"])
    parts += [Text(line), *(Text(one, style="yellow") for one in more)]
    parts += ["", _count_table(report), *_job_lines(report)]
    parts += ["", _times_table(report, "start jitter", "start_jitter_us")]
    parts += ["", _times_table(report, "execution", "execution_us")]
    parts += ["", _process_table(report)]
    if report["devices"]:
        parts += ["", _device_table(report)]
    if report["users_error"]:
        parts.append(Text(printable(f"gateway: {report['users_error']}"), style="yellow"))
    journal = report["journal"]
    if not journal["ok"]:
        parts.append(Text(f"journal: {journal['error'] or 'not ready'}", style="red"))
    else:
        parts.append(Text(f"journal: {journal['committed']} events durable"))
    recorder = report["recorder"]
    lost = recorder["dropped"] + recorder["missed"]
    if lost or recorder["error"]:
        why = recorder["error"] or "it was too slow or not running"
        parts.append(Text(f"recorder: {lost} cycles are not recorded: {why}", style="yellow"))
    if recorder["obstacle"]:
        parts.append(Text(f"recorder: {recorder['obstacle']}", style="yellow"))
    lacking = [row["item"] for row in report["machine"] if row["state"] != "ok"]
    if lacking:
        parts.append(
            Text(f"machine: {', '.join(lacking)} degraded; see 'cellwright doctor'", style="yellow")
        )
    return Group(*parts)


def machine_view(items: Iterable[Item]) -> RenderableType:
    """What the boot self-check found, with a remedy under each thing that is degraded."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("item", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("finding", overflow="fold")
    for item in items:
        state = Text("ok", style="green") if item.ok else Text("degraded", style="yellow")
        table.add_row(item.name, state, Text(item.finding))
        if item.remedy:
            table.add_row("", "", Text(f"-> {item.remedy}", style="dim"))
    return table


def _count_table(report: dict[str, Any]) -> Table:
    counts = [
        figure.status
        for figure in figures.TASK
        if figure.kind is Kind.COUNTER and figure.status not in _OF_JOBS
    ]
    table = _plain_table("task", *(count.replace("_", " ") for count in counts))
    for name, row in _scan_and_tasks(report):
        table.add_row(name, *(str(row[count]) for count in counts))
    return table


_OF_JOBS: Final = ("job_timeouts", "late_answers")
"""Counters that a task without jobs does not have: a line below the table when there are any."""


def _job_lines(report: dict[str, Any]) -> list[Text]:
    return [
        Text(
            f"jobs of {name}: {row['job_timeouts']} not answered in time, "
            f"{row['late_answers']} late answers dropped",
            style="yellow",
        )
        for name, row in report["tasks"].items()
        if row["job_timeouts"] or row["late_answers"]
    ]


def _times_table(report: dict[str, Any], title: str, kind: str) -> Table:
    percentiles = ("p50", "p99", "p99.9", "max")
    table = _plain_table(f"{title}, us", *percentiles)
    for name, row in _scan_and_tasks(report):
        table.add_row(name, *(f"{row[kind][column]:.0f}" for column in percentiles))
    return table


def _scan_and_tasks(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("(scan)", report["scan"]), *report["tasks"].items()]


def _plain_table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, min_width=22)
    for column in numbers:
        table.add_column(column, justify="right")
    return table


def _process_table(report: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("process", "pid", "state", "restarts", "beat", ""):
        table.add_column(column)
    for name, row in report["processes"].items():
        table.add_row(
            name,
            str(row["pid"] or "-"),
            row["state"],
            str(row["restarts"]),
            f"{row['beat_age_ms']:.0f} ms ago",
            Text(row["detail"]),
        )
    return table


def _device_table(report: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("device", "driver", "link", "requests", "failures", "reconnects", "last", "max"):
        table.add_column(column)
    for name, row in report["devices"].items():
        link = "tripped" if row["tripped"] else "connected" if row["connected"] else row["error"]
        table.add_row(
            name,
            row["driver"],
            Text(link or "not connected", style="green" if row["connected"] else "red"),
            str(row["requests"]),
            str(row["failures"]),
            str(row["reconnects"]),
            f"{row['last_us']:.0f} us",
            f"{row['max_us']:.0f} us",
        )
    return table
