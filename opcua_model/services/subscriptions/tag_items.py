"""The monitored items on tags of one subscription: compared, queued and encoded in C.

`CellItems` makes and changes them; the subscription samples them when they are due and takes what
they have queued. Items of one sampling interval are one group, looked at together; a group costs
nothing between its samples.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cellwright.native import ffi, lib
from cellwright.opcua_model.address_space.tag_values import TagValues

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of a subscription's queues; beyond, a queue is as long as it is then, and overflows."""
BODY_BYTES: Final = 1024 * 1024
"""Of one notification; more goes into the next one."""


class ItemRefusedError(Exception):
    """The table has no memory for the item, or its settings do not fit the tag."""


@dataclass(slots=True)
class Settings:
    """What a client asked of an item, as far as the comparison needs it."""

    tag: int
    handle: int
    queue_size: int
    mode: int
    """0 disabled, 1 sampling, 2 reporting (OPC 10000-4, 7.23)."""
    trigger: int
    """0 status, 1 status or value, 2 or source timestamp (OPC 10000-4, 7.10)."""
    deadband: float
    """In units of the value; 0: none."""
    discard_oldest: bool
    source_time: bool
    server_time: bool
    elements: tuple[int, int] = (0, 0)
    """First and number of an array's elements; a number of 0 is the whole value."""
    links: bool = False
    """Other items report when this one changes."""


@dataclass(slots=True)
class _Group:
    interval_ns: int
    due_ns: int
    items: array[int] = field(default_factory=lambda: array("I"))
    places: dict[int, int] = field(default_factory=dict)
    """Number of an item to its place in `items`."""


class TagItems:
    """The table of a subscription."""

    def __init__(self, tags: TagValues) -> None:
        self._tags = tags
        count = len(tags.plan.tags)
        self._table = ffi.gc(
            lib.cw_ua_new(tags.table, count, MOST_BYTES, tags.budget), lib.cw_ua_free
        )
        if self._table == ffi.NULL:
            raise MemoryError("no memory for a table of monitored items")
        self._groups: dict[int, _Group] = {}
        self._group_of: dict[int, _Group] = {}
        self._settings = ffi.new("struct cw_ua_settings *")
        self._taken = ffi.new("uint32_t *")

    def __len__(self) -> int:
        return len(self._group_of)

    @property
    def memory(self) -> int:
        """Bytes of items and queues."""
        return int(lib.cw_ua_bytes(self._table))

    @property
    def pending(self) -> bool:
        """True while something is to be reported."""
        return bool(lib.cw_ua_pending(self._table))

    @property
    def next_due_ns(self) -> int | None:
        """When the next group is to be sampled; None without items."""
        return min((group.due_ns for group in self._groups.values()), default=None)

    def add(self, settings: Settings, interval_ns: int, now_ns: int, publish_ns: int) -> int:
        """The new item's number; sampled so that one sample falls on ``publish_ns``.

        Raises ItemRefusedError.
        """
        number = int(lib.cw_ua_add(self._table, self._filled(settings)))
        if number < 0:
            raise ItemRefusedError(f"item of tag {settings.tag} refused ({number})")
        self._join(number, interval_ns, now_ns, publish_ns)
        return number

    def change(
        self, number: int, settings: Settings, interval_ns: int, now_ns: int, publish_ns: int
    ) -> None:
        """Give an item other settings and another interval. Raises ItemRefusedError."""
        self.apply(number, settings)
        if self._group_of[number].interval_ns != interval_ns:
            self._leave(number)
            self._join(number, interval_ns, now_ns, publish_ns)

    def apply(self, number: int, settings: Settings) -> None:
        """Give an item other settings, of the same tag. Raises ItemRefusedError."""
        code = int(lib.cw_ua_change(self._table, number, self._filled(settings)))
        if code < 0:
            raise ItemRefusedError(f"change of item {number} refused ({code})")

    def align(self, now_ns: int, publish_ns: int) -> None:
        """Sample each group so that one sample falls on ``publish_ns``."""
        for group in self._groups.values():
            group.due_ns = _first_due(now_ns, publish_ns, group.interval_ns)

    def remove(self, number: int) -> None:
        """Take an item out, with what it has queued."""
        self._leave(number)
        lib.cw_ua_remove(self._table, number)

    def forget(self, number: int) -> None:
        """The next sample of the item is reported, whatever was reported last."""
        lib.cw_ua_forget(self._table, number)

    def report(self, number: int) -> None:
        """Report what an item in mode sampling has queued."""
        lib.cw_ua_report(self._table, number)

    def sample(self, numbers: Iterable[int]) -> list[int]:
        """Compare these items now; gives those that changed and have links."""
        return self._compare(array("I", numbers))

    def sample_due(self, now_ns: int) -> list[int]:
        """Compare the groups that are due; a sample that was missed is left out."""
        fired: list[int] = []
        for group in self._groups.values():
            if group.due_ns <= now_ns:
                late = (now_ns - group.due_ns) // group.interval_ns
                group.due_ns += (late + 1) * group.interval_ns
                fired += self._compare(group.items)
        return fired

    def sample_all(self) -> list[int]:
        """Compare every item now."""
        return [one for group in self._groups.values() for one in self._compare(group.items)]

    def take(self, most: int, body: Any) -> tuple[bytes, int]:
        """The body of a DataChangeNotification with at most ``most`` items, and their number.

        ``body`` is a ``uint8_t[]`` to write into, lent for the call.
        """
        size = int(
            lib.cw_ua_take(self._table, body, ffi.sizeof(body), min(most, 2**32 - 1), self._taken)
        )
        if size < 0:
            raise MemoryError(f"a notification does not fit into {ffi.sizeof(body)} bytes")
        return bytes(ffi.buffer(body, size)), int(self._taken[0])

    def _compare(self, items: array[int]) -> list[int]:
        if not items:
            return []
        fired = ffi.new("uint32_t[]", len(items))
        count = lib.cw_ua_sample(
            self._table,
            ffi.from_buffer("uint32_t[]", items),
            len(items),
            self._tags.block(),
            fired,
        )
        if count < 0:
            raise RuntimeError(f"the tag table does not fit the image block ({count})")
        return list(fired[0:count])

    def _filled(self, settings: Settings) -> Any:
        row = self._settings
        row.tag, row.handle, row.queue_size = settings.tag, settings.handle, settings.queue_size
        row.mode, row.trigger, row.deadband = settings.mode, settings.trigger, settings.deadband
        row.first, row.count = settings.elements
        row.discard_oldest = settings.discard_oldest
        row.timestamps = settings.source_time | settings.server_time << 1
        row.links = settings.links
        return row

    def _join(self, number: int, interval_ns: int, now_ns: int, publish_ns: int) -> None:
        group = self._groups.get(interval_ns)
        if group is None:
            due_ns = _first_due(now_ns, publish_ns, interval_ns)
            group = self._groups[interval_ns] = _Group(interval_ns, due_ns)
        group.places[number] = len(group.items)
        group.items.append(number)
        self._group_of[number] = group

    def _leave(self, number: int) -> None:
        group = self._group_of.pop(number)
        place, last = group.places.pop(number), group.items.pop()
        if last != number:
            group.items[place] = last
            group.places[last] = place
        if not group.items:
            del self._groups[group.interval_ns]


def _first_due(now_ns: int, publish_ns: int, interval_ns: int) -> int:
    return publish_ns - max(0, publish_ns - now_ns) // interval_ns * interval_ns


def body_buffer(tags: TagValues) -> Any:
    """A buffer for bodies, in which one notification of any tag fits."""
    largest = max((tag.type.size * 2 + 64 for tag in tags.plan.tags), default=0)
    return ffi.new("uint8_t[]", max(BODY_BYTES, largest + 64))
