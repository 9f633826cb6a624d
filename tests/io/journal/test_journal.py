"""The journal's file: what is written comes back, in order, once, and is purged late enough."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cellwright.io.journal import writer as journal_writer
from cellwright.io.journal.journal import CORRUPT, JournalError, JournalReader, Record
from cellwright.io.journal.writer import KEEP_NS, JournalWriter
from cellwright.io.messages import (
    AnyEvent,
    FaultRaised,
    PartDeparted,
    PartReleased,
    ProgramChanged,
    encode,
)
from support.forked import process
from support.journal_events import BOOT, arrived


def released(number: int, task: str = "sequence") -> PartReleased:
    return PartReleased(
        task=task, utc_ns=number, part_id=f"{BOOT}-{number}", serial="S1", verdict="good"
    )


def departed(number: int) -> PartDeparted:
    return PartDeparted(task="sequence", utc_ns=number, part_id=f"{BOOT}-{number}")


def record(event: AnyEvent, sequence: int, *, boot: str = BOOT, producer: str = "scan") -> Record:
    return Record(
        producer=producer,
        boot_id=boot,
        producer_sequence=sequence,
        utc_ns=event.utc_ns,
        kind=str(event.__struct_config__.tag),
        task=event.task,
        part_id=getattr(event, "part_id", None),
        payload=encode(event),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def test_events_come_back_in_order_with_rising_sequences(path: Path) -> None:
    events: list[AnyEvent] = [arrived(1), released(1), arrived(2)]
    with JournalWriter(path) as writer, JournalReader(path) as reader:
        assert reader.read(0) == []
        assert reader.last_sequence == 0
        assert writer.append([record(event, n) for n, event in enumerate(events, 1)]) == 3
        assert reader.read(0) == list(enumerate(events, 1))
        assert reader.read(1, limit=1) == [(2, events[1])]
        assert reader.read(3) == []
        assert reader.last_sequence == 3


def test_a_record_given_twice_is_stored_once(path: Path) -> None:
    with JournalWriter(path) as writer, JournalReader(path) as reader:
        first = record(arrived(1), 1)
        assert writer.append([first, first]) == 1
        assert writer.append([first, record(arrived(2), 2)]) == 1
        assert [event for _, event in reader.read(0)] == [arrived(1), arrived(2)]


def test_the_same_number_of_another_boot_or_producer_is_another_event(path: Path) -> None:
    with JournalWriter(path) as writer, JournalReader(path) as reader:
        writer.append([record(arrived(1), 1)])
        writer.append([record(arrived(2), 1, boot="ffffffff")])
        writer.append([record(arrived(3), 1, producer="supervisor")])
        assert len(reader.read(0)) == 3


def test_events_since_the_last_departure_are_those_of_the_part_in_the_cell(path: Path) -> None:
    events: list[AnyEvent] = [arrived(1), released(1), departed(1), arrived(2), released(2)]
    with JournalWriter(path) as writer, JournalReader(path) as reader:
        assert reader.since_last(PartDeparted) == []
        writer.append([record(event, n) for n, event in enumerate(events[:2], 1)])
        assert reader.since_last(PartDeparted) == events[:2]
        writer.append([record(event, n) for n, event in enumerate(events, 1)])
        assert reader.since_last(PartDeparted) == [arrived(2), released(2)]
        assert reader.since_last(PartReleased) == []


def steps(path: Path, look: Callable[[JournalReader], object]) -> int:
    """How many steps SQLite's machine takes for a look into the journal."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    with JournalReader(path) as reader:
        reader._connection.set_progress_handler(count, 1)
        look(reader)
    return taken


def last_change(reader: JournalReader) -> None:
    assert reader.last(ProgramChanged) is None


def test_recovery_looks_at_the_end_of_a_long_journal_only(path: Path) -> None:
    def open_part(reader: JournalReader) -> None:
        assert reader.since_last(PartDeparted) == [arrived(9)]

    with JournalWriter(path) as writer:
        writer.append([record(departed(8), 8), record(arrived(9), 9)])
        short = steps(path, open_part)
        rows = [record(arrived(n), n) for n in range(10, 5000)]
        writer.append([*rows, record(departed(8), 5000), record(arrived(9), 5001)])
        assert steps(path, open_part) < short + 100


def test_that_a_kind_never_came_costs_no_more_in_a_long_journal(path: Path) -> None:
    with JournalWriter(path) as writer:
        writer.append([record(released(n), n) for n in range(1, 11)])
        short = steps(path, last_change)
        writer.append([record(released(n), n) for n in range(11, 3011)])
        assert steps(path, last_change) < short + 100


def test_a_journal_of_an_earlier_version_gets_the_index_when_it_is_opened(path: Path) -> None:
    with JournalWriter(path) as writer:
        writer.append([record(released(n), n) for n in range(1, 501)])
        quick = steps(path, last_change)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX events_by_kind")
    assert steps(path, last_change) > quick + 1000
    with JournalWriter(path) as writer:
        writer.append([record(released(501), 501)])
        assert steps(path, last_change) < quick + 100


WEEKS_AHEAD = 30 * 24 * 3600 * 1_000_000_000


def test_only_old_consumed_rows_before_the_last_departure_are_purged(path: Path) -> None:
    old, new = 1, 2
    events: list[AnyEvent] = [
        *(arrived(old), released(old), departed(old), arrived(old), released(old)),
        *(departed(new), arrived(new), released(new)),
    ]
    records = [record(event, n) for n, event in enumerate(events, 1)]
    with JournalWriter(path) as writer, JournalReader(path) as reader:
        writer.append(records[:5])
        writer.note_running(1_000)
        assert writer.purge(8, KEEP_NS) == 0, "nothing is old"
        writer.append(records[5:])
        writer.note_running(KEEP_NS)
        assert writer.purge(2, KEEP_NS) == 2, "the others are not consumed"
        assert writer.purge(8, KEEP_NS) == 3, "the others are young"
        assert writer.purge(8, KEEP_NS) == 0
        writer.note_running(KEEP_NS)
        assert writer.purge(8, KEEP_NS) == 0, "recovery asks for the part in the cell"
        assert [sequence for sequence, _ in reader.read(0)] == [6, 7, 8]
        assert reader.since_last(PartDeparted) == [arrived(new), released(new)]
        writer.append([record(arrived(8), 9)])
        assert reader.last_sequence == 9


def aged(writer: JournalWriter) -> None:
    """All that is in the journal has been there for as long as it is kept."""
    writer.note_running(0)
    writer.note_running(KEEP_NS)


def test_nothing_is_purged_before_the_first_departure(path: Path) -> None:
    with JournalWriter(path) as writer, JournalReader(path) as reader:
        writer.append([record(arrived(1), 1), record(released(1), 2)])
        aged(writer)
        assert writer.purge(2, KEEP_NS) == 0
        assert len(reader.read(0)) == 2


def test_what_belongs_to_no_part_is_purged_in_a_cell_that_never_saw_one(path: Path) -> None:
    fault = FaultRaised(task="runtime", utc_ns=1, code="x", text="y")
    change = ProgramChanged(
        task="runtime", utc_ns=1, tasks=["a"], old="", new="", files=[], actor="a", reason=""
    )
    with JournalWriter(path) as writer, JournalReader(path) as reader:
        events: list[AnyEvent] = [fault, change, arrived(1), fault]
        writer.append([record(event, n) for n, event in enumerate(events, 1)])
        aged(writer)
        assert writer.purge(4, KEEP_NS) == 2
        assert reader.read(0) == [(2, change), (3, arrived(1))], "recovery asks for these"


def test_a_purge_looks_at_the_oldest_rows_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "LOOKED_AT", 3)
    fault = FaultRaised(task="runtime", utc_ns=1, code="x", text="y")
    with JournalWriter(path) as writer:
        writer.append([record(fault, n) for n in range(1, 6)])
        aged(writer)
        assert [writer.purge(5, KEEP_NS) for _ in range(3)] == [3, 2, 0]


@pytest.mark.parametrize("stamp", [1, WEEKS_AHEAD, -WEEKS_AHEAD, (1 << 63) - 1])
def test_what_the_wall_clock_said_makes_no_row_older_or_younger(path: Path, stamp: int) -> None:
    fault = FaultRaised(task="runtime", utc_ns=stamp, code="x", text="y")
    with JournalWriter(path) as writer:
        writer.append([record(fault, 1)])
        writer.note_running(0)
        writer.note_running(KEEP_NS - 1)
        assert writer.purge(1, KEEP_NS) == 0
        writer.note_running(1)
        assert writer.purge(1, KEEP_NS) == 1


def test_notes_of_the_running_time_are_few_and_go_with_their_rows(path: Path) -> None:
    with JournalWriter(path) as writer:
        for number in range(100):
            writer.append([record(arrived(number), number)])
            writer.note_running(KEEP_NS // 10)
            writer.purge(0, KEEP_NS)
    with closing(sqlite3.connect(path)) as connection:
        notes = connection.execute("SELECT running_ns, sequence FROM ages").fetchall()
    assert [sequence for _, sequence in notes] == list(range(90, 101))


def test_a_journal_of_a_version_without_notes_is_opened_and_its_rows_begin_to_age(
    path: Path,
) -> None:
    fault = FaultRaised(task="runtime", utc_ns=1, code="x", text="y")
    with JournalWriter(path) as writer:
        writer.append([record(fault, 1)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE ages")
    with JournalWriter(path) as writer, JournalReader(path) as reader:
        assert writer.purge(1, KEEP_NS) == 0
        writer.note_running(0)
        writer.note_running(KEEP_NS)
        assert writer.purge(1, KEEP_NS) == 1
        assert reader.last_sequence == 1


@pytest.mark.parametrize(("place", "size"), [(0, 3000), (5, 1), (100, 3000), (4096, 40_000)])
def test_a_file_that_is_no_journal_any_more_is_named_with_a_remedy(
    path: Path, place: int, size: int
) -> None:
    with JournalWriter(path) as writer:
        writer.append([record(arrived(n), n) for n in range(1, 400)])
    data = bytearray(path.read_bytes())
    data[place : place + size] = b"\xa5" * size
    path.write_bytes(data)
    with pytest.raises(JournalError) as caught, JournalWriter(path) as writer:
        writer.append([record(arrived(n), n) for n in range(1, 800)])
    assert str(path) in str(caught.value)
    assert "move the file away" in str(caught.value)


def test_another_sqlite_file_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    connection.close()
    with pytest.raises(JournalError, match="is not a journal of this version"):
        JournalWriter(path)
    with pytest.raises(JournalError, match="is not a journal of this version"):
        JournalReader(path)


def test_a_reader_of_a_missing_journal_says_who_makes_it(path: Path) -> None:
    with pytest.raises(JournalError, match="does not exist; start the journal process"):
        JournalReader(path)


def test_a_reader_cannot_change_the_journal(path: Path) -> None:
    with (
        JournalWriter(path),
        JournalReader(path) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader._connection.execute("DELETE FROM events")


def test_a_read_only_folder_is_named_with_a_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    said = tmp_path / "said"
    said.touch()
    said.chmod(0o666)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)

    def try_it() -> None:
        with said.open("w") as notes:
            if os.geteuid() == 0:
                os.setuid(65534)
            try:
                JournalWriter(folder / "journal.db")
            except JournalError as error:
                notes.write(str(error))

    with process(try_it) as child:
        _, status = os.waitpid(child, 0)
    assert status == 0
    assert str(folder) in said.read_text()
    assert "read-only; make it writable" in said.read_text()


def test_group_commit_is_faster_than_a_commit_per_event(path: Path) -> None:
    count, singles, groups = 50, [], []
    with JournalWriter(path) as writer:
        # In turns, and the best of each: a stall of the machine spoils one turn of one kind.
        for first in range(0, 6 * 2 * count, 2 * count):
            begin = time.perf_counter()
            for n in range(first, first + count):
                writer.append([record(arrived(n), n)])
            singles.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            writer.append([record(arrived(n), n) for n in range(first + count, first + 2 * count)])
            groups.append(time.perf_counter() - begin)
    single, grouped = min(singles), min(groups)
    print(
        f"\njournal: {count / single:,.0f} events/s one by one, {count / grouped:,.0f} events/s "
        f"in groups of {count} ({single / grouped:.1f} times)"
    )
    assert grouped < single
    assert CORRUPT not in [kind for (kind,) in kinds(path)]


def kinds(path: Path) -> list[tuple[str]]:
    connection = sqlite3.connect(path)
    result = connection.execute("SELECT DISTINCT kind FROM events").fetchall()
    connection.close()
    return result
