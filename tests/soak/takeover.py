"""How long an SQLite database of the first form takes to be taken over, and that it verifies.

``python tests/soak/takeover.py --parts 1000000 --records 10000000``; needs about 2 kB of disk a
record. Not part of ``make test``.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cellwright.mes import audit
from cellwright.mes.audit.chain import GENESIS, FirstForm, digest
from cellwright.mes.service.catalogue import open_store

FORM = Path(__file__).parents[1] / "mes" / "kernel" / "data" / "first_form.sqlite.sql"
UTC_US = 1_773_489_600_000_000


def _records(count: int, parts: int, end: list[str]) -> Iterator[tuple[Any, ...]]:
    previous = GENESIS
    for sequence in range(1, count + 1):
        content = FirstForm(
            action="event.part_arrived",
            actor="mark",
            correlation_id="",
            entity_id=f"p-{sequence * 7919 % max(parts, 1)}",
            entity_type="unit",
            entity_version=0,
            new='{"station":"mark"}',
            old="null",
            reason="",
            sequence=sequence,
            utc_us=UTC_US + sequence,
        )
        own = digest(previous, content)
        yield (sequence, content.utc_us, content.actor, content.action, content.entity_type,
               content.entity_id, 0, content.old, content.new, "", "", previous, own)  # fmt: skip
        previous = own
    end.append(previous)


def _fill(path: Path, parts: int, records: int) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(FORM.read_text(encoding="utf-8"))
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_record'"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DELETE FROM audit_record")
    end: list[str] = []
    connection.executemany(
        "INSERT INTO audit_record (sequence, utc_us, actor, action, entity_type, entity_id, "
        "entity_version, old, new, reason, correlation_id, prev_hash, hash) "
        f"VALUES ({', '.join('?' * 13)})",
        _records(records, parts, end),
    )
    connection.execute("UPDATE audit_head SET sequence = ?, hash = ?", (records, end[0]))
    for _, statement in triggers:
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO unit (part_id, order_id, refusal, verdict, reason, recovered, arrived_utc) "
        "VALUES (?, 1, '', 'good', '', 0, '2026-03-14 12:00:00.000000')",
        ((f"p-{number}",) for number in range(parts)),
    )
    connection.commit()
    connection.close()


def main() -> None:
    """Make the database, take it over, verify it, and print how long that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "old.db"
        _fill(path, asked.parts, asked.records)
        size = path.stat().st_size / 1e6
        began = time.monotonic()
        store = open_store(f"sqlite:///{path}")
        taken = time.monotonic() - began
        with store.reading() as session:
            verified = audit.verify(session)
        walked = time.monotonic() - began - taken
        store.close()
        assert verified == audit.VerifyResult(asked.records), verified
        print(
            f"{asked.parts} parts and {asked.records} audit records ({size:.0f} MB): taken over "
            f"in {taken:.1f} s, verified in {walked:.1f} s"
        )


if __name__ == "__main__":
    main()
