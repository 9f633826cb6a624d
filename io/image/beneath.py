"""What retained tags have beneath their forces, in each block of the image.

A force is for a while, a retained value for good: who keeps values for a later run takes these and
not the forced ones. The scan writes them into its working block, which a snapshot hands on whole.
"""

from __future__ import annotations

from typing import Final

import msgspec

from cellwright.io.image.areas import round_up
from cellwright.io.image.values import Reader, ValueViews, Writer, reader, writer
from cellwright.io.plan import Plan, Tag, Value
from cellwright.io.plan.layout import place

_WORD: Final = 8


class BeneathLayout:
    """Where they lie, from the place ``begin`` of a block: values, then a flag for each."""

    def __init__(self, plan: Plan, begin: int) -> None:
        kept = [tag for tag in plan.tags if tag.retain]
        offsets, size = place([tag.type for tag in kept])
        self.begin = begin
        self.flags = begin + size
        self.end = round_up(self.flags + len(kept), _WORD)
        self.tags = {
            tag.index: (self.flags - begin + number, msgspec.structs.replace(tag, offset=offset))
            for number, (tag, offset) in enumerate(zip(kept, offsets, strict=True))
        }
        """Tag to the place of its flag, and the tag as it lies here."""


class Beneath:
    """Those of one block. ``block`` is whole, as bytes."""

    def __init__(self, layout: BeneathLayout, block: memoryview) -> None:
        self._own = block[layout.begin : layout.end]
        self._views = ValueViews(self._own)
        self._tags: dict[int, tuple[int, Tag]] = layout.tags
        self._access: dict[int, tuple[Reader, Writer]] = {}

    def hides(self, index: int) -> bool:
        """True for a retained tag that is forced."""
        known = self._tags.get(index)
        return known is not None and self._own[known[0]] != 0

    def value(self, index: int) -> Value:
        """What a retained tag has beneath its force."""
        value: Value = self._of(index)[0]()
        return value

    def hide(self, index: int, value: Value) -> None:
        """A retained tag is forced and has this value beneath from now on."""
        self._of(index)[1](value)
        self._own[self._tags[index][0]] = 1

    def show(self, index: int) -> None:
        """A tag is not forced any more; nothing for one that is not retained."""
        if index in self._tags:
            self._own[self._tags[index][0]] = 0

    def _of(self, index: int) -> tuple[Reader, Writer]:
        access = self._access.get(index)
        if access is None:
            tag = self._tags[index][1]
            access = self._access[index] = reader(self._views, tag), writer(self._views, tag)
        return access
