"""The table of monitored items in C does what a simple model of OPC 10000-4, 7.21 and 7.22 does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cellwright.io.plan import BAD_NO_COMMUNICATION, GOOD
from cellwright.native import ffi
from cellwright.opcua_model.address_space.tag_values import TagValues
from cellwright.opcua_model.services.subscriptions.tag_items import (
    ItemRefusedError,
    Settings,
    TagItems,
    body_buffer,
)
from support.campaign import examples
from support.opcua_support import ImageBench, cell_plan

OVERFLOW = 0x480
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "part_present": st.booleans(),
    "air_pressure": st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.5, 10.0, math.nan, math.inf]),
    "recipe": st.sampled_from([-32768, -3, 0, 1, 2, 5, 32767]),
    "dwell": st.sampled_from([0, 1_000_000, 1_500_000, 4_000_000, -(2**63)]),
    "label": st.sampled_from(["", "a", "ab", "blade ü", "x" * 20]),
    "profile": st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=4, max_size=4),
}
NUMERIC = ("air_pressure", "recipe", "dwell", "profile")


@dataclass
class Modelled:
    """One item as the standard describes it."""

    name: str
    settings: Settings
    last: tuple[Any, int, int] | None = None
    queue: list[tuple[Any, int]] = field(default_factory=list)
    reported: bool = False

    def sample(self, value: Any, status: int, stamp: int) -> bool:
        if self.settings.mode == 0 or not self._changed(value, status, stamp):
            return False
        self.last = (value, status, stamp)
        shown = None if status & 0x80000000 else value
        full = len(self.queue) == self.settings.queue_size
        if full and self.settings.queue_size == 1:
            self.queue = [(shown, status)]
        elif full and self.settings.discard_oldest:
            self.queue = [*self.queue[1:], (shown, status)]
            self.queue[0] = (self.queue[0][0], self.queue[0][1] | OVERFLOW)
        elif full:
            self.queue[-1] = (shown, status | OVERFLOW)
        else:
            self.queue.append((shown, status))
        self.reported = self.reported or self.settings.mode == 2
        return True

    def _changed(self, value: Any, status: int, stamp: int) -> bool:
        if self.last is None or status != self.last[1]:
            return True
        if self.settings.trigger == 0:
            return False
        if self.settings.trigger == 2 and stamp != self.last[2]:
            return True
        return not status & 0x80000000 and differs(value, self.last[0], self.limit)

    @property
    def limit(self) -> float:
        # A Duration is milliseconds for the client and nanoseconds in the image.
        return self.settings.deadband * (1e6 if self.name == "dwell" else 1)


def differs(new: Any, old: Any, limit: float) -> bool:
    if isinstance(new, list):
        return any(differs(a, b, limit) for a, b in zip(new, old, strict=True))
    if isinstance(new, bool | str):
        return bool(new != old)
    if isinstance(new, float) and math.isnan(new) and math.isnan(old):
        return False
    if isinstance(new, float):
        return not abs(new - old) <= limit if limit else new != old
    return abs(new - old) > limit


def comparable(value: Any) -> Any:
    """NaN equals NaN, and a Duration is in milliseconds."""
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else value


@st.composite
def settings(draw: st.DrawFn, name: str) -> Settings:
    deadband = draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])) if name in NUMERIC else 0.0
    return Settings(
        tag=0,
        handle=0,
        queue_size=draw(st.integers(1, 4)),
        mode=draw(st.integers(0, 2)),
        trigger=draw(st.integers(0, 2)),
        deadband=deadband,
        discard_oldest=draw(st.booleans()),
        source_time=draw(st.booleans()),
        server_time=draw(st.booleans()),
    )


class Tables(RuleBasedStateMachine):
    """A table and its model, given the same."""

    folder: Path

    @initialize()
    def begin(self) -> None:
        plan = cell_plan(self.folder)
        self.image = ImageBench(plan)
        self.index = {tag.name: tag.index for tag in plan.tags}
        self.values = TagValues(plan, self.image.image.snapshot_reader())
        self.items = TagItems(self.values)
        self.body = body_buffer(self.values)
        self.model: dict[int, Modelled] = {}
        self.handles = 0
        self.now: dict[str, tuple[Any, int]] = {}
        for name in VALUES:
            self.put(name, {"label": "", "profile": [0.0] * 4}.get(name, 0), GOOD)

    def teardown(self) -> None:
        self.image.image.close()

    def put(self, name: str, value: Any, status: int) -> None:
        value = bool(value) if name == "part_present" else value
        value = float(value) if name == "air_pressure" else value
        self.image.put({name: value}, status)
        self.now[name] = (value, status)
        self.values.refresh()

    @rule(data=st.data(), name=st.sampled_from(sorted(VALUES)))
    def add(self, data: st.DataObject, name: str) -> None:
        self.handles += 1
        wanted = replace(data.draw(settings(name)), tag=self.index[name], handle=self.handles)
        number = self.items.add(wanted, 10, 0, 0)
        assert number not in self.model
        self.model[number] = Modelled(name, wanted)

    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        if not self.model:
            return
        number = data.draw(st.sampled_from(sorted(self.model)))
        item = self.model[number]
        before = item.settings.mode
        wanted = replace(
            data.draw(settings(item.name)), tag=item.settings.tag, handle=item.settings.handle
        )
        self.items.change(number, wanted, data.draw(st.sampled_from([10, 20])), 0, 0)
        item.settings = wanted
        item.queue = item.queue[-wanted.queue_size :]
        if wanted.mode == 0:
            item.queue = []
        if before == 0:
            item.last = None
        item.reported = bool(item.queue) and (
            wanted.mode == 2 or (item.reported and not (before == 2 and wanted.mode == 1))
        )

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.model:
            number = data.draw(st.sampled_from(sorted(self.model)))
            self.items.remove(number)
            del self.model[number]

    @rule(data=st.data(), status=st.sampled_from([GOOD, GOOD, BAD_NO_COMMUNICATION]))
    def sample(self, data: st.DataObject, status: int) -> None:
        name = data.draw(st.sampled_from(sorted(VALUES)))
        self.put(name, data.draw(VALUES[name]), status)
        self.items.sample_all()
        reader = self.values.reader
        for item in self.model.values():
            value, quality = self.now[item.name]
            item.sample(value, quality, reader.timestamp_ns(self.index[item.name]))

    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        if self.model:
            number = data.draw(st.sampled_from(sorted(self.model)))
            self.items.report(number)
            item = self.model[number]
            item.reported = item.reported or (item.settings.mode != 0 and bool(item.queue))

    @rule(most=st.integers(1, 6))
    def take(self, most: int) -> None:
        expected = sum(len(item.queue) for item in self.model.values() if item.reported)
        body, count = self.items.take(most, self.body)
        assert count == min(most, expected)
        notification = struct_from_binary(ua.DataChangeNotification, Buffer(body))
        assert len(notification.MonitoredItems) == count
        by_handle = {item.settings.handle: item for item in self.model.values()}
        for got in notification.MonitoredItems:
            item = by_handle[got.ClientHandle]
            assert item.reported
            value, status = item.queue.pop(0)
            value = value / 1e6 if item.name == "dwell" and value is not None else value
            assert comparable(got.Value.Value.Value) == comparable(value)
            assert got.Value.StatusCode.value == status
            assert (got.Value.SourceTimestamp is not None) is item.settings.source_time
            assert (got.Value.ServerTimestamp is not None) is item.settings.server_time
            item.reported = bool(item.queue)

    @invariant()
    def pending_is_what_waits(self) -> None:
        if hasattr(self, "items"):
            assert self.items.pending is any(item.reported for item in self.model.values())


def test_the_table_does_what_the_standard_says(tmp_path: Path) -> None:
    Tables.folder = tmp_path
    from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415

    run_state_machine_as_test(Tables, settings=examples(40, stateful_step_count=30, deadline=None))


@pytest.fixture
def values(tmp_path: Path) -> Any:
    image = ImageBench(cell_plan(tmp_path))
    yield TagValues(image.image.plan, image.image.snapshot_reader())
    image.image.close()


def plain(**more: Any) -> Settings:
    return replace(Settings(0, 1, 1, 2, 1, 0.0, True, True, True), **more)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tag": 10_000},
        {"queue_size": 0},
        {"mode": 3},
        {"trigger": 3},
        {"deadband": math.nan},
        {"deadband": -1.0},
        {"elements": (0, 5)},
        {"elements": (3, 2)},
        {"elements": (1, 0)},
    ],
)
def test_settings_that_fit_no_tag_are_refused(values: TagValues, wrong: dict[str, Any]) -> None:
    profile = next(tag.index for tag in values.plan.tags if tag.name == "profile")
    with pytest.raises(ItemRefusedError):
        TagItems(values).add(plain(**{"tag": profile, **wrong}), 10, 0, 0)


def test_a_buffer_that_is_too_small_loses_nothing(values: TagValues) -> None:
    items = TagItems(values)
    numbers = [items.add(plain(handle=handle), 10, 0, 0) for handle in range(3)]
    items.sample(numbers)
    with pytest.raises(MemoryError):
        items.take(9, ffi.new("uint8_t[]", 16))
    one_fits = ffi.new("uint8_t[]", 45)
    assert [items.take(9, one_fits)[1] for _ in range(3)] == [1, 1, 1]
    assert not items.pending


def test_an_item_samples_only_when_it_is_due(values: TagValues) -> None:
    items = TagItems(values)
    fast = items.add(plain(handle=1), 10, now_ns := 0, 25)
    slow = items.add(plain(handle=2), 100, now_ns, 25)
    assert items.next_due_ns == 5, "so that one sample falls on the publishing at 25"
    items.sample_due(5)
    assert items.take(9, body_buffer(values))[1] == 1
    items.sample_due(24)
    assert not items.pending
    items.sample_due(25)
    assert items.take(9, body_buffer(values))[1] == 1
    assert {fast, slow} == {0, 1}
    assert items.memory > 0
