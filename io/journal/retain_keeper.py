"""Saves the retained tags when they have changed."""

from __future__ import annotations

import msgspec
import structlog

from cellwright.io.image import Image
from cellwright.io.journal.retain import RetainedValue, RetainError, RetainStore
from cellwright.io.log_once import LogOnce
from cellwright.io.plan import Plan
from cellwright.io.timing.clock import Clock

RETAIN_INTERVAL_NS = 50_000_000


class RetainKeeper:
    """Saves the retained tags when they have changed, at most every `RETAIN_INTERVAL_NS`."""

    def __init__(self, plan: Plan, image: Image, clock: Clock, store: RetainStore) -> None:
        self._layout_hash = plan.layout_hash
        self._clock = clock
        self._store = store
        self._reader = image.snapshot_reader()
        self._tags = [tag for tag in plan.tags if tag.retain]
        self._saved = b""
        """What was saved last, as msgpack: unlike the values themselves, NaN equals NaN there."""
        self._due_ns = 0
        self._once = LogOnce(structlog.get_logger(__name__))

    def step(self, at_end: bool = False) -> None:
        """Look once; a failure is logged once and tried again."""
        now_ns = self._clock.now_ns()
        if not self._tags or (now_ns < self._due_ns and not at_end):
            return
        self._due_ns = now_ns + RETAIN_INTERVAL_NS
        if not self._reader.read() and not at_end and self._store.is_there():
            return
        if not self._reader.cycle:
            return  # nothing was published yet
        values = [self._reader.kept_value(tag.index) for tag in self._tags]
        content = msgspec.msgpack.encode(values)
        if content == self._saved and self._store.is_there():
            return
        kept = {
            tag.name: RetainedValue(tag.type, value)
            for tag, value in zip(self._tags, values, strict=True)
        }
        try:
            self._store.save(kept, self._layout_hash)
        except RetainError as error:
            self._once.trouble("save", "retained values not saved", error=str(error))
        else:
            self._saved = content
            self._once.well("save")
