"""The audit chain: what it holds, that nothing changes it, and that a change is found."""

from __future__ import annotations

import hashlib
import json
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from cellwright.mes import audit
from cellwright.mes.audit import AuditEntry
from cellwright.mes.models import AuditHead, AuditRecord, StateTransition
from support.campaign import times


def fill(store, count=12):
    with store.session() as session:
        for number in range(1, count + 1):
            audit.append(
                session,
                AuditEntry(
                    actor=f"actor-{number % 3}",
                    action="thing.change",
                    entity_type="thing",
                    entity_id=str(number),
                    entity_version=number,
                    old={"value": number - 1},
                    new={"value": number, "größe": "ü\n\"'"},
                    reason=f"reason {number}",
                    correlation_id="c-1",
                ),
            )


def verify(store):
    with store.reading() as session:
        return audit.verify(session)


def behind_the_triggers(store, *statements):
    """Do what a person with the database's own tools could do."""
    with store.session() as session:
        if store.dialect == "postgresql":
            session.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            for name in session.scalars(
                text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            ).all():
                session.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements:
            session.execute(statement)


def test_every_record_is_chained_by_the_hash_of_its_content(store, clock):
    fill(store, 3)
    with store.reading() as session:
        rows = session.scalars(select(AuditRecord).order_by(AuditRecord.sequence)).all()
    last = rows[-1]
    content = {
        name: getattr(last, name)
        for name in (
            *("action", "actor", "correlation_id", "entity_id", "entity_type", "entity_version"),
            *("new", "old", "reason", "sequence", "utc_us"),
        )
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert last.hash == hashlib.sha256((rows[-2].hash + canonical).encode()).hexdigest()
    assert last.prev_hash == rows[-2].hash
    assert rows[0].prev_hash == audit.GENESIS
    assert last.utc_us == clock.utc_ns // 1_000
    assert last.new == '{"größe":"ü\\n\\"\'","value":3}'
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))


def test_an_untouched_chain_is_right(empty_store):
    assert verify(empty_store) == audit.VerifyResult(0)
    fill(empty_store, 12)
    assert verify(empty_store) == audit.VerifyResult(12)
    assert verify(empty_store).ok


@pytest.mark.parametrize("table", ["audit_record", "state_transition"])
@pytest.mark.parametrize("change", ["UPDATE {table} SET reason = 'nicer'", "DELETE FROM {table}"])
def test_update_and_delete_are_refused_by_the_database(store, run_order, table, change):
    run_order()
    before = verify(store)
    with (
        pytest.raises(DBAPIError, match=f"{table} is append-only"),
        store.session() as session,
    ):
        session.execute(text(change.format(table=table)))
    assert verify(store) == before


def test_replacing_a_record_is_refused_by_the_database(empty_store):
    fill(empty_store, 3)
    with empty_store.reading() as session:
        row = dict(session.execute(select(AuditRecord.__table__).limit(1)).mappings().one())
    row["reason"] = "nicer"
    statement = insert(AuditRecord)
    if empty_store.dialect == "sqlite":
        statement = statement.prefix_with("OR REPLACE")
    with pytest.raises(DBAPIError), empty_store.session() as session:
        session.execute(statement.values(**row))
    assert verify(empty_store) == audit.VerifyResult(3)


def test_truncating_is_refused_by_postgresql(postgresql):
    from cellwright.mes.store import Store  # noqa: PLC0415 - the only test that opens by itself

    store = Store.open(postgresql.create())
    fill(store, 2)
    with (
        pytest.raises(DBAPIError, match="append-only: TRUNCATE refused"),
        store.session() as session,
    ):
        session.execute(text("TRUNCATE audit_record"))
    store.close()


CHANGES = {
    "actor": "somebody else",
    "action": "thing.create",
    "entity_type": "other",
    "entity_id": "99",
    "entity_version": 99,
    "old": "null",
    "new": '{"value":0}',
    "reason": "",
    "correlation_id": "c-2",
    "utc_us": 1,
    "hash": "0" * 64,
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_column_is_found_at_its_record(empty_store, column):
    fill(empty_store)
    behind_the_triggers(
        empty_store,
        update(AuditRecord).where(AuditRecord.sequence == 5).values({column: CHANGES[column]}),
    )
    result = verify(empty_store)
    assert not result.ok
    assert (result.broken, result.records) == (5, 4)
    assert "audit record 5" in result.problem


def test_a_changed_record_with_a_recomputed_hash_is_found_at_its_successor(empty_store):
    fill(empty_store)
    with empty_store.reading() as session:
        row = session.scalars(select(AuditRecord).where(AuditRecord.sequence == 5)).one()
    names = audit._Hashed.__struct_fields__
    forged = audit._Hashed(*["nicer" if name == "reason" else getattr(row, name) for name in names])
    behind_the_triggers(
        empty_store,
        update(AuditRecord)
        .where(AuditRecord.sequence == 5)
        .values(reason="nicer", hash=audit._hash(row.prev_hash, forged)),
    )
    assert verify(empty_store).broken == 6


def test_a_dropped_record_is_found(empty_store):
    fill(empty_store)
    behind_the_triggers(empty_store, delete(AuditRecord).where(AuditRecord.sequence == 7))
    result = verify(empty_store)
    assert result.broken == 7
    assert "is missing" in result.problem


def test_swapped_records_are_found(empty_store):
    fill(empty_store)
    behind_the_triggers(
        empty_store,
        *(
            update(AuditRecord).where(AuditRecord.sequence == old).values(sequence=new)
            for old, new in ((3, 100), (8, 3), (100, 8))
        ),
    )
    assert verify(empty_store).broken == 3


def test_a_cut_tail_is_found_while_the_head_stands(empty_store):
    fill(empty_store)
    behind_the_triggers(empty_store, delete(AuditRecord).where(AuditRecord.sequence > 9))
    result = verify(empty_store)
    assert result.broken == 10
    assert "cut off" in result.problem


def test_a_missing_head_is_found(empty_store):
    fill(empty_store, 2)
    behind_the_triggers(empty_store, delete(AuditHead))
    assert "no head" in verify(empty_store).problem


def test_an_inserted_record_is_found(empty_store):
    fill(empty_store, 5)
    with empty_store.reading() as session:
        row = dict(
            session.execute(select(AuditRecord.__table__).where(AuditRecord.sequence == 5))
            .mappings()
            .one()
        )
    behind_the_triggers(empty_store, insert(AuditRecord).values(**{**row, "sequence": 6}))
    assert verify(empty_store).broken == 6


@pytest.mark.campaign
def test_random_mutations_are_all_found(empty_store):
    fill(empty_store, 30)
    chance = random.Random(42)
    with empty_store.reading() as session:
        original = [dict(row) for row in session.execute(select(AuditRecord.__table__)).mappings()]
    for _ in range(times(25)):
        rows = [dict(row) for row in original]
        victim = chance.randrange(len(rows))
        kind = chance.choice(["flip", "drop", "swap", "truncate"])
        first = victim + 1
        if kind == "flip":
            name = chance.choice(sorted(CHANGES))
            value = str(rows[victim][name])
            place = chance.randrange(max(len(value), 1))
            flipped = value[:place] + chr(ord(value[place : place + 1] or "a") ^ 1)
            flipped += value[place + 1 :]
            number = name in {"utc_us", "entity_version"}
            rows[victim][name] = rows[victim][name] + 1 if number else flipped
        elif kind == "drop":
            del rows[victim]
        elif kind == "truncate":
            del rows[victim:]
        else:
            other = chance.choice([n for n in range(len(rows)) if n != victim])
            first = min(victim, other) + 1
            rows[victim]["sequence"], rows[other]["sequence"] = other + 1, victim + 1
        behind_the_triggers(empty_store, delete(AuditRecord), *(
            [insert(AuditRecord).values(rows)] if rows else []
        ))  # fmt: skip
        result = verify(empty_store)
        assert not result.ok, (kind, victim)
        assert result.broken == first, (kind, victim, result.problem)


def test_concurrent_writers_make_one_chain(empty_store):
    def write() -> None:
        for _ in range(5):
            fill(empty_store, 4)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert verify(empty_store) == audit.VerifyResult(60)


def test_a_rolled_back_record_leaves_no_hole(empty_store):
    fill(empty_store, 2)

    def fail() -> None:
        with empty_store.session() as session:
            audit.append(session, AuditEntry(actor="a", action="x", entity_type="t", entity_id="1"))
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        fail()
    fill(empty_store, 2)
    assert verify(empty_store) == audit.VerifyResult(4)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), JSON))
def test_canonical_json_is_sorted_compact_and_loses_nothing(value):
    made = audit.canonical(value)
    assert json.loads(made) == value
    assert audit.canonical(dict(reversed(list(value.items())))) == made
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(plain) == json.loads(made)
    assert len(made) <= len(plain) * 6


def test_numbers_that_json_lacks_are_kept_by_name():
    assert audit.canonical({"a": float("nan"), "b": [float("-inf")]}) == '{"a":"nan","b":["-inf"]}'


def test_moves_and_audit_agree_on_who_and_why(store, run_order):
    order = run_order()
    with store.reading() as session:
        moves = session.execute(
            select(StateTransition.actor, StateTransition.reason).where(
                StateTransition.entity_id == order.number
            )
        ).all()
        records = session.execute(
            select(AuditRecord.actor, AuditRecord.reason).where(
                AuditRecord.entity_id == order.number
            )
        ).all()
    assert [tuple(row) for row in moves] == [tuple(row) for row in records]
    assert set(map(tuple, moves)) == {("erp", "test")}
