"""Feeds the MES from the journal, exactly once, and carries its answers back to the cell.

Runs as a thread of the gateway. The MES keeps its position in the journal in the same transaction
as what it did with the event, so a kill at any point repeats nothing and loses nothing.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from sqlalchemy.orm import Session

from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.journal.consumed import Consumed
from cellwright.io.journal.journal import JOURNAL_FILE, JournalError, JournalReader
from cellwright.io.log_once import LogOnce
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.shopfloor.consumer import consume_batch, position
from cellwright.mes.shopfloor.parts import adopt_units

BATCH: Final = 200
IDLE_S: Final = 0.02
RETRY_S: Final = 1.0


class WaitedSessions(Protocol):
    """A store that may not be there yet."""

    def wait_open(self, timeout_s: float) -> bool:
        """Wait until it is usable."""

    def session(self, scope: Scope | None = None) -> AbstractContextManager[Session]:
        """A transaction that may write."""


class MesFeed:
    """The thread and its position."""

    def __init__(
        self, data: Path, store: WaitedSessions, commands: CommandClient, *, cell: str = ""
    ) -> None:
        """``cell`` is the name of the cell whose journal lies in ``data``."""
        self._file = data / JOURNAL_FILE
        self._store = store
        self._scope = Scope(cell=cell)
        self._commands = commands
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mes-feed", daemon=True)
        self._log = structlog.get_logger(__name__)
        self._once = LogOnce(self._log)
        self._consumed = Consumed(data)

    def start(self) -> None:
        """Begin to feed."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch at hand."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._store.wait_open(IDLE_S):
                continue
            try:
                with JournalReader(self._file) as reader:
                    self._follow(reader)
            except (JournalError, MesError) as error:
                self._trouble(str(error))
                self._stop.wait(RETRY_S)
            except Exception as error:  # noqa: BLE001 - the thread's outermost edge
                self._trouble(f"{type(error).__name__}: {error}", exc_info=True)
                self._stop.wait(RETRY_S)

    def _trouble(self, why: str, **more: Any) -> None:
        self._once.trouble("feed", "MES feed waits and tries again", cause=why, error=why, **more)

    def _follow(self, reader: JournalReader) -> None:
        source = reader.identity
        with self._store.session(self._scope) as session:
            adopt_units(session)
            last = position(session, source)
        while not self._stop.is_set():
            rows = reader.read(last, BATCH)
            self._consumed.report(source, last)
            if not rows:
                self._stop.wait(IDLE_S)
                continue
            with self._store.session(self._scope) as session:
                answers = consume_batch(session, source, rows)
            last = rows[-1][0]
            for command in answers:
                try:
                    self._commands.post(command)
                except CommandFailed as error:
                    # The program asks again until it is answered; nothing is lost here.
                    self._log.warning("answer not delivered", error=str(error))
            self._once.well("feed")
