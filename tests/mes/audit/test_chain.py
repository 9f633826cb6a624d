"""The audit chain: what it holds, that nothing changes it, and that a change is found."""

from __future__ import annotations

import hashlib
import json
import threading

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from cellwright.mes import audit
from cellwright.mes.audit.chain import AuditEntry, SecondForm, digest
from cellwright.mes.audit.reading import Records
from cellwright.mes.audit.tables import AuditChain, AuditRecord, StateTransition
from cellwright.mes.kernel.origin import Origin, set_origin
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.service.catalogue import open_store
from support.audit_trails import behind_the_triggers, fill, verify

HASHED = (
    *("action", "actor", "application_version", "authentication", "clock_quality"),
    *("correlation_id", "entity_id", "entity_type", "entity_version", "new", "old"),
    *("printed_name", "reason", "sequence", "session", "site_id", "station", "tenant_id", "utc_us"),
)


def test_every_record_is_chained_by_the_hash_of_its_content(store, clock):
    fill(store, 3)
    with store.reading() as session:
        rows = session.scalars(select(AuditRecord).order_by(AuditRecord.sequence)).all()
    last = rows[-1]
    content = {name: getattr(last, name) for name in HASHED} | {"chain": "people", "format": 2}
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
    store = open_store(postgresql.create())
    fill(store, 2)

    def truncate() -> None:
        with store.session() as session:
            session.execute(text("RESET ROLE"))
            session.execute(text("TRUNCATE audit_record"))

    with pytest.raises(DBAPIError, match="append-only: TRUNCATE refused"):
        truncate()
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
    "format": 1,
    "clock_quality": "perfect",
    "station": "elsewhere",
    "printed_name": "Nobody",
    "authentication": "none",
    "session": "other",
    "application_version": "9",
    "site_id": 7,
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
    assert "record 5 of chain people" in result.problem


def test_a_changed_record_with_a_recomputed_hash_is_found_at_its_successor(empty_store):
    fill(empty_store)
    with empty_store.reading() as session:
        row = session.scalars(select(AuditRecord).where(AuditRecord.sequence == 5)).one()
    content = {name: getattr(row, name) for name in HASHED}
    forged = SecondForm(**{**content, "chain": "people", "format": 2, "reason": "nicer"})
    behind_the_triggers(
        empty_store,
        update(AuditRecord)
        .where(AuditRecord.sequence == 5)
        .values(reason="nicer", hash=digest(row.prev_hash, forged)),
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


def test_an_end_that_was_set_back_is_found(empty_store):
    fill(empty_store, 2)
    behind_the_triggers(empty_store, update(AuditChain).values(sequence=1))
    assert "its end stands at record 1" in verify(empty_store).problem


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


@pytest.mark.parametrize("actor", ["CAST(x'ff41' AS TEXT)", "x'0041'"])
def test_a_record_whose_bytes_are_no_text_is_named(migrated_url, actor):
    store = open_store(migrated_url("sqlite"))
    fill(store, 5)
    change = text(f"UPDATE audit_record SET actor = {actor} WHERE sequence = 4")
    behind_the_triggers(store, change)
    result = verify(store)
    assert (result.broken, result.records) == (4, 3)
    assert "record 4 of chain people" in result.problem
    store.close()


def test_every_character_is_hashed_alike_by_the_database_and_by_the_program(empty_store):
    """SQLite writes the text that is hashed when a chain is verified."""
    letters = [chr(code) for code in (*range(1, 0x250), 0x2028, 0x2029, 0xD7FF, 0xFFFD, 0x1F600)]
    with empty_store.session() as session:
        for letter in (*letters, "".join(letters)):
            entry = AuditEntry(
                actor=letter, action=f"a{letter}b", entity_type="t", entity_id=letter * 2,
                new={letter: letter}, reason=f"\\{letter}",
            )  # fmt: skip
            audit.append(session, entry)
    with empty_store.reading() as session:
        records = Records(session, 1, "people")
        read = records.read(0, 1_000)
        assert read == records.encoded(0, 1_000)
        assert audit.verify(session) == audit.VerifyResult(len(read))


def test_another_way_to_escape_a_character_is_no_change(empty_store, monkeypatch):
    fill(empty_store, 5)
    honest = Records.read

    def escaped(self, after, count):
        return [
            (key, content.replace(b"thing.change", b"thing\\u002echange"), *rest)
            for key, content, *rest in honest(self, after, count)
        ]

    monkeypatch.setattr(Records, "read", escaped)
    assert verify(empty_store) == audit.VerifyResult(5)
    behind_the_triggers(
        empty_store, update(AuditRecord).where(AuditRecord.sequence == 3).values(actor="x")
    )
    assert verify(empty_store).broken == 3


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


def test_a_cell_and_people_write_chains_of_their_own(empty_store):
    fill(empty_store, 2)
    with empty_store.session(Scope(cell="Blades")) as session:
        audit.append(session, AuditEntry(actor="c", action="x", entity_type="t", entity_id="1"))
    with empty_store.reading() as session:
        chains = session.execute(select(AuditChain.name, AuditChain.sequence)).all()
    assert sorted(map(tuple, chains)) == [("cell/Blades", 1), ("people", 2)]
    assert verify(empty_store) == audit.VerifyResult(3)


def test_the_origin_of_a_session_is_on_record(empty_store):
    origin = Origin(
        printed_name="Ann Lee",
        authentication="password",
        session="s-1",
        station="10.0.0.7",
        correlation_id="trace-1",
        clock_quality="synchronised",
    )
    with empty_store.session() as session:
        set_origin(session, origin)
        audit.append(session, AuditEntry(actor="ann", action="x", entity_type="t", entity_id="1"))
    with empty_store.reading() as session:
        (record,) = audit.trail(session)
    assert record.printed_name == "Ann Lee"
    assert (record.authentication, record.session, record.station) == (
        "password",
        "s-1",
        "10.0.0.7",
    )
    assert (record.correlation_id, record.clock_quality) == ("trace-1", "synchronised")
    assert record.application_version
