"""One cycle's record: how the scan makes it, how a reader takes it apart, how a replay feeds it.

The scan process and the replay make records with the same `CycleRecorder`, so that a replay is
compared byte for byte. Nothing here waits or touches files.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cellwright.io.image import SpscRing
from cellwright.io.plan import Plan
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.process_image.results import LatchResult, Stamps
from cellwright.native import Pointer, ffi, lib

HEAD: Final = struct.Struct("<QqqqiiIIIIII")
"""``struct cw_record_head``."""
NOTES: Final = 1 << 17
"""Most bytes of notes in a record: all commands of one cycle and what workers left."""
_EMSGSIZE: Final = -90


class RecordError(ValueError):
    """Bytes that are no record of a cycle."""


class PeerStatus(msgspec.Struct, frozen=True, array_like=True):
    """What a cycle knows of the processes around it."""

    durable: int = 0
    """Events of the scan that are in the journal, counted as the ring counts."""
    journal_ok: bool = False
    gateway_alive: bool = False
    skipped_ticks: int = 0
    degraded: str = ""
    database_alive: bool = False
    utc_synchronised: bool = False


class Notes(msgspec.Struct, array_like=True, omit_defaults=True):
    """What came from outside in a cycle, beside inputs and clock. Most cycles have none."""

    commands: list[bytes] = []
    """As received, in order."""
    results: list[tuple[int, bytes]] = []
    """Task and what its worker left."""
    restarts: list[tuple[int, int]] = []
    """Task and how often its worker had been restarted, when that changed."""
    around: PeerStatus | None = None
    """When it changed."""
    texts: list[tuple[int, str]] = []
    """Why a device (its place in the plan) or the journal (-1) is unwell, when the scan asked."""
    events_refused: list[int] = []
    """Newest event on the ring when the ring took no other."""
    jobs_refused: list[tuple[int, int]] = []
    """Task and number of a job that the worker's ring did not take."""
    stamps: list[Stamps] = []
    """When values were got, as programs asked."""


_notes_encoder = msgspec.msgpack.Encoder()
_notes_decoder = msgspec.msgpack.Decoder(Notes)
NO_NOTES: Final = Notes()


class CycleRecord:
    """A record taken apart."""

    __slots__ = (
        "_notes",
        "cycle",
        "fresh",
        "latched",
        "lost_fault",
        "now_ns",
        "readings",
        "said",
        "settled",
        "tick",
        "tripped",
        "utc_ns",
    )

    def __init__(self, data: bytes) -> None:
        """Raises RecordError."""
        if len(data) < HEAD.size:
            raise RecordError(f"a record of {len(data)} bytes is shorter than its head")
        (
            self.cycle,
            self.tick,
            self.now_ns,
            self.utc_ns,
            self.lost_fault,
            self.tripped,
            self.fresh,
            self.said,
            readings,
            latched,
            settled,
            notes,
        ) = HEAD.unpack_from(data)
        first = HEAD.size + readings
        second = first + latched
        third = second + settled
        if third + notes != len(data) or readings % 8:
            raise RecordError(f"the parts of a record of {len(data)} bytes do not add up")
        self.readings = data[HEAD.size : first]
        self.latched = data[first:second]
        self.settled = data[second:third]
        self._notes = data[third:]

    @property
    def notes(self) -> Notes:
        """What else came from outside; raises RecordError."""
        if not len(self._notes):
            return NO_NOTES
        try:
            return _notes_decoder.decode(self._notes)
        except msgspec.MsgspecError as error:
            raise RecordError(
                f"cycle {self.cycle}: its notes are not understood: {error}"
            ) from error

    @property
    def clock_readings(self) -> Sequence[int]:
        """What the clock said within the cycle, nanoseconds, in order."""
        return struct.unpack(f"<{len(self.readings) // 8}q", self.readings)


class CycleRecorder:
    """Makes the records of one scan. ``readings_max``: how often the scan may ask the clock."""

    def __init__(
        self, process_image: ProcessImage, readings_max: int, ring: SpscRing | None = None
    ) -> None:
        table, self._latched = process_image.native
        self.size = lib.cw_record_region(table)
        """Bytes of the region of values and qualities."""
        self._shadow = ffi.new("uint64_t[]", self.size // 8)
        self.shadow = memoryview(ffi.buffer(self._shadow)).cast("B")
        """The region as recorded so far."""
        self._readings = ffi.new("int64_t[]", readings_max)
        self.readings = memoryview(ffi.buffer(self._readings)).cast("B").cast("q")
        room = HEAD.size + 8 * readings_max + 2 * lib.cw_delta_longest(self.size) + NOTES
        self._buffer = ffi.new("uint8_t[]", room)
        self._view = memoryview(ffi.buffer(self._buffer)).cast("B")
        recorder = ffi.new("struct cw_recorder *")
        recorder.table = table
        recorder.shadow, recorder.shadow_size = ffi.cast("uint8_t *", self._shadow), self.size
        recorder.buffer, recorder.buffer_size = self._buffer, room
        recorder.readings, recorder.readings_max = self._readings, readings_max
        if ring is not None:
            (
                recorder.producer,
                recorder.producer_size,
                recorder.consumer,
                recorder.consumer_size,
            ) = ring.ends
        self._recorder = recorder
        self._keep = (process_image, ring)

    def latched(self) -> bool:
        """After the latch: take down what it changed; False when that is not possible."""
        return lib.cw_record_latched(self._recorder, self._latched) == 0

    def settled(
        self,
        cycle: int,
        tick: int,
        now_ns: int,
        utc_ns: int,
        *,
        said: int,
        readings: int,
        notes: Notes | None,
    ) -> int:
        """End of the cycle: complete the record and put it on the ring.

        Positive when it is there (its size, without a ring), else the ring is full (0) or the
        record too long (negative); the shadow has followed in any case.
        """
        data = b"" if notes is None else _notes_encoder.encode(notes)
        return lib.cw_record_settled(
            self._recorder, cycle, tick, now_ns, utc_ns, said, readings, data, len(data)
        )

    def record(self, size: int) -> memoryview:
        """The record just made without a ring; valid until the next cycle."""
        return self._view[:size]

    def follow(self, region: bytes | memoryview) -> None:
        """Begin anew: the shadow is this region."""
        self.shadow[:] = region


class Shadow:
    """Values and qualities as a recording has them: begins with a keyframe, follows its records."""

    def __init__(self, region: bytes) -> None:
        self.region = bytearray(region)
        self._pointer: Pointer = ffi.from_buffer("uint8_t[]", self.region)

    def apply(self, delta: bytes) -> None:
        """Follow one delta; raises RecordError when it is none for this region."""
        if not len(delta):
            return
        if lib.cw_delta_apply(self._pointer, len(self.region), delta, len(delta)):
            raise RecordError(f"{len(delta)} bytes are not a delta of {len(self.region)} bytes")


class ReplayProcessImage(ProcessImage):
    """A process image whose latch brings what was recorded; devices and readers get nothing."""

    def __init__(self, image: Any, plan: Plan) -> None:
        super().__init__(image, plan)
        self._delta = b""
        self._said: dict[int, Stamps] = {}
        self._result = LatchResult(-1, -1, 0)
        self._place: Pointer = self._table.block + self._table.values_at

    def feed(self, record: CycleRecord) -> None:
        """What the next latch is to bring."""
        self._delta = record.latched
        result = self._result
        if (record.lost_fault, record.tripped, record.fresh) != (
            result.lost_fault,
            result.tripped,
            result.fresh,
        ):
            self._result = LatchResult(record.lost_fault, record.tripped, record.fresh)

    def feed_stamps(self, stamps: Sequence[Stamps]) -> None:
        """What the next cycle finds when it asks when a value was got."""
        self._said = {one.tag: one for one in stamps}

    def _stamps(self, index: int) -> Stamps:
        return self._said.get(index, Stamps(index, 0, 0))

    def latch(self, now_ns: int, utc_ns: int) -> LatchResult:
        """The recorded changes; raises RecordError when they are not for this image."""
        self._now_ns = now_ns
        result, delta, latched = self._result, self._delta, self._latched
        if len(delta) and lib.cw_delta_apply(self._place, len(self.region), delta, len(delta)):
            raise RecordError(f"{len(delta)} bytes are not a delta of this cell's image")
        latched.lost_fault, latched.tripped = result.lost_fault, result.tripped
        latched.fresh = result.fresh
        return result

    def publish(self, cycle: int, mono_ns: int, utc_ns: int) -> int:
        """Nobody reads it."""
        return 0
