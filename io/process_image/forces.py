"""The forces of a scan: which tags are held, and at which values, in the shared image.

Used by `cellwright.io.process_image.process_image` alone; as a mapping it is what others see of it:
tag to forced value, live. It changes no tag: the overlay in C does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cellwright.io.image import BlockLayout, Image, ValueViews, reader, round_up, writer
from cellwright.io.plan import Direction, Plan, Value
from cellwright.native import ffi


class Forces(Mapping[int, Value]):
    """Forced tags by index, with the forced values."""

    def __init__(self, image: Image, plan: Plan, layout: BlockLayout) -> None:
        area = image.area("forces")
        self._plan = plan
        self._area = area  # keeps the memory that ``pointer`` is of
        self.pointer = area.pointer
        self._views = ValueViews(area.view[: layout.value_size])
        self._flags = area.view[round_up(layout.value_size) :]
        self._readers: dict[int, Any] = {}
        self.places = ffi.new("struct cw_place[]", max(1, layout.tags))
        """The first ``count`` of them say which tags are forced."""
        self.count = 0

    def __getitem__(self, index: int) -> Value:
        value: Value = self._readers[index]()
        return value

    def __iter__(self) -> Iterator[int]:
        return iter(self._readers)

    def __len__(self) -> int:
        return self.count

    def left_behind(self) -> list[int]:
        """Tags that a predecessor on the same image had forced."""
        return [tag.index for tag in self._plan.tags if self._flags[tag.index]]

    def put(self, index: int, value: Value) -> None:
        """Leave the value that `hold` is to count; raises ValueError as a tag's writer does."""
        writer(self._views, self._plan.tags[index])(value)

    def put_bytes(self, index: int, value: bytes) -> None:
        """The same with a value as it lies in the value area."""
        tag = self._plan.tags[index]
        self._views.bytes[tag.offset : tag.offset + tag.type.size] = value

    def bytes_of(self, index: int) -> bytes:
        """The forced value as it lies in the value area."""
        tag = self._plan.tags[index]
        return bytes(self._views.bytes[tag.offset : tag.offset + tag.type.size])

    def hold(self, index: int) -> None:
        """The value is in place, should the process be killed between: now it counts."""
        self._flags[index] = 1
        self._readers[index] = reader(self._views, self._plan.tags[index])
        self._list()

    def release(self, index: int) -> None:
        """The tag is not forced any more."""
        self._flags[index] = 0
        self._readers.pop(index, None)
        self._list()

    def _list(self) -> None:
        for number, index in enumerate(self._readers):
            tag, place = self._plan.tags[index], self.places[number]
            place.tag, place.offset, place.size = index, tag.offset, tag.type.size
            place.output = tag.direction is Direction.OUTPUT
        self.count = len(self._readers)
