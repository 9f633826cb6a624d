"""Writers of one SQLite file are served in the order of their coming, and none waits for ever."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from cellwright.mes.kernel.errors import StoreError
from cellwright.mes.kernel.store import store as stores
from cellwright.mes.kernel.store.turns import Queue
from cellwright.mes.service.catalogue import open_store


def waiting(queue: Queue, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(queue._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    queue, order, threads = Queue(), list[int](), list[threading.Thread]()

    def ask(number: int) -> None:
        with queue.turn(20.0):
            order.append(number)

    with queue.turn(1.0):
        for number in range(8):
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            waiting(queue, number + 1)
    for thread in threads:
        thread.join(20)
    assert order == list(range(8))


def test_who_waits_too_long_leaves_and_those_behind_him_get_their_turn() -> None:
    queue, served = Queue(), list[str]()

    def give_up() -> None:
        try:
            with queue.turn(0.05):
                served.append("impatient")
        except TimeoutError:
            served.append("left")

    def stay() -> None:
        with queue.turn(20.0) as left_s:
            served.append("patient")
            assert 0 < left_s < 20.0

    with queue.turn(1.0):
        first = threading.Thread(target=give_up)
        first.start()
        waiting(queue, 1)
        second = threading.Thread(target=stay)
        second.start()
        waiting(queue, 2)
        first.join(20)
        assert served == ["left"]
    second.join(20)
    assert served == ["left", "patient"]
    with queue.turn(0.0) as left_s:
        assert left_s == 0.0


def test_a_turn_is_passed_on_after_an_error() -> None:
    queue = Queue()
    with pytest.raises(ZeroDivisionError), queue.turn(1.0):
        raise ZeroDivisionError
    with queue.turn(0.0):
        pass


def test_two_stores_of_one_file_take_turns_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'mes.db'}"
    one, other = open_store(url), open_store(url)
    order: list[str] = []

    def write() -> None:
        with other.session() as session:
            session.execute(text("SELECT 1"))
            order.append("other")

    with one.session():
        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.02)
        order.append("one")
    thread.join(20)
    assert order == ["one", "other"]
    monkeypatch.setattr(stores, "BUSY_TIMEOUT_S", 0.05)
    with (
        one.session(),
        pytest.raises(StoreError, match="another program holds it") as caught,
        other.session(),
    ):
        pass
    assert caught.value.code == "store_busy"
    one.close()
    other.close()
