"""The MES store as the gateway has it: there from the start, usable once the database answers.

A database that is down must delay neither the OPC UA server nor the cell, so opening it (and
applying the master data) goes on in the background, and until then every use says why it fails.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cellwright.io.log_once import LogOnce
from cellwright.mes.definitions.master_data import apply, load_file
from cellwright.mes.kernel.errors import MesError, StoreError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.store import Store
from cellwright.mes.service.catalogue import open_store

RETRY_S: Final = 2.0


class BackgroundStore:
    """Opens `Store` in a thread and hands out its sessions."""

    def __init__(
        self,
        url: str,
        master_data: Path | None,
        *,
        secrets: Path | None = None,
    ) -> None:
        """``secrets`` is the folder for the keys."""
        self._url = url
        self._secrets = secrets
        self._master_data = master_data
        self._store: Store | None = None
        self.answers = False
        """The database answered when it was last asked."""
        self._why = "the database is being opened; try again in a moment"
        self._stop = threading.Event()
        self._opened = threading.Event()
        self._log = structlog.get_logger(__name__)
        self._once = LogOnce(self._log)
        self._thread = threading.Thread(target=self._open, name="open-store", daemon=True)
        self._thread.start()

    @contextmanager
    def session(self, scope: Scope | None = None) -> Iterator[Session]:
        """A transaction of the store; raises StoreError while there is none."""
        with self._opened_store().session(scope) as session:
            yield session

    @contextmanager
    def reading(self, scope: Scope | None = None) -> Iterator[Session]:
        """A transaction that only reads; raises StoreError while there is no store."""
        with self._opened_store().reading(scope) as session:
            yield session

    def _opened_store(self) -> Store:
        if self._store is None:
            raise StoreError("store_unreachable", self._why)
        return self._store

    def wait_open(self, timeout_s: float) -> bool:
        """Wait until the store is usable."""
        return self._opened.wait(timeout_s)

    def close(self) -> None:
        """Give up opening, or close what was opened."""
        self._stop.set()
        self._thread.join(timeout=10)
        if self._store is not None:
            self._store.close()

    def _open(self) -> None:
        while not self._stop.is_set():
            try:
                store = open_store(self._url, secrets=self._secrets)
                self._prepare(store)
            except MesError as error:
                self._wait_after(str(error))
            except Exception as error:  # noqa: BLE001 - the thread's outermost edge
                self._wait_after(f"{type(error).__name__}: {error}", exc_info=True)
            else:
                self._store = store
                self.answers = True
                self._opened.set()
                self._log.info("MES database opened")
                break
        while not self._stop.wait(RETRY_S):
            self._ask()

    def _ask(self) -> None:
        """See whether the database still answers, and log it once when that changes."""
        try:
            with self.reading() as session:
                session.execute(select(1))
        except (MesError, SQLAlchemyError) as error:
            # Also what the store has no name for: this thread must not end over it.
            self._once.trouble("ask", "MES database does not answer", error=str(error))
            self.answers = False
        else:
            self._once.well("ask", "MES database answers again")
            self.answers = True

    def _wait_after(self, why: str, **more: Any) -> None:
        """Keep the reason for those who ask, and log it once."""
        self._why = why
        self._once.trouble(
            "open", "MES database not usable; trying again", cause=why, error=why, **more
        )
        self._stop.wait(RETRY_S)

    def _prepare(self, store: Store) -> None:
        try:
            if self._master_data is not None:
                data = load_file(self._master_data)
                with store.session() as session:
                    apply(session, data, actor="commissioning")
        except BaseException:
            store.close()
            raise
