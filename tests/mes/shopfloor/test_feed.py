"""The MES is fed from the journal exactly once, and its answers reach the cell."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient
from cellwright.io.journal.journal import JOURNAL_FILE, JournalReader, Record
from cellwright.io.journal.writer import JournalWriter
from cellwright.io.messages import (
    AnyEvent,
    Deliver,
    MarkAuthorised,
    MarkCompleted,
    PartArrived,
    PartDeparted,
    PartReleased,
    SerialAssigned,
    SerialGranted,
    SerialRefused,
    SerialRequested,
    decode_command,
    encode,
)
from cellwright.mes.orders.work_orders import JobOrder, store_and_start
from cellwright.mes.service import background_store
from cellwright.mes.service.background_store import BackgroundStore
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor import feed as mes_feed
from cellwright.mes.shopfloor import parts
from cellwright.mes.shopfloor.feed import MesFeed
from support.campaign import times
from support.forked import process
from support.plans import make_plan, make_task

BOOT = "0123abcd"
MASTER_DATA = """\
parts:
  - part_number: BLD-1
    serial_pattern: "S{n:04d}"
    routing: [{sequence: 10, name: Mark, kind: mark, station: mark}]
"""


class Cell:
    """The data folder of a cell: a journal that the test writes and a database with one order."""

    def __init__(self, folder: Path) -> None:
        self.data = folder
        self.url = f"sqlite:///{folder / 'mes.db'}"
        self.master_data = folder / "parts.yaml"
        self.master_data.write_text(MASTER_DATA)
        self.image = Image.create(folder / "image", make_plan(tasks=[make_task(0, "mark")]), BOOT)
        self.journal = JournalWriter(folder / JOURNAL_FILE)
        self.sent = 0
        self.commands: list[Any] = []

    def order(self, quantity: int) -> None:
        with opened(self) as store:
            assert store.wait_open(30)
            with store.session() as session:
                job = JobOrder(
                    job_order_id="J1", part_number="BLD-1", revision="", quantity=quantity
                )
                store_and_start(session, job, actor="test", reason="test")

    def send(self, *events: AnyEvent) -> None:
        records = []
        for event in events:
            self.sent += 1
            records.append(
                Record(
                    producer="scan",
                    boot_id=BOOT,
                    producer_sequence=self.sent,
                    utc_ns=event.utc_ns,
                    kind=str(event.__struct_config__.tag),
                    task=event.task,
                    part_id=getattr(event, "part_id", None),
                    payload=encode(event),
                )
            )
        self.journal.append(records)

    def answers(self) -> list[Any]:
        """Bodies of the commands that have arrived so far."""
        for _, data in self.image.commands.receive(64):
            command = decode_command(data)
            assert isinstance(command, Deliver)
            assert (command.task, command.actor) == ("mark", "mes")
            self.commands.append(command.body)
        return self.commands

    def feed(self, store: BackgroundStore) -> MesFeed:
        return MesFeed(self.data, store, CommandClient(self.image))

    def counts(self) -> parts.Counts:
        store = open_store(self.url)
        try:
            with store.reading() as session:
                return parts.counts(session)
        finally:
            store.close()


@contextmanager
def opened(cell: Cell) -> Iterator[BackgroundStore]:
    store = BackgroundStore(cell.url, cell.master_data)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def feeding(cell: Cell) -> Iterator[MesFeed]:
    """The feed as the gateway runs it."""
    with opened(cell) as store:
        feed = cell.feed(store)
        feed.start()
        try:
            yield feed
        finally:
            feed.stop()
            assert not feed._thread.is_alive()


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    cell = Cell(tmp_path)
    yield cell
    cell.journal.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mes_feed, "RETRY_S", 0.02)
    monkeypatch.setattr(background_store, "RETRY_S", 0.02)


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.03)
    return found


def request(number: int) -> SerialRequested:
    return SerialRequested(task="mark", utc_ns=number, part_id=f"p{number}", station="mark")


def life(number: int, granted: SerialGranted) -> list[AnyEvent]:
    """The rest of a part's way after its serial was granted."""
    part: dict[str, Any] = {"task": "mark", "utc_ns": number, "part_id": f"p{number}"}
    at = part | {"station": "mark", "serial": granted.serial}
    return [
        SerialAssigned(**at, order=granted.order, part_number=granted.part_number),
        MarkAuthorised(**at, content=granted.serial, device="peen", template="t.lua"),
        MarkCompleted(**at, outcome="acknowledged"),
        PartReleased(**part, serial=granted.serial, verdict="good"),
        PartDeparted(**part),
    ]


def test_a_request_in_the_journal_is_answered_with_a_command(cell: Cell) -> None:
    cell.order(5)
    with feeding(cell):
        cell.send(PartArrived(task="sequence", utc_ns=1, part_id="p1"), request(1))
        (granted,) = until(cell.answers, "the answer")
    assert isinstance(granted, SerialGranted)
    assert (granted.part_id, granted.serial, granted.part_number) == ("p1", "S0001", "BLD-1")


def test_without_an_order_the_answer_says_what_to_do(cell: Cell) -> None:
    with feeding(cell):
        cell.send(request(1))
        (refused,) = until(cell.answers, "the answer")
    assert isinstance(refused, SerialRefused)
    assert "no work order is running" in refused.reason


def test_parts_are_recorded_and_a_new_feed_goes_on_where_the_old_one_was(cell: Cell) -> None:
    cell.order(10)
    for number in (1, 2, 3):
        with feeding(cell):
            cell.send(request(number))
            granted = until(lambda count=number: cell.answers()[count - 1 :], "the answer")[0]
            cell.send(*life(number, granted))
    with feeding(cell):
        until(lambda: cell.counts().good == 3, "all parts are recorded")
    assert [granted.serial for granted in cell.commands] == ["S0001", "S0002", "S0003"]
    assert (cell.counts().recorded, cell.counts().duplicates) == (3, 0)


def test_events_from_before_the_gateway_are_taken_when_it_comes(cell: Cell) -> None:
    cell.order(10)
    cell.send(*(request(number) for number in range(1, 4)))
    with feeding(cell):
        until(lambda: len(cell.answers()) == 3, "the answers")


def test_a_repeated_request_is_answered_alike(cell: Cell) -> None:
    cell.order(5)
    with feeding(cell):
        for count in (1, 2, 3):
            cell.send(request(1))
            until(lambda wanted=count: len(cell.answers()) == wanted, "the answer")
    assert len({granted.serial for granted in cell.commands}) == 1


def test_a_journal_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    cell.journal.close()
    for file in tmp_path.glob(JOURNAL_FILE + "*"):
        file.unlink()
    cell.order(5)
    with feeding(cell) as feed:
        until(
            lambda: "does not exist" in feed._once._causes.get("feed", ""),
            "it says that the journal is missing",
        )
        cell.journal = JournalWriter(tmp_path / JOURNAL_FILE)
        cell.send(request(1))
        until(cell.answers, "the answer")
    cell.journal.close()


def test_a_scan_that_takes_no_commands_does_not_stop_the_records(cell: Cell) -> None:
    cell.order(1000)
    filler = encode(Deliver(task="mark", actor="mes", body=SerialRefused(part_id="", reason="")))
    for _ in range(cell.image.commands.SLOTS):
        cell.image.commands.send(filler)
    with feeding(cell):
        cell.send(request(1))
        granted = SerialGranted(part_id="p1", serial="S0001", order="", part_number="BLD-1")
        cell.send(*life(1, granted))
        until(lambda: cell.counts().good == 1, "the part is recorded")


def test_an_error_that_nobody_foresaw_is_logged_and_the_event_tried_again(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell.order(5)
    failures = 3
    consume = mes_feed.consume_batch

    def fails_at_first(*arguments: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise ZeroDivisionError("by zero")
        return consume(*arguments)

    monkeypatch.setattr(mes_feed, "consume_batch", fails_at_first)
    with feeding(cell):
        cell.send(request(1), request(2))
        until(lambda: len(cell.answers()) == 2, "the answers")
    assert failures == 0


@pytest.mark.campaign
def test_kills_at_random_neither_lose_nor_repeat_an_event(cell: Cell) -> None:
    cell.order(100)
    chance = random.Random(7)
    count = times(10)

    def serve() -> None:
        with feeding(cell):
            signal.pause()

    for number in range(1, count + 1):
        granted = SerialGranted(
            part_id=f"p{number}", serial=f"S{number:04d}", order="", part_number="BLD-1"
        )
        cell.send(request(number), *life(number, granted))
    with JournalReader(cell.data / JOURNAL_FILE) as journal:
        assert journal.last_sequence == 6 * count
    kills = 0
    while cell.counts().good < count:
        with process(serve) as child:
            # Longer and longer: where starting is slow, something must get done at last.
            time.sleep(chance.uniform(0.1, 0.5) * (1 + kills / 10))
            os.kill(child, signal.SIGKILL)
            kills += 1
        assert kills < 100
    counts = cell.counts()
    assert (counts.good, counts.rejected, counts.duplicates) == (count, 0, 0)
    with feeding(cell):
        cell.send(PartArrived(task="sequence", utc_ns=1, part_id="last"))
        time.sleep(0.1)
    assert cell.counts() == counts
