"""A changed program is loaded between two cycles with its state, or refused with the reason."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from cellwright.io.messages import (
    ChangeProgram,
    CommandRefused,
    FaultRaised,
    ProgramChanged,
    ProgramsLoaded,
    WriteTag,
    encode,
)
from cellwright.io.plan import CellState
from cellwright.runtime.online_change.check import ChangeError
from cellwright.runtime.programs.package import change_file, read_running
from cellwright.runtime.recorder.replay import Replay
from support.changed_cell import HELPERS, LAMP, PRESS, ChangedCell

Make = Callable[..., ChangedCell]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a cell of these files instead of the usual ones."""
    made: list[ChangedCell] = []

    def one(**files: str) -> ChangedCell:
        made.append(ChangedCell(tmp_path, **files))
        return made[-1]

    yield one
    for cell in made:
        cell.close()


@pytest.fixture
def cell(make: Make) -> ChangedCell:
    """In RUN for a while, with a timer that counts."""
    cell = make()
    cell.run()
    cell.send(WriteTag(tag="go", value=True, actor="ann"))
    cell.cycle(20)
    return cell


@pytest.mark.behaviour(22)
def test_a_changed_program_is_loaded_between_two_cycles_with_retained_values_carried_over(
    cell: ChangedCell,
) -> None:
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    before = {name: cell.value(f"press.{name}") for name in ("count", "strokes", "elapsed")}
    program = cell.scan.execution.programs[0]
    cycle = cell.scan.cycle_number
    checked = cell.apply()
    ran = cell.scan.cycle_number - cycle
    now = {name: cell.value(f"press.{name}") for name in ("count", "strokes", "elapsed")}
    assert now["strokes"] == before["strokes"] + ran, "each cycle ran the program once"
    assert now["elapsed"] == before["elapsed"] + 10 * ran, "the timer went on counting"
    assert now["count"] == before["count"] + (ran - 1) + 100, "only the last cycle ran the new one"
    assert cell.value("press.changes") == 1
    assert cell.value("press.first") is False
    changed = cell.scan.execution.programs[0]
    assert type(changed) is not type(program)
    mode = sys.modules["line.helpers"].Mode
    assert vars(changed)["mode"] is mode.BUSY, "enumerations are those of the changed modules"
    assert all(one is mode.BUSY for one in vars(changed)["seen"])
    assert [delay.ET for delay in vars(changed)["delays"]] == [changed.timer.ET] * 2
    (event,) = cell.events(ProgramChanged)
    assert (event.tasks, event.files, event.actor, event.reason, event.rolled_back) == (
        ["press", "lamp"],
        ["line/press.py"],
        "ann",
        "a test",
        False,
    )
    assert (event.old, event.new) == (checked.old, checked.new)
    assert event.cycle == cell.scan.cycle_number
    cell.cycle(3)
    assert cell.value("press.changes") == 1
    assert cell.value("press.count") == now["count"] + 300


def test_what_was_checked_is_loaded_whatever_lies_in_the_folder_by_then(cell: ChangedCell) -> None:
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    command = cell.command(cell.check())
    cell.write("line/press.py", "this is no Python")
    cell.write("line/helpers.py", "nor is this")
    assert cell.send(command).code == 0
    at = cell.value("press.count")
    cell.cycle()
    assert cell.value("press.count") == at + 100


def test_the_modules_of_a_cell_change_together(cell: ChangedCell) -> None:
    cell.edit(
        "line/helpers.py", "return step", "return step * twice()\n\n\ndef twice():\n    return 2"
    )
    cell.apply()
    at = cell.value("press.count")
    cell.cycle(10)
    assert cell.value("press.count") == at + 20
    press, lamp, helpers = (sys.modules[n] for n in ("line.press", "lamp", "line.helpers"))
    assert press.Mode is lamp.Mode is helpers.Mode
    assert sys.modules["line"].helpers is helpers
    assert [type(program) for program in cell.scan.execution.programs] == [press.Press, lamp.Lamp]


def test_new_attributes_are_as_init_makes_them_and_those_unknown_are_dropped(
    cell: ChangedCell,
) -> None:
    cell.cycle(600)  # the recorder has made a keyframe in RUN since
    cell.edit("line/press.py", "self.seen = []", "self.fresh = 7")
    cell.edit(
        "line/press.py", "        self.seen.append(self.mode)\n        del self.seen[:-5]\n", ""
    )
    cell.edit("line/press.py", "self.delays = [TON(), TON()]", "self.delays = [TON()]")
    taken = cell.apply().taken["press"]
    assert taken.kept == ("delays[0]", "mode", "timer")
    assert taken.new == ("fresh",)
    assert taken.dropped == ("delays[1]", "seen")
    program = vars(cell.scan.execution.programs[0])
    assert (program["fresh"], len(program["delays"]), "seen" in program) == (7, 1, False)


def test_a_program_may_migrate_its_state_itself(cell: ChangedCell) -> None:
    cell.edit(
        "line/press.py",
        "    def scan(",
        "    def carry_over(self, state):\n"
        "        self.history = len(state.pop('seen'))\n"
        "        super().carry_over(state)\n\n"
        "    def scan(",
    )
    cell.edit(
        "line/press.py", "        self.seen.append(self.mode)\n        del self.seen[:-5]\n", ""
    )
    cell.apply()
    assert vars(cell.scan.execution.programs[0])["history"] == 5


def test_what_init_writes_to_variables_does_not_reach_a_running_cell(cell: ChangedCell) -> None:
    assert "self.count = 0" in PRESS
    at = cell.value("press.count")
    cell.edit("lamp.py", "not self.on", "False")
    cell.apply()
    assert cell.value("press.count") > at


def test_options_change_online_too(cell: ChangedCell) -> None:
    cell.edit("cell.yaml", "options: {step: 1}", "options: {step: 5}")
    checked = cell.apply()
    assert (checked.options, checked.files) == (["press"], {})
    at = cell.value("press.count")
    cell.cycle(10)
    assert cell.value("press.count") == at + 50


def test_a_change_in_stop_is_there_at_the_next_start_and_one_in_pause_goes_on_where_it_stood(
    cell: ChangedCell,
) -> None:
    cell.request("pause")
    cell.edit("lamp.py", "not self.on", "False")
    elapsed = cell.value("press.elapsed")
    cell.apply()
    assert cell.scan.state is CellState.PAUSE
    cell.request("hot_start")
    assert cell.value("press.elapsed") == elapsed + 10
    assert cell.value("press.changes") == 1
    cell.request("stop")
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    cell.apply()
    cell.request("start")
    assert (cell.value("press.count"), cell.value("press.changes")) == (100, 0)


@pytest.mark.behaviour(22)
def test_a_rollback_goes_back_to_the_programs_before_and_is_on_record(cell: ChangedCell) -> None:
    first = read_running(cell.folder).programs.digest
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    cell.edit("line/press.py", "    step: int", "    gain: int = 3\n    step: int")
    cell.edit("cell.yaml", "options: {step: 1}", "options: {step: 2, gain: 4}")
    cell.apply()
    elapsed = cell.value("press.elapsed")
    cycle = cell.scan.cycle_number
    cell.apply(rollback=True)
    assert cell.value("press.elapsed") == elapsed + 10 * (cell.scan.cycle_number - cycle)
    at = cell.value("press.count")
    cell.cycle(10)
    assert cell.value("press.count") == at + 10, "programs and options are those before"
    assert [event.rolled_back for event in cell.events(ProgramChanged)] == [False, True]
    assert cell.events(ProgramChanged)[-1].new == first == read_running(cell.folder).programs.digest


# --- refusals -------------------------------------------------------------------------------------


def refused(cell: ChangedCell, command: ChangeProgram, code: int = 6) -> str:
    """The reason; nothing else than the event of the refusal has happened."""
    programs, classes = list(cell.scan.execution.programs), list(cell.scan.execution.classes)
    modules = {name: sys.modules[name] for name in ("lamp", "line", "line.press", "line.helpers")}
    finders = list(sys.meta_path)
    before = read_running(cell.folder)
    count, state = cell.value("press.count"), cell.scan.state
    cycle = cell.scan.cycle_number
    reply = cell.send(command)
    assert reply.code == code
    ran = cell.scan.cycle_number - cycle if state is CellState.RUN else 0
    assert cell.value("press.count") == count + ran, "the program before ran in every cycle"
    assert cell.scan.execution.programs == programs
    assert list(cell.scan.execution.classes) == classes
    assert {name: sys.modules[name] for name in modules} == modules
    assert list(sys.meta_path) == finders
    assert read_running(cell.folder) == before
    assert cell.events(ProgramChanged) == []
    event = cell.events(CommandRefused)[-1]
    assert (event.command, event.actor) == ("ChangeProgram", "ann")
    # The answer is cut where its slot ends; paths of tests are long.
    assert event.why.startswith(reply.text)
    assert cell.scan.state is state
    return reply.text


@pytest.mark.behaviour(22)
def test_a_file_that_was_changed_between_check_and_load_is_refused(cell: ChangedCell) -> None:
    cell.edit("lamp.py", "not self.on", "False")
    command = cell.command(cell.check())
    path = change_file(cell.folder, command.sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "is not what was validated" in refused(cell, command)
    path.unlink()
    assert "No such file" in refused(cell, command)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"sha256": "../image"}, "is not the SHA-256"),
        ({"remote": True}, "not remotely"),
        ({"old": "0" * 64}, "the programs were changed meanwhile"),
        ({"new": "0" * 64}, "the programs were changed meanwhile"),
        ({"tasks": ["lamp"]}, "names other tasks"),
        ({"reason": "another"}, "does not match the command"),
    ],
)
def test_a_command_that_is_not_about_what_runs_and_what_was_checked_is_refused(
    cell: ChangedCell, other: dict[str, object], says: str
) -> None:
    cell.edit("lamp.py", "not self.on", "False")
    assert says in refused(cell, cell.command(cell.check(), **other))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("class Lamp", "if __import__('state').broken: raise OSError('no lamp')\n\n\nclass Lamp",
         "cannot be loaded: OSError: no lamp"),
        ("class Lamp", "if __import__('state').broken: raise SystemExit(3)\n\n\nclass Lamp",
         "SystemExit(3)"),
        ("class Lamp", "if __import__('state').broken: raise OSError('\\udcff')\n\n\nclass Lamp",
         "cannot be loaded: OSError: \\udcff"),
        ("    def scan", "    def __init__(self, *a):\n        super().__init__(*a)\n"
         "        assert not __import__('state').broken, 'dark'\n\n    def scan",
         "program of task 'lamp' cannot be made: AssertionError: dark"),
        ("    def scan", "    def carry_over(self, old):\n"
         "        assert not __import__('state').broken, 'dark'\n\n    def scan",
         "AssertionError: dark"),
        ("class Lamp", "if __import__('state').broken: raise KeyboardInterrupt\n\n\nclass Lamp",
         "KeyboardInterrupt()"),
        ("class Lamp", "from cellwright.runtime.online_change.slices import CancelledError\n"
         "if __import__('state').broken: raise CancelledError\n\n\nclass Lamp",
         "CancelledError()"),
        ("class Lamp", "class Mute(Exception):\n    def __str__(self):\n        raise OSError\n\n\n"
         "if __import__('state').broken: raise Mute\n\n\nclass Lamp", "Mute (which cannot say"),
        ("class Lamp", "if __import__('state').broken:\n    import sys\n    sys.settrace(None)\n"
         "\n\nclass Lamp", "module 'lamp' calls sys.settrace"),
        ("    def scan", "    def carry_over(self, old):\n"
         "        if __import__('state').broken: raise SystemExit(3)\n\n    def scan",
         "SystemExit(3)"),
        ("class Lamp", "import sys\nif __import__('state').broken: del sys.modules[__name__]"
         "\n\n\nclass Lamp", "KeyError: 'lamp'"),
    ],
    ids=["in the module", "exit", "no text", "in __init__", "in carry_over", "interrupt",
         "cancelled", "mute", "untraced", "exit in carry_over", "deletes itself"],
)  # fmt: skip
@pytest.mark.behaviour(22)
def test_whatever_fails_in_the_scan_that_did_not_in_the_check_leaves_the_programs_before(
    cell: ChangedCell, monkeypatch: pytest.MonkeyPatch, old: str, new: str, says: str
) -> None:
    state = ModuleType("state")
    monkeypatch.setitem(sys.modules, "state", state)
    monkeypatch.setattr(state, "broken", False, raising=False)
    cell.edit("lamp.py", old, new)
    command = cell.command(cell.check())
    monkeypatch.setattr(state, "broken", True)
    assert says in refused(cell, command)
    monkeypatch.setattr(state, "broken", False)
    assert cell.send(cell.command(cell.check())).code == 0


def test_a_state_that_is_handed_over_for_ever_is_not_and_the_programs_before_go_on(
    cell: ChangedCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell.change, "_now_ns", time.monotonic_ns)
    endless = "    def carry_over(self, old):\n        while True: pass\n\n    def scan"
    cell.edit("lamp.py", "    def scan", endless)
    assert "state takes longer than 0.25 s (lamp.py:10)" in refused(
        cell, cell.command(cell.check())
    )


@pytest.mark.parametrize(
    "text",
    [
        "import threading\nthreading.settrace(lambda *_: None)\nthreading.settrace(None)\n",
        "import threading\nthreading.Thread(target=len, args=('',)).start()\n",
        "".join(f"V{number} = {number}\n" for number in range(8000)),
    ],
    ids=["threading.settrace", "thread", "8,000 lines"],
)
def test_modules_that_do_unusual_things_are_loaded_or_refused_as_a_whole(
    cell: ChangedCell, text: str
) -> None:
    cell.write("lamp.py", text + LAMP)
    reply = cell.send(cell.command(cell.check()))
    ran = [type(program).__module__ for program in cell.scan.execution.programs]
    assert ran == ["line.press", "lamp"]
    assert cell.scan.state is CellState.RUN
    assert (reply.code == 0) == bool(cell.events(ProgramChanged))
    assert (reply.code == 0) != bool(cell.events(CommandRefused))
    cell.cycle(10)
    cell.edit("lamp.py", text, "")
    cell.apply()


def test_a_change_that_fails_with_endless_words_is_refused_in_few(
    cell: ChangedCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ModuleType("state")
    monkeypatch.setitem(sys.modules, "state", state)
    monkeypatch.setattr(state, "broken", False, raising=False)
    words = "if __import__('state').broken: raise OSError('x' * 99_999)"
    cell.edit("lamp.py", "class Lamp", f"{words}\n\n\nclass Lamp")
    command = cell.command(cell.check())
    monkeypatch.setattr(state, "broken", True)
    assert "cannot be loaded: OSError: xxx" in cell.send(command).text
    (event,) = cell.events(CommandRefused)
    assert len(event.why) <= 1000
    monkeypatch.setattr(state, "broken", False)
    assert cell.send(cell.command(cell.check())).code == 0, "the next change is not held up"


@pytest.mark.behaviour(22)
def test_state_that_the_changed_program_would_misunderstand_refuses_the_change(
    cell: ChangedCell,
) -> None:
    cell.edit("line/press.py", "self.seen = []", "self.seen = {}")
    cell.edit(
        "line/press.py", "        self.seen.append(self.mode)\n        del self.seen[:-5]\n", ""
    )
    text = refused(cell, cell.command(cell.check()))
    assert "its attribute 'seen' is a list in the running program and a dict" in text


def test_a_member_of_an_enumeration_that_is_gone_refuses_the_change(cell: ChangedCell) -> None:
    cell.write("line/helpers.py", HELPERS.replace("BUSY = 1", "BUSY = 3"))
    assert "1 is not a valid Mode" in refused(cell, cell.command(cell.check()))


def test_one_change_at_a_time_and_none_in_fault(cell: ChangedCell) -> None:
    cell.edit("lamp.py", "not self.on", "False")
    command = cell.command(cell.check())
    second = cell.image.commands
    ticket = second.send(encode(command))
    assert "a change by ann is being loaded" in cell.send(command).text
    cell.cycle(5)
    reply = second.result(ticket)
    assert reply is not None
    assert reply.code == 0
    cell.edit("lamp.py", "self.on = False", "raise ValueError('dark')")
    cell.apply()
    cell.cycle()
    assert cell.scan.state is CellState.FAULT, "an exception in the first scan is one as always"
    assert "ValueError: dark" in cell.events(FaultRaised)[-1].text
    cell.edit("lamp.py", "raise ValueError('dark')", "self.on = False")
    reply = cell.send(cell.command(cell.check()))
    assert (reply.code, reply.text) == (
        6,
        "programs cannot be changed in FAULT; reset the cell first",
    )
    cell.request("reset")
    assert cell.send(cell.command(cell.check())).code == 0


def test_nobody_can_tell_the_scan_that_a_change_was_loaded_which_nobody_asked_for(
    cell: ChangedCell,
) -> None:
    reply = cell.send(ProgramsLoaded(actor="scan"))
    assert "no change of programs is under way" in reply.text
    assert cell.events(ProgramChanged) == []


# --- restarts and recordings ----------------------------------------------------------------------


@pytest.mark.parametrize("rollback", [False, True], ids=["changed", "rolled back"])
def test_a_scan_that_is_restarted_goes_on_with_the_programs_that_ran(
    cell: ChangedCell, rollback: bool
) -> None:
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    cell.edit("cell.yaml", "options: {step: 1}", "options: {step: 2}")
    cell.apply()
    if rollback:
        cell.apply(rollback=True)
    text = (cell.cell / "line/press.py").read_text()
    cell.write("line/press.py", "this is no Python")
    cell.launch(restarted=True)
    assert cell.kept_programs
    cell.run(4)
    assert cell.value("press.count") == (5 if rollback else 1000)
    cell.write("line/press.py", text.replace("+= 100 * scaled(", "+= 7 * scaled("))
    cell.apply()
    at = cell.value("press.count")
    cell.cycle()
    assert cell.value("press.count") == at + 14


def test_the_first_scan_of_another_supervisor_runs_what_lies_in_the_folder(
    cell: ChangedCell,
) -> None:
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    cell.apply()
    cell.edit("line/press.py", "+= 100 * scaled(", "+= 3 * scaled(")
    cell.launch(restarted=False)
    assert not cell.kept_programs
    cell.run()
    assert cell.value("press.count") == 3


def replayed(path: Path, folder: Path) -> tuple[list[int], list[str]]:
    """Cycles compared, first and last, all identical; and the notes."""
    with Replay(path, folder=folder) as replay:
        outcome = replay.run()
    assert outcome.difference is None, outcome.difference
    assert outcome.identical, outcome.notes
    return [outcome.cycles, outcome.first, outcome.last], outcome.notes


def test_a_replay_over_an_online_change_compares_what_ran_with_the_programs_at_hand(
    cell: ChangedCell, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(cell.cell, old)
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    cell.edit("cell.yaml", "options: {step: 1}", "options: {step: 2}")
    cell.apply()
    changed = cell.scan.cycle_number
    cell.cycle(30)
    cell.edit("lamp.py", "not self.on", "a mistake")
    with pytest.raises(ChangeError):
        cell.check()
    cell.edit("lamp.py", "a mistake", "not self.on")
    last, path = cell.scan.cycle_number, cell.kept()
    compared, notes = replayed(path, cell.cell)
    assert compared == [last - changed + 1, changed, last], notes
    assert any(
        f"from cycle {changed} on the cell ran with the programs at hand" in n for n in notes
    )
    compared, notes = replayed(path, old)
    assert compared == [changed - 1, 1, changed - 1], notes
    assert any(f"cycles from {changed} on ran with other programs" in note for note in notes)


def test_a_replay_with_programs_that_never_ran_ends_where_the_programs_changed(
    cell: ChangedCell, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(cell.cell, other)
    (other / "lamp.py").write_text((other / "lamp.py").read_text() + "\n# the same, commented\n")
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    cell.apply()
    changed = cell.scan.cycle_number
    cell.cycle(30)
    compared, notes = replayed(cell.kept(), other)
    assert compared == [changed - 1, 1, changed - 1]
    assert any(f"were changed online after cycle {changed - 1}" in note for note in notes)


def test_a_refused_change_is_replayed_as_it_was(cell: ChangedCell) -> None:
    cell.edit("lamp.py", "not self.on", "False")
    command = cell.command(cell.check(), old="0" * 64)
    assert cell.send(command).code == 6
    cell.edit("lamp.py", "False", "not self.on")
    cell.cycle(10)
    last, path = cell.scan.cycle_number, cell.kept()
    assert replayed(path, cell.cell)[0] == [last, 1, last]


def test_a_change_whose_keyframe_was_lost_is_no_difference(cell: ChangedCell) -> None:
    old_pump, cell.pump = cell.pump, lambda: None  # type: ignore[method-assign]
    cell.edit("line/press.py", "+= scaled(", "+= 100 * scaled(")
    put = cell.recorder._put_keyframe
    cell.recorder._put_keyframe = lambda: False  # type: ignore[method-assign]
    cell.apply()
    changed = cell.scan.cycle_number
    cell.cycle(20)
    cell.recorder._put_keyframe = put  # type: ignore[method-assign]
    cell.pump = old_pump  # type: ignore[method-assign]
    cell.cycle(120)
    compared, notes = replayed(cell.kept(), cell.cell)
    assert compared[0] < 120
    assert compared[1] > changed
    assert notes
