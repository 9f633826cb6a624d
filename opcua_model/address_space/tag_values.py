"""The tags' values as OPC UA has them, made of the newest snapshot when somebody asks.

Nothing is made for nobody: a tag that no client reads or monitors costs its place in the image and
no more. The gateway's one snapshot reader is here; all of it runs in the gateway's event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from asyncua import ua

from cellwright.io.image import SnapshotReader
from cellwright.io.plan import BAD_WAITING_FOR_INITIAL_DATA, Plan, TagType, Value, is_bad
from cellwright.native import ffi
from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.tag_paths import TagPaths
from cellwright.opcua_model.address_space.values import utc_datetime, wire_type

MOST_QUEUE_BYTES: Final = 256 * 1024 * 1024
"""Of all items on tags, whoever has them."""
_NULL: Final = ua.Variant(None, ua.VariantType.Null)


class TagValues:
    """Every tag's value, quality and times, of one cycle.

    ``refresh`` takes the newest snapshot; what is asked until the next one belongs to one cycle.
    """

    def __init__(self, plan: Plan, reader: SnapshotReader) -> None:
        self.plan = plan
        self.reader = reader
        self.paths = TagPaths(plan)
        self._encode: dict[TagType, Callable[[Value], ua.Variant]] = {}
        self._status: dict[int, ua.StatusCode] = {}
        self._times: dict[int, ua.DateTime] = {}
        self._waiting = ffi.new("uint32_t[]", [BAD_WAITING_FOR_INITIAL_DATA] * len(plan.tags))
        self.table = ffi.new("struct cw_ua_tag[]", max(1, len(plan.tags)))
        """How the tags lie in the image, for the items that are compared in C."""
        for tag in plan.tags:
            row = self.table[tag.index]
            row.offset = tag.offset
            row.count = tag.type.count if tag.type.is_array else 0
            row.item_size = tag.type.item_size
            row.code = tag.type.code
        self._block = ffi.new("struct cw_ua_block *")
        self.budget = ffi.new("struct cw_ua_budget *", {"most": MOST_QUEUE_BYTES})
        """What the queues of all subscriptions may take together."""

    def index_of(self, node_id: ua.NodeId) -> int | None:
        """The tag behind a node, or None."""
        return self.paths.index_of(node_id)

    def refresh(self) -> bool:
        """Take the newest snapshot; True when there was a new one."""
        if not self.reader.read():
            return False
        self._times.clear()
        return True

    def data_value(self, index: int) -> ua.DataValue:
        """A tag's value with quality and both times.

        A Bad value is null (OPC 10000-4, 7.11.1); a tag that was never written has no source time.
        """
        reader = self.reader
        quality = reader.quality(index) if reader.cycle else BAD_WAITING_FOR_INITIAL_DATA
        status = self._status.get(quality)
        if status is None:
            status = self._status[quality] = status_code(quality)
        content = _NULL if is_bad(quality) else self._variant(index, reader.value(index))
        stamp_ns = reader.timestamp_ns(index)
        source = self._time(stamp_ns) if stamp_ns else None
        server = self._time(reader.utc_ns) if reader.cycle else None
        return ua.DataValue(content, status, source, server)

    def block(self) -> Any:
        """The snapshot as `cw_ua_sample` reads it; valid until the next `refresh`."""
        block, reader = self._block, self.reader
        block.values, block.value_size, quality, block.stamps = reader.parts()
        block.quality = quality if reader.cycle else self._waiting
        block.tag_count = len(self.plan.tags)
        block.utc_ns = reader.utc_ns
        return block

    def _variant(self, index: int, value: Value) -> ua.Variant:
        type_ = self.plan.tags[index].type
        encode = self._encode.get(type_)
        if encode is None:
            encode = self._encode[type_] = partial(_variant, wire_type(type_), type_.is_array)
        return encode(value)

    def _time(self, utc_ns: int) -> ua.DateTime:
        moment = self._times.get(utc_ns)
        if moment is None:
            moment = self._times[utc_ns] = utc_datetime(utc_ns)
        return moment


def _variant(wire: Any, is_array: bool, value: Value) -> ua.Variant:
    return ua.Variant(wire.encode(value), wire.variant, None, is_array)
