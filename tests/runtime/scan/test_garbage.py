"""What a change of programs leaves behind is let go, in a cycle that has the time for it."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellwright.io.timing.clock import SimulatedClock
from cellwright.runtime.scan import garbage
from cellwright.runtime.scan.garbage import Garbage
from support.changed_cell import ChangedCell

BASE_NS = 10_000_000


class Knot:
    """Refers to itself, so that only the collector lets it go."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def manual() -> Iterator[None]:
    """As in the scan process: what is there lives for ever, and Python's own collector is off."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("manual")
def test_twenty_changes_leave_no_former_program_alive(tmp_path: Path) -> None:
    cell = ChangedCell(tmp_path)
    collector = Garbage(BASE_NS, cell.clock.now_ns)
    former: list[weakref.ref[object]] = []
    try:
        cell.run(3)
        for number in range(20):
            former += [weakref.ref(kind) for kind in cell.scan.execution.classes]
            former += [weakref.ref(one) for one in cell.scan.execution.programs]
            former += [weakref.ref(sys.modules[name]) for name in ("line.press", "lamp")]
            former.append(weakref.ref(sys.modules["line.press"].PressOptions))
            cell.edit("lamp.py", "class Lamp", f"NUMBER = {number}\n\n\nclass Lamp")
            if number % 5 == 4:
                cell.apply(rollback=True)
            else:
                cell.apply()
            collector.changed()
            # What the check left is the garbage of another process in life.
            collector._expected_ns, collector.due = 0, True
            collector.step(cell.clock.now_ns() + BASE_NS)
            cell.cycle(2)
        assert [one() for one in former if one() is not None] == []
        assert len(former) == 140
        assert all(type(one).__module__ in sys.modules for one in cell.scan.execution.programs)
    finally:
        cell.close()


@pytest.mark.usefixtures("manual")
def test_a_refused_change_leaves_nothing_behind_either(tmp_path: Path) -> None:
    cell = ChangedCell(tmp_path)
    made: list[weakref.ref[object]] = []
    try:
        cell.run(3)
        cell.edit("lamp.py", "not self.on", "False")
        command = cell.command(cell.check(), tasks=["press", "lamp"])
        make = cell.change._make
        cell.change._make = lambda prepared, index: noted(make(prepared, index))  # type: ignore

        def noted(program: object) -> object:
            made.append(weakref.ref(type(program)))
            if len(made) == 2:
                raise OSError("dark")
            return program

        assert cell.send(command).code != 0
        Garbage(BASE_NS, cell.clock.now_ns).changed()
        gc.collect()
        assert len(made) == 2
        assert [one() for one in made if one() is not None] == []
    finally:
        cell.close()


@pytest.mark.usefixtures("manual")
def test_a_collection_waits_for_a_cycle_in_which_it_ends_before_the_tick() -> None:
    clock = SimulatedClock(start_ns=10**10)
    collector = Garbage(BASE_NS, clock.now_ns)
    held = Knot()
    gc.collect(0)
    gc.collect(1)
    old = weakref.ref(held)
    del held
    collector.step(clock.now_ns() + BASE_NS)
    assert old() is not None, "nothing was changed: only the youngest are looked at"
    collector.changed()
    expected = collector._expected_ns
    assert collector.due
    margin = BASE_NS // garbage.MARGIN
    collector.step(clock.now_ns() + expected + margin - 1)
    assert old() is not None, "the cycle was too long for it"
    assert collector.due
    collector.step(clock.now_ns() + expected + margin)
    assert old() is None
    assert not collector.due


@pytest.mark.usefixtures("manual")
def test_a_change_that_brings_more_than_a_cycle_can_collect_is_put_out_of_the_collectors_way() -> (
    None
):
    clock = SimulatedClock(start_ns=10**10)
    base_ns = 1_000_000
    collector = Garbage(base_ns, clock.now_ns)
    frozen = gc.get_freeze_count()
    library = [[number] for number in range(base_ns // garbage.PER_OBJECT_NS)]
    collector.changed()
    assert not collector.due
    assert gc.get_freeze_count() > frozen + len(library) // 2
