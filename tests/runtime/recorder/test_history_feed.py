"""What changes in the image is recorded, and a database that is away costs nobody anything."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import msgspec
import pytest

from cellwright.io.plan import HistorySettings
from cellwright.mes.history.batch import Kind
from cellwright.mes.history.reading import read, tags
from cellwright.mes.history.summary import numbers
from cellwright.mes.kernel.store import Store
from cellwright.mes.service.catalogue import open_store
from cellwright.runtime.recorder.history.feed import HistoryFeed
from support.opcua_support import ImageBench, cell_plan

LOST = 0x80310000
HELD = 0x40900000


class Bench:
    """An image, a feed that looks when it is told, and what the database has."""

    def __init__(self, folder: Path, store: Store, **deadbands: float) -> None:
        self.store = store
        plan = cell_plan(folder, reals=2, long=True)
        names = {tag.name: 0.0 for tag in plan.tags if not tag.name.startswith("sys.")}
        settings = HistorySettings(deadbands=names | deadbands)
        self.plan = msgspec.structs.replace(plan, history=settings)
        self.image = ImageBench(self.plan)
        self.feed = HistoryFeed(
            self.plan, self.image.image.snapshot_reader(), store, lambda: self.image.utc_ns
        )

    def work(self) -> None:
        self.feed.writer.work(0.0)

    def put(self, quality: int = 0, **values) -> int:
        """Publish values as the next cycle and look; how many were recorded."""
        self.image.put(values, quality)
        return self.feed.look()

    def read(self, name: str):
        """Value, status and time of all that is in the database."""
        found = []
        with self.store.reading() as session:
            keys = {tag.name: tag.key for tag in tags(session, self.plan.cell)}
            for piece in read(session, self.plan.cell, keys[name]):
                last = piece.values.last
                values = numbers(last.bits, last.kind).tolist()
                if len(last) and last.kind[0] == Kind.TEXT:
                    values = [last.texts[number] for number in last.bits.tolist()]
                found += zip(values, last.status.tolist(), last.time.tolist(), strict=True)
        return found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database that nobody has open."""
    path = tmp_path_factory.mktemp("history") / "template.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def bench(tmp_path: Path, template: Path):
    opened = []

    def make(**deadbands: float) -> Bench:
        shutil.copyfile(template, tmp_path / "mes.db")
        opened.append(Bench(tmp_path, Store.open(f"sqlite:///{tmp_path / 'mes.db'}"), **deadbands))
        return opened[-1]

    yield make
    for each in opened:
        each.image.image.close()
        each.store.close()


def test_each_change_of_value_or_quality_is_recorded_with_its_time_whatever_the_type(bench):
    it = bench()
    assert it.feed.look() > 8  # what there is in the beginning
    assert it.feed.look() == 0  # no new cycle
    first = {
        "real_0": -0.0, "recipe": -7, "dwell": 5_000_000_000, "label": "Ü1", "part_present": True,
        "profile": [1.0, 2.0, 3.0, 4.5], "air_pressure": 0.1,
    }  # fmt: skip
    assert it.put(**first) == len(first)
    at = it.image.utc_ns
    assert it.put(**first) == 0  # the same again
    assert it.put(HELD, recipe=-7) == 1
    assert it.put(real_0=math.nan) == 1
    assert it.put(real_0=math.nan) == 0
    it.work()
    assert it.read("recipe")[1:] == [(-7, 0, at), (-7, HELD, at + 2_000_000)]
    assert it.read("label")[1:] == [("Ü1".encode(), 0, at)]
    assert it.read("part_present")[1:] == [(1, 0, at)]
    assert it.read("dwell")[1:] == [(5_000_000_000, 0, at)]
    assert it.read("air_pressure")[1:] == [(pytest.approx(0.1, abs=1e-8), 0, at)]
    assert len(it.read("profile")[1][0]) == 16
    assert [math.isnan(value) for value, *_ in it.read("real_0")] == [False, False, True]
    assert math.copysign(1, it.read("real_0")[1][0]) == -1


def test_what_moves_less_than_the_deadband_is_not_recorded_and_does_not_creep(bench):
    it = bench(real_0=0.5, recipe=3)
    it.feed.look()
    assert it.put(real_0=0.0, recipe=0) == 2  # the quality of the start is gone
    assert [it.put(real_0=0.2 * n) for n in range(1, 7)] == [0, 0, 1, 0, 0, 1]
    assert [it.put(recipe=n) for n in (3, 4, 1, 0)] == [0, 1, 0, 1]
    assert it.put(LOST, real_0=1.3) == 1  # each change of quality is
    assert it.put(LOST, real_0=9.0) == 0  # a value that must not be used is none
    assert it.put(real_0=math.nan) == 1


def test_a_quality_that_changes_without_a_new_time_has_the_time_of_its_cycle(bench):
    it = bench()
    it.put(real_0=1.0)
    it.image._quality[it.image._tags["real_0"][0]] = LOST  # the stamp stays that of the reading
    assert it.put() == 1
    it.work()
    (_, good, first), (_, lost, second) = it.read("real_0")
    assert (good, lost, second - first) == (0, LOST, 1_000_000)


def test_at_the_end_what_was_seen_is_stored(bench):
    it = bench()
    it.feed.start()
    it.image.put({"real_0": 8.5})
    it.feed.stop()
    assert it.read("real_0")[-1][0] == 8.5


def test_times_are_those_that_clients_see(bench):
    it = bench()
    it.feed.look()
    it.image.utc_ns += 789
    it.put(real_0=1.0)
    it.work()
    assert it.read("real_0")[-1][2] == it.image.utc_ns // 1000 * 1000
