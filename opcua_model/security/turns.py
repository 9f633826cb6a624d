"""One at a time: logins wait here for their turn at the password check, and not too many of them.

A check takes tens of milliseconds and megabytes on purpose. Who got in from there before comes
first, so that a crowd of strangers keeps nobody out.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

MOST_STRANGERS: Final = 16
"""Logins that wait, of those who have not got in from there before."""
MOST_OF_AN_ADDRESS: Final = 4
"""Of these, from one address."""
MOST_KNOWN: Final = 32
"""Logins that wait, of those who have."""


class TooManyError(Exception):
    """There is no room to wait."""


class Turns:
    """A queue of two lanes before a single place."""

    def __init__(self) -> None:
        self._busy = False
        self._known: deque[asyncio.Future[None]] = deque()
        self._strangers: deque[asyncio.Future[None]] = deque()
        self._addresses: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._known) + len(self._strangers)

    @asynccontextmanager
    async def turn(self, address: str = "", *, known: bool = False) -> AsyncIterator[None]:
        """Wait for the turn and have it. Raises TooManyError at once."""
        if self._busy:
            await self._wait(address, known=known)
        self._busy = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, address: str, *, known: bool) -> None:
        lane, most = self._strangers, MOST_STRANGERS
        if known:
            lane, most = self._known, MOST_KNOWN
        if len(lane) >= most or (not known and self._addresses[address] >= MOST_OF_AN_ADDRESS):
            raise TooManyError
        future = asyncio.get_running_loop().create_future()
        lane.append(future)
        self._addresses[address] += not known
        try:
            await future
        except asyncio.CancelledError:
            if future in lane:
                lane.remove(future)
            elif future.done() and not future.cancelled():
                self._pass_on()  # the turn came in the same moment
            raise
        finally:
            self._addresses[address] -= not known
            if not self._addresses[address]:
                del self._addresses[address]

    def _pass_on(self) -> None:
        for lane in (self._known, self._strangers):
            while lane:
                future = lane.popleft()
                if not future.done():
                    future.set_result(None)
                    return
        self._busy = False
