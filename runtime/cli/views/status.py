"""What the command line shows: reports as plain data, and tables made of them.

Everything here reads a consistent snapshot of a running cell's image; nothing changes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cellwright.io.image import Distribution, Image, figures
from cellwright.io.image.figures import Figure, Kind
from cellwright.io.plan import CellState, Plan, Value
from cellwright.runtime.cli.views.programs import program_lines, program_report
from cellwright.runtime.cli.views.tags import STATE_STYLE
from cellwright.runtime.realtime.machine_check import Item, check

S = TypeVar("S")


def status_report(plan: Plan, image: Image) -> dict[str, Any]:
    """Everything that ``status`` shows, as plain data; times in microseconds unless named."""
    now_ns = time.monotonic_ns()
    cell = figures.read_cell(image, image.snapshot_reader(), now_ns)

    def system(name: str) -> Value:
        return cell.snapshot.value(plan.tag(f"sys.{name}").index)

    return {
        "cell": plan.cell,
        "site": plan.site,
        "source": plan.source,
        "state": CellState(image.scan.state).name,
        "first_fault": str(system("first_fault")),
        "degraded": str(system("degraded")),
        **_shown(figures.CELL, cell),
        "ticks": {
            "elapsed": system("elapsed"),
            "run": system("cycle"),
            "skipped": system("skipped"),
        },
        "programs": program_report(plan, image),
        "scan": _shown(figures.TASK, figures.read_task(image, None)),
        "tasks": {
            task.name: {"kind": str(task.kind)}
            | _shown(figures.TASK, figures.read_task(image, task))
            for task in plan.tasks
        },
        "processes": {
            process.slot.name: _shown(figures.PROCESS, process)
            for process in figures.read_processes(image, now_ns)
        },
        "devices": {
            port.device.name: {"driver": port.device.driver} | _shown(figures.DEVICE, port)
            for port in figures.polled_devices(image)
        },
        "journal": _shown(figures.JOURNAL, cell),
        "recorder": _recorder(image),
        "machine": [item.report() for item in check(plan.scan, image.scan.pid)],
    }


def _shown(listed: Iterable[Figure[S]], subject: S) -> dict[str, Any]:
    return {one.status: _plain(one, one.read(subject)) for one in listed if one.status}


def _plain(figure: Figure[Any], value: Any) -> Any:
    """As JSON has it; durations in the unit that the key ends with."""
    match figure.kind:
        case Kind.TIMES:
            return _distribution(value)
        case Kind.DURATION:
            value = value / (1e6 if figure.status.endswith("_ms") else 1e3)
    return value if figure.decimals is None else round(value, figure.decimals)


def _distribution(times: Distribution) -> dict[str, float]:
    return {
        "last": times.last / 1e3,
        "min": times.minimum / 1e3,
        "mean": round(times.mean / 1e3, 3),
        "p50": times.percentile(50) / 1e3,
        "p99": times.percentile(99) / 1e3,
        "p99.9": times.percentile(99.9) / 1e3,
        "max": times.maximum / 1e3,
    }


def _recorder(image: Image) -> dict[str, Any]:
    scan, process = image.recorded, image.recorder
    return {
        "recorded": scan.recorded,
        "dropped": scan.dropped,
        "missed": process.missed,
        "rolling_bytes": process.rolling_bytes,
        "kept_files": process.kept_files,
        "kept_bytes": process.kept_bytes,
        "newest": process.newest,
        "obstacle": scan.obstacle,
        "error": process.error,
    }


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
    if report["degraded"]:
        parts.append(Text(f"degraded: {report['degraded']}", style="yellow"))
    if report["forces_active"]:
        parts.append(Text("forces are active", style="yellow"))
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
            row["detail"],
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
