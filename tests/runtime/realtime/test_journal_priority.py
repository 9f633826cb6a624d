"""The journal process of an urgent cell goes before ordinary work, or says that it may not."""

from __future__ import annotations

import os

import msgspec
import pytest

from cellwright.io.plan import ScanSettings
from cellwright.runtime.realtime import grants

ORDINARY = ScanSettings(
    base_ns=10_000_000, watchdog_ns=20_000_000, watchdog_sensitivity=2, priority=0, core=-1
)
URGENT = msgspec.structs.replace(ORDINARY, priority=80)


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "setpriority", lambda *values: asked.append(values))
    return asked


def test_it_asks_for_its_nice_value_where_the_scan_is_urgent(
    asked: list[tuple[int, int, int]],
) -> None:
    assert grants.acquire_for_journal(URGENT) == []
    assert asked == [(os.PRIO_PROCESS, 0, grants.JOURNAL_NICE)]


def test_in_an_ordinary_cell_it_is_ordinary(asked: list[tuple[int, int, int]]) -> None:
    assert grants.acquire_for_journal(ORDINARY) == []
    assert asked == []


def test_a_machine_that_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refuse)
    assert grants.acquire_for_journal(URGENT) == ["no nice value of -15 (Operation not permitted)"]
