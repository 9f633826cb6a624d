"""Search of the audit by words, the same on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from cellwright.mes import audit
from cellwright.mes.audit import search
from cellwright.mes.audit.chain import AuditEntry
from cellwright.mes.audit.tables import AuditRecord
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.store import Store
from support.foreign_rows import add_tenant

RECORDS = (
    ("ann", "work_order.start", "work_order", "WO-2026-000001", "bore is out of tolerance"),
    ("bob", "work_order.hold", "work_order", "WO-2026-000002", "tolerance of the bore ran out"),
    ("ann", "serial.reserve", "unit", "4f2a-7", "Prüfung der Größe 3.14"),
    ("eve", "note.add", "note", "7", ""),
)
NOTE = {"text": 'first line\nsecond "line"\tof C:\\new\\file', "数": "数量"}


def fill(store: Store, scope: Scope | None = None) -> None:
    """Append `RECORDS`; the last one has its words in the content."""
    with store.session(scope) as session:
        for actor, action, kind, key, reason in RECORDS:
            audit.append(
                session,
                AuditEntry(
                    actor=actor,
                    action=action,
                    entity_type=kind,
                    entity_id=key,
                    reason=reason,
                    new=NOTE if kind == "note" else None,
                ),
            )


def found(store: Store, q: str) -> list[int]:
    with store.reading() as session:
        statement = select(AuditRecord.sequence).order_by(AuditRecord.sequence)
        return list(session.scalars(search.narrowed(session, statement, q)))


def test_words_are_found_as_people_write_them(empty_store):
    fill(empty_store)
    for q, wanted in {
        "": [1, 2, 3, 4],
        "  ": [1, 2, 3, 4],
        "ann": [1, 3],
        "ANN work": [1],
        "bore tolerance": [1, 2],
        '"out of tolerance"': [1],
        '"OUT of tol"*': [1],
        "tol": [],
        "tol*": [1, 2],
        "WO-2026-000002": [2],
        "WO-2026*": [1, 2],
        "wo-2026-00*": [1, 2],
        "work_order.start": [1],
        "4f*": [3],
        "größe": [3],
        "GRÖSSE": [],
        "3.14": [3],
        "second": [4],
        '"first line second line of c new file"': [4],
        "数量": [4],
        "null": [],
        "ann bob": [],
        "---": [],
        '"': [],
        "*": [],
        "ann ---": [1, 3],
    }.items():
        assert found(empty_store, q) == wanted, q


HOSTILE = (
    "ann OR bob", "ann AND (bob", "NOT ann", "NEAR(ann bob)", "words:ann", "{words}: ann", "^ann",
    'ann"', '""" ann', "'ann", "ann'; DROP TABLE audit_record; --", "ann & | ! <-> bob:*", "a\0b",
    "\\", "ann\\", "%s %(x)s ? :x", "\ud800", "\u202e", "(" * 999, '"' * 999, "* " * 400,
    "\x01\x7f", "ä" * 999, "e\u0301", "٣", "🙂", "a" * 1000, ":*", "'':*", "!!",
)  # fmt: skip


def test_no_text_is_an_operator_or_an_error_of_the_database(empty_store):
    fill(empty_store)
    for q in HOSTILE:
        assert found(empty_store, q) in ([], [1, 3]), q
    for q, why in (("x" * 100_000, "100000 characters"), ("x " * 33, "33 words")):
        with pytest.raises(MesError, match=why) as caught:
            search.terms(q)
        assert caught.value.details[0].field == "q"


def test_records_of_any_size_are_kept_and_their_beginning_is_found(empty_store):
    words = " ".join(f"word{number}" for number in range(300_000))
    with empty_store.session() as session:
        for reason in (words, "x" * 3_000_000 + " behind", "\u00e4\u4e2d " * 900_000):
            audit.append(
                session,
                AuditEntry(
                    actor="a", action="x", entity_type="t", entity_id="1", reason=reason,
                ),
            )  # fmt: skip
    assert found(empty_store, "word1000") == [1]
    assert found(empty_store, "word299999") == []


def test_another_tenants_records_are_not_found(empty_store):
    add_tenant(empty_store, 2, fill=False)
    fill(empty_store)
    fill(empty_store, Scope(2, 2))
    assert found(empty_store, "ann") == [1, 3]
    with empty_store.reading(Scope(2, 2)) as session:
        statement = search.narrowed(session, select(AuditRecord.tenant_id), "ann")
        assert session.scalars(statement).all() == [2, 2]


def test_raw_sql_finds_nothing_of_another_tenant_on_postgresql(migrated_url):
    from cellwright.mes.service.catalogue import open_store  # noqa: PLC0415 - the only one that opens by itself

    store = open_store(migrated_url("postgresql"))
    add_tenant(store, 2, fill=False)
    fill(store, Scope(2, 2))
    with store.reading() as session:
        search_all = text("SELECT count(*) FROM cellwright_audit_search('ann'::tsquery)")
        assert session.scalar(search_all) == 0
        assert session.scalar(text("SELECT current_user")) == "cellwright_application"
    with store._engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE cellwright_search"))
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(
            connection.scalars(
                text(
                    "EXPLAIN SELECT 1 FROM audit_record WHERE "
                    "cellwright_audit_words(action, entity_type, entity_id, actor, reason, old, "
                    "new) @@ 'ann'::tsquery"
                )
            )
        )
    assert "audit_search_words" in plan, plan
    store.close()
