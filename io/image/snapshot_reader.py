"""Consistent copies of the whole image for readers outside the scan.

Used by the gateway, the command line and tests: copy the newest block, then ask it. Values of one
copy belong to one cycle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from cellwright.io.image.areas import Area, round_up
from cellwright.io.image.beneath import Beneath, BeneathLayout
from cellwright.io.image.values import Reader, ValueViews, reader
from cellwright.io.plan import Plan, Value
from cellwright.native import ffi, lib

_HEADER: Final = struct.Struct("<Qqq")
_ATTEMPTS: Final = 1000
_RUN_BYTES: Final = 64
"""Bytes compared at once before looking at single tags; a line."""


class BlockLayout:
    """Where cycle, values, quality and timestamps lie in a block of the image."""

    def __init__(self, plan: Plan) -> None:
        self.tags = len(plan.tags)
        self.value_size = round_up(plan.value_size, 8)
        self.values = 64
        self.quality = round_up(self.values + self.value_size)
        self.timestamps = round_up(self.quality + 4 * self.tags)
        self.monotonic = round_up(self.timestamps + 8 * self.tags)
        self.beneath = BeneathLayout(plan, round_up(self.monotonic + 8 * self.tags))
        self.size = round_up(self.beneath.end)


class Changes:
    """Finds the tags that differ between two blocks; the tables are made once.

    ``only``: compare the values of these tags; differing qualities are marked for all.
    """

    def __init__(self, plan: Plan, only: Iterable[int] | None = None) -> None:
        chosen = plan.tags if only is None else [plan.tags[index] for index in only]
        tags = sorted(chosen, key=lambda tag: tag.offset)
        self.places = ffi.new("struct cw_place[]", max(1, len(tags)))
        runs: list[list[int]] = []
        for number, tag in enumerate(tags):
            place = self.places[number]
            place.tag, place.offset, place.size = tag.index, tag.offset, tag.type.size
            end = tag.offset + tag.type.size
            if runs and end - runs[-1][2] <= _RUN_BYTES:
                runs[-1][1] += 1
                runs[-1][3] = end - runs[-1][2]
            else:
                runs.append([number, 1, tag.offset, tag.type.size])
        self.runs = ffi.new("struct cw_run[]", max(1, len(runs)))
        for index, (first, count, offset, size) in enumerate(runs):
            run = self.runs[index]
            run.first, run.count, run.offset, run.size = first, count, offset, size
        self.run_count = len(runs)
        self.place_count = len(tags)
        self.tag_count = len(plan.tags)
        self.words = -(-self.tag_count // 64) or 1
        self.bitmap = ffi.new("uint64_t[]", self.words)
        self._value_size = round_up(plan.value_size, 8)
        self._layout = BlockLayout(plan)

    def find(self, old: Any, new: Any) -> int:
        """Mark in the bitmap what differs between two blocks (pointers); how many are marked."""
        layout = self._layout
        count = lib.cw_changes(
            self.runs,
            self.run_count,
            self.places,
            self.place_count,
            old + layout.values,
            new + layout.values,
            self._value_size,
            ffi.cast("uint32_t *", old + layout.quality),
            ffi.cast("uint32_t *", new + layout.quality),
            self.tag_count,
            self.bitmap,
            self.words,
        )
        if count < 0:
            raise RuntimeError(f"the tag table does not fit the image block ({count})")
        return count


def adopt_stamps(
    area: Area, layout: BlockLayout, timestamps: memoryview, monotonic: memoryview
) -> None:
    """Take over when each tag was written from the block that a predecessor published last.

    Only what changes is stamped anew: without this a value that a restart leaves as it was would
    have no time. Before the first block nothing is done.
    """
    block = bytearray(layout.size)
    if (
        lib.cw_snapshot_read(
            area.pointer, area.size, ffi.from_buffer(block), len(block), 0, _ATTEMPTS
        )
        <= 0
    ):
        return
    whole, size = memoryview(block), 8 * layout.tags
    timestamps[:] = whole[layout.timestamps : layout.timestamps + size].cast("q")
    monotonic[:] = whole[layout.monotonic : layout.monotonic + size].cast("q")


class SnapshotReader:
    """One reader's copy of the newest block. Not shared between threads."""

    def __init__(self, plan: Plan, area: Area) -> None:
        self._area = area
        self._plan = plan
        self._layout = layout = BlockLayout(plan)
        self._sequence = 0
        self._blocks = [ffi.new("uint64_t[]", layout.size // 8) for _ in range(2)]
        self._bytes = [ffi.cast("uint8_t *", block) for block in self._blocks]
        self._views = [memoryview(ffi.buffer(block)).cast("B") for block in self._blocks]
        self._readers: list[list[Reader | None]] = [[None] * layout.tags for _ in range(2)]
        self._values = [
            ValueViews(view[layout.values : layout.values + layout.value_size])
            for view in self._views
        ]
        self._quality = [
            view[layout.quality : layout.quality + 4 * layout.tags].cast("I")
            for view in self._views
        ]
        self._timestamps = [
            view[layout.timestamps : layout.timestamps + 8 * layout.tags].cast("q")
            for view in self._views
        ]
        self._monotonic = [
            view[layout.monotonic : layout.monotonic + 8 * layout.tags].cast("q")
            for view in self._views
        ]
        self._beneath = [Beneath(layout.beneath, view) for view in self._views]
        self._now = 0
        self._changes = Changes(plan)
        self._changed = ffi.new("uint32_t[]", max(1, layout.tags))
        self._changed_view = memoryview(ffi.buffer(self._changed)).cast("B").cast("I")
        self._first = True
        self.cycle = 0
        """Cycle that the copy belongs to; 0 before the first successful `read`."""
        self.mono_ns = 0
        self.utc_ns = 0

    def read(self) -> bool:
        """Copy the newest complete block; False when there is none newer than the last copy."""
        other = 1 - self._now
        area, layout = self._area, self._layout
        found = lib.cw_snapshot_read(
            area.pointer, area.size, self._bytes[other], layout.size, self._sequence, _ATTEMPTS
        )
        if found == 0:
            return False
        if found < 0:
            raise RuntimeError(
                f"the image was published {_ATTEMPTS} times while it was copied; "
                f"is a second scan running?"
            )
        self._first = self._sequence == 0
        self._sequence = found
        self._now = other
        self.cycle, self.mono_ns, self.utc_ns = _HEADER.unpack_from(self._views[other])
        return True

    def value(self, tag_index: int) -> Value:
        """Value of a tag in the copy."""
        readers = self._readers[self._now]
        one = readers[tag_index]
        if one is None:
            one = reader(self._values[self._now], self._plan.tags[tag_index])
            readers[tag_index] = one
        value: Value = one()
        return value

    def parts(self) -> tuple[Any, int, Any, Any]:
        """Pointers into the copy, valid until the next `read` but one.

        Value area and its bytes, qualities (``uint32_t *``), source timestamps (``int64_t *``).
        """
        block, layout = self._bytes[self._now], self._layout
        return (
            block + layout.values,
            layout.value_size,
            ffi.cast("uint32_t *", block + layout.quality),
            ffi.cast("int64_t *", block + layout.timestamps),
        )

    def kept_value(self, tag_index: int) -> Value:
        """What a later run is to begin with: of a forced tag that is retained, what is beneath."""
        beneath = self._beneath[self._now]
        return beneath.value(tag_index) if beneath.hides(tag_index) else self.value(tag_index)

    def quality(self, tag_index: int) -> int:
        """OPC UA status code of a tag in the copy."""
        return self._quality[self._now][tag_index]

    def timestamp_ns(self, tag_index: int) -> int:
        """Source timestamp of a tag in the copy, UTC nanoseconds; 0 when there is none."""
        return self._timestamps[self._now][tag_index]

    def age_ns(self, tag_index: int, now_ns: int | None = None) -> int | None:
        """How old a tag's value is, whatever the wall clock did; None before there is one.

        An input counts from its reading from the device, also while the device is lost; any other
        tag from its last change. ``now_ns`` is monotonic; without it, age in the cycle copied.
        """
        got_ns = self._monotonic[self._now][tag_index]
        if got_ns == 0:
            return None
        return max(0, (self.mono_ns if now_ns is None else now_ns) - got_ns)

    def changed(self) -> memoryview:
        """Indexes of the tags whose value or quality changed with the last successful `read`.

        Ascending, uint32; all tags after the first one. Valid until the next call.
        """
        if self._sequence == 0:
            return self._changed_view[:0]
        if self._first:
            for index in range(self._layout.tags):
                self._changed[index] = index
            return self._changed_view[: self._layout.tags]
        self._changes.find(self._bytes[1 - self._now], self._bytes[self._now])
        count = lib.cw_take_bits(
            self._changes.bitmap, self._changes.words, self._changed, self._layout.tags
        )
        return self._changed_view[:count]
