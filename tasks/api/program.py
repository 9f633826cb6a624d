"""What authors of programs import: variables, the scan context, `Program` and `Worker`.

A `Program` runs in the scan: it sees the latched image and the context, nothing else; it never
asks the wall clock, does I/O or blocks. Heavy work goes to its `Worker`, which lives in a process
of its own, takes jobs and returns results that a later cycle latches like any other input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from cellwright.io.messages import AnyEvent, Event, Result, TaskMessage
from cellwright.io.options import Options
from cellwright.io.plan import Code, Plan, TagStatus, TagType, Value, worst
from cellwright.io.plan import Deadline as Deadline  # noqa: PLC0414 - authors find it here
from cellwright.io.registry.device_maker import REGISTERED, DeviceMaker
from cellwright.tasks.api.attributes import adopt

BOOL = TagType(Code.BOOL)
SINT = TagType(Code.SINT)
INT = TagType(Code.INT)
DINT = TagType(Code.DINT)
LINT = TagType(Code.LINT)
USINT = TagType(Code.USINT)
UINT = TagType(Code.UINT)
UDINT = TagType(Code.UDINT)
ULINT = TagType(Code.ULINT)
REAL = TagType(Code.REAL)
LREAL = TagType(Code.LREAL)
TIME = TagType(Code.TIME)


def STRING(length: int) -> TagType:  # noqa: N802 - spelled as IEC 61131-3 spells it
    """A string of at most ``length`` UTF-8 bytes."""
    return TagType(Code.STRING, length)


def ARRAY(count: int, of: TagType) -> TagType:  # noqa: N802 - spelled as IEC 61131-3 spells it
    """``ARRAY[0..count-1] OF of``."""
    return TagType(of.code, of.length, count, is_array=True)


class TagAccess(Protocol):
    """How a variable reaches the process image; the scan process provides it."""

    def get(self, index: int) -> Value:
        """Value of the tag with that index."""

    def set(self, index: int, value: Any) -> None:
        """Store a value; raises ValueError when the tag's type does not hold it."""

    def quality(self, index: int) -> int:
        """OPC UA status code of the tag."""

    def set_quality(self, index: int, status: int) -> None:
        """Give a tag that was just written another quality than Good."""

    def status(self, index: int) -> TagStatus:
        """Quality, source timestamp and age of the tag."""


class Variable:
    """A variable of a program, declared at class level and bound to one tag.

    On an instance, reading gives the tag's value in this cycle and assigning changes it. TIME is
    an int of nanoseconds. ``initial`` is the value after a cold start.
    """

    role: ClassVar[str] = "variable"
    writable: ClassVar[bool] = False

    def __init__(
        self, type: TagType, *, initial: Value | None = None, unit: str = "", description: str = ""
    ) -> None:
        self.type = type
        self.initial: Value = type.initial if initial is None else type.check(initial)
        self.unit = unit
        self.description = description
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, program: Program[Any] | None, owner: type) -> Any:
        if program is None:
            return self
        return program._image.get(program._binding[self.name])

    def __set__(self, program: Program[Any], value: Any) -> None:
        if not self.writable:
            raise AttributeError(
                f"{type(program).__name__}.{self.name} is an input; declare it as Output to write"
            )
        program._image.set(program._binding[self.name], value)

    def check(self, owner: type[Program[Any]], known: Mapping[str, Variable]) -> None:
        """Raises TypeError when the declaration does not fit all ``known`` ones of a program."""


class Input(Variable):
    """Read by the program; written by a device, another task or a command."""

    role = "input"


class Output(Variable):
    """Written by this program and by nobody else.

    ``quality_from`` names variables of the program: each value that is assigned then carries their
    worst quality (Good, Uncertain, Bad; of Good ones a force wins) as it is at that moment.
    Without it a written value is Good.
    """

    role = "output"
    writable = True

    def __init__(
        self,
        type: TagType,
        *,
        initial: Value | None = None,
        unit: str = "",
        description: str = "",
        quality_from: Sequence[str] = (),
    ) -> None:
        super().__init__(type, initial=initial, unit=unit, description=description)
        # A single name is a sequence of letters.
        self.quality_from = (quality_from,) if isinstance(quality_from, str) else (*quality_from,)

    def __set__(self, program: Program[Any], value: Any) -> None:
        image, binding = program._image, program._binding
        index = binding[self.name]
        image.set(index, value)
        if self.quality_from:
            quality = image.quality
            image.set_quality(index, worst(quality(binding[name]) for name in self.quality_from))

    def check(self, owner: type[Program[Any]], known: Mapping[str, Variable]) -> None:
        """Raises TypeError when ``quality_from`` names what is no variable, or itself."""
        for name in self.quality_from:
            if name not in known or name == self.name:
                raise TypeError(
                    f"{owner.__name__}.{self.name} takes its quality from '{name}', which is not "
                    f"another variable of the program; variables: {', '.join(known)}"
                )


class Retained(Output):
    """Written by this program; its value survives a warm start and a power failure."""

    role = "retained"


class ProgramOptions(Options):
    """Base of a program's options: strict about unknown keys, immutable."""


O = TypeVar("O", bound=ProgramOptions)  # noqa: E741 - the options of a program
E = TypeVar("E", bound=Event)


@dataclass(slots=True)
class ScanContext:
    """What a program knows beside its variables. Constant within a cycle.

    ``now_ns`` is scan time: monotonic nanoseconds, the same for all tasks of a cycle. Timers use
    it, and it stands still while the cell is in PAUSE. ``utc_ns`` is wall-clock time for people
    and records only. ``durable`` is the highest number from `emit` of this process that is safely
    in the journal.
    """

    task: str
    cycle: int = 0
    now_ns: int = 0
    utc_ns: int = 0
    first_scan: bool = False
    """TRUE in this task's first execution after a start."""
    last_scan: bool = False
    """TRUE in its last execution before an orderly STOP. Outputs no longer reach the devices then,
    and `submit` hands out no job and gives 0."""
    changed: bool = False
    """First execution after an online change of the program; ``first_scan`` is false then."""
    boot_id: str = ""
    durable: int = 0
    emitted: int = 0
    """Highest number that `emit` has given in this process, by any task, before this cycle."""
    inbox: tuple[TaskMessage, ...] = ()
    results: tuple[Result, ...] = ()
    _emit: Callable[[AnyEvent], int] = field(default=lambda event: 0, repr=False)
    _submit: Callable[[str, dict[str, Any]], int] = field(default=lambda kind, body: 0, repr=False)

    def emit(self, kind: type[E], **fields: Any) -> int:
        """Record an event and return its number; it is durable once ``durable`` reaches it."""
        event = kind(task=self.task, utc_ns=self.utc_ns, cycle=self.cycle, **fields)
        return self._emit(cast(AnyEvent, event))

    def submit(self, kind: str, **body: Any) -> int:
        """Hand the program's worker a job; the result with this number arrives in ``results``."""
        return self._submit(kind, body)


class Program(ABC, Generic[O]):
    """Base of all programs of the scan.

    A subclass declares variables as class attributes and owes one method, `scan`. It may name
    its ``Options`` model and its worker (``worker = "module:Class"``), and it may take part in
    recovery by overriding `recover`. Instances must not hold state that matters after a restart
    outside `Retained` variables and events.
    """

    Options: ClassVar[type[ProgramOptions]] = ProgramOptions
    worker: ClassVar[str | None] = None
    deadlines: ClassVar[Mapping[str, Deadline]] = {}
    """Kind of job to how long its answer may take; the task's entry in the cell's file may change
    it. When the deadline passes, the program gets a result with ``timed_out`` and the declared
    value as its body; the worker's own answer is dropped when it comes after all."""

    _image: TagAccess
    _binding: Mapping[str, int]

    def __init__(self, image: TagAccess, binding: Mapping[str, int], options: O) -> None:
        self._image = image
        self._binding = binding
        self.options = options

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = cls.variables()
        for variable in known.values():
            variable.check(cls, known)

    def status_of(self, name: str) -> TagStatus:
        """Quality, source timestamp and age of the variable with that name, in this cycle."""
        return self._image.status(self._index(name))

    def give_quality(self, name: str, status: int) -> None:
        """Give the value of an output that was just assigned another quality than Good.

        ``status`` is one of `cellwright.io.plan.quality`. It holds until a new quality is given, or
        for a variable with ``quality_from`` until the next assignment.
        """
        if not type(self).variables()[name].writable:
            raise AttributeError(f"{type(self).__name__}.{name} is an input; its source judges it")
        self._image.set_quality(self._index(name), status)

    def _index(self, name: str) -> int:
        if name not in self._binding:
            raise AttributeError(
                f"{type(self).__name__} has no variable '{name}'; it has {', '.join(self._binding)}"
            )
        return self._binding[name]

    @abstractmethod
    def scan(self, ctx: ScanContext) -> None:
        """One execution. Must end well within the task's watchdog time."""

    def recover(self, events: Sequence[AnyEvent], ctx: ScanContext) -> None:
        """Rebuild what was in flight from this task's own durable events, oldest first.

        Called before the first scan after every change to RUN, with the events of this task that
        the journal holds since the last `PartDeparted` of the cell.
        """

    def carry_over(self, state: dict[str, Any]) -> None:
        """Go on, after an online change, from what the program before it knew.

        Called once, between two cycles, on the new object after ``__init__``; ``state`` has the
        attributes of the old one by name. Variables keep their values and function blocks go on by
        themselves. Without an override each attribute is taken over by name; those that the
        changed program does not mention are dropped. Override it to migrate, and call ``super()``
        with what is left. Whatever it raises refuses the change; it must not write variables.
        """
        adopt(self, state)

    @classmethod
    def variables(cls) -> dict[str, Variable]:
        """All variables, base classes first, in order of declaration."""
        found: dict[str, Variable] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Variable):
                    found[name] = value
        return found

    @classmethod
    def validate(cls, options: O, plan_folder: str, devices: Mapping[str, str]) -> list[str]:
        """Further complaints about the options at configuration time; empty when all is well.

        ``devices`` maps device names to their kind (``driver``, ``marker``, ``camera``);
        ``plan_folder`` is where relative files are looked up. Each complaint is ``key: sentence``
        where key is the option it concerns. Runs in the compiler, never in the scan.
        """
        return []


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker process gives its worker."""

    task: str
    options: dict[str, Any]
    """The task's options, as validated by the program's Options model."""
    plan: Plan
    devices: DeviceMaker = REGISTERED
    """Makes the marker or camera that the worker uses."""
    simulated: bool = False
    """Jobs run in simulated time: nothing in them may depend on how long the computer takes."""


class JobError(Exception):
    """A job that could not be done; the sentence goes to the program as `Result.error`."""


class Worker(ABC):
    """The heavy half of a program, alone in its process.

    A subclass owes `handle`. It may be killed at any time, also in the middle of a job; the
    program then gets a result whose ``error`` says so. `open` may raise JobError when a device
    cannot be reached yet; it is called again before the next job.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.context = context

    def open(self) -> None:  # noqa: B027 - having nothing to acquire is allowed
        """Acquire devices; called before the first job and again after it failed."""

    @abstractmethod
    def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Do one job and return the body of its result; raise JobError to report a failure."""

    def close(self) -> None:  # noqa: B027 - having nothing to release is allowed
        """Release everything; called once at an orderly end."""
