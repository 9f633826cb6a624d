"""What the three witnesses say about a cell's work: the journal, the MES and the plant's log.

Shared by the tests in which a whole cell fails.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter, defaultdict
from contextlib import closing
from typing import Any

from cellwright.io.image.command_client import CommandFailed
from cellwright.io.messages import PartArrived, PartDeparted, PartReleased
from cellwright.io.plan import CellState
from cellwright.mes.shopfloor import parts
from cellwright.mes.shopfloor.parts import Counts
from support.cells import CellUnderTest


def patient(cell: Any) -> None:
    """Watchdogs that a busy machine does not trip, for tests of something else; an ``edit``."""
    cell["scan"]["watchdog"] = {"time": "500ms", "sensitivity": 2}
    cell["devices"]["remote_io"]["watchdog"]["time_ms"] = 5000
    for task in cell["tasks"].values():
        task["watchdog"] = {"time": "100ms", "sensitivity": 3}


def patient_and_unseen(cell: Any) -> None:
    """The same without the OPC UA server, which takes seconds to start, for tests that look at
    image, journal and MES."""
    patient(cell)
    del cell["opcua"]


def keep_running(cell: CellUnderTest) -> None:
    """What an operator does when a busy machine has tripped the cell: reset and start."""
    try:
        if cell.state is CellState.FAULT:
            cell.request("reset")
        if cell.state is CellState.STOP:
            cell.request("start")
    except CommandFailed:
        pass  # its cause is not gone yet


def until_seen(cell: CellUnderTest, event: str, **fields: Any) -> None:
    """Wait until the plant has seen it; an operator looks after the cell meanwhile."""
    cell.until(
        lambda: keep_running(cell) or cell.plant.events(event, **fields), f"{event} {fields}"
    )


def recorded(cell: CellUnderTest) -> Counts:
    """Totals of the MES."""
    store = cell.store()
    try:
        with store.reading() as session:
            return parts.counts(session)
    finally:
        store.close()


def until_recorded(cell: CellUnderTest, count: int, timeout_s: float = 90.0) -> None:
    """Wait until the MES has so many parts; an operator looks after the cell meanwhile."""
    store = cell.store()
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            keep_running(cell)
            with store.reading() as session:
                found = parts.counts(session).recorded
            if found >= count:
                return
            assert time.monotonic() < deadline, f"{found} of {count} recorded\n{cell.output()}"
            time.sleep(0.05)
    finally:
        store.close()


def assert_journal_has_no_gap(cell: CellUnderTest) -> None:
    """Each producer's events are there from the first to the last, each once."""
    sequences: dict[tuple[str, str], list[int]] = defaultdict(list)
    with closing(sqlite3.connect(cell.data / "journal.db")) as connection:
        for producer, boot_id, sequence in connection.execute(
            "SELECT producer, boot_id, producer_sequence FROM events ORDER BY sequence"
        ):
            sequences[producer, boot_id].append(sequence)
    assert sequences
    for producer, found in sequences.items():
        assert found == list(range(1, len(found) + 1)), producer


def assert_whole(cell: CellUnderTest, count: int) -> None:
    """``count`` blades went through: each is in the journal and the MES once, none marked twice."""
    assert_journal_has_no_gap(cell)
    seen: dict[type, Counter[str]] = defaultdict(Counter)
    for event in cell.events():
        if isinstance(event, PartArrived | PartReleased | PartDeparted):
            seen[type(event)][event.part_id] += 1
    assert len(seen[PartArrived]) == count
    for kind in (PartArrived, PartReleased, PartDeparted):
        assert seen[kind] == Counter(dict.fromkeys(seen[PartArrived], 1)), kind
    totals = recorded(cell)
    assert (totals.recorded, totals.duplicates) == (count, 0)
    assert len(cell.plant.events("arrived")) == count
    assert cell.plant.events("double_mark") == []
    assert cell.plant.events("duplicate_content") == []
    lanes = Counter(event["lane"] for event in cell.plant.events("ejected"))
    assert (lanes["good"], lanes["reject"]) == (totals.good, totals.rejected)
