"""Follows the journal and hands over what is new: in order, each row once, read in a thread.

Events are made of what is durable, so that no client learns of what a power failure undoes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog

from cellwright.io.journal.journal import JournalError, JournalReader, Search
from cellwright.io.log_once import LogOnce
from cellwright.io.messages import AnyEvent, MessageError, decode_event

POLL_S: Final = 0.05
RETRY_S: Final = 1.0
BATCH: Final = 500
MOST_PAST: Final = 50_000
"""Rows that are looked at to learn what became of the alarms before the start."""

T = TypeVar("T")
Rows = Sequence[tuple[int, AnyEvent]]
"""Sequence and event."""


class JournalTail:
    """``begin`` is told the journal's identity and its rows of ``kinds`` so far; ``take`` the rest.

    Both are called in the event loop. A journal that is not there yet is waited for.
    """

    def __init__(
        self,
        file: Path,
        kinds: tuple[str, ...],
        begin: Callable[[str, Rows], None],
        take: Callable[[Rows], None],
    ) -> None:
        self._file, self._kinds = file, kinds
        self._begin, self._take = begin, take
        self._thread = ThreadPoolExecutor(1, "journal-tail")
        self._once = LogOnce(structlog.get_logger(__name__))

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                try:
                    await self._follow()
                except JournalError as error:
                    self._once.trouble(
                        "journal",
                        "events and alarms wait for the journal",
                        level="warning",
                        cause=str(error),
                        why=str(error),
                    )
                await asyncio.sleep(RETRY_S)
        finally:
            self._thread.shutdown(wait=False)

    async def _follow(self) -> None:
        reader = await self._in_thread(lambda: JournalReader(self._file))
        try:
            identity = await self._in_thread(lambda: reader.identity)
            last, past = await self._in_thread(lambda: self._past(reader))
            self._begin(identity, past)
            self._once.well("journal", "events and alarms follow the journal")
            while True:
                rows = await self._in_thread(partial(reader.read, last, BATCH))
                if rows:
                    last = rows[-1][0]
                    self._take(rows)
                if len(rows) < BATCH:
                    await asyncio.sleep(POLL_S)
        finally:
            await self._in_thread(reader.close)

    def _past(self, reader: JournalReader) -> tuple[int, list[tuple[int, AnyEvent]]]:
        """The newest sequence, and the rows of the wanted kinds up to it, oldest first."""
        last = reader.last_sequence
        found: list[tuple[int, AnyEvent]] = []
        before, search = last + 1, Search(kinds=self._kinds)
        while len(found) < MOST_PAST:
            rows = reader.newest(search, before, BATCH)
            if not rows:
                break
            before = rows[-1].sequence
            for row in rows:
                try:
                    found.append((row.sequence, decode_event(row.payload)))
                except MessageError:
                    continue  # it is told where it is read in order
        found.reverse()
        return last, found

    async def _in_thread(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)
