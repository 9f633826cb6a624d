"""How many requests of a user or an address are answered in a minute, over all worker processes.

The counts lie in one memory-mapped file. Each worker writes its own part of it and reads those of
the others, so nobody waits for anybody; a worker that is started again finds its counts. A count
that is read while it is written may be off by one, and that is all that can happen.
"""

from __future__ import annotations

import hashlib
import ipaddress
import mmap
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cellwright.mes.kernel.errors import MesError

MINUTE_NS: Final = 60_000_000_000
SLOTS: Final = 4096
"""Users and addresses that one worker counts in a minute; beyond, the least busy is forgotten."""
PROBES: Final = 8
"""Slots that one user or address may take."""
_SLOT: Final = struct.Struct("<QIIII")
"""Hash of the name; the minute; requests in it; requests in the minute before; nothing."""
PRIVATE: Final = 0o600


class TooManyError(MesError):
    """The limit is reached; ``retry_after_s`` is when a request will be answered again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__("too_many_requests", message)
        self.retry_after_s = retry_after_s


class Rates:
    """The limits of one worker. Threads may share it.

    ``now_ns`` is a clock that all workers share and that never goes back; the count of a minute
    slides: what came in the minute before still counts with the part of it that is not over yet.
    """

    def __init__(
        self,
        file: Path | None,
        *,
        worker: int,
        workers: int,
        user: int,
        address: int,
        now_ns: Callable[[], int],
    ) -> None:
        """``file`` is made when it is not there; None: counted in this process alone."""
        if not 0 <= worker < workers:
            raise ValueError(f"worker {worker} of {workers}")
        self._own, self._workers = worker, workers
        self._user, self._address = user, address
        self._now_ns = now_ns
        self._lock = threading.Lock()
        size = workers * SLOTS * _SLOT.size
        if file is None:
            self._cells = mmap.mmap(-1, size)
            return
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            os.ftruncate(handle, size)
            self._cells = mmap.mmap(handle, size)
        finally:
            os.close(handle)

    def close(self) -> None:
        """Let go of the file."""
        self._cells.close()

    def check_user(self, name: str) -> None:
        """Count a request of a user; raises `TooManyError`."""
        self._check(f"user {name}", self._user, "this user")

    def check_address(self, address: str) -> None:
        """Count a request of nobody known from an address; raises `TooManyError`."""
        self._check(f"address {_network(address)}", self._address, "this address without a login")

    def _check(self, key: str, limit: int, whose: str) -> None:
        name = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") or 1
        with self._lock:
            minute, gone_ns = divmod(self._now_ns(), MINUTE_NS)
            minute &= 0xFFFFFFFF
            now = before = 0
            for worker in range(self._workers):
                there = self._find(worker, name, minute)
                if there is not None:
                    now, before = now + there[0], before + there[1]
            left = 1 - gone_ns / MINUTE_NS
            if now + before * left < limit:
                self._count(name, minute)
                return
        wait_s = _wait_s(now, before, limit, left)
        raise TooManyError(
            f"{limit} requests a minute of {whose} are answered; wait {wait_s} s and go on slower",
            wait_s,
        )

    def _places(self, worker: int, name: int) -> range:
        start = name % (SLOTS - PROBES)
        first = (worker * SLOTS + start) * _SLOT.size
        return range(first, first + PROBES * _SLOT.size, _SLOT.size)

    def _find(self, worker: int, name: int, minute: int) -> tuple[int, int] | None:
        """Requests in this minute and in the one before, as that worker counted them."""
        for place in self._places(worker, name):
            found, at, now, before, _ = _SLOT.unpack_from(self._cells, place)
            if found == name:
                return _seen(at, now, before, minute)
            if not found:
                return None
        return None

    def _count(self, name: int, minute: int) -> None:
        chosen, fewest = -1, None
        for place in self._places(self._own, name):
            found, at, now, before, _ = _SLOT.unpack_from(self._cells, place)
            if found == name:
                now, before = _seen(at, now, before, minute)
                _SLOT.pack_into(self._cells, place, name, minute, now + 1, before, 0)
                return
            busy = sum(_seen(at, now, before, minute)) if found else -1
            if fewest is None or busy < fewest:
                chosen, fewest = place, busy
            if not found:
                break
        _SLOT.pack_into(self._cells, chosen, name, minute, 1, 0, 0)


def _seen(at: int, now: int, before: int, minute: int) -> tuple[int, int]:
    """A count as it is in the present minute."""
    if at == minute:
        return now, before
    return (0, now) if (at + 1) & 0xFFFFFFFF == minute else (0, 0)


def _wait_s(now: int, before: int, limit: int, left: float) -> int:
    """Whole seconds until the sliding count is below the limit."""
    if now < limit and before:
        # now + before * left' < limit, in this minute
        wait = left - (limit - now) / before
    else:
        # in the next one: now is then what came before
        wait = left + max(0.0, 1 - limit / now)
    return int(wait * 60 + 1e-6) + 1


def _network(address: str) -> str:
    """The address; of IPv6 the network, of which a single client has 2**64 addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)
