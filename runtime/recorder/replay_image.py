"""A process image without processes: what a replay puts where drivers, workers and journal were.

Used by the module `replay` only. Everything that a record notes is put into place before the cycle
that is to find it.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from cellwright.io.image import EventRing, Image, RingFull, SpscRing
from cellwright.io.messages import decode_job
from cellwright.io.plan import Plan
from cellwright.io.recording.cycle import Notes
from cellwright.io.recording.file import Keyframe
from cellwright.runtime.scan.modes.peers import JOURNAL


class ReplayEvents:
    """The scan's event ring as it was: takes what it took."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.written = 0
        self.refusals: Counter[int] = Counter()

    def put(self, data: bytes) -> int:
        """Count it; raises RingFull where the recording says so."""
        if self.refusals[self.written] > 0:
            self.refusals[self.written] -= 1
            raise RingFull("the ring was full when this was recorded")
        self.written += 1
        return self.written


class ReplayJobs:
    """A ring of jobs that nobody reads; takes no longer ones than the real ``ring``."""

    def __init__(self, ring: SpscRing) -> None:
        self._ring = ring
        self.refused: set[int] = set()
        self.written = 0

    def put(self, data: bytes) -> int:
        """Count it; raises RingFull where the recording says so, RingError when it is too long."""
        if len(data) > self._ring.longest:
            return self._ring.put(data)
        if self.refused and decode_job(data).number in self.refused:
            raise RingFull("the ring was full when this was recorded")
        self.written += 1
        return self.written


class ReplayImage(Image):
    """An image in memory whose surroundings are a recording's."""

    def __init__(self, path: Path, plan: Plan, mapping: Any) -> None:
        super().__init__(path, plan, mapping)
        self.replay_events = ReplayEvents(self.events["scan"].longest)
        self.events = MappingProxyType({"scan": cast(EventRing, self.replay_events)})
        self._jobs: dict[int, ReplayJobs] = {}
        self._results: dict[int, SpscRing] = {}

    @classmethod
    def in_memory(cls, plan: Plan) -> ReplayImage:
        """A new image whose file is gone already."""
        with tempfile.TemporaryDirectory() as folder:
            image = cls.create(Path(folder) / "image", plan, "00000000")
        assert isinstance(image, ReplayImage)
        return image

    def job_ring(self, task_index: int) -> SpscRing:
        """A ring that takes what was taken."""
        if task_index not in self._jobs:
            self._jobs[task_index] = ReplayJobs(super().job_ring(task_index))
        return cast(SpscRing, self._jobs[task_index])

    def result_ring(self, task_index: int) -> SpscRing:
        """The ring that `feed` fills."""
        if task_index not in self._results:
            self._results[task_index] = super().result_ring(task_index)
        return self._results[task_index]

    def begin(self, keyframe: Keyframe) -> None:
        """What stands in the image before the scan is made."""
        self.scan.started_ns = keyframe.epoch
        self.replay_events.written = keyframe.events_written
        self.replay_events.refusals.clear()
        for jobs in self._jobs.values():
            jobs.refused.clear()  # numbers begin anew with each scan
        for task, restarts in keyframe.restarts.items():
            self._set_restarts(task, restarts)

    def feed(self, notes: Notes) -> None:
        """What the next cycle is to find."""
        for task, restarts in notes.restarts:
            self._set_restarts(task, restarts)
        for task, data in notes.results:
            self.result_ring(task).put(data)
        for command in notes.commands:
            self.commands.send(command)
        for source, text in notes.texts:
            if source == JOURNAL:
                self.journal.error = text
            else:
                self.device(source).error = text
        # Cycle by cycle: the attempts that failed in this one come before the one that did not.
        self.replay_events.refusals = Counter(notes.events_refused)
        for task, number in notes.jobs_refused:
            self._jobs[task].refused.add(number)

    def _set_restarts(self, task: int, restarts: int) -> None:
        self.processes[f"worker:{self.plan.tasks[task].name}"].restarts = restarts
