"""Whatever is done to a chain behind the triggers is found, and the first wrong record is named.

`make campaign` draws 10,000 mutations.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit import checkpoints
from cellwright.mes.audit.checkpoints import CheckpointKey, Signed
from cellwright.mes.audit.tables import AuditCheckpoint, AuditTile
from cellwright.mes.kernel.store import Store
from support.audit_trails import Rows, behind_the_triggers, fill, link_again, put_rows, read_rows
from support.campaign import EVERYTHING, SCALE

KEPT: Final = 280
"""Records that the checkpoint knows; a full tile, an open one above it, and some more."""
RECORDS: Final = 300
BLOCK: Final = 10
"""Mutations in one transaction; its pages pile up although each one is undone."""
NUMBERS: Final = frozenset({"utc_us", "entity_version", "format", "site_id"})
HASHES: Final = frozenset({"hash", "prev_hash"})
UNTOUCHED: Final = frozenset({"chain_id", "tenant_id", "sequence"})


class Chain(NamedTuple):
    """A chain that may be changed."""

    store: Store
    rows: Rows
    kept: Signed


@pytest.fixture
def chain(empty_store: Store, tmp_path: Path) -> Chain:
    """Records, some of them behind the last checkpoint."""
    fill(empty_store, KEPT)
    with empty_store.session() as session:
        kept = checkpoints.make(session, CheckpointKey(tmp_path / "keys"), "people")
    fill(empty_store, RECORDS - KEPT)
    with empty_store.reading() as session:
        rows = read_rows(session)
    behind_the_triggers(empty_store)
    return Chain(empty_store, rows, kept)


def flip(rows: Rows, chance: random.Random, end: int) -> int:
    place = chance.randrange(end)
    row = rows[place]
    # Hashing again would put a hash right that was changed.
    name = chance.choice(sorted(row.keys() - UNTOUCHED - (HASHES if end == KEPT else frozenset())))
    if name in NUMBERS:
        row[name] += 1
        return place
    at = chance.randrange(len(row[name]) + 1)
    letter = row[name][at : at + 1] or "a"
    row[name] = row[name][:at] + chr(ord(letter) ^ 1) + row[name][at + 1 :]
    return place


def drop(rows: Rows, chance: random.Random, end: int) -> int:
    place = chance.randrange(end)
    del rows[place]
    return place


def swap(rows: Rows, chance: random.Random, end: int) -> int:
    one, other = sorted(chance.sample(range(end), 2))
    first, second = rows[one]["sequence"], rows[other]["sequence"]
    rows[one], rows[other] = rows[other], rows[one]
    rows[one]["sequence"], rows[other]["sequence"] = first, second
    return one


def insert(rows: Rows, chance: random.Random, end: int) -> int:
    place = chance.randrange(end)
    copy = dict(rows[(place + 7) % end])
    for row in rows[place:]:
        row["sequence"] += 1
    rows.insert(place, copy | {"sequence": place + 1})
    return place


def truncate(rows: Rows, chance: random.Random, end: int) -> int:
    place = chance.randrange(end)
    del rows[place:]
    return place


MUTATIONS: Final[tuple[Callable[[Rows, random.Random, int], int], ...]] = (
    *(flip, drop, swap, insert, truncate),
)


@contextmanager
def undone(session: Session) -> Iterator[None]:
    inner = session.connection().begin_nested()
    try:
        yield
    finally:
        inner.rollback()


def mutate(session: Session, chain: Chain, chance: random.Random) -> None:
    """One mutation; asserts that it is found, and where."""
    rows = [dict(row) for row in chain.rows]
    change = chance.choice(MUTATIONS)
    linked = chance.random() < 0.5
    first = change(rows, chance, KEPT if linked else RECORDS)
    if not linked:
        put_rows(session, chain.rows, rows)
        result = audit.verify(session)
        assert result.broken == first + 1, (change, result)
        return
    link_again(rows, min(first, len(rows)))
    alone = chance.random() < 0.5
    put_rows(session, chain.rows, rows, head=True)
    if alone:
        for table in (AuditTile, AuditCheckpoint):
            session.connection().execute(delete(table.__table__))
    result = audit.verify(session, checkpoint=chain.kept)
    assert result.broken is not None, (change, alone, first)
    # Without the stored tree only the checkpoint tells, and it knows no single records.
    exact = change is truncate or (first < 256 and not alone)
    assert result.broken == first + 1 if exact else result.broken <= first + 1, (change, result)


@pytest.mark.campaign
def test_random_mutations_are_all_found(chain: Chain) -> None:
    sqlite = chain.store.dialect == "sqlite"
    count = (10_000 if SCALE >= EVERYTHING else 150 * SCALE) if sqlite else 20 * SCALE
    chance = random.Random(42)
    for _ in range(0, count, BLOCK):
        with chain.store.session() as session:
            if not sqlite:
                session.execute(text("RESET ROLE"))
                session.execute(text("SET LOCAL session_replication_role = replica"))
            for _ in range(BLOCK):
                with undone(session):
                    mutate(session, chain, chance)
            assert audit.verify(session, checkpoint=chain.kept) == audit.VerifyResult(RECORDS)
