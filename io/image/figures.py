"""Every figure of the scan, the tasks, the devices and the processes, declared once.

OPC UA, the page for Prometheus, `cellwright status` and the reference are made from these lists: a
figure says what it means, how it is read, and by what name each of them shows it. Nothing here
writes, and how a unit is spelled is the business of who shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import version
from typing import Any, Final, Generic, NamedTuple, TypeVar

from cellwright.io.image.device_port import DevicePort
from cellwright.io.image.image import Image
from cellwright.io.image.snapshot_reader import SnapshotReader
from cellwright.io.image.statistics import SCAN, TaskStatistics
from cellwright.io.image.status import ProcessSlot, ProcessState
from cellwright.io.plan import CellState, Task

S = TypeVar("S")


class Kind(StrEnum):
    """What a figure is, and with it the unit in which it is read."""

    COUNTER = "counter"
    """Grows until it is reset."""
    NUMBER = "number"
    FLAG = "flag"
    TEXT = "text"
    PERCENT = "percent"
    DURATION = "duration"
    """Nanoseconds."""
    TIMES = "times"
    """A `Distribution` of nanoseconds."""

    @property
    def metric_type(self) -> str:
        """Type of a Prometheus metric of this kind."""
        return {Kind.COUNTER: "counter", Kind.TIMES: "histogram"}.get(self, "gauge")


@dataclass(frozen=True, slots=True)
class Figure(Generic[S]):
    """One figure of a subject ``S``; it is shown where it has a name."""

    name: str
    kind: Kind
    sentence: str
    read: Callable[[S], Any]
    opcua: str = ""
    """BrowseName of the variable."""
    status: str = ""
    """Key in ``status --json``; of a duration it ends in the unit, ``_us`` or ``_ms``."""
    decimals: int | None = None
    """Decimals in ``status --json``; None: all there are."""
    exported: bool = True
    """On the page for Prometheus; texts and percentages never are."""
    labels: Mapping[str, Callable[[S], str]] = field(default_factory=dict)
    """Labels of the metric beside the subject's name; figures of one name differ by them."""

    @property
    def metric(self) -> str:
        """Name on the page for Prometheus, empty when it is not there."""
        if not self.exported or self.kind in (Kind.TEXT, Kind.PERCENT):
            return ""
        suffix = {Kind.COUNTER: "_total", Kind.DURATION: "_seconds", Kind.TIMES: "_seconds"}
        return f"cellwright_{self.name}{suffix.get(self.kind, '')}"


# --- subjects: what figures are read from ---------------------------------------------------------


class CellReading(NamedTuple):
    """The cell as a whole; ``snapshot`` has been read."""

    image: Image
    snapshot: SnapshotReader
    now_ns: int


class TaskReading(NamedTuple):
    """One consistent copy of a task's statistics, and the time between two of its executions."""

    statistics: TaskStatistics
    period_ns: int


class ProcessReading(NamedTuple):
    """A process at a monotonic time."""

    slot: ProcessSlot
    now_ns: int


def read_cell(image: Image, snapshot: SnapshotReader, now_ns: int) -> CellReading:
    """Take the newest snapshot."""
    snapshot.read()
    return CellReading(image, snapshot, now_ns)


def read_task(image: Image, task: Task | None) -> TaskReading:
    """A task's statistics, those of the scan itself for None."""
    index, interval_ns = (SCAN, 0) if task is None else (task.index, task.interval_ns)
    return TaskReading(image.statistics.read(index), interval_ns or image.plan.scan.base_ns)


def polled_devices(image: Image) -> list[DevicePort]:
    """Ports of the devices that have a driver process; markers and cameras have none."""
    return [
        image.device(index)
        for index, device in enumerate(image.plan.devices)
        if device.kind == "driver"
    ]


def read_processes(image: Image, now_ns: int) -> Iterator[ProcessReading]:
    """The processes that this cell has; one that was never started is none of them."""
    for slot in image.processes.values():
        if slot.pid != 0 or slot.restarts != 0:
            yield ProcessReading(slot, now_ns)


# --- figures --------------------------------------------------------------------------------------


def _count(name: str, sentence: str) -> Figure[TaskReading]:
    """A number in the statistics (``CW_LATE_RUNS`` is ``late_runs``), shown by its own name."""

    def read(task: TaskReading) -> int:
        return int(getattr(task.statistics, name))

    shown = name.title().replace("_", "")
    return Figure(f"task_{name}", Kind.COUNTER, sentence, read, opcua=shown, status=name)


def _state(state: CellState) -> Figure[CellReading]:
    return Figure(
        "state", Kind.FLAG, "1 for the operating state that the cell is in, else 0",
        lambda cell: cell.image.scan.state == state, labels={"state": lambda _: state.name},
    )  # fmt: skip


def _forced(cell: CellReading) -> bool:
    return bool(cell.snapshot.value(cell.image.plan.tag("sys.forces_active").index))


def _waiting(cell: CellReading) -> int:
    ring = cell.image.events["scan"]
    # The order matters: what is acknowledged later must not be counted as waiting.
    acknowledged = ring.acknowledged
    return max(0, ring.written - acknowledged)


def _process_state(process: ProcessReading) -> str:
    # The supervisor keeps no state of itself.
    slot = process.slot
    return "RUNNING" if slot.name == "supervisor" else ProcessState(slot.state).name


# fmt: off
CELL: Final[tuple[Figure[CellReading], ...]] = (
    Figure("info", Kind.NUMBER, "Always 1; says which cell this is", lambda _: 1, labels={
        "cell": lambda cell: cell.image.plan.cell,
        "site": lambda cell: cell.image.plan.site,
        "version": lambda _: version("cellwright"),
        "layout": lambda cell: cell.image.plan.layout_hash.hex()[:12],
    }),
    *(_state(state) for state in CellState),
    Figure("fault", Kind.FLAG, "1 while a first fault is recorded, else 0",
           lambda cell: bool(cell.image.scan.fault_code)),
    Figure("degraded", Kind.FLAG, "1 while the scan lacks something that it asked the machine for",
           lambda cell: bool(cell.image.scan.degraded)),
    Figure("forces_active", Kind.FLAG, "1 while at least one tag is forced, else 0",
           _forced, status="forces_active"),
    Figure("base_interval", Kind.DURATION, "Base interval of the scan",
           lambda cell: cell.image.plan.scan.base_ns, status="base_ms"),
    Figure("scan_beat_age", Kind.DURATION, "Time since the scan began its last cycle",
           lambda cell: max(0, cell.now_ns - cell.image.scan.beat_ns),
           status="beat_age_ms", decimals=3),
    Figure("scan_ticks", Kind.COUNTER, "Ticks since the scan process started",
           lambda cell: cell.image.scan.run_ticks, labels={"result": lambda _: "run"}),
    Figure("scan_ticks", Kind.COUNTER, "Ticks since the scan process started",
           lambda cell: cell.image.scan.skipped_ticks, labels={"result": lambda _: "skipped"}),
    Figure("scan_start_lateness", Kind.TIMES, "Start of a cycle after its tick",
           lambda cell: cell.image.statistics.read(SCAN).jitter),
    Figure("scan_cycle", Kind.TIMES, "Duration of a cycle",
           lambda cell: cell.image.statistics.read(SCAN).execution),
)

TASK: Final[tuple[Figure[TaskReading], ...]] = (
    Figure("task_cycle", Kind.DURATION, "Execution time of the last run",
           lambda task: task.statistics.execution.last, opcua="CycleTime", exported=False),
    Figure("task_longest_cycle", Kind.DURATION, "Longest execution since the last reset",
           lambda task: task.statistics.execution.maximum, opcua="MaxCycleTime", exported=False),
    Figure("task_jitter", Kind.DURATION, "Largest lateness of a start since the reset",
           lambda task: task.statistics.jitter.maximum, opcua="Jitter", exported=False),
    _count("runs", "Executions of a task"),
    _count("overruns", "Executions longer than the task's interval"),
    _count("skips", "Executions that a late cycle cost a task"),
    _count("watchdog_hits", "Executions longer than the watchdog"),
    _count("late_runs", "Executions that made up for skipped ones"),
    _count("omitted", "Cycles without slack for a freewheeling task"),
    _count("job_timeouts", "Jobs not answered before their deadline"),
    _count("late_answers", "Answers dropped after their deadline"),
    _count("resets", "How often the task's figures were reset"),
    Figure("task_load", Kind.PERCENT,
           "Last execution time in per cent of the interval, or else of the base interval",
           lambda task: 100.0 * task.statistics.execution.last / task.period_ns, opcua="Load"),
    Figure("task_mean_load", Kind.PERCENT,
           "Mean execution time in per cent of the interval, or else of the base interval",
           lambda task: 100.0 * task.statistics.execution.mean / task.period_ns,
           status="load_percent", decimals=3),
    Figure("task_start_delay", Kind.TIMES, "Start of a task after its cycle began",
           lambda task: task.statistics.jitter, status="start_jitter_us"),
    Figure("task_execution", Kind.TIMES, "Duration of a task's execution",
           lambda task: task.statistics.execution, status="execution_us"),
)
"""Figures of a task; ``status`` shows those of the scan itself by the same list."""

DEVICE: Final[tuple[Figure[DevicePort], ...]] = (
    Figure("device_connected", Kind.FLAG, "1 while the device answers, else 0",
           lambda port: port.connected, opcua="Connected", status="connected",
           labels={"driver": lambda port: port.device.driver}),
    Figure("device_tripped", Kind.FLAG, "1 after its driver put its outputs in the safe state",
           lambda port: port.trip != 0, status="tripped"),
    Figure("device_requests", Kind.COUNTER, "Requests to the device",
           lambda port: port.requests, opcua="Polls", status="requests"),
    Figure("device_failures", Kind.COUNTER, "Requests that failed",
           lambda port: port.failures, opcua="Errors", status="failures"),
    Figure("device_reconnects", Kind.COUNTER, "Connections made again",
           lambda port: port.reconnects, opcua="Reconnects", status="reconnects"),
    Figure("device_last_request", Kind.DURATION, "Duration of the last request",
           lambda port: port.last_ns, status="last_us"),
    Figure("device_longest_request", Kind.DURATION, "Duration of the longest request",
           lambda port: port.max_ns, status="max_us"),
    Figure("device_back_off", Kind.DURATION, "Present pause between attempts, 0: none",
           lambda port: port.back_off_ns),
    Figure("device_error", Kind.TEXT, "The last failure", lambda port: port.error, status="error"),
)

PROCESS: Final[tuple[Figure[ProcessReading], ...]] = (
    Figure("process_up", Kind.FLAG, "1 while the process runs, else 0",
           lambda process: process.slot.pid != 0),
    Figure("process_number", Kind.NUMBER, "Process number, 0 while it does not run",
           lambda process: process.slot.pid, status="pid", exported=False),
    Figure("process_state", Kind.TEXT, "What the supervisor makes of it",
           _process_state, status="state"),
    Figure("process_restarts", Kind.COUNTER, "How often it was started again",
           lambda process: process.slot.restarts, status="restarts"),
    Figure("process_detail", Kind.TEXT, "Why it is in that state",
           lambda process: process.slot.detail, status="detail"),
    Figure("process_beat_age", Kind.DURATION, "Time since its last sign of life",
           lambda process: max(0, process.now_ns - process.slot.beat_ns),
           status="beat_age_ms", decimals=1),
)

JOURNAL: Final[tuple[Figure[CellReading], ...]] = (
    Figure("journal_ok", Kind.FLAG, "1 while events are accepted and confirmed, else 0",
           lambda cell: cell.image.journal.ok, status="ok"),
    Figure("journal_error", Kind.TEXT, "What is wrong",
           lambda cell: cell.image.journal.error, status="error"),
    Figure("journal_committed", Kind.COUNTER, "Events made durable by this journal process",
           lambda cell: cell.image.journal.committed, status="committed"),
    Figure("journal_waiting", Kind.NUMBER, "Events of the scan that are not durable yet",
           _waiting),
)
# fmt: on


class Metric(NamedTuple):
    """What Prometheus is told beside the samples."""

    name: str
    type: str
    labels: tuple[str, ...]
    """The subject's name first."""
    sentence: str


def metrics() -> dict[str, Metric]:
    """Every metric by its name, in the order of the page."""
    found: dict[str, Metric] = {}
    subjects: tuple[tuple[tuple[str, ...], tuple[Figure[Any], ...]], ...] = (
        ((), CELL),
        (("task",), TASK),
        (("device",), DEVICE),
        (("process",), PROCESS),
        ((), JOURNAL),
    )
    for subject, listed in subjects:
        for one in listed:
            labels = (*subject, *one.labels)
            found[one.metric] = Metric(one.metric, one.kind.metric_type, labels, one.sentence)
    found.pop("", None)
    return found
