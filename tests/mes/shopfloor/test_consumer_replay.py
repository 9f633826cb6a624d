"""Exactly once: replays, crashes at any point and real SIGKILLs give the same content."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine
from sqlalchemy import event as listening

import cellwright.mes
from cellwright.io.messages import (
    InspectionCompleted,
    MarkAuthorised,
    MarkCompleted,
    PartArrived,
    PartReleased,
    SerialAssigned,
    SerialRequested,
    encode,
)
from cellwright.mes import audit
from cellwright.mes.kernel.base import Base
from cellwright.mes.orders import work_orders
from cellwright.mes.shopfloor import consumer, parts

ORDER = {"quantity": 4}
NOON_NS = 1_773_489_600_000_000_000


class KilledError(Exception):
    """The consumer died here."""


@pytest.fixture
def recorded(cell, run_order):
    """A journal with good, rejected, recovered, repeated and refused parts; ``store`` has it."""
    run_order(**ORDER)
    cell.make("b-1")
    cell.make("b-2", verdict="rejected")
    cell.event(PartArrived, "b-3")
    granted = cell.request("b-3")
    cell.request("b-3")
    cell.event(
        SerialAssigned,
        "b-3",
        serial=granted.serial,
        order=granted.order,
        part_number=granted.part_number,
    )
    cell.release("b-3", granted.serial, "rejected", "scan restarted")
    cell.make("b-4")
    cell.make("b-5")
    return cell.log


def take(store, sequence, event):
    with store.session() as session:
        return consumer.consume(session, "journal", sequence, event)


def take_and_die(store, events):
    with store.session() as session:
        for sequence, event in events:
            consumer.consume(session, "journal", sequence, event)
        raise KilledError


def facts(tables):
    """What does not depend on how many events a transaction took: one counts them together."""
    kept = {}
    for name, rows in tables.items():
        columns = [column.name for column in Base.metadata.tables[name].columns]
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        if name == "audit_record":
            found = [row for row in found if not row["action"].endswith(".progress")]
        for row in found:
            for column in ("version", "entity_version", "sequence", "prev_hash", "hash"):
                row.pop(column, None)
        kept[name] = sorted(map(repr, found))
    del kept["audit_chain"]
    return kept


def test_the_recorded_journal_is_what_the_tests_below_need(store, recorded):
    with store.reading() as session:
        assert work_orders.get(session, "JOB-1").state == "COMPLETED"
        assert parts.counts(session) == parts.Counts(2, 3, 5, 0)
        assert audit.verify(session).ok
    assert len(recorded) == 29


def test_replaying_the_whole_stream_twice_gives_the_same_content(store, recorded, twin, content):
    copy, _ = twin(**ORDER)
    for _ in range(2):
        for sequence, event in recorded:
            take(copy, sequence, event)
        assert content(copy) == content(store)


def test_a_consumer_killed_before_or_after_every_commit_reaches_the_same_content(
    store, recorded, twin, content
):
    copy, _ = twin(**ORDER)
    for place, (sequence, event) in enumerate(recorded):
        with pytest.raises(KilledError):
            take_and_die(copy, [(sequence, event)])
        answer = take(copy, sequence, event)
        # The commit succeeded, its acknowledgement did not: the journal gives the last ones again.
        for seen, again in recorded[max(place - 2, 0) : place + 1]:
            repeated = take(copy, seen, again)
            if seen == sequence:
                assert repeated == answer
            assert bool(repeated) == isinstance(again, SerialRequested)
    assert content(copy) == content(store)


@pytest.mark.parametrize("seed", range(2))
def test_a_consumer_that_takes_batches_and_dies_within_them_reaches_the_same_content(
    store, recorded, twin, content, seed
):
    chance = random.Random(seed)
    copy, _ = twin(**ORDER)
    place = 0
    while place < len(recorded):
        size = chance.randint(1, 8)
        batch = recorded[max(place - chance.randint(0, 3), 0) : place + size]
        with pytest.raises(KilledError):
            take_and_die(copy, batch[: chance.randint(1, len(batch))])
        with copy.session() as session:
            for sequence, event in batch:
                consumer.consume(session, "journal", sequence, event)
        place += size
    assert facts(content(copy)) == facts(content(store))


def test_a_prefix_of_the_journal_gives_the_same_content_whenever_it_is_reached(
    store, recorded, twin, content
):
    straight, _ = twin(**ORDER)
    broken, _ = twin(**ORDER)
    for place, (sequence, event) in enumerate(recorded):
        take(straight, sequence, event)
        with pytest.raises(KilledError):
            take_and_die(broken, recorded[: place + 1])
        take(broken, sequence, event)
        if place % 6 == 0:
            assert content(straight) == content(broken)
    assert content(straight) == content(broken) == content(store)


def test_a_consumer_process_under_sigkill_records_everything_exactly_once(
    store, recorded, twin, content, tmp_path
):
    copy, url = twin(**ORDER)
    journal = tmp_path / "journal.msgpack"
    journal.write_bytes(
        msgspec.msgpack.encode([(sequence, encode(event)) for sequence, event in recorded])
    )
    rooms = Path(next(iter(cellwright.mes.__path__))).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(rooms), *sys.path])}
    script = Path(__file__).with_name("consume_until_killed.py")
    chance = random.Random(4711)
    kills, done = 0, False
    while not done:
        process = subprocess.Popen(
            [sys.executable, str(script), url, str(journal)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            alive = chance.randint(4, 12)
            # It is let do two more than were seen, so that it is killed at work.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write("go\n" * 2)
            for line in process.stdout:
                done = int(line) == recorded[-1][0]
                alive -= 1
                if alive == 0 and kills < 4:
                    process.kill()
                    kills += 1
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write("go\n")
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        assert process.returncode in (0, -9)
    assert kills >= 3
    assert content(copy) == content(store)
    with copy.reading() as session:
        assert audit.verify(session).ok
        assert parts.counts(session).duplicates == 0


def journal_of(parts_made):
    """The events of that many good parts, as a cell sends them."""
    moments = itertools.count(NOON_NS, 250_000_000)
    log = []
    for number in range(1, parts_made + 1):
        part, serial = f"b-{number}", f"SN26{number:06d}"
        where = {"part_id": part, "task": "mark", "station": "mark"}
        log += [
            PartArrived(part_id=part, task="mark", utc_ns=next(moments)),
            SerialRequested(**where, utc_ns=next(moments)),
            SerialAssigned(
                **where, serial=serial, order="WO-2026-000001", part_number="TB-4711",
                utc_ns=next(moments),
            ),
            MarkAuthorised(
                **where, serial=serial, content=serial, device="d", template="t",
                utc_ns=next(moments),
            ),
            MarkCompleted(
                **where, serial=serial, outcome="acknowledged", duration_ms=80.0,
                utc_ns=next(moments),
            ),
            InspectionCompleted(
                part_id=part, task="mark", station="inspect", serial=serial, expected=serial,
                read=serial, verdict="ok", utc_ns=next(moments),
            ),
            PartReleased(
                part_id=part, task="mark", serial=serial, verdict="good", reason="",
                utc_ns=next(moments),
            ),
        ]  # fmt: skip
    return list(enumerate(log, start=1))


def test_a_batch_costs_at_most_a_fifth_of_a_statement_an_event(store, run_order):
    run_order(quantity=1000)
    journal = journal_of(200)
    statements = 0

    def count(*_):
        nonlocal statements
        statements += 1

    with store.session() as session:  # the first one reads what stays
        consumer.consume_batch(session, "journal", journal[:200])
    listening.listen(Engine, "before_cursor_execute", count)
    try:
        for begin in range(200, 1400, 200):
            with store.session() as session:
                consumer.consume_batch(session, "journal", journal[begin : begin + 200])
    finally:
        listening.remove(Engine, "before_cursor_execute", count)
    assert statements / 1200 <= 0.2
    with store.reading() as session:
        assert parts.counts(session) == parts.Counts(200, 0, 200, 0)
        assert audit.verify(session).ok
