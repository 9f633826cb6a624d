"""What the audit costs beside its floors, in turns in the same run: append, verify, prove, search.

Figures are of processor time, on SQLite. Print them: ``make bench ARGS='-k audit'``. The proof is
taken of a tree of ten million leaves (``CELLWRIGHT_LEAVES``), which takes half a minute to make and
400 MB of the disk.
"""

from __future__ import annotations

import hashlib
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import or_, select, text, update

from cellwright.mes import audit
from cellwright.mes.audit import checkpoints, merkle, search, tree
from cellwright.mes.audit.chain import AuditEntry
from cellwright.mes.audit.reading import Records
from cellwright.mes.audit.tables import AuditChain, AuditRecord
from cellwright.mes.kernel.store import Store
from cellwright.mes.service.catalogue import open_store

BATCH: Final = 200
BATCHES: Final = 150
LEAVES: Final = int(os.environ.get("CELLWRIGHT_LEAVES") or 10_000_000)
ENTRIES: Final = [
    AuditEntry(
        actor="ann",
        action="work_order.start",
        entity_type="work_order",
        entity_id=f"WO-2026-{number:06d}",
        entity_version=number,
        old={"state": "READY", "good": number},
        new={"state": "RUNNING", "good": number + 1},
        reason="material came late",
        correlation_id="8a0f6a5e-5b6a-4f39",
    )
    for number in range(BATCH)
]
Timed = Callable[[], Any]


def append(store: Store) -> None:
    with store.session() as session:
        for entry in ENTRIES:
            audit.append(session, entry)


def spent_us(work: Timed, count: int) -> float:
    """Processor time for each of so many."""
    begin = time.process_time_ns()
    work()
    return (time.process_time_ns() - begin) / count / 1e3


def told(benchmark: Any, capsys: Any, ours: Timed, *lines: str) -> None:
    benchmark.pedantic(ours, rounds=1, iterations=1)
    with capsys.disabled():
        print("", *lines, sep="\n")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    store = open_store(f"sqlite:///{tmp_path / 'mes.db'}")
    yield store
    store.close()


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with some ten thousand records."""
    for _ in range(BATCHES):
        append(store)
    return store


def test_append_beside_the_same_rows_without_hashes(
    benchmark, filled: Store, tmp_path: Path, capsys
) -> None:
    with filled.reading() as session:
        result = session.execute(text("SELECT * FROM audit_record ORDER BY sequence"))
        names, rows = list(result.keys()), [tuple(row) for row in result]
    signs = ", ".join("?" * len(names))
    statement = f"INSERT INTO audit_record ({', '.join(names)}) VALUES ({signs})"
    stores = {
        name: open_store(f"sqlite:///{tmp_path / name}.db") for name in ("ours", "rows", "bare")
    }
    for each in stores.values():
        append(each)
    with stores["bare"].session() as session:
        session.execute(text("DROP TRIGGER audit_record_search"))
    place = names.index("sequence")
    seen: dict[str, list[float]] = {name: [] for name in stores}
    for number in range(BATCHES):
        at = BATCH * (number + 1)
        ready = [
            (*row[:place], at + offset + 1, *row[place + 1 :])
            for offset, row in enumerate(rows[:BATCH])
        ]

        def put(name: str, ready: list[tuple[Any, ...]] = ready) -> None:
            with stores[name].session() as session:
                session.connection().exec_driver_sql(statement, ready)

        seen["ours"].append(spent_us(lambda: append(stores["ours"]), BATCH))
        for name in ("rows", "bare"):
            seen[name].append(spent_us(lambda name=name: put(name), BATCH))
    ours, same, bare = (statistics.mean(seen[name]) for name in stores)
    for each in stores.values():
        each.close()
    told(
        benchmark,
        capsys,
        lambda: append(filled),
        f"append in batches of {BATCH}: {1e6 / ours:6.0f} records/s; executemany of the same rows "
        f"without hashes {1e6 / same:6.0f}/s; takes {ours / same:.2f} times as long",
        f"  without the index of the search those rows go in at {1e6 / bare:6.0f}/s: "
        f"{ours / bare:.2f} times",
    )


def test_verify_beside_a_bare_loop_of_sha_256(benchmark, filled: Store, tmp_path, capsys) -> None:
    with filled.reading() as session:
        links = Records(session, 1, "people").read(0, 10**6)
    data = [link[2].encode() + link[1] for link in links]
    count = len(data)

    def verify() -> None:
        with filled.reading() as session:
            assert audit.verify(session) == audit.VerifyResult(count)

    def floor() -> None:
        for each in data:
            hashlib.sha256(each).hexdigest()

    def in_turns() -> tuple[float, float]:
        seen = [(spent_us(verify, count), spent_us(floor, count)) for _ in range(9)]
        return statistics.median(a for a, _ in seen), statistics.median(b for _, b in seen)

    ours, bare = in_turns()
    with filled.session() as session:
        checkpoints.make(session, checkpoints.CheckpointKey(tmp_path / "keys"), "people")
    with_tree, _ = in_turns()
    told(
        benchmark,
        capsys,
        verify,
        f"verify: {1e6 / ours:6.0f} records/s; SHA-256 of the same bytes {1e6 / bare:6.0f}/s; "
        f"takes {ours / bare:.2f} times as long",
        f"  with stored tree and checkpoint: {1e6 / with_tree:6.0f} records/s, "
        f"{with_tree / bare:.2f} times",
    )


def grow(store: Store, size: int) -> bytes:
    """Store the tree of so many leaves, as if there were the records; its root."""
    append(store)
    growing, tiles = tree.GrowingTree(), []
    with store.session() as session:
        while growing.size < size:
            there = growing.size
            leaves = [
                hashlib.sha256(number.to_bytes(8, "big")).digest()
                for number in range(there, min(there + tree.WIDTH, size))
            ]
            tiles += growing.add(leaves)
            if len(tiles) > tree.WIDTH or growing.size == size:
                tree._store(session, 1, tiles)
        tiles += growing.open_tiles()
        tree._store(session, 1, tiles)
        session.execute(update(AuditChain).values(sequence=size))
    return growing.root()


def test_proof_beside_hashing_its_path(benchmark, store: Store, capsys) -> None:
    root = grow(store, LEAVES)
    chance = random.Random(42)

    def prove(index: int) -> list[bytes]:
        with_tree = tree.ChainTree(session, 1)
        with_tree.read_ahead(index, LEAVES)
        return merkle.inclusion_proof(with_tree, index, LEAVES)

    seen: list[tuple[float, float]] = []
    with store.reading() as session:
        for _ in range(500):
            index = chance.randrange(LEAVES)
            leaf = hashlib.sha256(index.to_bytes(8, "big")).digest()
            begin = time.perf_counter_ns()
            path = prove(index)
            between = time.perf_counter_ns()
            assert merkle.check_inclusion(leaf, index, LEAVES, path, root)
            seen.append((between - begin, time.perf_counter_ns() - between))
        ours, floor = (statistics.median(each) / 1e3 for each in zip(*seen, strict=True))
        slow = sorted(took for took, _ in seen)[475] / 1e3
        told(
            benchmark,
            capsys,
            lambda: prove(LEAVES // 3),
            f"proof of one of {LEAVES} records: median {ours:.0f} us, p95 {slow:.0f} us; checking "
            f"it takes {floor:.0f} us; {ours / floor:.1f} times",
        )


def test_search_beside_reading_all_records(benchmark, filled: Store, capsys) -> None:
    columns = (AuditRecord.action, AuditRecord.entity_id, AuditRecord.reason, AuditRecord.new)

    def ours() -> None:
        with filled.reading() as session:
            statement = search.narrowed(session, select(AuditRecord.sequence), "WO-2026-000123")
            assert len(session.scalars(statement).all()) == BATCHES

    def reading() -> None:
        with filled.reading() as session:
            like = or_(*(column.icontains("WO-2026-000123") for column in columns))
            found = session.scalars(select(AuditRecord.sequence).where(like)).all()
            assert len(found) == BATCHES

    seen = [(spent_us(ours, 1), spent_us(reading, 1)) for _ in range(9)]
    found, read = (statistics.median(each) / 1e3 for each in zip(*seen, strict=True))
    told(
        benchmark,
        capsys,
        ours,
        f"search among {BATCH * BATCHES} records: {found:.2f} ms; reading them all {read:.1f} ms; "
        f"{read / found:.0f} times as fast",
    )
