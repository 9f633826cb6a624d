"""What has changed in the image since the last look, as columns.

All tags that are recorded are compared at once. It runs in a thread of the gateway, on a copy of
the image of its own; the scan does not know of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from cellwright.io.image import SnapshotReader
from cellwright.io.plan import Code, Plan, Tag
from cellwright.mes.history.batch import EMPTY, Batch, Kind, Words
from cellwright.mes.history.summary import BAD, WIDE, numbers
from cellwright.mes.history.values import kind_of
from cellwright.native import ffi

_TYPES: Final[Mapping[Code, Any]] = {
    Code.BOOL: np.uint8,
    Code.SINT: np.int8,
    Code.INT: np.int16,
    Code.DINT: np.int32,
    Code.LINT: np.int64,
    Code.USINT: np.uint8,
    Code.UINT: np.uint16,
    Code.UDINT: np.uint32,
    Code.ULINT: np.uint64,
    Code.REAL: np.float32,
    Code.LREAL: np.float64,
    Code.TIME: np.int64,
}


class _Group(NamedTuple):
    """Tags whose values lie in the image as one type."""

    type: Any
    wide: Any
    """What their values become in 64 bits."""
    rows: Any
    places: Any
    """Offset of each, counted in values of the type."""


_NS_PER_US: Final = 1000
"""OPC UA clients get times in whole microseconds; what they ask for is to be found again."""


def _groups(tags: Sequence[Tag], kinds: Sequence[Kind]) -> list[_Group]:
    groups = []
    for code, type_ in _TYPES.items():
        rows = [
            row
            for row, tag in enumerate(tags)
            if tag.type.code is code and kinds[row] is not Kind.TEXT
        ]
        if rows:
            places = [tags[row].offset // np.dtype(type_).itemsize for row in rows]
            wide = WIDE[kinds[rows[0]]]
            groups.append(_Group(type_, wide, np.array(rows), np.array(places)))
    return groups


class Sampler:
    """The recorded tags of a cell, and what was recorded of each last."""

    def __init__(self, reader: SnapshotReader, plan: Plan, deadbands: Mapping[str, float]) -> None:
        """``deadbands``: name of each recorded tag, and the change that is not recorded yet."""
        self._reader = reader
        self._all = len(plan.tags)
        self.tags = tags = [tag for tag in plan.tags if tag.name in deadbands]
        """The recorded ones, in the order in which batches count them."""
        self._index = np.array([tag.index for tag in tags], np.int64)
        kinds = [kind_of(tag.type) for tag in tags]
        self._kind = np.array(kinds, np.uint8)
        self._deadband = np.array([deadbands[tag.name] for tag in tags])
        self._coarse = np.flatnonzero(self._deadband > 0)
        self._groups = _groups(tags, kinds)
        self._texts = [(row, tag) for row, tag in enumerate(tags) if kinds[row] is Kind.TEXT]
        count = len(tags)
        self._bits = np.zeros(count, np.uint64)
        self._status = np.zeros(count, np.uint32)
        self._stamp = np.zeros(count, np.int64)
        self._held: dict[int, bytes] = {}
        self._first = True

    def take(self) -> Batch:
        """What is to be recorded now; tags by their place in the list. Empty without a new copy."""
        reader = self._reader
        if not reader.read():
            return EMPTY
        values, size, quality, stamps = reader.parts()
        area = np.frombuffer(ffi.buffer(values, size), np.uint8)
        status = np.frombuffer(ffi.buffer(quality, 4 * self._all), np.uint32)[self._index]
        stamp = np.frombuffer(ffi.buffer(stamps, 8 * self._all), np.int64)[self._index]
        bits = np.zeros(len(self._index), np.uint64)
        for type_, wide, rows, places in self._groups:
            bits[rows] = area.view(type_)[places].astype(wide).view(np.uint64)
        changed = (bits != self._bits) | self._changed_texts(area)
        self._spare_small(bits, changed)
        changed &= status < BAD  # a value that must not be used has none
        changed |= status != self._status
        if self._first:
            changed[:] = True
            self._first = False
        rows = np.flatnonzero(changed)
        if not len(rows):
            return EMPTY
        # What changes without a new time, as a device that is lost, happened in this cycle.
        new = (stamp[rows] > 0) & (stamp[rows] != self._stamp[rows])
        time = np.where(new, stamp[rows], reader.utc_ns)
        self._bits[rows], self._status[rows] = bits[rows], status[rows]
        self._stamp[rows] = stamp[rows]
        return self._batch(rows, time // _NS_PER_US * _NS_PER_US)

    def _changed_texts(self, area: Any) -> Any:
        changed = np.zeros(len(self._index), np.bool_)
        for row, tag in self._texts:
            raw = area[tag.offset : tag.offset + tag.type.size].tobytes()
            text = raw
            if not tag.type.is_array:
                text = raw[2 : 2 + int.from_bytes(raw[:2], "little")]
            if text != self._held.get(row):
                self._held[row] = text
                changed[row] = True
        return changed

    def _spare_small(self, bits: Words, changed: Any) -> None:
        rows = self._coarse[changed[self._coarse]]
        if len(rows):
            kind = self._kind[rows]
            step = np.abs(numbers(bits[rows], kind) - numbers(self._bits[rows], kind))
            changed[rows[step <= self._deadband[rows]]] = False  # never one that is not a number

    def _batch(self, rows: Any, time: Any) -> Batch:
        bits = self._bits[rows]
        texts: list[bytes] = []
        if self._texts:
            for place in np.flatnonzero(self._kind[rows] == Kind.TEXT).tolist():
                bits[place] = len(texts)
                texts.append(self._held[int(rows[place])])
        return Batch(
            rows.astype(np.uint32), self._kind[rows], time, self._status[rows], bits, texts
        )
