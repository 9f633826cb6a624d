"""What the scan knows of the processes around it, read once at the start of a cycle.

The scan asks here and nowhere else, so that what it asked can be recorded and replayed; a second
look within a cycle would see another world. Decides nothing.
"""

from __future__ import annotations

from typing import Any, Final, cast

from cellwright.io.image import Image, ScanStatus, Text
from cellwright.io.recording.cycle import PeerStatus
from cellwright.runtime.scan.observer import CycleObserver

_DEGRADED: Final = cast(Text, ScanStatus.degraded)

GATEWAY_SILENCE_NS: Final = 2_000_000_000
JOURNAL_SILENCE_NS: Final = 5_000_000_000
"""A process that has not beaten for so long counts as gone."""
JOURNAL: Final = -1
"""Stands for the journal where others are a device's place in the plan."""


class Peers:
    """The latched figures, and the words that are asked for when something is wrong."""

    def __init__(self, image: Image, observer: CycleObserver) -> None:
        self._image = image
        self._observer = observer
        self._events = image.events["scan"]
        self._gateway, self._journal = image.processes["gateway"], image.processes["journal"]
        self._seen: tuple[Any, ...] = ()
        self._version = -1
        self._degraded = ""
        self.version = 0
        """Grows with every change of what is seen."""
        self.durable = 0
        """Events of this image's scans that are in the journal."""
        self.journal_ok = False
        self.gateway_alive = False
        self.database_alive = False
        self.utc_synchronised = False
        self.skipped_ticks = 0
        self.degraded = ""

    def latch(self, now_ns: int) -> None:
        """Look around; holds for the whole cycle. Most cycles see what the one before saw."""
        image, scan = self._image, self._image.scan
        version = _DEGRADED.version(scan)
        if version != self._version:
            self._version = version
            self._degraded = scan.degraded
        alive = now_ns - self._gateway.beat_ns <= GATEWAY_SILENCE_NS
        seen = (
            self._events.acknowledged,
            image.journal.ok and now_ns - self._journal.beat_ns <= JOURNAL_SILENCE_NS,
            alive,
            scan.skipped_ticks,
            self._degraded,
            alive and image.gateway.database_ok,
            image.supervisor.utc_synchronised,
        )
        if seen != self._seen:
            self._seen = seen
            status = PeerStatus(*seen)
            self.hold(status)
            self._observer.peers(status)

    def hold(self, status: PeerStatus) -> None:
        """This is what the scan sees from now on."""
        self.version += 1
        self.durable = status.durable
        self.journal_ok = status.journal_ok
        self.gateway_alive = status.gateway_alive
        self.skipped_ticks = status.skipped_ticks
        self.degraded = status.degraded
        self.database_alive = status.database_alive
        self.utc_synchronised = status.utc_synchronised

    def journal_error(self) -> str:
        """Why the journal is unwell, empty when it does not say."""
        return self._observer.text(JOURNAL, self._image.journal.error)

    def device_error(self, device: int) -> str:
        """Why the device with that place in the plan is unwell, empty when it does not say."""
        return self._observer.text(device, self._image.device(device).error)
