"""The scan's side of the flight recorder: takes down what comes from outside, every cycle.

`ScanRecorder` observes a scan: it makes a record of each cycle and, between cycles, keyframes. It
never waits: what the ring does not take is dropped, counted, and made good by a keyframe.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgspec

from cellwright.io.image import Image, RingError
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.process_image.results import Stamps
from cellwright.io.recording.cycle import CycleRecorder, Notes, PeerStatus
from cellwright.io.recording.file import KEYFRAME_MARK, NO_CYCLE, Keyframe
from cellwright.io.timing.clock import Clock
from cellwright.runtime.recorder.keyframe import freeze
from cellwright.runtime.scan.cycle import Scan
from cellwright.runtime.scan.observer import CycleObserver

KEYFRAME_NS: Final = 5_000_000_000
"""Between two keyframes; a replay can begin at each of them."""
RETRY_NS: Final = 1_000_000_000
"""Between two tries when a keyframe did not find room."""
ASK_NS: Final = 100_000_000
"""Between two looks whether the recorder process wants a keyframe."""
_PART: Final = 1 << 16
_MORE_READINGS: Final = 8


class RecordingClock:
    """A clock whose readings are taken down."""

    def __init__(self, clock: Clock, readings: list[int]) -> None:
        self._now_ns = clock.now_ns
        self.utc_ns = clock.utc_ns
        self._take = readings.append

    def now_ns(self) -> int:
        """Monotonic nanoseconds."""
        now_ns = self._now_ns()
        self._take(now_ns)
        return now_ns


class RecordingObserver(CycleObserver):
    """Makes one record a cycle; a subclass says in `made` what becomes of it."""

    def __init__(self, clock: Clock) -> None:
        self._readings: list[int] = []
        self.now_ns, self.utc_ns = clock.now_ns(), clock.utc_ns()
        self.clock: Clock = RecordingClock(clock, self._readings)
        """For the scan: its readings become part of the record."""
        self._notes: Notes | None = None
        self._peers = PeerStatus()
        self._emitted = 0
        self._sound = True
        self.recorder: CycleRecorder

    def attach(self, image: ProcessImage, tasks: int) -> None:
        """Make the tables; allocates, so it must not be called in a cycle."""
        image.on_stamps = self.stamps
        # Two a run, and a task may run twice: an alarm may stop the cell after the tasks.
        self.recorder = self._make(image, 5 * tasks + _MORE_READINGS)

    def _make(self, image: ProcessImage, readings: int) -> CycleRecorder:
        return CycleRecorder(image, readings)

    def _note(self) -> Notes:
        if self._notes is None:
            self._notes = Notes()
        return self._notes

    def latched(self) -> None:
        """Take down what the latch changed."""
        self._sound = self.recorder.latched()

    def peers(self, status: PeerStatus) -> None:
        """Note it when it differs from the cycle before."""
        if status != self._peers:
            self._peers = status
            self._note().around = status

    def text(self, source: int, text: str) -> str:
        """Note the words."""
        self._note().texts.append((source, text))
        return text

    def command(self, data: bytes) -> None:
        """Note it as it came."""
        self._note().commands.append(data)

    def result(self, task: int, data: bytes) -> None:
        """Note it as it came."""
        self._note().results.append((task, data))

    def restarted(self, task: int, restarts: int) -> None:
        """Note how often."""
        self._note().restarts.append((task, restarts))

    def events_refused(self, written: int) -> None:
        """Note where the ring stood."""
        self._note().events_refused.append(written)

    def job_refused(self, task: int, number: int) -> None:
        """Note which one."""
        self._note().jobs_refused.append((task, number))

    def stamps(self, stamps: Stamps) -> None:
        """Note when a value was got, once a cycle."""
        noted = self._note().stamps
        if stamps not in noted:
            noted.append(stamps)

    def emitted(self, data: bytes) -> None:
        """Add it to the checksum of what the cycle sent."""
        self._emitted = zlib.crc32(data, self._emitted)

    def settled(self, cycle: int, tick: int, now_ns: int, utc_ns: int) -> None:
        """Complete the record."""
        self.now_ns, self.utc_ns = now_ns, utc_ns
        readings, recorder = self._readings, self.recorder
        count = len(readings)
        sound = self._sound and count <= len(recorder.readings)
        if sound:
            for number in range(count):
                recorder.readings[number] = readings[number]
        readings.clear()
        made = recorder.settled(
            cycle,
            tick,
            now_ns,
            utc_ns,
            said=self._emitted,
            readings=count if sound else 0,
            notes=self._notes,
        )
        self._notes = None
        self._emitted = 0
        self.made(made if sound else -1)

    def made(self, result: int) -> None:
        """A record was made: positive its size or sequence, else it was not."""


class ScanRecorder(RecordingObserver):
    """Puts the records of a running scan on the image's ring. `step` is called between cycles."""

    def __init__(self, image: Image, clock: Clock) -> None:
        super().__init__(clock)
        self._ring = image.records
        self._counters = image.recorded
        self._process = image.recorder
        self._epoch = image.scan.started_ns
        self._wanted = self._process.wanted
        self._due_ns = 0
        self._ask_ns = 0
        self.digest = ""
        """Of the programs that run; see `cellwright.runtime.programs.module_set`."""
        self.options: list[dict[str, Any]] | None = None
        """Of each task, when they are not the plan's."""
        self._recorded = self._dropped = self._keyframes = 0
        self.scan: Scan
        counters = self._counters
        counters.recorded = counters.dropped = counters.keyframes = 0
        counters.obstacle = ""

    def _make(self, image: ProcessImage, readings: int) -> CycleRecorder:
        return CycleRecorder(image, readings, self._ring)

    def made(self, result: int) -> None:
        """Count; after a dropped record only a keyframe can be replayed from."""
        if result > 0:
            self._recorded += 1
            self._counters.recorded = self._recorded
            return
        self._dropped += 1
        self._counters.dropped = self._dropped
        self._due_ns = min(self._due_ns, self.now_ns + RETRY_NS)

    def bind(self, scan: Scan) -> None:
        """The scan whose state keyframes hold; before the first `step`."""
        self.scan = scan

    def step(self, now_ns: int) -> None:
        """Between two cycles: put a keyframe on the ring when it is time for one."""
        if now_ns >= self._ask_ns:
            self._ask_ns = now_ns + ASK_NS
            wanted = self._process.wanted
            if wanted != self._wanted:
                self._wanted = wanted
                self._due_ns = now_ns
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + (KEYFRAME_NS if self._put_keyframe() else RETRY_NS)

    def programs_changed(self, digest: str, options: list[dict[str, Any]], now_ns: int) -> None:
        """Between two cycles: the next cycle runs other programs, from a keyframe on."""
        self.digest, self.options = digest, options
        self._due_ns = now_ns
        self.step(now_ns)

    def _put_keyframe(self) -> bool:
        keyframe = self.keyframe()
        self._counters.obstacle = keyframe.obstacle
        data = msgspec.msgpack.encode(keyframe)
        parts = [data[at : at + _PART] for at in range(0, len(data), _PART)]
        try:
            for number, part in enumerate(parts, 1):
                self._ring.put(KEYFRAME_MARK.pack(NO_CYCLE, number, len(parts)) + part)
        except RingError:
            return False
        self._keyframes += 1
        self._counters.keyframes = self._keyframes
        return True

    def keyframe(self) -> Keyframe:
        """Everything that the next cycle goes on from."""
        scan = self.scan
        frozen = freeze(scan)
        carried = scan.carried_over()
        image = scan.process_image.checkpoint()
        self.recorder.follow(image.region)
        return Keyframe(
            cycle=scan.cycle_number,
            now_ns=self.now_ns,
            utc_ns=self.utc_ns,
            boot_id=carried.boot_id,
            epoch=self._epoch,
            image=image,
            around=self._peers,
            restarts={task: job["_incarnation"] for task, job in carried.parts["jobs"].items()},
            events_written=carried.events_written,
            scan=frozen.scan,
            programs=frozen.programs,
            obstacle=frozen.obstacle,
            digest=self.digest,
            options=self.options,
        )
