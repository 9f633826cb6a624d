"""The values of tags in a recorded image. Used by replay and scope; changes nothing."""

from __future__ import annotations

from cellwright.io.image import BlockLayout, Reader, ValueViews, reader
from cellwright.io.plan import Plan, Tag, Value


class ImageView:
    """Reads tags from a region of values and qualities, which may change meanwhile."""

    def __init__(self, plan: Plan, region: bytearray | memoryview) -> None:
        layout = BlockLayout(plan)
        self._values = memoryview(region)[: layout.value_size]
        self._views = ValueViews(self._values)
        first = layout.quality - layout.values
        self._quality = memoryview(region)[first : first + 4 * layout.tags].cast("I")
        self._readers: dict[int, Reader] = {}

    def value(self, tag: Tag) -> Value:
        """Value of a tag."""
        read = self._readers.get(tag.index)
        if read is None:
            read = self._readers[tag.index] = reader(self._views, tag)
        value: Value = read()
        return value

    def bytes_of(self, tag: Tag) -> bytes:
        """The value as it lies in the image: unlike numbers, NaN equals itself."""
        return bytes(self._values[tag.offset : tag.offset + tag.type.size])

    def quality(self, tag: Tag) -> int:
        """OPC UA status code of a tag."""
        return self._quality[tag.index]
