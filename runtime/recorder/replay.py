"""Runs a recording again with the present programs and compares every cycle with what was recorded.

Called by the command line and by tests. The scan is the one that drives a cell; only clock, latch
and surroundings come from the file. Stops at the first difference.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cellwright.io.messages import OWN_TASK
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import Direction, Plan, Tag, Value
from cellwright.io.recording.cycle import (
    NO_NOTES,
    CycleRecord,
    PeerStatus,
    RecordError,
    ReplayProcessImage,
)
from cellwright.io.recording.file import (
    Batch,
    Chain,
    Gap,
    Keyframe,
    Recording,
    RecordingError,
)
from cellwright.io.recording.values import ImageView
from cellwright.io.registry.registry import RegistryError
from cellwright.io.timing.clock import Clock
from cellwright.runtime.programs.module_set import SetFinder, imported_apart, resolved
from cellwright.runtime.programs.resolve import with_options
from cellwright.runtime.programs.state import StateError
from cellwright.runtime.recorder.keyframe import Frozen, thaw
from cellwright.runtime.recorder.provenance import (
    ReplayError,
    changed_sources,
    plan_of,
    recorded_image,
)
from cellwright.runtime.recorder.recorder import RecordingObserver
from cellwright.runtime.recorder.replay_changes import NextPart, ProgramTrail
from cellwright.runtime.recorder.replay_image import ReplayImage
from cellwright.runtime.scan.cycle import Scan
from cellwright.runtime.scan.cycle_state import ScanState
from cellwright.runtime.scan.modes.peers import Peers
from cellwright.tasks.api import Program

COLLECT_EVERY: Final = 100_000
"""Cycles between two collections of garbage, as the scan process does it once in a while."""


class ReplayClock:
    """Says again what the clock said when the cycle was recorded."""

    def __init__(self) -> None:
        self._readings: Iterator[int] = iter(())
        self._last_ns = 0
        self._utc_ns = 0

    def feed(self, record: CycleRecord) -> None:
        """The cycle that comes."""
        self._readings = iter(record.clock_readings)
        self._last_ns = record.now_ns
        self._utc_ns = record.utc_ns

    def now_ns(self) -> int:
        """The next reading; the last one again when a changed scan asks more often."""
        self._last_ns = next(self._readings, self._last_ns)
        return self._last_ns

    def utc_ns(self) -> int:
        """Wall clock at the start of the cycle."""
        return self._utc_ns


class RecordedPeers(Peers):
    """What the scan saw around it; stays until a record says otherwise."""

    next: PeerStatus | None = None

    def latch(self, now_ns: int) -> None:
        """Take over what the record of this cycle brought."""
        if self.next is not None:
            status, self.next = self.next, None
            self.hold(status)
            self._observer.peers(status)


class _ReplayObserver(RecordingObserver):
    """Makes the record of a replayed cycle, for the comparison."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.record: bytes | memoryview = b""
        """What the cycle that just ended would have been recorded as."""

    def made(self, result: int) -> None:
        """Keep it until the next cycle."""
        self.record = self.recorder.record(result)

    def begin(self, keyframe: Keyframe) -> None:
        """Compare with a recorder that made this keyframe."""
        self.recorder.follow(keyframe.image.region)
        self._peers = keyframe.around


@dataclass(frozen=True, slots=True)
class TagDifference:
    """A tag that is not what was recorded."""

    tag: str
    writer: str
    """Task that writes it, else ``command`` or ``runtime``."""
    recorded: Value
    replayed: Value
    recorded_quality: int
    replayed_quality: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The first cycle that did not come out as recorded. ``changes``: in the order of the tasks."""

    cycle: int
    changes: list[TagDifference]
    said: bool
    """The events or jobs of the cycle differ."""


@dataclass
class ReplayOutcome:
    """What a replay found."""

    cycles: int = 0
    """Compared."""
    first: int = 0
    last: int = 0
    recorded_ns: int = 0
    """Scan time between the first and the last cycle compared."""
    chain: str = ""
    """SHA-256 over the images, hexadecimal, at the end of the last batch compared."""
    difference: Difference | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """Something was compared and nothing differed."""
        return self.difference is None and self.cycles > 0


OnCycle = Callable[["Replay", CycleRecord], bool]
"""Called after each cycle; False ends the replay."""


class Replay:
    """One recording and the scan that runs it again; a context manager.

    ``programs`` (one class a task) and ``folder`` (where modules are looked up) are for programs
    that have moved; normally both come from the recorded plan. Raises ReplayError, RecordingError.
    """

    def __init__(
        self,
        path: Path,
        *,
        folder: Path | None = None,
        programs: Sequence[type[Program[Any]]] | None = None,
    ) -> None:
        self._recording = Recording(path)
        self._imports = ExitStack()
        try:
            self.plan = plan_of(self._recording)
            at_hand = ""
            if programs is None:
                place = folder or Path(self.plan.folder)
                finder = self._imports.enter_context(imported_apart(place.absolute()))
                programs, at_hand = _resolved(self.plan, finder)
            self._programs = programs
        except (ReplayError, RecordingError):
            self._recording.close()
            self._imports.close()
            raise
        self._trail = ProgramTrail(self._recording, at_hand)
        self._image = ReplayImage.in_memory(self.plan)
        self._clock = ReplayClock()
        self._observer: _ReplayObserver
        self._peers: RecordedPeers
        self._scan: Scan | None = None
        self._epoch = 0
        self._chain: Chain | None = None
        self.process_image: ReplayProcessImage
        self.outcome = ReplayOutcome()
        if not self._trail.recorded:
            self.outcome.notes += changed_sources(self._recording, self.plan, self._programs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._recording.close()
        self._image.close()
        self._imports.close()

    def run(self, until: int | None = None, on_cycle: OnCycle | None = None) -> ReplayOutcome:
        """Replay from the oldest keyframe up to cycle ``until`` (included), or to the end."""
        with _garbage_kept():
            for part in self._recording.parts():
                if isinstance(part, Keyframe):
                    if not self._keyframe(part):
                        break
                elif isinstance(part, Gap):
                    self.outcome.notes.append(f"gap after cycle {part.after}: {part.reason}")
                    self._scan = None
                elif self._scan is not None and not self._batch(part, until, on_cycle):
                    break
        if not self.outcome.cycles and not self.outcome.difference:
            self.outcome.notes.append("there is no cycle that could be compared")
        self.outcome.notes += [*self._trail.notes, *self._recording.notes]
        return self.outcome

    # --- keyframes ------------------------------------------------------------------------------

    def _keyframe(self, keyframe: Keyframe) -> bool:
        """False when the replay ends here."""
        verdict = self._trail.at(keyframe)
        if verdict is not NextPart.GO_ON:
            self._scan = None
        if verdict in (NextPart.SKIP, NextPart.END):
            return verdict is NextPart.SKIP
        scan = self._scan
        if scan is not None and (scan.cycle_number, self._epoch) == (
            keyframe.cycle,
            keyframe.epoch,
        ):
            if bytes(self.process_image.region) != keyframe.image.region:
                raise RecordingError(
                    f"{self._recording.path} contradicts itself: its keyframe after cycle "
                    f"{keyframe.cycle} is not what its cycles lead to"
                )
        elif not self._begin(keyframe):
            return True
        self._chain = Chain(keyframe)
        return True

    def _begin(self, keyframe: Keyframe) -> bool:
        self._scan = None
        self._epoch = keyframe.epoch
        if keyframe.programs is None:
            self.outcome.notes.append(
                f"the replay cannot begin after cycle {keyframe.cycle}, in the middle of RUN: "
                f"{keyframe.obstacle}; it can begin where the cell was not in RUN"
            )
            return False
        image = self._image
        image.begin(keyframe)
        observer = self._observer = _ReplayObserver(self._clock)
        peers = self._peers = RecordedPeers(image, observer)
        self.process_image = ReplayProcessImage(image, self.plan)
        start = ScanStart(keyframe.boot_id, {}, [], restarted=False, notes=[])
        options = keyframe.options
        scan = Scan(
            self.plan if options is None else with_options(self.plan, options),
            image,
            start,
            observer.clock,
            self._programs,
            observer=observer,
            peers=peers,
            process_image=self.process_image,
        )
        try:
            self.process_image.resume(keyframe.image)
            carried = ScanState({}, [], keyframe.boot_id, keyframe.events_written)
            thaw(scan, Frozen(keyframe.scan, keyframe.programs, ""), carried)
        except (ValueError, StateError) as error:
            raise ReplayError(f"{self._recording.path}: {error}") from error
        peers.hold(keyframe.around)
        observer.begin(keyframe)
        self._scan = scan
        return True

    # --- cycles ---------------------------------------------------------------------------------

    def _batch(self, batch: Batch, until: int | None, on_cycle: OnCycle | None) -> bool:
        scan, chain, outcome = self._scan, self._chain, self.outcome
        assert scan is not None
        assert chain is not None
        region, image, clock = self.process_image.region, self._image, self._clock
        observer = self._observer
        for data in batch.records:
            record = CycleRecord(data)
            if until is not None and record.cycle > until:
                return False
            if record.cycle != scan.cycle_number + 1:
                raise RecordingError(
                    f"{self._recording.path}: cycle {record.cycle} follows cycle "
                    f"{scan.cycle_number} without a note of a gap"
                )
            clock.feed(record)
            self.process_image.feed(record)
            notes = record.notes
            if notes is not NO_NOTES:
                change = scan.changes.pending
                new = None if change is None else change.new
                if self._trail.unseen(notes.commands, new, record.cycle):
                    self._scan = None
                    return True
                image.feed(notes)
                self.process_image.feed_stamps(notes.stamps)
                if notes.around is not None:
                    self._peers.next = notes.around
            scan.cycle(record.tick, record.now_ns, record.utc_ns)
            if observer.record != data:
                made = CycleRecord(bytes(observer.record))
                # A changed program may ask for other things and yet do the same.
                if made.settled != record.settled or made.said != record.said:
                    outcome.difference = self._difference(record, said=made.said != record.said)
                    return False
            chain.link(region)
            if not outcome.cycles:
                outcome.first = record.cycle
                self._first_ns = record.now_ns
            outcome.cycles += 1
            outcome.last = record.cycle
            outcome.recorded_ns = record.now_ns - self._first_ns
            if not outcome.cycles % COLLECT_EVERY:
                gc.collect()
            if on_cycle is not None and not on_cycle(self, record):
                return False
        if chain.digest() != batch.chain:
            raise RecordingError(
                f"{self._recording.path} contradicts itself: its hash chain at cycle {batch.last} "
                f"is not that of its own cycles"
            )
        outcome.chain = batch.chain.hex()
        return True

    def _difference(self, record: CycleRecord, *, said: bool) -> Difference:
        recorded = ImageView(self.plan, recorded_image(self._recording, record.cycle))
        replayed = ImageView(self.plan, bytearray(self.process_image.region))
        order = {task.name: (task.priority, task.index) for task in self.plan.tasks}
        changed = [
            tag
            for tag in self.plan.tags
            if recorded.bytes_of(tag) != replayed.bytes_of(tag)
            or recorded.quality(tag) != replayed.quality(tag)
        ]
        changed.sort(key=lambda tag: (order.get(tag.writer or "", (1 << 30, 0)), tag.index))
        return Difference(
            record.cycle,
            [
                TagDifference(
                    tag.name,
                    _writer(tag),
                    recorded.value(tag),
                    replayed.value(tag),
                    recorded.quality(tag),
                    replayed.quality(tag),
                )
                for tag in changed
            ],
            said,
        )


def _resolved(plan: Plan, finder: SetFinder) -> tuple[list[type[Program[Any]]], str]:
    """The programs at hand, and the SHA-256 over their files."""
    try:
        programs = resolved((task.program for task in plan.tasks), finder)
    except RegistryError as error:
        raise ReplayError(
            f"{error}; the programs are looked up in {finder.folder}, give another folder with "
            f"--programs"
        ) from error
    return programs, finder.found.digest


def _writer(tag: Tag) -> str:
    if tag.writer is not None:
        return tag.writer
    return OWN_TASK if tag.direction is Direction.SYSTEM else "command"


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """No collections but our own, as in the scan process."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


__all__ = [
    "Difference",
    "RecordError",
    "Replay",
    "ReplayClock",
    "ReplayError",
    "ReplayOutcome",
    "TagDifference",
]
