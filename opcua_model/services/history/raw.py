"""Raw values of a time domain, page by page (OPC 10000-11, 6.5.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from asyncua import ua
from sqlalchemy.orm import Session

from cellwright.io.plan import TagType
from cellwright.mes.history.aggregates import CALCULATED
from cellwright.mes.history.batch import Batch
from cellwright.mes.history.reading import (
    FIRST_NS,
    LAST_NS,
    Piece,
    at_or_after,
    at_or_before,
    read,
)
from cellwright.mes.history.summary import BAD
from cellwright.opcua_model.services.history import wire


@dataclass(frozen=True, slots=True)
class RawTask:
    """What is left to read of one node."""

    low_ns: int
    high_ns: int
    """First time behind the domain."""
    backward: bool
    bounds: tuple[int | None, int | None]
    """Times whose bounds are still to be given: at the beginning and at the end."""
    page: int
    """Most values of an answer."""
    left: int | None
    """Values until the request is answered; None: until the end of the domain."""


def task(details: ua.ReadRawModifiedDetails, most: int) -> RawTask | int:
    """What a request asks of each node; a status code for one that cannot be."""
    if details.IsReadModified:
        return ua.StatusCodes.BadHistoryOperationUnsupported
    start, end = wire.nanoseconds(details.StartTime), wire.nanoseconds(details.EndTime)
    number = int(details.NumValuesPerNode)
    if (start is None) + (end is None) + (number == 0) > 1:
        return ua.StatusCodes.BadHistoryOperationInvalid
    page, left = min(number or most, most), None
    if start is None or end is None:
        left = number
    last = None if start is None or start == end else end
    bounds = (start if start is not None else end, last)
    backward = start is None or (end is not None and end < start)
    if backward:
        first = start if start is not None else end
        assert first is not None
        low = FIRST_NS if start is None or end is None else end + 1
        made = RawTask(low, first + 1, True, bounds, page, left)
    else:
        assert start is not None
        high = LAST_NS if end is None else max(end, start + 1)
        made = RawTask(start, high, False, bounds, page, left)
    return made if details.ReturnBounds else replace(made, bounds=(None, None))


class RawReader:
    """One node's values on one snapshot of the database."""

    def __init__(self, session: Session, cell: str, key: int) -> None:
        self._session, self._cell, self._key = session, cell, key

    def page(
        self, wanted: RawTask, type_: TagType, index_range: str
    ) -> tuple[list[tuple[int, bytes]], RawTask | None]:
        """The next values as bytes, and what is left. Raises RangeError and MesError."""
        parts: list[tuple[int, bytes]] = []
        room = wanted.page if wanted.left is None else min(wanted.page, wanted.left)
        given = 0
        if wanted.bounds[0] is not None:
            bound = self._bound(wanted.bounds[0], wanted.backward, first=True)
            if bound is not None:
                parts.append(self._written(bound, wanted.bounds[0], type_, index_range))
                given = 1
            wanted = replace(wanted, bounds=(None, wanted.bounds[1]))
        for rows in self._rows(wanted):
            taken = rows.take(slice(0, room - given))
            parts.append(wire.rows(type_, taken, index_range))
            given += len(taken)
            if len(taken) < len(rows):
                return parts, _after(wanted, int(rows.time[len(taken)]), given)
        if wanted.bounds[1] is not None:
            if given >= room:
                beyond = wanted.low_ns - 1 if wanted.backward else wanted.high_ns
                return parts, _after(wanted, beyond, given)
            bound = self._bound(wanted.bounds[1], wanted.backward, first=False)
            assert bound is not None
            parts.append(self._written(bound, wanted.bounds[1], type_, index_range))
        return parts, None

    def _rows(self, wanted: RawTask) -> Iterator[Batch]:
        """What lies in the domain, in its order."""
        if wanted.low_ns >= wanted.high_ns:
            return
        span = (wanted.low_ns, wanted.high_ns)
        for piece in read(self._session, self._cell, self._key, *span, backward=wanted.backward):
            rows = _marked(piece)
            yield rows.take(slice(None, None, -1)) if wanted.backward else rows

    def _bound(self, time_ns: int, backward: bool, *, first: bool) -> Batch | None:
        """The value at an end of the domain or the next one outside; empty when there is none.

        None for a beginning at which there is a value: that is in the domain already.
        """
        outside = at_or_after if backward == first else at_or_before
        found = outside(self._session, self._cell, self._key, time_ns).last
        return None if first and len(found) and int(found.time[0]) == time_ns else found

    @staticmethod
    def _written(bound: Batch, time_ns: int, type_: TagType, index_range: str) -> tuple[int, bytes]:
        if len(bound):
            return wire.rows(type_, bound, index_range)
        return wire.value(None, ua.StatusCodes.BadBoundNotFound, time_ns)


def _marked(piece: Piece) -> Batch:
    """A piece's values, with the status of what was calculated where it was."""
    rows = piece.values.last
    if piece.raw:
        return rows
    status = rows.status.copy()
    status[status < BAD] |= CALCULATED
    return replace(rows, status=status)


def _after(wanted: RawTask, following_ns: int, given: int) -> RawTask | None:
    """What is left when so many were given, beginning with the value of that time."""
    if wanted.backward:
        wanted = replace(wanted, high_ns=following_ns + 1)
    else:
        wanted = replace(wanted, low_ns=following_ns)
    if wanted.left is None:
        return wanted
    left = wanted.left - given
    return replace(wanted, left=left) if left > 0 else None
