"""The thread that takes recorded values to the database once a second, and then does what is due.

Whoever records puts batches in and never waits. While the database is away they are held up to a
bound; beyond it the oldest are given up, counted and said in the log.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import structlog
from sqlalchemy.exc import SQLAlchemyError

from cellwright.io.log_once import LogOnce
from cellwright.io.plan import HistorySettings
from cellwright.mes.history.append import append, register
from cellwright.mes.history.batch import Batch, Kind, Shorts
from cellwright.mes.history.keeping import PARTS, Keeper, Source
from cellwright.mes.kernel.errors import MesError

EVERY_S: Final = 1.0
"""How often values are stored, and so the most that a kill takes away."""
MOST_HELD: Final = 1_000_000
"""Values that wait for the database, some 25 MB."""
MOST_AT_ONCE: Final = 100_000
"""Values of one transaction."""
KEEPING_S: Final = 0.5
"""Of each second, for work that is not urgent."""


class HistoryWriter:
    """Use: `start`, then `put` at will, then `stop`."""

    def __init__(
        self,
        source: Source,
        cell: str,
        tags: Sequence[tuple[str, str, Kind]],
        *,
        settings: HistorySettings,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """``tags``: name, type, kind; batches name them by their place in this list."""
        self._source, self._cell, self._tags, self._utc_ns = source, cell, tags, utc_ns
        self._keeper = Keeper(source, cell, settings)
        self._keys: Shorts | None = None
        self._held: deque[Batch] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._log = structlog.get_logger(__name__)
        self._once = LogOnce(self._log)
        self._rounds = PARTS
        """Since the keeper had nothing to do; looking for that every second would cost more than
        storing."""
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self.stored = 0
        """Values that are in the database."""
        self.lost = 0
        """Values that were given up because the database was away for too long."""

    @property
    def held(self) -> int:
        """Values that wait for the database."""
        return self._rows

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Hand values over; never waits for the database."""
        with self._lock:
            self._held.append(batch)
            self._rows += len(batch)
            while self._rows > MOST_HELD and len(self._held) > 1:
                gone = len(self._held.popleft())
                self._rows -= gone
                self.lost += gone
        if self.lost:
            self._once.trouble(
                "lost",
                "the history loses its oldest values: the database has been away for too long",
                held=MOST_HELD,
                lost=self.lost,
            )

    def stop(self) -> None:
        """Store what is held, if the database answers, and end."""
        self._stop.set()
        self._thread.join(timeout=10)
        if self._rows or self.lost:
            self._log.error(
                "the history ends with values that are not stored", held=self._rows, lost=self.lost
            )

    def work(self, keeping_s: float = KEEPING_S) -> None:
        """Store what is held, then do what is due for at most so long."""
        try:
            self._store_all()
            self._keep(keeping_s)
        except (MesError, SQLAlchemyError) as error:
            self._once.trouble(
                "store",
                "the history cannot be stored; values are held until it can",
                error=str(error),
                held=self._rows,
            )
        else:
            self._once.well("store", "the history is stored again")
            self._once.well("lost")

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.work()
        self.work(0.0)

    def _keep(self, for_s: float) -> None:
        self._rounds += 1
        end_s = time.monotonic() + for_s
        while self._rounds >= PARTS and time.monotonic() < end_s:
            if not self._keeper.step(self._utc_ns()):
                self._rounds = 0

    def _store_all(self) -> None:
        keys = self._registered()
        while True:
            with self._lock:
                taken, rows = [], 0
                while self._held and rows < MOST_AT_ONCE:
                    taken.append(self._held.popleft())
                    rows += len(taken[-1])
            if not taken:
                return
            try:
                with self._source.session() as session:
                    append(session, self._cell, [_with(batch, keys) for batch in taken])
            except BaseException:
                with self._lock:
                    self._held.extendleft(reversed(taken))
                raise
            with self._lock:
                self._rows -= rows
            self.stored += rows

    def _registered(self) -> Shorts:
        if self._keys is None:
            with self._source.session() as session:
                known = register(session, self._cell, self._tags)
            self._keys = np.array([known[name, type_] for name, type_, _ in self._tags], np.uint32)
        return self._keys


def _with(batch: Batch, keys: Shorts) -> Batch:
    return replace(batch, tag=keys[batch.tag])
