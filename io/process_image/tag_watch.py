"""Which of a few tags have changed in the scan's image since it was looked at last.

Alarms use it, so that what has not changed costs nothing. It keeps a copy of its own and therefore
sees every change once, whoever made it; it never waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cellwright.io.image import BlockLayout, Changes
from cellwright.io.plan import Plan
from cellwright.native import Pointer, ffi, lib


class TagWatch:
    """Watches ``tags`` (indexes) in ``block``, which has the layout of a published one."""

    def __init__(
        self, plan: Plan, layout: BlockLayout, block: Pointer, tags: Iterable[int]
    ) -> None:
        self._tags = sorted(set(tags))
        self._changes = Changes(plan, self._tags)
        self._new = ffi.cast("uint8_t *", block)
        self._old = ffi.new("uint8_t[]", layout.timestamps)
        self._size = layout.timestamps
        self._indexes = ffi.new("uint32_t[]", max(1, layout.tags))
        self._view = memoryview(ffi.buffer(self._indexes)).cast("B").cast("I")
        self._max = layout.tags
        self._first = True
        self._keep = block

    def changed(self) -> Sequence[int]:
        """Tags whose value or quality changed since the last call; all of them at the first.

        May name others, whose quality changed. Valid until the next call.
        """
        if self._first:
            self._first = False
            ffi.memmove(self._old, self._new, self._size)
            return self._tags
        changes = self._changes
        if not changes.find(self._old, self._new):
            return ()
        count = lib.cw_take_bits(changes.bitmap, changes.words, self._indexes, self._max)
        ffi.memmove(self._old, self._new, self._size)
        return self._view[:count]
