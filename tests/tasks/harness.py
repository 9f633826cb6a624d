"""Runs a Program outside the scan process: a dict for an image, scans stepped by hand.

The test decides when emitted events become durable, what the MES answers and what the worker
returns; `kill` makes a new program as after a SIGKILL, with only the durable events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cellwright.io.messages import AnyEvent, Result, TaskMessage
from cellwright.io.plan import TagType, Value
from cellwright.tasks.api import Program, ProgramOptions, Retained, ScanContext

P = TypeVar("P", bound=Program[Any])


class FakeImage:
    """Tag values by index in a dict; types are enforced as the real image enforces them."""

    def __init__(self) -> None:
        self.values: dict[int, Value] = {}
        self.types: dict[int, TagType] = {}

    def add(self, index: int, type: TagType, value: Value) -> None:
        self.types[index] = type
        self.values[index] = value

    def get(self, index: int) -> Value:
        return self.values[index]

    def set(self, index: int, value: Any) -> None:
        self.values[index] = self.types[index].check(value)


@dataclass(frozen=True)
class SubmittedJob:
    """A job that the program handed to its worker."""

    number: int
    kind: str
    body: dict[str, Any]


@dataclass
class Harness(Generic[P]):
    """A program on a `FakeImage`. ``auto_durable``: events are durable in the next scan."""

    program_class: type[P]
    options: ProgramOptions
    task: str = "task"
    interval_ns: int = 20_000_000
    auto_durable: bool = True
    image: FakeImage = field(default_factory=FakeImage)
    binding: dict[str, int] = field(default_factory=dict)
    events: list[AnyEvent] = field(default_factory=list)
    """All events of this boot, durable or not; the number of an event is its place + 1."""
    journal: list[AnyEvent] = field(default_factory=list)
    """Events that survived, of all boots."""
    jobs: list[SubmittedJob] = field(default_factory=list)
    durable: int = 0
    now_ns: int = 1_000_000_000
    utc_ns: int = 1_700_000_000_000_000_000
    cycle: int = 0
    boots: int = 0

    def __post_init__(self) -> None:
        for index, (name, variable) in enumerate(self.program_class.variables().items()):
            self.binding[name] = index
            self.image.add(index, variable.type, variable.initial)
        self._boot()

    def _boot(self) -> None:
        self.boots += 1
        self.events.clear()
        self.jobs.clear()
        self.durable = 0
        self.first = True
        self.program: P = self.program_class(self.image, self.binding, self.options)
        self.program.recover(tuple(self.journal), self._context((), ()))

    def __getitem__(self, name: str) -> Any:
        return self.image.get(self.binding[name])

    def __setitem__(self, name: str, value: Any) -> None:
        self.image.set(self.binding[name], value)

    def _context(self, inbox: tuple[TaskMessage, ...], results: tuple[Result, ...]) -> ScanContext:
        return ScanContext(
            task=self.task,
            cycle=self.cycle,
            now_ns=self.now_ns,
            utc_ns=self.utc_ns,
            first_scan=self.first,
            boot_id=f"boot{self.boots}",
            durable=self.durable,
            inbox=inbox,
            results=results,
            _emit=self._emit,
            _submit=self._submit,
        )

    def _emit(self, event: AnyEvent) -> int:
        self.events.append(event)
        return len(self.events)

    def _submit(self, kind: str, body: dict[str, Any]) -> int:
        # Numbers never repeat across boots, as in the real scan.
        number = self.boots * 1_000_000 + len(self.jobs) + 1
        self.jobs.append(SubmittedJob(number, kind, body))
        return number

    def scan(self, *inbox: TaskMessage, results: tuple[Result, ...] = ()) -> None:
        """One cycle: time goes on by the interval, then the program runs."""
        self.cycle += 1
        self.now_ns += self.interval_ns
        self.utc_ns += self.interval_ns
        self.program.scan(self._context(tuple(inbox), results))
        self.first = False
        if self.auto_durable:
            self.make_durable()

    def make_durable(self, count: int | None = None) -> None:
        """The journal takes the next ``count`` events of this boot, or all."""
        upto = len(self.events) if count is None else min(len(self.events), self.durable + count)
        self.journal += self.events[self.durable : upto]
        self.durable = upto

    def result(
        self, job: SubmittedJob, body: dict[str, Any] | None = None, error: str = ""
    ) -> Result:
        """A result for a job, to be passed to `scan`."""
        return Result(
            number=job.number,
            epoch=self.boots,
            kind=job.kind,
            body=body or {},
            error=error,
            duration_ms=1.0,
        )

    def scan_until(self, condition: Callable[[], bool], limit: int = 1000) -> None:
        """Scan until the condition holds; fails after ``limit`` scans."""
        for _ in range(limit):
            if condition():
                return
            self.scan()
        raise AssertionError(f"not reached within {limit} scans")

    def advance(self, seconds: float) -> None:
        """Let scan time pass without a scan."""
        self.now_ns += round(seconds * 1e9)

    def kill(self) -> None:
        """SIGKILL and restart: events that are not durable are lost, retained values stay."""
        for name, variable in self.program_class.variables().items():
            if variable.role == "output" and not isinstance(variable, Retained):
                self[name] = variable.initial
        self._boot()

    def run_again(self) -> None:
        """STOP and RUN in the same process: the program recovers, nothing else changes."""
        self.first = True
        self.program.recover(tuple(self.journal), self._context((), ()))

    def of_kind(self, kind: type) -> list[Any]:
        """Events of one type of this boot."""
        return [event for event in self.events if isinstance(event, kind)]
