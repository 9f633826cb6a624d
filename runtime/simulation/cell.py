"""A whole cell in one process, on one simulated clock: the programs are the same, unchanged.

The scan, its image, the workers, journal, recorder and MES services are those of a running cell;
processes, drivers and time are not. Used by ``cellwright simulate``, by tests of cells and by ours.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from cellwright.io.image import RingError, SnapshotReader
from cellwright.io.journal.writer import KEEP_NS
from cellwright.io.messages import (
    AnyCommand,
    AnyEvent,
    Event,
    ForceTag,
    SetMode,
    UnforceTag,
    WriteTag,
    encode,
)
from cellwright.io.plan import CellState, Direction, Plan, Tag, Value
from cellwright.runtime.cell.tag_lookup import unknown_tag
from cellwright.runtime.simulation.assembly import START_NS, Assembly
from cellwright.runtime.simulation.errors import SimulationError
from cellwright.runtime.simulation.events import Rank
from cellwright.runtime.simulation.held import HeldInputs
from cellwright.runtime.simulation.records import ACTOR, Committed, deliver
from cellwright.tasks.api.plant import PlantModel, PlantOptions

E = TypeVar("E", bound=Event)

SETTLE_NS: Final = 1_000_000_000
"""Simulated time that the first inputs get before the cell is started."""
BEAT_NS: Final = 1_000_000_000
IDLE_NS: Final = 50_000_000
COMMIT_NS: Final = (1_000_000, 6_000_000)
"""Shortest and longest time from an event to its being durable."""
ANSWER_NS: Final = (2_000_000, 30_000_000)
"""Shortest and longest time from a durable event to the MES's answer."""
EVENTS_KEPT: Final = 10_000
"""Events that `SimulatedCell.events` remembers."""


class SimulatedCell:
    """One cell in simulated time; a context manager that starts it and takes it to RUN.

    Two cells with the same plan, arguments and seed do the same in every cycle. ``plant`` is a
    plant model's class, or None for inputs that stand still until they are set. ``journal`` and
    ``mes`` choose between what a running cell has (``file``, ``services``) and stand-ins with
    bounded memory. Without ``data`` everything that is written goes into a folder that disappears.
    Raises SimulationError.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        seed: int = 0,
        plant: type[PlantModel[Any]] | None = None,
        options: PlantOptions | None = None,
        journal: Literal["memory", "file"] = "memory",
        mes: Literal["stand-in", "services"] = "stand-in",
        record: bool = False,
        data: Path | None = None,
        start: bool = True,
        keep_ns: int = KEEP_NS,
    ) -> None:
        self._parts = parts = Assembly(
            plan,
            seed=seed,
            plant=plant,
            options=options,
            journal=journal,
            mes=mes,
            record=record,
            data=data,
            keep_ns=keep_ns,
        )
        self.plan, self.data = parts.plan, parts.data
        self.clock, self.image, self.scan = parts.clock, parts.image, parts.scan
        self.plant, self.mes, self.recorder = parts.plant, parts.mes, parts.recorder
        self.counts: Counter[str] = Counter()
        """Durable events by their kind."""
        self.cycles = 0
        self._start = start
        self._closed = False
        self._kept: deque[AnyEvent] = deque(maxlen=EVENTS_KEPT)
        self._chain = hashlib.sha256()
        self._region = self.scan.process_image.region
        self._reader = self.image.snapshot_reader()
        self._events = self.image.events["scan"]
        self._lots = parts.random("journal")
        self._seen = 0
        self._committing = False
        self._due_ns = self._first_ns = START_NS + plan.scan.base_ns
        self._queue = parts.queue
        self._queue.put(START_NS, Rank.BEAT, self._beat)
        self._queue.put(START_NS + IDLE_NS, Rank.JOURNAL, self._idle)
        self._queue.put(self._due_ns, Rank.SCAN, self._cycle)
        if self.recorder is not None:
            self.recorder.begin(self._queue, self.clock)

    # --- what happens ---------------------------------------------------------------------------

    def _beat(self) -> None:
        now_ns = self.clock.now_ns()
        for slot in self.image.processes.values():
            slot.beat_ns = now_ns
        self._queue.put(now_ns + BEAT_NS, Rank.BEAT, self._beat)

    def _idle(self) -> None:
        self._parts.journal.idle()
        self._queue.put(self.clock.now_ns() + IDLE_NS, Rank.JOURNAL, self._idle)

    def _cycle(self) -> None:
        now_ns, base_ns = self._due_ns, self.plan.scan.base_ns
        status, scan, tick = self.image.scan, self.scan, self.cycles
        status.beat_ns = now_ns
        scan.cycle(tick, now_ns, self.clock.utc_ns())
        self.cycles = tick + 1
        self.image.statistics.record(-1, 0, 0, overruns=0)
        status.run_ticks = status.elapsed_ticks = self.cycles
        self._chain.update(self._region)
        if self.recorder is not None:
            self.recorder.observer.step(now_ns)
        if not self._committing and self._events.written != self._seen:
            self._committing = True
            self._later(COMMIT_NS, Rank.JOURNAL, self._commit)
        for worker in self._parts.workers:
            worker.look()
        self._due_ns = self._first_ns + self.cycles * base_ns
        self._queue.put(self._due_ns, Rank.SCAN, self._cycle)

    def _later(self, span: tuple[int, int], rank: Rank, action: Callable[[], None]) -> None:
        self._queue.put(self.clock.now_ns() + self._lots.randint(*span), rank, action)

    def _commit(self) -> None:
        rows = self._parts.journal.commit()
        self._committing = self._events.acknowledged != self._events.written
        if self._committing:  # a batch at a time, or a disk that does not take it now
            self._later(COMMIT_NS, Rank.JOURNAL, self._commit)
        if not rows:
            return
        self._seen = rows[-1][0]
        for _, event in rows:
            self.counts[str(event.__struct_config__.tag)] += 1
            self._kept.append(event)
        self._later(ANSWER_NS, Rank.MES, lambda: self._answer(rows))

    def _answer(self, rows: Committed) -> None:
        deliver(self.image, self.mes.take(rows))
        self._parts.journal.taken(rows[-1][0])

    # --- time -----------------------------------------------------------------------------------

    @property
    def elapsed_s(self) -> float:
        """Simulated seconds since the beginning."""
        return (self.clock.now_ns() - START_NS) / 1e9

    def run_until(self, end_ns: int) -> None:
        """Let happen what falls into the time up to ``end_ns`` of the simulated clock, included."""
        if self._closed:
            raise SimulationError("this simulated cell is closed; make a new one")
        clock, queue = self.clock, self._queue
        now_ns = clock.now_ns()
        while (at_ns := queue.next_ns) <= end_ns:
            if at_ns > now_ns:
                clock.advance(at_ns - now_ns)
                now_ns = at_ns
            queue.take()()
        clock.advance(max(0, end_ns - now_ns))

    def run_for(self, time: str | float) -> None:
        """Let simulated time pass: seconds, or text like ``"2s"``, ``"500ms"``, ``"1h"``."""
        self.run_until(self.clock.now_ns() + nanoseconds(time))

    def run_while(self, condition: Callable[[], bool], within: str | float) -> bool:
        """Run cycles while ``condition`` holds; False when it still does after ``within``."""
        end_ns = self.clock.now_ns() + nanoseconds(within)
        while condition():
            if self._due_ns > end_ns:
                return False
            self.run_until(self._due_ns)
        return True

    def at(self, time_ns: int, action: Callable[[], None]) -> None:
        """Do ``action`` (set an input, force a tag) at that time of the simulated clock."""
        self._queue.put(time_ns, Rank.INPUT, action)

    # --- commands -------------------------------------------------------------------------------

    def post(self, command: AnyCommand) -> int:
        """Send a command without waiting; its ticket."""
        try:
            return self.image.commands.send(encode(command))
        except RingError as error:
            raise SimulationError(f"the scan takes no command: {error}") from error

    def send(self, command: AnyCommand) -> None:
        """Send a command and run the cycle that obeys; raises SimulationError when it refuses."""
        ticket = self.post(command)
        self.run_until(self._due_ns)
        reply = self.image.commands.result(ticket)
        if reply is None or reply.code:
            why = "no answer" if reply is None else reply.text
            raise SimulationError(f"{type(command).__name__} was refused: {why}")

    def request(self, request: str) -> None:
        """``start``, ``stop`` or ``reset``, as an operator."""
        self.send(SetMode(request=request, actor=ACTOR, reason=""))

    def force(self, name: str, value: Value) -> None:
        """Force a tag."""
        self.send(ForceTag(tag=self._tag(name).name, value=value, actor=ACTOR, reason=""))

    def unforce(self, name: str = "") -> None:
        """Release one force, or all."""
        self.send(UnforceTag(tag=name, actor=ACTOR, reason=""))

    # --- tags and events ------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Value:
        """A tag's value after the last cycle."""
        return self._read().value(self._tag(name).index)

    def __setitem__(self, name: str, value: Value) -> None:
        """Set an input that stands still, or write a tag by command."""
        self.set(name, value)

    def quality(self, name: str) -> int:
        """A tag's quality (`cellwright.io.plan.quality`) after the last cycle."""
        return self._read().quality(self._tag(name).index)

    def set(self, name: str, value: Value) -> None:
        """Set an input (it is read with the next poll), or send a write and run a cycle."""
        tag = self._tag(name)
        if tag.direction is not Direction.INPUT:
            self.send(WriteTag(tag=name, value=value, actor=ACTOR, reason=""))
            return
        self.hold(tag, value)

    def hold(self, tag: Tag, value: Value) -> None:
        """Hold an input of a cell without a plant model."""
        if not isinstance(self.plant, HeldInputs):
            raise SimulationError(
                f"input '{tag.name}' is what the plant model {type(self.plant).__name__} says; "
                "force it if you must"
            )
        self.plant.set(tag, value)

    @property
    def state(self) -> CellState:
        """Operating state."""
        return self.scan.state

    def events(self, kind: type[E]) -> list[E]:
        """The newest durable events of a kind, at most `EVENTS_KEPT` of all kinds."""
        return [event for event in self._kept if isinstance(event, kind)]

    @property
    def chain(self) -> str:
        """SHA-256 over the images (all values and qualities) of all cycles so far."""
        return self._chain.hexdigest()

    def _read(self) -> SnapshotReader:
        self._reader.read()
        return self._reader

    def _tag(self, name: str) -> Tag:
        try:
            return self.plan.tag(name)
        except KeyError:
            raise SimulationError(unknown_tag(self.plan, name)) from None

    # --- life -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.run_until(START_NS + SETTLE_NS)
            if self._start:
                self.request("start")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End threads, drain the journal, close files."""
        if self._closed:
            return
        self._closed = True
        self._region = memoryview(b"")
        self._parts.close()


def nanoseconds(time: str | float) -> int:
    """Seconds, or text with a unit, as nanoseconds; raises SimulationError."""
    if isinstance(time, int | float) and not isinstance(time, bool):
        return round(time * 1e9)
    from cellwright.runtime.config.sections.durations import parse_duration  # noqa: PLC0415 - pydantic

    try:
        return parse_duration(time)
    except ValueError as error:
        raise SimulationError(f"{error}") from error
