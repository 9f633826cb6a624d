"""What the command line shows: reports as plain data, and tables made of them.

Everything here reads a consistent snapshot of a running cell's image; nothing changes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cellwright.io.image import Distribution, Image
from cellwright.io.image.status import ProcessState
from cellwright.io.plan import CellState, Plan, Value
from cellwright.runtime.cli.views.programs import program_lines, program_report
from cellwright.runtime.cli.views.tags import STATE_STYLE
from cellwright.runtime.realtime.machine_check import Item, check

# --- tags -----------------------------------------------------------------------------------------


# --- status ---------------------------------------------------------------------------------------


def status_report(plan: Plan, image: Image) -> dict[str, Any]:
    """Everything that ``status`` shows, as plain data; times in microseconds unless named."""
    reader = image.snapshot_reader()
    reader.read()
    now = time.monotonic_ns()

    def system(name: str) -> Value:
        return reader.value(plan.tag(f"sys.{name}").index)

    scan = image.scan
    return {
        "cell": plan.cell,
        "site": plan.site,
        "source": plan.source,
        "state": CellState(scan.state).name,
        "first_fault": str(system("first_fault")),
        "degraded": str(system("degraded")),
        "forces_active": bool(system("forces_active")),
        "base_ms": plan.scan.base_ns / 1e6,
        "beat_age_ms": _age_ms(now, scan.beat_ns, 3),
        "ticks": {
            "elapsed": system("elapsed"),
            "run": system("cycle"),
            "skipped": system("skipped"),
        },
        "programs": program_report(plan, image),
        "scan": _task_report(image, -1, plan.scan.base_ns),
        "tasks": {
            task.name: {"kind": str(task.kind)}
            | _task_report(image, task.index, task.interval_ns or plan.scan.base_ns)
            for task in plan.tasks
        },
        "processes": _processes(plan, image, now),
        "devices": _devices(plan, image),
        "journal": {
            "ok": image.journal.ok,
            "error": image.journal.error,
            "committed": image.journal.committed,
        },
        "recorder": _recorder(image),
        "machine": [item.report() for item in check(plan.scan, scan.pid)],
    }


def _task_report(image: Image, index: int, period_ns: int) -> dict[str, Any]:
    figures = image.statistics.read(index)
    return {
        "runs": figures.runs,
        "overruns": figures.overruns,
        "skips": figures.skips,
        "late_runs": figures.late_runs,
        "omitted": figures.omitted,
        "watchdog_hits": figures.watchdog_hits,
        "job_timeouts": figures.job_timeouts,
        "late_answers": figures.late_answers,
        "resets": figures.resets,
        "load_percent": round(100.0 * figures.execution.mean / period_ns, 3),
        "start_jitter_us": _distribution(figures.jitter),
        "execution_us": _distribution(figures.execution),
    }


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


def _age_ms(now_ns: int, then_ns: int, digits: int) -> float:
    """0 for what came while the report was being made."""
    return max(0.0, round((now_ns - then_ns) / 1e6, digits))


def _processes(plan: Plan, image: Image, now_ns: int) -> dict[str, Any]:
    report = {}
    for name in image.processes:
        slot = image.processes[name]
        if slot.pid == 0 and slot.restarts == 0:
            continue
        report[name] = {
            "pid": slot.pid,
            "state": "RUNNING" if name == "supervisor" else ProcessState(slot.state).name,
            "restarts": slot.restarts,
            "detail": slot.detail,
            "beat_age_ms": _age_ms(now_ns, slot.beat_ns, 1),
        }
    return report


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


def _devices(plan: Plan, image: Image) -> dict[str, Any]:
    report = {}
    for index, device in enumerate(plan.devices):
        if device.kind != "driver":
            continue
        port = image.device(index)
        report[device.name] = {
            "driver": device.driver,
            "connected": port.connected,
            "tripped": port.trip != 0,
            "requests": port.requests,
            "failures": port.failures,
            "reconnects": port.reconnects,
            "last_us": port.last_ns / 1e3,
            "max_us": port.max_ns / 1e3,
            "error": port.error,
        }
    return report


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
    counts = ("runs", "overruns", "skips", "late_runs", "omitted", "watchdog_hits", "resets")
    table = _plain_table("task", *(count.replace("_", " ") for count in counts))
    for name, row in _scan_and_tasks(report):
        table.add_row(name, *(str(row[count]) for count in counts))
    return table


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
