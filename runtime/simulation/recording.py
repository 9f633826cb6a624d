"""The flight recorder of a simulated cell: the real observer, ring, pump and store.

They run on simulated time, in the order of a running cell: the scan records, the pump follows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from cellwright.io.recording.store import RECORDINGS, Policy
from cellwright.io.timing.clock import Clock
from cellwright.runtime.cell.membership import Membership
from cellwright.runtime.recorder.pump import RecorderPump, RecordRequest, ask
from cellwright.runtime.recorder.recorder import ScanRecorder
from cellwright.runtime.simulation.events import EventQueue, Rank

PERIOD_NS: Final = 50_000_000
"""Between two looks at the ring, as the recorder process has it."""
WINDOW_S: Final = 600.0
"""Simulated time that a recording holds; more, when the cell's own `window` is longer."""


class SimulatedRecorder:
    """Scan's side and recorder process's side in one."""

    def __init__(self, member: Membership, policy: Policy | None = None) -> None:
        self._member = member
        self.observer = ScanRecorder(member.image, member.clock)
        if policy is None:
            policy = Policy.of(member.plan.recorder)
            policy = replace(policy, window_s=max(WINDOW_S, policy.window_s))
        self._pump = RecorderPump(member, policy)
        self._queue: EventQueue
        self._clock: Clock

    def begin(self, queue: EventQueue, clock: Clock) -> None:
        """The scan is made: a keyframe, then a look at the ring every 50 ms."""
        self._queue, self._clock = queue, clock
        self.observer.step(clock.now_ns())
        self._look()

    def _look(self) -> None:
        self._pump.step()
        self._queue.put(self._clock.now_ns() + PERIOD_NS, Rank.RECORDER, self._look)

    def keep(self, file: Path) -> None:
        """Put what is recorded into ``file``, at the end of the simulation."""
        self._pump.step()
        ask(self._member.folder, RecordRequest("simulation", "end of the simulation"))
        self._pump.step()
        self._pump.close()
        folder = Path(self._member.plan.data) / RECORDINGS
        (folder / self._member.image.recorder.newest).replace(file)

    def close(self) -> None:
        """Close the files."""
        self._pump.step()
        self._pump.close()
