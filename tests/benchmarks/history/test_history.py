"""What recorded values cost beside plain rows of the same database, in turns in the same run.

An hour of 100 tags twice a second, 720,000 values: measured ones of two decimals that wander, one
in a hundred of them Uncertain. Both come in a transaction a second, so that a kill takes no more
away, and ours end as sealed hours with all summaries; then both once more, a minute a transaction.
Processor time is that of this process; PostgreSQL has some of its own.
Print the figures: ``make bench ARGS='-k recorded_values'``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, Table, insert, make_url, text

from cellwright.io.plan import HistorySettings
from cellwright.mes.history.append import append, register
from cellwright.mes.history.batch import Batch, Kind
from cellwright.mes.history.keeping import PARTS, Keeper
from cellwright.mes.history.reading import read
from cellwright.mes.kernel.store import Store
from cellwright.mes.service.catalogue import open_store
from support.postgresql import running_postgresql

TAGS: Final = 100
LOOKS: Final = 7_200
COUNT: Final = TAGS * LOOKS
HOUR_NS: Final = 3_600_000_000_000
START_NS: Final = 1_790_000_000_000_000_000 // HOUR_NS * HOUR_NS
ROWS: Final = Table(
    "plain_row",
    MetaData(),
    Column("tag", Integer, primary_key=True, autoincrement=False),
    Column("time", BigInteger, primary_key=True, autoincrement=False),
    Column("status", BigInteger, nullable=False),
    Column("value", Float, nullable=False),
)


class Values:
    """One table of looks and tags."""

    def __init__(self) -> None:
        chance = np.random.default_rng(7)
        jitter = chance.integers(-500, 500, LOOKS) * 1000  # a scan is never exactly on time
        self.time = START_NS + np.arange(LOOKS) * 500_000_000 + 1_000_000 + jitter
        walk = 50 + np.cumsum(chance.normal(0, 0.05, (LOOKS, TAGS)), axis=0)
        self.value = np.round(walk, 2)
        self.status = np.where(chance.random((LOOKS, TAGS)) < 0.01, 0x40940000, 0).astype(np.uint32)

    def batch(self, first: int, number: int, keys: Any) -> Batch:
        """So many looks."""
        looks, count = slice(first, first + number), number * TAGS
        return Batch(
            np.tile(keys, number),
            np.full(count, Kind.FLOAT, np.uint8),
            np.repeat(self.time[looks], TAGS),
            self.status[looks].reshape(-1),
            self.value[looks].reshape(-1).view(np.uint64),
        )


@pytest.fixture(scope="module")
def values() -> Values:
    """The hour."""
    return Values()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: Any, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'mes.db'}"
    else:
        with running_postgresql() as server:
            yield server


def size(store: Store, table: str) -> int:
    """Bytes of a table and its indexes on the disk."""
    with store._engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        if store.dialect == "postgresql":
            connection.execute(text(f"VACUUM FULL {table}"))
            return int(
                connection.execute(text(f"SELECT pg_total_relation_size('{table}')")).scalar_one()
            )
    path = Path(str(make_url(store.url).database))
    with store._engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        raw.rollback()
        raw.execute("VACUUM")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def rate(seconds: float) -> str:
    return f"{COUNT / seconds / 1e6:.3f} M"


def spent(work: Callable[[], Any]) -> float:
    """Seconds of this process's processor time."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def record(store: Store, values: Values, keys: Any, looks: int) -> None:
    """As the gateway's writer does, so many looks a transaction."""
    keeper = Keeper(store, "bench", HistorySettings())
    for first in range(0, LOOKS, looks):
        with store.session() as session:
            append(session, "bench", [values.batch(first, looks, keys)])
        if first % (2 * PARTS) == 0:
            keeper.divide()
    keeper.divide(1)
    while keeper.seal(START_NS + 3 * HOUR_NS):
        pass


def rows(store: Store, values: Values, looks: int) -> None:
    for first in range(0, LOOKS, looks):
        found = []
        for look in range(first, first + looks):
            moment = int(values.time[look])
            found += [
                {"tag": tag, "time": moment, "status": status, "value": value}
                for tag, (status, value) in enumerate(
                    zip(values.status[look].tolist(), values.value[look].tolist(), strict=True)
                )
            ]
        with store._engine.begin() as connection:
            connection.execute(insert(ROWS), found)


def clear(store: Store) -> None:
    with store._engine.begin() as connection:
        for table in ("history_chunk", "plain_row"):
            connection.execute(text(f"DELETE FROM {table}"))


def test_recorded_values(url: str, values: Values, benchmark: Any, capsys: Any) -> None:
    store = open_store(url)
    with store.session() as session:
        known = register(session, "bench", [(f"t{n}", "LREAL", Kind.FLOAT) for n in range(TAGS)])
    keys = np.array([known[f"t{n}", "LREAL"] for n in range(TAGS)], np.uint32)
    with store._engine.begin() as connection:
        ROWS.metadata.create_all(connection)
    empty = size(store, "history_chunk")
    ours_s = spent(lambda: record(store, values, keys, 2))
    ours = size(store, "history_chunk") - empty

    def read_one() -> Any:
        with store.reading() as session:
            return list(read(session, "bench", int(keys[3])))

    read_s = spent(read_one)
    (piece,) = read_one()
    assert piece.values.last.bits.view(np.float64).tolist() == values.value[:, 3].tolist()
    assert piece.values.last.status.tolist() == values.status[:, 3].tolist()
    with store._engine.begin() as connection:
        raw = connection.execute(
            text("SELECT SUM(LENGTH(data)) FROM history_chunk WHERE level = 2")
        )
        sealed = int(raw.scalar_one())
    before = size(store, "plain_row") if store.dialect == "postgresql" else ours + empty
    theirs_s = spent(lambda: rows(store, values, 2))
    theirs = size(store, "plain_row") - before
    clear(store)
    ours_bulk_s = spent(lambda: record(store, values, keys, 120))
    theirs_bulk_s = spent(lambda: rows(store, values, 120))
    dialect = store.dialect
    store.close()
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)  # `make bench` runs what has one
    with capsys.disabled():
        print(
            f"\n{COUNT:,} recorded values on {dialect}, beside plain rows",
            f"  bytes a value      {ours / COUNT:6.2f} on the disk with all summaries, "
            f"{sealed / COUNT:.2f} raw; rows {theirs / COUNT:.1f}",
            f"  values a CPU-second, by the second: {rate(ours_s)}; rows {rate(theirs_s)}",
            f"  by the minute: {rate(ours_bulk_s)}; rows {rate(theirs_bulk_s)}",
            f"  read of one tag's hour: {LOOKS / read_s / 1e6:.2f} M values a CPU-second",
            sep="\n",
        )
    assert ours * 10 < theirs
    assert ours_bulk_s < theirs_bulk_s
