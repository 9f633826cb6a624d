"""A database that is away costs the gateway nothing, and the history little."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from cellwright.io.plan import HistorySettings
from cellwright.mes.history import keeping
from cellwright.mes.history import writer as writing
from cellwright.mes.history.tables import Level
from cellwright.mes.history.writer import HistoryWriter
from cellwright.mes.kernel.errors import StoreError
from tests.mes.conftest import NOON_NS, SECOND_NS
from tests.mes.history.conftest import CELL, TAGS
from tests.mes.history.test_history import levels


class Bench:
    """A writer on a database that can go away."""

    def __init__(self, history) -> None:
        self.history, self.away = history, False
        self.writer = HistoryWriter(
            self, CELL, TAGS, settings=HistorySettings(), utc_ns=lambda: NOON_NS
        )

    @contextmanager
    def session(self):
        if self.away:
            raise StoreError("store_unreachable", "the database is away")
        with self.history.store.session() as session:
            yield session

    def reading(self):
        return self.history.store.reading()

    def put(self, number: int) -> None:
        """Hand one value over."""
        batch = self.history.batch("level", [(NOON_NS + number * SECOND_NS, float(number), 0)])
        batch.tag[:] = 0  # a writer's batches count the tags of its list
        self.writer.put(batch)

    @property
    def stored(self):
        return [value for _, value, _ in self.history.read("level")]


@pytest.fixture
def bench(history) -> Bench:
    """On SQLite and on PostgreSQL."""
    return Bench(history)


def test_while_the_database_is_away_values_are_held_and_none_is_lost(bench, capsys):
    bench.away = True
    for number in range(5):
        bench.put(number)
        bench.writer.work(0.0)
    assert bench.writer.held == 5
    assert capsys.readouterr().out.count("cannot be stored") == 1
    bench.away = False
    bench.writer.work(0.0)
    assert bench.stored == [0, 1, 2, 3, 4]
    assert (bench.writer.held, bench.writer.stored, bench.writer.lost) == (0, 5, 0)


def test_beyond_the_bound_the_oldest_values_are_given_up_counted_and_said(
    sqlite_history, monkeypatch, capsys
):
    monkeypatch.setattr(writing, "MOST_HELD", 3)
    bench = Bench(sqlite_history)
    bench.away = True
    for number in range(6):
        bench.put(number)
    assert (bench.writer.held, bench.writer.lost) == (3, 3)
    assert capsys.readouterr().out.count("loses its oldest values") == 1
    bench.away = False
    bench.writer.work(0.0)
    assert bench.stored == [3, 4, 5]


def test_what_is_not_urgent_is_looked_for_once_a_minute(sqlite_history):
    bench = Bench(sqlite_history)
    for number in range(2 * keeping.PARTS + 1):
        bench.put(number)
        bench.writer.work(9.0)
    assert levels(sqlite_history.store) == {Level.PART: 1, Level.MINUTE: 2}
    assert len(bench.stored) == 2 * keeping.PARTS + 1
