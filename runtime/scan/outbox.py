"""The scan's events on their way to the journal, and those of the parts that are in the cell.

Called by the scan and, through `ScanContext.emit`, by programs. It never waits: what the ring does
not take stays here in order, and the scan looks at how many that are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from cellwright.io.image import EventRing, RingFull
from cellwright.io.messages import (
    AnyEvent,
    decode_event,
    encode,
    keep_open,
)
from cellwright.runtime.scan.cycle_state import CarriesState
from cellwright.runtime.scan.observer import CycleObserver


class EventSender(CarriesState):
    """Events in order. ``open_events`` is what the journal holds of the parts in the cell."""

    CARRIED: ClassVar = ("_unsent", "open_events")

    def __init__(
        self, ring: EventRing, observer: CycleObserver, open_events: Sequence[bytes]
    ) -> None:
        self._ring = ring
        self._observer = observer
        self._unsent: deque[bytes] = deque()
        self.open_events: list[AnyEvent] = [decode_event(data) for data in open_events]

    def emit(self, event: AnyEvent) -> int:
        """Put an event on its way to the journal; the number is reached by ``durable`` later.

        Raises ValueError when the event is longer than the ring takes.
        """
        data = self.check(event)
        keep_open(self.open_events, event)
        self._observer.emitted(data)
        self._unsent.append(data)
        self.flush()
        return self.emitted

    def check(self, event: AnyEvent) -> bytes:
        """The event as it would travel; raises ValueError when the ring does not take as much."""
        data = encode(event)
        if len(data) > self._ring.longest:
            raise ValueError(
                f"a {type(event).__name__} of {len(data)} bytes is longer than the "
                f"{self._ring.longest} that the journal takes; shorten its texts"
            )
        return data

    @property
    def emitted(self) -> int:
        """Number of the newest event."""
        return self._ring.written + len(self._unsent)

    @property
    def written(self) -> int:
        """Number of the newest event that found its place on the ring."""
        return self._ring.written

    @property
    def waiting(self) -> int:
        """Events that found no place on the ring yet."""
        return len(self._unsent)

    def flush(self) -> None:
        """Move what waits to the ring, as far as it has room."""
        while self._unsent:
            try:
                self._ring.put(self._unsent[0])
            except RingFull:
                self._observer.events_refused(self._ring.written)
                return
            self._unsent.popleft()
