"""Deletes rows of the journal that nobody needs any more."""

from __future__ import annotations

from pathlib import Path

import structlog

from cellwright.io.journal.consumed import Consumed
from cellwright.io.journal.journal import JOURNAL_FILE, JournalError, JournalReader
from cellwright.io.journal.writer import KEEP_NS, JournalWriter
from cellwright.io.timing.clock import Clock

PURGE_INTERVAL_NS = 60_000_000_000


class Purger:
    """Deletes rows that the MES has had for ``keep_ns``, a few thousand at a time, when idle.

    In a cell without MES nobody is going to take them: there they go by their age alone.
    """

    def __init__(self, data: Path, clock: Clock, *, database: bool, keep_ns: int = KEEP_NS) -> None:
        """``data`` is the cell's data folder; ``database``: the cell has a MES."""
        self._clock = clock
        self._keep_ns = keep_ns
        self._alone = not database
        self._file = data / JOURNAL_FILE
        self._consumed = Consumed(data)
        self._due_ns = 0
        self._log = structlog.get_logger(__name__)

    def step(self) -> None:
        """Purge once a minute; a failure is logged and tried again."""
        now_ns = self._clock.now_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + PURGE_INTERVAL_NS
        try:
            with JournalReader(self._file) as reader:
                position = (
                    reader.last_sequence if self._alone else self._consumed.read(reader.identity)
                )
            if position:
                with JournalWriter(self._file) as writer:
                    purged = writer.purge(position, self._clock.utc_ns() - self._keep_ns)
                if purged:
                    self._log.info("journal purged", rows=purged)
        except JournalError as error:
            self._log.warning("journal not purged", error=str(error))
