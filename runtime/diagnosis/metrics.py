"""The cell's figures for Prometheus: text exposition format 0.0.4, made from the image.

The gateway serves it on the address of the section ``metrics``. It reads the image like any other
reader: the scan neither knows nor notices, and nothing here writes.
https://prometheus.io/docs/instrumenting/exposition_formats/ is the format's source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.metadata import version
from typing import Final, Literal

from cellwright.io.image import SCAN, DevicePort, Distribution, Image, bucket_low
from cellwright.io.plan import CellState, Plan
from cellwright.native import lib

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]

SHORTEST_NS: Final = 1 << 10
LONGEST_NS: Final = 1 << 30


def _edges() -> tuple[tuple[int, int], ...]:
    """(bucket of the image's histogram, highest ns below it): two an octave, 1 us to 1 s.

    They lie on the image's own bucket limits, so that the cumulative counts are exact.
    """
    edges = []
    for bucket in range(4, lib.CW_BUCKETS, 4):
        low = bucket_low(bucket)
        if SHORTEST_NS <= low <= LONGEST_NS:
            edges.append((bucket, low - 1))
    return tuple(edges)


EDGES: Final = _edges()
"""Buckets of every exported histogram."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: what ``HELP`` and ``TYPE`` say, and which labels its samples have."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def _f(name: str, kind: Kind, text: str, *labels: str) -> Family:
    return Family(f"cellwright_{name}", kind, text, labels)


FAMILIES: Final = (
    _f("info", "gauge", "Always 1; says which cell this is", "cell", "site", "version", "layout"),
    _f("state", "gauge", "1 for the operating state that the cell is in, else 0", "state"),
    _f("fault", "gauge", "1 while a first fault is recorded, else 0"),
    _f("degraded", "gauge", "1 while the scan lacks something that it asked the machine for"),
    _f("forces_active", "gauge", "1 while at least one tag is forced, else 0"),
    _f("base_interval_seconds", "gauge", "Base interval of the scan"),
    _f("scan_beat_age_seconds", "gauge", "Time since the scan began its last cycle"),
    _f("scan_ticks_total", "counter", "Ticks since the scan process started", "result"),
    _f("scan_start_lateness_seconds", "histogram", "Start of a cycle after its tick"),
    _f("scan_cycle_seconds", "histogram", "Duration of a cycle"),
    _f("task_runs_total", "counter", "Executions of a task", "task"),
    _f("task_skips_total", "counter", "Executions that a late cycle cost a task", "task"),
    _f("task_overruns_total", "counter", "Executions longer than the task's interval", "task"),
    _f("task_watchdog_hits_total", "counter", "Executions longer than the watchdog", "task"),
    _f("task_late_runs_total", "counter", "Executions that made up for skipped ones", "task"),
    _f("task_omitted_total", "counter", "Cycles without slack for a freewheeling task", "task"),
    _f("task_job_timeouts_total", "counter", "Jobs not answered before their deadline", "task"),
    _f("task_late_answers_total", "counter", "Answers dropped after their deadline", "task"),
    _f("task_resets_total", "counter", "How often the task's figures were reset", "task"),
    _f("task_start_delay_seconds", "histogram", "Start of a task after its cycle began", "task"),
    _f("task_execution_seconds", "histogram", "Duration of a task's execution", "task"),
    _f("device_connected", "gauge", "1 while the device answers, else 0", "device", "driver"),
    _f("device_tripped", "gauge", "1 after its driver put its outputs in the safe state", "device"),
    _f("device_requests_total", "counter", "Requests to the device", "device"),
    _f("device_failures_total", "counter", "Requests that failed", "device"),
    _f("device_reconnects_total", "counter", "Connections made again", "device"),
    _f("device_last_request_seconds", "gauge", "Duration of the last request", "device"),
    _f("device_longest_request_seconds", "gauge", "Duration of the longest request", "device"),
    _f("device_back_off_seconds", "gauge", "Present pause between attempts, 0: none", "device"),
    _f("process_up", "gauge", "1 while the process runs, else 0", "process"),
    _f("process_restarts_total", "counter", "How often it was started again", "process"),
    _f("process_beat_age_seconds", "gauge", "Time since its last sign of life", "process"),
    _f("journal_ok", "gauge", "1 while events are accepted and confirmed, else 0"),
    _f("journal_committed_total", "counter", "Events made durable by this journal process"),
    _f("journal_waiting", "gauge", "Events of the scan that are not durable yet"),
)
"""Everything that is exported; `docs/howto/monitor_with_prometheus.md` lists the same."""

_BY_NAME: Final = {family.name.removeprefix("cellwright_"): family for family in FAMILIES}


@dataclass
class _Page:
    """Samples by family, in the order of `FAMILIES`."""

    samples: dict[str, list[str]] = field(
        default_factory=lambda: {family.name: [] for family in FAMILIES}
    )

    def put(self, name: str, value: float | Decimal, **labels: str) -> None:
        self._line(_BY_NAME[name], "", labels, value)

    def put_histogram(self, name: str, times: Distribution, **labels: str) -> None:
        """Cumulative buckets, sum and count. The count is that of the buckets: a record that is
        read while the scan restarts must not contradict itself."""
        family = _BY_NAME[name]
        seen = before = 0
        for bucket, highest_ns in EDGES:
            seen += sum(times.buckets[before:bucket])
            before = bucket
            self._line(family, "_bucket", {**labels, "le": _number(_seconds(highest_ns))}, seen)
        count = seen + sum(times.buckets[before:])
        self._line(family, "_bucket", {**labels, "le": "+Inf"}, count)
        self._line(family, "_sum", labels, _seconds(times.total))
        self._line(family, "_count", labels, count)

    def _line(self, family: Family, suffix: str, labels: Labels, value: float | Decimal) -> None:
        if set(labels) - {"le"} != set(family.labels):
            raise ValueError(f"{family.name} has the labels {family.labels}, not {tuple(labels)}")
        inner = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
        shown = f"{{{inner}}}" if inner else ""
        self.samples[family.name].append(f"{family.name}{suffix}{shown} {_number(value)}")

    def text(self) -> str:
        parts = []
        for family in FAMILIES:
            lines = self.samples[family.name]
            if lines:
                parts.append(f"# HELP {family.name} {_escaped_help(family.help)}")
                parts.append(f"# TYPE {family.name} {family.kind}")
                parts += lines
        return "\n".join(parts) + "\n"


class Exporter:
    """Makes the page. One of it for a gateway: it keeps the readers of the image."""

    def __init__(self, plan: Plan, image: Image, now_ns: Callable[[], int]) -> None:
        self._plan = plan
        self._image = image
        self._now_ns = now_ns
        self._reader = image.snapshot_reader()
        self._forces = plan.tag("sys.forces_active").index
        self._ports: list[tuple[str, str, DevicePort]] = [
            (device.name, device.driver, image.device(index))
            for index, device in enumerate(plan.devices)
            if device.kind == "driver"
        ]

    def page(self) -> str:
        """The whole exposition, ending in a newline."""
        page = _Page()
        now_ns = self._now_ns()
        self._put_cell(page, now_ns)
        self._put_tasks(page)
        self._put_devices(page)
        self._put_processes(page, now_ns)
        journal, ring = self._image.journal, self._image.events["scan"]
        page.put("journal_ok", journal.ok)
        page.put("journal_committed_total", journal.committed)
        # The order matters: what is acknowledged later must not be counted as waiting.
        acknowledged = ring.acknowledged
        page.put("journal_waiting", max(0, ring.written - acknowledged))
        return page.text()

    def _put_cell(self, page: _Page, now_ns: int) -> None:
        plan, scan = self._plan, self._image.scan
        page.put(
            "info",
            1,
            cell=plan.cell,
            site=plan.site,
            version=version("cellwright"),
            layout=plan.layout_hash.hex()[:12],
        )
        for state in CellState:
            page.put("state", scan.state == state, state=state.name)
        page.put("fault", bool(scan.fault_code))
        page.put("degraded", bool(scan.degraded))
        self._reader.read()
        page.put("forces_active", bool(self._reader.value(self._forces)))
        page.put("base_interval_seconds", _seconds(plan.scan.base_ns))
        page.put("scan_beat_age_seconds", _age(scan.beat_ns, now_ns))
        page.put("scan_ticks_total", scan.run_ticks, result="run")
        page.put("scan_ticks_total", scan.skipped_ticks, result="skipped")
        figures = self._image.statistics.read(SCAN)
        page.put_histogram("scan_start_lateness_seconds", figures.jitter)
        page.put_histogram("scan_cycle_seconds", figures.execution)

    def _put_tasks(self, page: _Page) -> None:
        for task in self._plan.tasks:
            figures = self._image.statistics.read(task.index)
            page.put("task_runs_total", figures.runs, task=task.name)
            page.put("task_skips_total", figures.skips, task=task.name)
            page.put("task_overruns_total", figures.overruns, task=task.name)
            page.put("task_watchdog_hits_total", figures.watchdog_hits, task=task.name)
            page.put("task_late_runs_total", figures.late_runs, task=task.name)
            page.put("task_omitted_total", figures.omitted, task=task.name)
            page.put("task_job_timeouts_total", figures.job_timeouts, task=task.name)
            page.put("task_late_answers_total", figures.late_answers, task=task.name)
            page.put("task_resets_total", figures.resets, task=task.name)
            page.put_histogram("task_start_delay_seconds", figures.jitter, task=task.name)
            page.put_histogram("task_execution_seconds", figures.execution, task=task.name)

    def _put_devices(self, page: _Page) -> None:
        for name, driver, port in self._ports:
            page.put("device_connected", port.connected, device=name, driver=driver)
            page.put("device_tripped", port.trip != 0, device=name)
            page.put("device_requests_total", port.requests, device=name)
            page.put("device_failures_total", port.failures, device=name)
            page.put("device_reconnects_total", port.reconnects, device=name)
            page.put("device_last_request_seconds", _seconds(port.last_ns), device=name)
            page.put("device_longest_request_seconds", _seconds(port.max_ns), device=name)
            page.put("device_back_off_seconds", _seconds(port.back_off_ns), device=name)

    def _put_processes(self, page: _Page, now_ns: int) -> None:
        for name, slot in self._image.processes.items():
            if slot.pid == 0 and slot.restarts == 0:
                continue  # not started in this cell: no gateway, no worker
            page.put("process_up", slot.pid != 0, process=name)
            page.put("process_restarts_total", slot.restarts, process=name)
            page.put("process_beat_age_seconds", _age(slot.beat_ns, now_ns), process=name)


def escaped(text: str) -> str:
    """A label's value: backslash, quote and line feed are escaped."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _seconds(ns: int) -> Decimal:
    """Exact: a float would round the bounds of buckets."""
    return Decimal(ns).scaleb(-9).normalize()


def _age(beat_ns: int, now_ns: int) -> Decimal:
    return _seconds(max(0, now_ns - beat_ns))


def _number(value: float | Decimal) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(int(value)) if value == int(value) else repr(value)


def reference_rows(families: Iterable[Family] = FAMILIES) -> list[str]:
    """Rows of the documentation's table."""
    return [
        f"| `{one.name}` | {one.kind} | "
        f"{', '.join(f'`{label}`' for label in one.labels)} | {one.help} |"
        for one in families
    ]
