"""Writers of an SQLite database take turns in the order of their coming.

SQLite has one writer at a time and lets the others sleep for longer and longer between two tries,
so that with twenty of them some wait for seconds while others pass. Here the threads of a process
queue, and the first of them asks the file again every half millisecond; writers of other processes
do the same.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection

ASK_S: Final = 0.0005
"""Between two tries for the file's write lock."""


class Queue:
    """Lets one thread at a time through, in the order in which they came."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    @contextmanager
    def turn(self, timeout_s: float) -> Iterator[float]:
        """The thread's turn; gives how long it may still wait. Raises TimeoutError."""
        begun = time.monotonic()
        place = self._join()
        if place is not None and not place.acquire(timeout=timeout_s) and not self._give_up(place):
            raise TimeoutError
        try:
            yield max(0.0, timeout_s - (time.monotonic() - begun))
        finally:
            self._pass_on()

    def _join(self) -> threading.Lock | None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return None
            place = threading.Lock()
            place.acquire()
            self._waiting.append(place)
            return place

    def _give_up(self, place: threading.Lock) -> bool:
        """Leave the queue; True when the turn came at that moment."""
        with self._guard:
            if place in self._waiting:
                self._waiting.remove(place)
                return False
            return True

    def _pass_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


def begin_writing(connection: Connection, timeout_s: float) -> None:
    """``BEGIN IMMEDIATE``, asked again in short intervals.

    Raises what the last try raises: SQLITE_BUSY when another program holds the file that long.
    """
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    (usual_ms,) = raw.execute("PRAGMA busy_timeout").fetchone()
    raw.execute("PRAGMA busy_timeout = 0")
    deadline = time.monotonic() + timeout_s
    try:
        while not _begun(raw):
            if time.monotonic() >= deadline:
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # whose error has its context
                return
            time.sleep(ASK_S)
    finally:
        raw.execute(f"PRAGMA busy_timeout = {usual_ms}")


def _begun(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True
