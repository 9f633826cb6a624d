"""The MES store of the gateway: it opens in the background and says why while it cannot."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from cellwright.mes.definitions.tables import PartDefinition
from cellwright.mes.kernel.errors import StoreError
from cellwright.mes.service import background_store
from cellwright.mes.service.background_store import BackgroundStore

MASTER_DATA = """\
parts:
  - part_number: BLD-1
    revision: A
    serial_pattern: "S{n:04d}"
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_store, "RETRY_S", 0.02)


@contextmanager
def opening(url: str, master_data: Path | None = None) -> Iterator[BackgroundStore]:
    store = BackgroundStore(url, master_data)
    try:
        yield store
    finally:
        store.close()


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def refusal(store: BackgroundStore) -> str:
    """What a use is told while there is no store."""
    with pytest.raises(StoreError) as caught, store.session():
        pass
    assert caught.value.code == "store_unreachable"
    return str(caught.value)


def parts(store: BackgroundStore) -> list[str]:
    with store.reading() as session:
        return [part.part_number for part in session.query(PartDefinition)]


def test_the_store_is_usable_once_it_is_open(tmp_path: Path) -> None:
    with opening(f"sqlite:///{tmp_path / 'mes.db'}") as store:
        assert store.wait_open(30)
        assert parts(store) == []


def test_master_data_are_in_the_store_before_anybody_uses_it(tmp_path: Path) -> None:
    file = tmp_path / "parts.yaml"
    file.write_text(MASTER_DATA)
    url = f"sqlite:///{tmp_path / 'mes.db'}"
    for _ in range(2):
        with opening(url, file) as store:
            assert store.wait_open(30)
            assert parts(store) == ["BLD-1"]


def test_until_the_database_can_be_reached_each_use_says_why_and_then_it_opens_by_itself(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "not yet"
    with opening(f"sqlite:///{folder / 'mes.db'}") as store:
        text = until(lambda: "unable to open" in (said := refusal(store)) and said, "the reason")
        assert str(folder) in text
        assert "create its folder" in text
        with pytest.raises(StoreError, match="unable to open"), store.reading():
            pass
        assert not store.wait_open(0)
        folder.mkdir()
        assert store.wait_open(30)
        assert parts(store) == []


def test_master_data_with_an_error_are_named_with_their_line_and_taken_once_mended(
    tmp_path: Path,
) -> None:
    file = tmp_path / "parts.yaml"
    file.write_text("parts:\n  - part_number: ''\n")
    with opening(f"sqlite:///{tmp_path / 'mes.db'}", file) as store:
        until(lambda: f"{file}:2:" in refusal(store), "the line")
        file.write_text(MASTER_DATA)
        assert store.wait_open(30)
        assert parts(store) == ["BLD-1"]


def test_an_error_that_nobody_foresaw_is_told_and_tried_again(tmp_path: Path) -> None:
    """Another program's tables of the same names, for example."""
    path = tmp_path / "mes.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE unit (something TEXT)")
    connection.commit()
    with opening(f"sqlite:///{path}") as store:
        until(lambda: "already exists" in refusal(store), "the reason")
        connection.execute("DROP TABLE unit")
        connection.commit()
        connection.close()
        assert store.wait_open(30)


def test_giving_up_does_not_wait_for_a_database_that_is_not_there(tmp_path: Path) -> None:
    store = BackgroundStore(f"sqlite:///{tmp_path / 'nowhere' / 'mes.db'}", None)
    until(lambda: "unable to open" in refusal(store), "the reason")
    store.close()
    assert not store._thread.is_alive()


def test_an_error_without_a_name_is_no_end_of_asking_whether_the_database_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opening(f"sqlite:///{tmp_path / 'mes.db'}") as store:
        assert store.wait_open(30)

        def fail(self: object) -> Iterator[None]:
            raise OperationalError("SELECT 1", {}, sqlite3.OperationalError("never heard of it"))

        with monkeypatch.context() as broken:
            broken.setattr(BackgroundStore, "reading", contextmanager(fail))
            until(lambda: not store.answers, "the failure is seen")
        until(lambda: store.answers, "the database answers again")
