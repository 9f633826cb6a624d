"""Records a cell's tags: looks at the image at the history's interval, and hands over what changed.

The gateway starts one. Looking and storing are threads of their own, so neither the gateway's loop
nor the scan waits for anything here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from cellwright.io.image import SnapshotReader
from cellwright.io.log_once import LogOnce
from cellwright.io.plan import Plan
from cellwright.mes.history.keeping import Source
from cellwright.mes.history.values import kind_of
from cellwright.mes.history.writer import HistoryWriter
from cellwright.runtime.recorder.history.sampler import Sampler


class HistoryFeed:
    """Use: `start`, then `stop`. The cell's plan has a history."""

    def __init__(
        self, plan: Plan, reader: SnapshotReader, source: Source, utc_ns: Callable[[], int]
    ) -> None:
        """``reader`` is for this feed alone."""
        settings = plan.history
        assert settings is not None
        self._sampler = Sampler(reader, plan, settings.deadbands)
        self._interval_s = settings.interval_ns / 1e9
        names = [(tag.name, str(tag.type), kind_of(tag.type)) for tag in self._sampler.tags]
        self.writer = HistoryWriter(source, plan.cell, names, settings=settings, utc_ns=utc_ns)
        self._stop = threading.Event()
        self._once = LogOnce(structlog.get_logger(__name__))
        self._thread = threading.Thread(target=self._run, name="history-sampler", daemon=True)

    def start(self) -> None:
        """Begin to record."""
        self.writer.start()
        self._thread.start()

    def stop(self) -> None:
        """Look a last time, store it, and end."""
        self._stop.set()
        self._thread.join(timeout=10)
        self.look()
        self.writer.stop()

    def look(self) -> int:
        """Take what changed since the last look; how many values that are."""
        batch = self._sampler.take()
        if len(batch):
            self.writer.put(batch)
        return len(batch)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self.look()
            except RuntimeError as error:  # published anew while it was copied, again and again
                self._once.trouble("look", "the history misses a look", error=str(error))
            else:
                self._once.well("look")
