"""The output gate: decides whether a device gets the scan's outputs or its safe ones.

The poll loop (`cellwright.io.drivers.poll_loop`) steps one gate per device every few milliseconds.
It is a pure table without clock or I/O; it must never pass outputs that no living, enabled scan
commits.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final, Never

import msgspec

from cellwright.io.plan import Row, StateTable

STALL_NS: Final = 10_000_000
"""A gate that was not stepped for longer than this stood still together with the machine."""


class Trip(IntEnum):
    """Why outputs were taken away; the number lies in the image."""

    NONE = 0
    SCAN_LOST = 1
    """The scan's heartbeat stopped while outputs were enabled."""


class GateState(Enum):
    """Where the gate stands; only `ENABLED` passes the scan's outputs."""

    DISABLED = "disabled"
    ENABLED = "enabled"
    TRIPPED = "tripped"


class Beat(Enum):
    """What one step sees of the scan: its heartbeat, and what its last commit says."""

    FRESH_ENABLED = "fresh beat, outputs enabled"
    FRESH_DISABLED = "fresh beat, outputs disabled"
    STALE_ENABLED = "no beat, outputs enabled"
    STALE_DISABLED = "no beat, outputs disabled"


TABLE: Final = StateTable[GateState, Beat, Never, Never](
    Row(GateState.DISABLED, Beat.FRESH_ENABLED, GateState.ENABLED),
    Row(GateState.DISABLED, Beat.FRESH_DISABLED, GateState.DISABLED),
    Row(GateState.DISABLED, Beat.STALE_ENABLED, GateState.TRIPPED),
    Row(GateState.DISABLED, Beat.STALE_DISABLED, GateState.DISABLED),
    Row(GateState.ENABLED, Beat.FRESH_ENABLED, GateState.ENABLED),
    Row(GateState.ENABLED, Beat.FRESH_DISABLED, GateState.DISABLED),
    Row(GateState.ENABLED, Beat.STALE_ENABLED, GateState.TRIPPED),
    Row(GateState.ENABLED, Beat.STALE_DISABLED, GateState.DISABLED),
    # Latched: a scan that only stood still must notice that its outputs are gone, and says so
    # with a commit that disables them.
    Row(GateState.TRIPPED, Beat.FRESH_ENABLED, GateState.TRIPPED),
    Row(GateState.TRIPPED, Beat.FRESH_DISABLED, GateState.DISABLED),
    Row(GateState.TRIPPED, Beat.STALE_ENABLED, GateState.TRIPPED),
    Row(GateState.TRIPPED, Beat.STALE_DISABLED, GateState.TRIPPED),
)

_NEXT: Final = TABLE.moves()


class GateDecision(msgspec.Struct, frozen=True):
    """What follows from one step."""

    passes: bool
    """True: the committed outputs go to the device; False: the safe payload."""
    trip: Trip
    stalled: bool
    """The gate itself was not stepped for more than `STALL_NS`."""
    deadline_ns: int
    """When the outputs would have to fall if no beat came; meaningful while ``passes``."""


class OutputGate:
    """One device's gate.

    ``limit_ns`` is the largest age of the scan's heartbeat (base interval and watchdog time),
    ``grace_ns`` what a scan is given once when the gate finds that the gate itself stood still.
    ``trip`` is the code that the image holds from an earlier process: a latch outlives its driver.
    """

    def __init__(self, limit_ns: int, grace_ns: int, trip: Trip = Trip.NONE) -> None:
        self.limit_ns = limit_ns
        self.grace_ns = grace_ns
        self.state = GateState.DISABLED if trip is Trip.NONE else GateState.TRIPPED
        self._trip = trip
        self._last_ns: int | None = None
        self._grace_until_ns = 0
        self._graced = False

    def step(self, now_ns: int, beat_ns: int, enabled: bool) -> GateDecision:
        """Decide for this instant. All times are of the same monotonic clock.

        ``beat_ns`` is the scan's last heartbeat (0: never), ``enabled`` its last commit's flag.
        """
        stalled = self._last_ns is not None and now_ns - self._last_ns > STALL_NS
        self._last_ns = now_ns
        # A beat slightly ahead was taken after now_ns; one far ahead is no beat at all.
        fresh = beat_ns > 0 and abs(now_ns - beat_ns) <= self.limit_ns
        deadline_ns = beat_ns + self.limit_ns
        if fresh:
            self._graced = False
        elif self.state is GateState.ENABLED and 0 < beat_ns <= now_ns:
            # One grace until a fresh beat is seen, or a gate that is stepped slowly would never
            # trip: neither a second stall nor a beat that is stale when it is seen gives another.
            if stalled and not self._graced:
                self._graced = True
                self._grace_until_ns = now_ns + self.grace_ns
            if self._graced:
                deadline_ns = self._grace_until_ns
                fresh = now_ns < self._grace_until_ns
        if enabled:
            beat = Beat.FRESH_ENABLED if fresh else Beat.STALE_ENABLED
        else:
            beat = Beat.FRESH_DISABLED if fresh else Beat.STALE_DISABLED
        self.state = _NEXT[self.state, beat]
        if self.state is not GateState.TRIPPED:
            self._trip = Trip.NONE
        elif self._trip is Trip.NONE:
            self._trip = Trip.SCAN_LOST
        return GateDecision(self.state is GateState.ENABLED, self._trip, stalled, deadline_ns)


def safe_payload(written: bytes, safe_outputs: bytes, hold_mask: bytes) -> bytes:
    """Output area in the safe state: held bits as last written, all others as declared.

    All three have the size of the device's output area.
    """
    return bytes(
        (last & hold) | (safe & ~hold & 0xFF)
        for last, safe, hold in zip(written, safe_outputs, hold_mask, strict=True)
    )
