"""A recorded cell in simulated time whose programs lie in a folder and are changed while it runs.

Everything is real but the clock: the compiler, the check of a change, its file in the run folder,
the command, the loader and the recorder. Whoever uses it calls `close` at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from cellwright.io.image import Image, Reply
from cellwright.io.messages import AnyCommand, AnyEvent, ChangeProgram, SetMode, decode_event
from cellwright.io.messages import encode as encoded
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import plan as plans
from cellwright.io.recording.file import Header
from cellwright.io.recording.store import RECORDINGS, Policy, RecordingStore
from cellwright.io.timing.clock import SimulatedClock
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.config import compile_file
from cellwright.runtime.online_change.check import Checked, check
from cellwright.runtime.online_change.swap import OnlineChange
from cellwright.runtime.programs.loading import load_programs
from cellwright.runtime.programs.module_set import of_folder
from cellwright.runtime.programs.package import Asked, leave_change, read_before, read_running
from cellwright.runtime.recorder.recorder import ScanRecorder
from cellwright.runtime.scan.cycle import Scan

BASE_NS = 10_000_000
BOOT = "0123abcd"
CELL = """
cell: {name: Changed, site: Here, start: stop}
scan: {base: 10ms, watchdog: 50ms}
tags:
  go: {type: BOOL, memory: true, write: [Operator]}
tasks:
  press:
    program: "line.press:Press"
    interval: 10ms
    bind: {go: go}
    options: {step: 1}
  lamp: {program: "lamp:Lamp", interval: 10ms}
"""
PRESS = """
from pydantic import Field
from cellwright.tasks.api import BOOL, DINT, UDINT, Input, Output, Program, ProgramOptions, Retained
from cellwright.tasks.control.blocks import TON, T_s
from line.helpers import Mode, scaled


class PressOptions(ProgramOptions):
    step: int = Field(1, ge=1)


class Press(Program[PressOptions]):
    Options = PressOptions
    go = Input(BOOL)
    count = Output(DINT)
    strokes = Retained(UDINT)
    elapsed = Output(DINT)
    changes = Output(DINT)
    first = Output(BOOL)
    timer = TON()

    def __init__(self, image, binding, options):
        super().__init__(image, binding, options)
        self.count = 0
        self.mode = Mode.IDLE
        self.seen = []
        self.delays = [TON(), TON()]

    def scan(self, ctx):
        self.first = ctx.first_scan
        self.changes += ctx.changed
        self.mode = Mode.BUSY if self.go else Mode.IDLE
        self.seen.append(self.mode)
        del self.seen[:-5]
        self.timer(ctx, IN=self.go, PT=T_s(1000.0))
        for delay in self.delays:
            delay(ctx, IN=self.go, PT=T_s(1000.0))
        self.elapsed = self.timer.ET // 1_000_000
        self.count += scaled(self.options.step)
        self.strokes += 1
"""
HELPERS = """
from enum import IntEnum


class Mode(IntEnum):
    IDLE = 0
    BUSY = 1


def scaled(step):
    return step
"""
LAMP = """
from cellwright.tasks.api import BOOL, Output, Program
from line.helpers import Mode


class Lamp(Program):
    on = Output(BOOL)

    def scan(self, ctx):
        self.on = not self.on
"""
FILES = {
    "cell.yaml": CELL,
    "line/__init__.py": "",
    "line/press.py": PRESS,
    "line/helpers.py": HELPERS,
    "lamp.py": LAMP,
}


class ChangedCell:
    """The cell of this module, or one of other files."""

    def __init__(self, base: Path, **files: str) -> None:
        self.cell = base / "cell"
        self.folder = RunFolder(base / "run")
        self.folder.path.mkdir()
        for name, text in {**FILES, **files}.items():
            self.write(name, text)
        self.plan = compile_file(self.cell / "cell.yaml")
        self.recordings = Path(self.plan.data) / RECORDINGS
        self.recordings.parent.mkdir(parents=True, exist_ok=True)
        self.clock = SimulatedClock(start_ns=10**10, utc_offset_ns=1_760_000_000_000_000_000)
        self.image = Image.create(self.folder.image, self.plan, BOOT)
        self.restarts = self.asked = 0
        self.tick = 0
        self._taken: list[AnyEvent] = []
        self._finders = list(sys.meta_path)
        self._path = list(sys.path)
        self.store: RecordingStore | None = None
        self.launch(restarted=False)

    def launch(self, *, restarted: bool, told: str = "") -> None:
        """A scan process's start, as the supervisor has it; ``told`` is the last change told."""
        start = ScanStart(
            f"{BOOT}{self.restarts:02x}",
            {},
            [],
            restarted=restarted,
            notes=[],
            told_change=told,
        )
        self.restarts += 1
        if self.restarts > 1:
            self.change.close()
        self.image.scan.started_ns = self.clock.now_ns()
        self.image.journal.ok = True
        loaded = load_programs(self.folder, self.plan, start, self.clock.utc_ns())
        self.kept_programs = loaded.kept
        self.recorder = ScanRecorder(self.image, self.clock)
        self.recorder.digest = loaded.package.programs.digest
        self.recorder.options = loaded.package.options
        self.scan = Scan(
            loaded.plan,
            self.image,
            start,
            self.recorder.clock,
            loaded.classes,
            observer=self.recorder,
        )
        self.recorder.bind(self.scan)
        self.change = OnlineChange(
            self.scan,
            self.folder,
            loaded,
            recorder=self.recorder,
            now_ns=self.clock.now_ns,
        )
        if self.store is None:
            self.store = RecordingStore(
                self.recordings,
                Header(
                    cell=self.plan.cell,
                    plan=plans.dump(self.plan),
                    layout_hash=self.plan.layout_hash,
                    sources={},
                    created_utc_ns=0,
                ),
                Policy(),
            )
        self.recorder.step(self.clock.now_ns())

    def close(self) -> None:
        """Leave the import system of this process as it was."""
        self.change.close()
        for name in of_folder(self.cell):
            del sys.modules[name]
        sys.modules.pop("line", None)
        sys.meta_path[:] = self._finders
        sys.path[:] = self._path
        if self.store is not None:
            self.store.close()
        self.image.close()

    # --- files ------------------------------------------------------------------------------------

    def write(self, name: str, text: str) -> None:
        """A file of the cell's folder."""
        path = self.cell / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace something in a file."""
        text = (self.cell / name).read_text()
        assert old in text, text
        self.write(name, text.replace(old, new))

    # --- cycles -----------------------------------------------------------------------------------

    def cycle(self, count: int = 1) -> None:
        """Cycles, each followed by what the scan process does in the slack."""
        for _ in range(count):
            now_ns = self.clock.now_ns()
            self.image.processes["journal"].beat_ns = now_ns
            self.scan.cycle(self.tick, now_ns, self.clock.utc_ns())
            self.tick += 1
            self.recorder.step(now_ns)
            if self.change.busy:
                # The clock stands still meanwhile: a turn lasts until its code is over.
                self.change.step(now_ns + 60_000_000_000)
            self.clock.advance(BASE_NS)
            self.pump()

    def pump(self) -> None:
        """What the recorder process does when it wakes."""
        assert self.store is not None
        while records := self.image.records.peek():
            for sequence, data in records:
                self.store.take(data)
                self.image.records.acknowledge(sequence)
        self.store.step()

    def kept(self) -> Path:
        """Keep everything now and return the file."""
        assert self.store is not None
        self.pump()
        self.store.keep("asked for by a test")
        self.store.close()
        return self.recordings / self.store.figures.newest

    def send(self, command: AnyCommand, cycles: int = 20) -> Reply:
        """Send a command and run until it is answered."""
        ticket = self.image.commands.send(encoded(command))
        for _ in range(cycles):
            self.cycle()
            reply = self.image.commands.result(ticket)
            if reply is not None:
                return reply
        raise AssertionError(f"no answer to {command} in {cycles} cycles")

    def request(self, request: str) -> None:
        """Start, stop, pause ..., as an operator; must be obeyed."""
        reply = self.send(SetMode(request=request, actor="operator"))
        assert reply.code == 0, reply

    def run(self, cycles: int = 0) -> None:
        """Into RUN, and some cycles there."""
        self.cycle()
        self.request("start")
        self.cycle(cycles)

    def value(self, name: str) -> Any:
        """A tag's published value."""
        reader = self.image.snapshot_reader()
        assert reader.read()
        return reader.value(self.plan.tag(name).index)

    def events(self, kind: type) -> list[Any]:
        """Events of one kind so far."""
        ring = self.image.events["scan"]
        for sequence, data in ring.peek():
            self._taken.append(decode_event(data))
            ring.acknowledge(sequence)
        return [event for event in self._taken if isinstance(event, kind)]

    # --- changes ----------------------------------------------------------------------------------

    def check(self, *, rollback: bool = False) -> Checked:
        """What ``cellwright change`` finds out; raises ChangeError."""
        before = read_before(self.folder) if rollback else None
        assert (before is not None) == rollback
        return check(self.plan, self.image, read_running(self.folder), before)

    def command(self, checked: Checked, *, rollback: bool = False, **other: Any) -> ChangeProgram:
        """The command of a checked change, whose file is left in the run folder."""
        self.asked += 1
        asked = Asked(
            actor="ann",
            reason="a test",
            old=checked.old,
            tasks=checked.tasks,
            files=list(checked.files),
            rolled_back=rollback,
            token=str(self.asked),
        )
        command = leave_change(self.folder, checked.package, asked, self.clock.utc_ns())
        return msgspec.structs.replace(command, **other)

    def apply(self, *, rollback: bool = False) -> Checked:
        """Check, command, and the cycles until it is done; must succeed."""
        checked = self.check(rollback=rollback)
        reply = self.send(self.command(checked, rollback=rollback))
        assert (reply.code, reply.text) == (0, "")
        return checked


def names(found: Sequence[Any]) -> list[str]:
    """The types' names."""
    return [type(one).__name__ for one in found]
