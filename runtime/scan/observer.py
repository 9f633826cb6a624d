"""What watches a scan: everything that a cycle takes in from outside, and that it ended."""

from __future__ import annotations

from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.recording.cycle import PeerStatus


class CycleObserver:
    """Everything that a cycle takes in from outside passes here. This one does nothing with it."""

    def attach(self, image: ProcessImage, tasks: int) -> None:
        """A scan with so many tasks works on that image; it has not run a cycle."""

    def latched(self) -> None:
        """The inputs are latched."""

    def peers(self, status: PeerStatus) -> None:
        """What the scan sees of the other processes in this cycle."""

    def text(self, source: int, text: str) -> str:
        """What a device or the journal says is wrong with it; returns it."""
        return text

    def command(self, data: bytes) -> None:
        """A command was received."""

    def result(self, task: int, data: bytes) -> None:
        """A worker left a result."""

    def restarted(self, task: int, restarts: int) -> None:
        """A worker process is another one."""

    def events_refused(self, written: int) -> None:
        """The event ring took no more after that event."""

    def job_refused(self, task: int, number: int) -> None:
        """The job ring took no more."""

    def emitted(self, data: bytes) -> None:
        """The scan sends an event or a job."""

    def settled(self, cycle: int, tick: int, now_ns: int, utc_ns: int) -> None:
        """The cycle is over."""

    def step(self, now_ns: int) -> None:
        """Between two cycles: there is a little time."""
