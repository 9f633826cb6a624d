"""Deletes rows of the journal that nobody needs any more.

A row's age is counted in time that the cell has run, by notes in the journal itself: the wall clock
decides nothing here, so that a clock that jumps loses no event.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from cellwright.io.journal.consumed import Consumed
from cellwright.io.journal.journal import JOURNAL_FILE, JournalError, JournalReader
from cellwright.io.journal.writer import KEEP_NS, JournalWriter
from cellwright.io.timing.clock import Clock

PURGE_INTERVAL_NS: Final = 60_000_000_000
NOTE_INTERVAL_NS: Final = 600_000_000_000
"""Running time between two notes at most: so much later than it may a row is deleted, and so much
running time a kill forgets."""
NOTES: Final = 10
"""Notes in the time that rows are kept, at least."""


class Purger:
    """Deletes rows that the MES has had for ``keep_ns``, a few thousand at a time, when idle.

    In a cell without MES nobody is going to take them: there they go by their age alone.
    """

    def __init__(self, data: Path, clock: Clock, *, database: bool, keep_ns: int = KEEP_NS) -> None:
        """``data`` is the cell's data folder; ``database``: the cell has a MES."""
        self._clock = clock
        self._keep_ns = keep_ns
        self._note_interval_ns = min(NOTE_INTERVAL_NS, keep_ns // NOTES)
        self._alone = not database
        self._file = data / JOURNAL_FILE
        self._consumed = Consumed(data)
        self._due_ns = self._note_due_ns = 0
        self._noted_ns = clock.now_ns()
        """Running time is noted up to here."""
        self._log = structlog.get_logger(__name__)

    def step(self) -> None:
        """Note the running time and purge when it is due; a failure is logged and tried again."""
        now_ns = self._clock.now_ns()
        purge, note = now_ns >= self._due_ns, now_ns >= self._note_due_ns
        if not purge and not note:
            return
        try:
            if note:
                self._note_due_ns = now_ns + self._note_interval_ns
                self._note(now_ns)
            if purge:
                self._due_ns = now_ns + PURGE_INTERVAL_NS
                self._purge()
        except JournalError as error:
            self._log.warning("journal not purged", error=str(error))

    def close(self) -> None:
        """Note the running time since the last note; the cell ends."""
        try:
            self._note(self._clock.now_ns())
        except JournalError as error:
            self._log.warning("running time not noted", error=str(error))

    def _note(self, now_ns: int) -> None:
        if not self._file.exists():
            return  # it is the pump that makes a new one
        with JournalWriter(self._file) as writer:
            writer.note_running(now_ns - self._noted_ns)
        self._noted_ns = now_ns

    def _purge(self) -> None:
        with JournalReader(self._file) as reader:
            position = reader.last_sequence if self._alone else self._consumed.read(reader.identity)
        if position:
            with JournalWriter(self._file) as writer:
                purged = writer.purge(position, self._keep_ns)
            if purged:
                self._log.info("journal purged", rows=purged)
