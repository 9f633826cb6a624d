"""A change whose scan dies before it can tell of it is told by the next, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cellwright.io.messages import (
    ChangeProgram,
    CommandRefused,
    ProgramChanged,
    UntoldChange,
    WriteTag,
    encode,
)
from cellwright.runtime.programs.package import read_running
from cellwright.runtime.recorder.replay import Replay
from support.changed_cell import ChangedCell


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[ChangedCell]:
    """In RUN for a while, with a timer that counts."""
    cell = ChangedCell(tmp_path)
    cell.run()
    cell.send(WriteTag(tag="go", value=True, actor="ann"))
    cell.cycle(20)
    yield cell
    cell.close()


def swapped(cell: ChangedCell) -> ChangeProgram:
    """A change that is permanent; the cycle that would tell of it has not run."""
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    command = cell.command(cell.check())
    cell.image.commands.send(encode(command))
    for _ in range(20):
        cell.cycle()
        if cell.change.running.programs.digest == command.new:
            break
    assert read_running(cell.folder).programs.digest == command.new
    assert cell.events(ProgramChanged) == []
    return command


def test_a_change_whose_scan_died_before_it_could_tell_is_told_once_by_the_next(
    cell: ChangedCell,
) -> None:
    command = swapped(cell)
    cell.launch(restarted=True)
    cell.launch(restarted=True)  # the second died before its first cycle
    cell.run(5)
    (event,) = cell.events(ProgramChanged)
    assert (event.actor, event.reason, event.old, event.new, event.tasks, event.files) == (
        "ann",
        "a test",
        command.old,
        command.new,
        ["press", "lamp"],
        ["line/press.py"],
    )
    assert (event.change, event.after_restart, event.cycle) == (command.sha256, True, 1)
    assert cell.value("press.count") == 500 + 100
    cell.launch(restarted=True, told=event.change)
    cell.run(5)
    assert len(cell.events(ProgramChanged)) == 1
    assert cell.events(CommandRefused) == []


def test_a_change_that_was_told_is_not_told_again_after_a_restart_and_one_back_is_another(
    cell: ChangedCell,
) -> None:
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    cell.apply()
    cell.apply(rollback=True)
    first, second = cell.events(ProgramChanged)
    cell.apply(rollback=True)
    third = cell.events(ProgramChanged)[-1]
    assert third.new == first.new
    assert len({first.change, second.change, third.change}) == 3
    assert not any(event.after_restart for event in (first, second, third))
    cell.launch(restarted=True, told=third.change)
    cell.run(5)
    assert len(cell.events(ProgramChanged)) == 3


def test_the_event_of_a_change_that_a_later_scan_tells_is_replayed(cell: ChangedCell) -> None:
    swapped(cell)
    cell.launch(restarted=True)
    cell.cycle(30)
    assert cell.events(ProgramChanged)[0].after_restart
    with Replay(cell.kept(), folder=cell.cell) as replay:
        outcome = replay.run()
    assert outcome.identical, outcome.notes
    assert [outcome.cycles, outcome.first, outcome.last] == [30, 1, 30]


def test_an_untold_change_is_told_in_the_first_cycle_or_not_at_all(cell: ChangedCell) -> None:
    cell.edit("lamp.py", "not self.on", "False")
    reply = cell.send(UntoldChange(actor="x", change=cell.command(cell.check())))
    assert "in the first cycle of a scan" in reply.text
    assert cell.events(ProgramChanged) == []
