"""What the journal process writes to disk and deletes from it, and when it need not."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.journal.journal import JournalReader
from cellwright.io.journal.pump import JournalPump
from cellwright.io.journal.purger import Purger
from cellwright.io.journal.retain import RetainStore
from cellwright.io.journal.retain_keeper import RetainKeeper
from cellwright.io.journal.writer import KEEP_NS
from cellwright.io.messages import WriteTag
from cellwright.tasks.api import ScanContext
from support.plans import make_tag
from support.scan_bench import Bench, program


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    def scan(self: Any, ctx: ScanContext) -> None:
        pass

    bench = Bench(tmp_path, [make_tag("level", "REAL", retain=True)], {"control": program(scan)})
    bench.run()
    return bench


@pytest.mark.parametrize("value", [1.5, math.nan])
def test_a_retained_value_that_stays_as_it_is_is_written_to_disk_once(
    bench: Bench, tmp_path: Path, value: float
) -> None:
    store = RetainStore(tmp_path)
    keeper = RetainKeeper(bench.plan, bench.image, bench.clock, store)
    bench.send(WriteTag(tag="level", value=value, actor="anna"))
    for _ in range(5):
        bench.cycle(20)
        keeper.step()
    saved = store.load()
    assert saved.generation == 1
    assert saved.values["level"].value == pytest.approx(value, nan_ok=True)
    bench.send(WriteTag(tag="level", value=2.5, actor="anna"))
    bench.cycle(20)
    keeper.step()
    assert store.load().generation == 2


def test_in_a_cell_without_mes_events_go_by_their_age(bench: Bench, tmp_path: Path) -> None:
    assert bench.plan.database is None
    pump = JournalPump(bench.image, tmp_path / "journal.db", bench.clock)
    purger = Purger(tmp_path, bench.clock, database=False)
    assert pump.step() > 0
    purger.step()
    with JournalReader(tmp_path / "journal.db") as journal:
        assert journal.read(0), "they are young"
        bench.clock.advance(KEEP_NS + 1_000_000_000)
        purger.step()
        assert journal.read(0) == []
    pump.close()


DAY_NS = 24 * 3600 * 1_000_000_000


@pytest.mark.parametrize("jump_ns", [30 * DAY_NS, -30 * DAY_NS])
def test_a_wall_clock_that_jumps_for_a_minute_loses_no_event(
    bench: Bench, tmp_path: Path, jump_ns: int
) -> None:
    pump = JournalPump(bench.image, tmp_path / "journal.db", bench.clock)
    purger = Purger(tmp_path, bench.clock, database=False)
    with contextlib.closing(pump):
        pump.step()
        purger.step()
        with JournalReader(tmp_path / "journal.db") as journal:
            before = journal.read(0)
            bench.clock._utc_offset_ns += jump_ns  # an NTP server that errs
            for _ in range(3):
                bench.clock.advance(61_000_000_000)
                bench.send(WriteTag(tag="level", value=2.5, actor="anna"))
                pump.step()
                purger.step()
            bench.clock._utc_offset_ns -= jump_ns
            bench.clock.advance(61_000_000_000)
            purger.step()
            after = journal.read(0)
        assert after[: len(before)] == before
        assert len(after) == len(before) + 3


def test_events_age_while_the_cell_runs_and_a_restart_goes_on_counting(
    bench: Bench, tmp_path: Path
) -> None:
    pump = JournalPump(bench.image, tmp_path / "journal.db", bench.clock)
    pump.step()
    pump.close()
    with JournalReader(tmp_path / "journal.db") as journal:
        for _ in range(7):
            purger = Purger(tmp_path, bench.clock, database=False)
            purger.step()
            assert journal.read(0), "they are not seven days of running time old"
            bench.clock.advance(DAY_NS)
            purger.close()
            bench.clock.advance(100 * DAY_NS)  # switched off
        purger = Purger(tmp_path, bench.clock, database=False)
        purger.step()
        assert journal.read(0) == []
