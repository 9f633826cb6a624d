"""What was recorded is read again, at any time of its way through the levels."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import func, select

from cellwright.io.plan import HistorySettings
from cellwright.mes.history import keeping
from cellwright.mes.history.keeping import Keeper
from cellwright.mes.history.reading import at_or_after, at_or_before, read, tags
from cellwright.mes.history.tables import DAY_NS, HOUR_NS, MINUTE_NS, HistoryChunk, Level
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import Scope
from tests.mes.conftest import NOON_NS, SECOND_NS
from tests.mes.history.conftest import CELL
from tests.support.foreign_rows import add_tenant

BAD = 0x80310000  # no communication; of the statuses used here the only Bad one
VALUES = {
    "level": lambda n: n / 8 - 3,
    "count": lambda n: -n,
    "total": lambda n: 2**63 + n,
    "serial": lambda n: b"SN%d" % (n % 5),
}


def rows(name, count, start=NOON_NS, step=SECOND_NS):
    return [(start + n * step, VALUES[name](n), BAD if n % 50 == 49 else 0) for n in range(count)]


def levels(store):
    with store.reading() as session:
        found = select(HistoryChunk.level, func.count()).group_by(HistoryChunk.level)
        return {Level(level): count for level, count in session.execute(found)}


def test_every_type_comes_back_with_status_and_time_before_and_after_it_is_sealed(history):
    wanted = {name: rows(name, 4_000) for name in VALUES}
    for first in range(0, 4_000, 1_000):
        history.append(**{name: each[first : first + 1_000] for name, each in wanted.items()})
    for name, each in wanted.items():
        assert history.read(name) == each
    keeper = history.keep(NOON_NS + HOUR_NS + 1)  # the first hour's grace is not over
    assert set(levels(history.store)) == {Level.MINUTE}
    assert history.read("total") == wanted["total"]
    while keeper.step(NOON_NS + 3 * HOUR_NS):
        pass
    assert levels(history.store) == {
        Level.HOUR: 2, Level.BY_SECOND: 2, Level.BY_MINUTE: 1, Level.BY_HOUR: 1,
    }  # fmt: skip
    for name, each in wanted.items():
        assert history.read(name) == each
        assert history.read(name, backward=True) == each[::-1]
    begin, end = NOON_NS + 59 * MINUTE_NS, NOON_NS + 61 * MINUTE_NS
    assert history.read("level", begin, end) == [
        row for row in wanted["level"] if begin <= row[0] < end
    ]


def test_the_neighbours_of_a_moment_are_found(history):
    history.append(level=rows("level", 3, step=HOUR_NS))
    history.keep(NOON_NS + 2 * HOUR_NS + 2 * MINUTE_NS)
    key = history.keys["level"]
    with history.store.reading() as session:
        for moment, before, after in (
            (NOON_NS - 1, None, 0),
            (NOON_NS, 0, 0),
            (NOON_NS + 1, 0, 1),
            (NOON_NS + 9 * HOUR_NS, 2, None),
        ):
            for find, number in ((at_or_before, before), (at_or_after, after)):
                found = find(session, CELL, key, moment).last.time.tolist()
                assert found == ([] if number is None else [NOON_NS + number * HOUR_NS])


def test_late_values_and_those_of_a_clock_set_back_are_merged_into_their_hour(history):
    first = rows("level", 100, step=MINUTE_NS)
    history.append(level=first)
    history.keep(NOON_NS + 4 * HOUR_NS)
    late = [(NOON_NS + 30 * SECOND_NS, 1.5, 0), (NOON_NS + MINUTE_NS, 99.0, 0)]
    history.append(level=late)
    wanted = sorted({row[0]: row for row in first + late}.values())
    assert history.read("level") == wanted
    history.keep(NOON_NS + 4 * HOUR_NS)
    assert history.read("level") == wanted
    assert levels(history.store)[Level.HOUR] == 2
    keep = HistorySettings(raw_ns=HOUR_NS)
    history.keep(NOON_NS + 9 * HOUR_NS, keep=keep)
    (piece,) = history.pieces("level", NOON_NS, NOON_NS + 2 * MINUTE_NS)
    assert not piece.raw
    assert history.values(piece.values.last) == [-3.0, 1.5, 99.0]


def test_values_of_a_future_that_the_clock_has_left_are_sealed_too(sqlite_history):
    ahead = NOON_NS + 300 * DAY_NS
    sqlite_history.append(level=rows("level", 5, ahead))
    sqlite_history.keep(NOON_NS)
    assert levels(sqlite_history.store)[Level.HOUR] == 1
    assert sqlite_history.read("level") == rows("level", 5, ahead)


def naive(values, step):
    """What a summary is, told row by row: time, low, high, mean, last, count, bad."""
    found = {}
    for time, value, status in values:
        found.setdefault(time // step * step, []).append((value, status))
    summaries = []
    for time, each in sorted(found.items()):
        good = [value for value, status in each if status < BAD]
        numbers = (min(good), max(good), pytest.approx(np.mean(good))) if good else (None,) * 3
        summaries.append((time, *numbers, each[-1][0], len(good), len(each) - len(good)))
    return summaries


def shown(history, pieces):
    found = []
    for piece in pieces:
        it = piece.values
        low, high, last = (
            history.values(replace(it.last, bits=bits)) for bits in (it.low, it.high, it.last.bits)
        )
        for row, good in enumerate((it.count > 0).tolist()):
            start, count, bad = int(it.last.time[row]), int(it.count[row]), int(it.bad[row])
            numbers = (low[row], high[row], it.mean[row]) if good else (None, None, None)
            found.append((start, *numbers, last[row], count, bad))
    return found


@pytest.mark.parametrize("name", ["level", "count", "total"])
def test_what_is_thinned_out_says_of_each_span_what_its_values_said(history, name):
    values = rows(name, 3_000, step=SECOND_NS // 3) + rows(name, 40, NOON_NS + 5 * HOUR_NS)
    history.append(**{name: values[:2_000]})
    history.keep(NOON_NS + 3 * HOUR_NS)
    history.append(**{name: values[2_000:]})
    history.keep(NOON_NS + 9 * HOUR_NS)
    assert all(piece.raw for piece in history.pieces(name))
    now = NOON_NS + 40 * DAY_NS
    for keep, step in (
        (HistorySettings(raw_ns=DAY_NS), SECOND_NS),
        (HistorySettings(raw_ns=DAY_NS, seconds_ns=DAY_NS), MINUTE_NS),
        (HistorySettings(raw_ns=DAY_NS, seconds_ns=DAY_NS, minutes_ns=DAY_NS), HOUR_NS),
    ):
        history.keep(now, keep=keep)
        assert shown(history, history.pieces(name)) == naive(values, step)
        # What comes later still is added to what was summed up.
        late = (NOON_NS + 90 * MINUTE_NS + step, VALUES[name](7), 0)
        history.append(**{name: [late]})
        history.keep(now, keep=keep)
        values = sorted([*values, late])
        assert shown(history, history.pieces(name)) == naive(values, step)
    nothing = HistorySettings(raw_ns=DAY_NS, seconds_ns=DAY_NS, minutes_ns=DAY_NS, hours_ns=DAY_NS)
    history.keep(NOON_NS + 80 * DAY_NS, keep=nothing)
    assert history.read(name) == []
    assert levels(history.store) == {}


def test_a_step_that_is_cut_off_anywhere_changes_nothing_and_is_done_again(history, monkeypatch):
    wanted = rows("level", 12, step=20 * MINUTE_NS)
    history.append(level=wanted[:5])
    history.append(level=wanted[5:])
    store, choice = keeping.store_chunk, random.Random(4)

    def die(*args):
        if choice.random() < 0.1:
            raise RuntimeError("killed")
        store(*args)

    monkeypatch.setattr(keeping, "store_chunk", die)
    keeper, deaths = Keeper(history.store, CELL, HistorySettings()), 0
    while True:
        try:
            if not (keeper.divide(1) or keeper.step(NOON_NS + 9 * HOUR_NS)):
                break
        except RuntimeError:
            deaths += 1
            assert history.read("level") == wanted
    assert deaths
    assert history.read("level") == wanted
    assert set(levels(history.store)) == {Level.HOUR, *keeping.TIERS}


def test_of_two_keepers_at_once_the_slower_one_changes_nothing(history, monkeypatch):
    wanted = rows("level", 10)
    history.append(level=wanted)
    encode = keeping.encode

    def meanwhile(batch):
        monkeypatch.setattr(keeping, "encode", encode)
        assert Keeper(history.store, CELL, HistorySettings()).divide(1)
        return encode(batch)

    monkeypatch.setattr(keeping, "encode", meanwhile)
    with pytest.raises(MesError, match="another program works on the history of cell press"):
        Keeper(history.store, CELL, HistorySettings()).divide(1)
    assert history.read("level") == wanted
    assert levels(history.store) == {Level.MINUTE: 1}


def test_another_tenant_and_another_cell_see_nothing(history):
    history.append(level=rows("level", 3))
    add_tenant(history.store, 2, fill=False)
    for cell, scope in (("other", Scope()), (CELL, Scope(2, 2))):
        with history.store.reading(scope) as session:
            assert list(read(session, cell, history.keys["level"])) == []
            assert tags(session, cell) == []
