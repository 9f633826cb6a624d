"""Reads one input group, in pieces once the device has said that a part of it does not exist.

Used by the poll loop. A request that is refused for its addresses is halved between the tags until
each piece is answered or is a single part that does not exist; the pieces are remembered. It must
never pass on a part that was not read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog

from cellwright.io.drivers.base import DriverError
from cellwright.io.log_once import LogOnce
from cellwright.io.plan import Device, PollGroup

LOOK_AGAIN_NS: Final = 30_000_000_000
"""Parts that do not exist are asked for again after this time, and after each new connection."""

Read = Callable[[PollGroup], Awaitable[bytes]]
_Piece = tuple[int, int]
"""First and last-plus-one part of a request."""

_log = structlog.get_logger(__name__)


class DividedRead:
    """One input group of one device."""

    def __init__(self, device: Device, group: PollGroup) -> None:
        self._group = group
        self._bits = group.size == (group.count + 7) // 8
        self._parts = device.parts_of(group)
        self._whole: list[_Piece] = [(0, len(self._parts))]
        self._pieces = self._whole
        self._divide_ns = 0
        self._look_ns = 0
        self._once = LogOnce(_log.bind(device=device.name, area=group.area))
        self.absent = 0
        """Bits of the parts that do not exist."""

    def look_again(self) -> None:
        """The device may be another one now: ask for all of it with the next read."""
        self._divide_ns = self._look_ns = 0

    async def read(self, read: Read, into: bytearray, now_ns: int) -> None:
        """Read what exists into the device's payload.

        Raises DriverError when the connection is lost, when the device refuses for another reason
        than its addresses, or when nothing of the group exists.
        """
        pending = list(self._pieces)
        looks = self.absent != 0 and now_ns >= self._look_ns
        if looks:
            pending += [
                (part, part + 1) for part in range(len(self._parts)) if self.absent >> part & 1
            ]
        found: list[_Piece] = []
        absent = 0 if looks else self.absent
        refusal: DriverError | None = None
        while pending:
            piece = pending.pop(0)
            request = self._request(piece)
            try:
                self._place(request, await read(request), into)
            except DriverError as error:
                whole = len(pending) == len(found) == 0 and piece == self._whole[0]
                if error.lost or not error.divisible or (whole and now_ns < self._divide_ns):
                    raise
                refusal = error
                first, end = piece
                if end - first == 1:
                    absent |= 1 << first
                else:
                    middle = (first + end) // 2
                    pending[:0] = [(first, middle), (middle, end)]
            else:
                found.append(piece)
        self._conclude(found, absent, now_ns, looks)
        if refusal is not None and not found:
            raise refusal

    def _conclude(self, found: list[_Piece], absent: int, now_ns: int, looked: bool) -> None:
        if not found:
            # Nothing exists: one request is enough to notice when that changes.
            self._pieces, self.absent = self._whole, 0
            self._divide_ns = now_ns + LOOK_AGAIN_NS
            return
        if looked or absent != self.absent:
            self._look_ns = now_ns + LOOK_AGAIN_NS
        self._pieces = self._whole if self.absent and not absent else sorted(found)
        self.absent = absent
        self._tell()

    def _tell(self) -> None:
        if not self.absent:
            self._once.well("absent", "device has all addresses")
            return
        self._once.trouble(
            "absent",
            "device does not have these addresses",
            level="warning",
            cause=str(self.absent),
            lacking=[
                f"{self._group.area}[{start}..{end - 1}]"
                for part, (start, end) in enumerate(self._parts)
                if self.absent >> part & 1
            ],
        )

    def _request(self, piece: _Piece) -> PollGroup:
        first, end = piece
        if piece == self._whole[0]:
            return self._group
        start, stop = self._parts[first][0], self._parts[end - 1][1]
        count = stop - start
        size = (count + 7) // 8 if self._bits else 2 * count
        return msgspec.structs.replace(self._group, start=start, count=count, size=size)

    def _place(self, request: PollGroup, data: bytes, into: bytearray) -> None:
        group, skipped = self._group, request.start - self._group.start
        if not self._bits:
            at = group.offset + 2 * skipped
            into[at : at + request.size] = data
            return
        mask = ((1 << request.count) - 1) << skipped
        place = slice(group.offset, group.offset + group.size)
        kept = int.from_bytes(into[place], "little") & ~mask
        fresh = int.from_bytes(data, "little") << skipped & mask
        into[place] = (kept | fresh).to_bytes(group.size, "little")


def divided_reads(device: Device, groups: Sequence[PollGroup]) -> dict[int, DividedRead]:
    """One for each of the groups, by its index."""
    return {group.index: DividedRead(device, group) for group in groups}
