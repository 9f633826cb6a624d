"""Histories for the tests of the room, written as a gateway writes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cellwright.io.plan import HistorySettings
from cellwright.mes.history.append import append, register
from cellwright.mes.history.batch import Batch, Kind
from cellwright.mes.history.keeping import Keeper
from cellwright.mes.history.reading import read
from cellwright.mes.kernel.store import Store

CELL = "press"
TAGS = [
    ("level", "LREAL", Kind.FLOAT),
    ("count", "DINT", Kind.INTEGER),
    ("total", "ULINT", Kind.UNSIGNED),
    ("serial", "STRING(8)", Kind.TEXT),
]


class History:
    """A cell's history in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.session() as session:
            known = register(session, CELL, TAGS)
        self.keys = {name: known[name, type_] for name, type_, _ in TAGS}
        self.kinds = {name: kind for name, _, kind in TAGS}

    def batch(self, name: str, rows) -> Batch:
        """Columns of (time, value, status)."""
        kind, texts = self.kinds[name], []
        values = [row[1] for row in rows]
        if kind is Kind.FLOAT:
            bits = np.array(values, np.float64).view(np.uint64)
        elif kind is Kind.TEXT:
            texts, bits = values, np.arange(len(values), dtype=np.uint64)
        else:
            bits = np.array([value % 2**64 for value in values], np.uint64)
        return Batch(
            np.full(len(rows), self.keys[name], np.uint32),
            np.full(len(rows), kind, np.uint8),
            np.array([row[0] for row in rows], np.int64),
            np.array([row[2] for row in rows], np.uint32),
            bits,
            texts,
        )

    def append(self, **rows) -> None:
        with self.store.session() as session:
            append(session, CELL, [self.batch(name, each) for name, each in rows.items()])

    def read(self, name: str, *args, **more):
        """Rows of (time, value, status), whatever the pieces."""
        found = []
        with self.store.reading() as session:
            for piece in read(session, CELL, self.keys[name], *args, **more):
                rows = piece.values.last
                part = list(
                    zip(rows.time.tolist(), self.values(rows), rows.status.tolist(), strict=True)
                )
                found += reversed(part) if more.get("backward") else part
        return found

    def pieces(self, name: str, *args):
        with self.store.reading() as session:
            return list(read(session, CELL, self.keys[name], *args))

    def values(self, rows: Batch):
        kind = Kind(int(rows.kind[0])) if len(rows) else Kind.FLOAT
        if kind is Kind.TEXT:
            return [rows.texts[number] for number in rows.bits.tolist()]
        types = {Kind.FLOAT: np.float64, Kind.INTEGER: np.int64, Kind.UNSIGNED: np.uint64}
        return rows.bits.view(types[kind]).tolist()

    def keep(self, now_ns: int, keep: HistorySettings | None = None) -> Keeper:
        """All the work that is due."""
        keeper = Keeper(self.store, CELL, keep or HistorySettings())
        keeper.divide(1)
        while keeper.step(now_ns):
            pass
        return keeper


@pytest.fixture
def history(empty_store: Store) -> History:
    """An empty history, on SQLite and on PostgreSQL."""
    return History(empty_store)


@pytest.fixture
def sqlite_history(migrated_url: Callable[[str], str]):
    """An empty history where one database is enough."""
    store = Store.open(migrated_url("sqlite"))
    yield History(store)
    store.close()
