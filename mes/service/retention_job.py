"""Runs the retention service from time to time, in the process that owns the cell's store."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from cellwright.io.log_once import LogOnce
from cellwright.mes.kernel.actions import Sessions
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.service import retention

INTERVAL_S: Final = 3600.0
"""Between two runs; a reboot forgets so much running time at most."""
FIRST_S: Final = 60.0
"""After the start, which has other things to do."""
ACTOR: Final = "retention"


class RetentionJob:
    """A thread of its own: a run waits for the database, and nothing waits for a run."""

    def __init__(
        self, store: Sessions, *, first_s: float = FIRST_S, interval_s: float = INTERVAL_S
    ) -> None:
        self._store = store
        self._first_s, self._interval_s = first_s, interval_s
        self._stop = threading.Event()
        self._log = structlog.get_logger(__name__)
        self._once = LogOnce(self._log)
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def stop(self) -> None:
        """End; a run that is going on is left to the next start."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        wait_s = self._first_s
        while not self._stop.wait(wait_s):
            wait_s = self._interval_s
            try:
                done = retention.run(self._store, ACTOR, stopped=self._stop.is_set)
            except MesError as error:
                self._once.trouble("run", "old records not deleted", error=error.message)
            except Exception as error:  # noqa: BLE001 - the thread's outermost edge
                self._once.trouble("run", "old records not deleted", error=repr(error))
            else:
                self._once.well("run", "old records are deleted again")
                if done.rows:
                    self._log.info("old records deleted", **done.rows)
