"""What `status` says of a running cell, as plain data.

Everything here reads a consistent snapshot of the cell's image; nothing changes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, TypeVar

from cellwright.io.image import Distribution, Image, figures
from cellwright.io.image.figures import Figure, Kind
from cellwright.io.plan import CellState, Plan, Value
from cellwright.runtime.cli.views.history import history_report
from cellwright.runtime.cli.views.programs import program_report
from cellwright.runtime.realtime.machine_check import check

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
        **history_report(plan, image),
        "first_fault": str(system("first_fault")),
        "degraded": str(system("degraded")),
        "simulated": plan.simulated,
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
        "users_error": image.gateway.users_error,
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
