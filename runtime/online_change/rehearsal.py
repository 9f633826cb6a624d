"""Loads a change as the scan will, in a process of its own, and measures what it cannot interrupt.

The scan loads changed modules in turns with the beat and can stop between any two lines, but not in
a call into C that holds the interpreter: a large extension that is loaded, a sum over millions.
Nor can it stop what is handed over in one step. Both are found here, before the cell hears of the
change; so is what would go on beside the beat for ever, a thread or a process.
`processes.rehearsal` calls `rehearse`, ``cellwright change`` calls `safely_checked`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from cellwright.io.image import Image
from cellwright.io.options import from_plan
from cellwright.io.plan import Plan
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.online_change.check import ChangeError, Checked, check, newest_states
from cellwright.runtime.online_change.swap import LOAD_LIMIT_NS, ModuleSwap
from cellwright.runtime.programs.carry_over import carry_over
from cellwright.runtime.programs.module_set import SetFinder, install, resolved
from cellwright.runtime.programs.package import Package, affected, code_of, read_running
from cellwright.runtime.programs.resolve import resolve
from cellwright.runtime.programs.scratch_image import ScratchImage
from cellwright.runtime.programs.state import freeze_program
from cellwright.tasks.api import Program, names_in

PROCESS: Final = "cellwright.runtime.processes.rehearsal"
LIMIT_S: Final = LOAD_LIMIT_NS / 1e9
"""Longest time for the modules, as in the scan."""
START_S: Final = 60.0
"""Longest time for the process around it on a busy computer."""
SHARE: Final = 2
"""A piece may take a half of the base interval: the beat is late by no more, and skips no tick."""
HELD_NS: Final = 200_000_000
"""A call without work that is so long is looked at: it may keep the interpreter and wait."""
TICK_S: Final = 0.005
ROUNDS: Final = 3
"""Hand-overs of state of which the shortest counts: the computer may be busy."""
HAZARDS: Final = {
    "_thread.start_new_thread": "starts a thread, and nothing may run beside the beat",
    "os.fork": "forks the scan process",
    "os.forkpty": "forks the scan process",
    "os.exec": "replaces the scan process by another program",
    "os.posix_spawn": "starts a process",
    "os.system": "starts a process",
    "subprocess.Popen": "starts a process",
    "sys.settrace": "calls sys.settrace, by which modules are loaded in turns with the beat",
}
"""What a module must not do in the scan process while it is loaded there."""


class Piece(msgspec.Struct, frozen=True):
    """Code between two moments at which it could be made to stand still."""

    file: str
    line: int
    ns: int
    waits: bool = False
    """It kept the interpreter without work."""

    @property
    def place(self) -> tuple[str, int]:
        """File, relative to the cell's folder where it is there, and line."""
        return self.file, self.line


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of a rehearsal."""

    pieces: list[Piece] = []
    """Longer than allowed, the longest first."""
    swap_ns: int = 0
    """What is handed over in one step."""
    hazard: str = ""
    """A sentence on what must not be done at all."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to rehearse."""

    limit_ns: int
    package: Package | None = None
    """None: the modules of the folder, without making programs."""
    states: list[bytes] | None = None
    """Of the running programs, as the newest keyframe has them."""


# --- the command's side ---------------------------------------------------------------------------


def safely_checked(
    plan: Plan, image: Image, folder: RunFolder, running: Package, before: Package | None
) -> Checked:
    """`check`, with rehearsals before and after it. Raises ChangeError and PackageError."""
    limit_ns = plan.scan.base_ns // SHARE
    if before is None and any(
        _read(Path(plan.folder) / module.file) != module.source
        for module in running.programs.modules
    ):
        # Before this process imports anything: a module may fork, or never end.
        _refuse_hazard(_rehearsed(folder, plan, Wanted(limit_ns=limit_ns)))
    checked = check(plan, image, running, before)
    if checked.nothing:
        return checked
    states = newest_states(plan, checked.old)
    wanted = Wanted(limit_ns=limit_ns, package=checked.package, states=states)
    found = _rehearsed(folder, plan, wanted)
    _refuse_hazard(found)
    if found.pieces or found.swap_ns > limit_ns:
        # Once more: what only happened to be slow is not so at the same place again.
        again = _rehearsed(folder, plan, wanted)
        _refuse_hazard(again)
        reasons = objections(found, again, limit_ns)
        if reasons:
            raise ChangeError(*reasons)
    return checked


def objections(found: Found, again: Found, limit_ns: int) -> list[str]:
    """Sentences on what was too long both times."""
    second = {piece.place: piece for piece in again.pieces}
    reasons = []
    for piece in found.pieces:
        if piece.place in second:
            ns = min(piece.ns, second[piece.place].ns)
            does = "waits for" if piece.waits else "computes for"
            reasons.append(
                f"{piece.file}:{piece.line}: one call here {does} {ns / 1e6:.1f} ms and cannot be "
                f"interrupted; the cycle leaves {limit_ns / 1e6:g} ms. Take it out of what runs "
                "when the module is imported and the program is made, or stop the cell and start "
                "it again"
            )
    swap_ns = min(found.swap_ns, again.swap_ns)
    if swap_ns > limit_ns:
        reasons.append(
            f"handing over the programs' state takes {swap_ns / 1e6:.1f} ms in one step; the cycle "
            f"leaves {limit_ns / 1e6:g} ms. Keep less in attributes, do less in 'carry_over', or "
            "stop the cell and start it again"
        )
    return reasons


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _refuse_hazard(found: Found) -> None:
    if found.hazard:
        raise ChangeError(found.hazard)


def _rehearsed(folder: RunFolder, plan: Plan, wanted: Wanted) -> Found:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "wanted").write_bytes(msgspec.msgpack.encode(wanted))
        command = [sys.executable, "-m", PROCESS, "--run", str(folder.path), "--place", name]
        # It may be stuck in a call that heeds no signal but this one.
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=LIMIT_S + START_S,
                check=False,
            )
        try:
            return msgspec.msgpack.decode((place / "found").read_bytes(), type=Found)
        except (OSError, msgspec.MsgspecError):
            return Found(hazard=_stuck(place, f"{plan.folder}/"))


def _stuck(place: Path, own: str) -> str:
    """Where a process that gave no answer was at last."""
    remedy = "take it out of the module's body, or stop the cell and start it again"
    lines = (_read(place / "stuck") or b"").decode(errors="replace").splitlines()
    for line in lines:
        before, _, rest = line.partition(own)
        if before.strip() == 'File "':
            file, _, rest = rest.partition('", line ')
            at = rest.partition(" ")[0]
            return f"{file}:{at}: does not end within {LIMIT_S:g} s; {remedy}"
    if lines:
        return f"loading the changed programs does not end within {LIMIT_S:g} s; {remedy}"
    return (
        "the process in which the change was to be tried ended by itself; a module ends its "
        f"process or crashes it: {remedy}"
    )


# --- the process of its own -----------------------------------------------------------------------


class _HazardError(BaseException):
    """Raised in an author's code where it would do what it must not."""


class Meter:
    """Measures the pieces of an author's code between two moments at which it could stand still."""

    def __init__(self, own: str, limit_ns: int) -> None:
        self._own = own
        self._limit_ns = limit_ns
        self._frame: FrameType | None = None
        self._line = 0
        self._cpu_ns = self._wall_ns = self._ticks = self._ticked = 0
        self._longest: dict[tuple[str, int], Piece] = {}
        self._watching = False
        self.hazard = ""
        threading.Thread(target=self._tick, daemon=True).start()
        sys.addaudithook(self._audit)

    @property
    def pieces(self) -> list[Piece]:
        """Those that are too long, the longest first."""
        return sorted(self._longest.values(), key=lambda piece: -piece.ns)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure the block; what an author's code raises in it is not told here."""
        self._frame = None
        self._again()
        sys.settrace(self._trace)
        self._watching = True
        try:
            # What is an ordinary error is told by `check`.
            with suppress(Exception, SystemExit, _HazardError):
                yield
        except BaseException as error:  # noqa: BLE001 - an author's module raises what it likes
            *_, (frame, line) = traceback.walk_tb(error.__traceback__)
            self._found_hazard(f"raises {type(error).__name__}", frame, line)
        finally:
            self._watching = False
            sys.settrace(None)

    def _tick(self) -> None:
        while True:
            time.sleep(TICK_S)
            self._ticked += 1

    def _again(self) -> None:
        self._ticks = self._ticked
        self._wall_ns = time.monotonic_ns()
        self._cpu_ns = time.thread_time_ns()

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        took_ns = time.thread_time_ns() - self._cpu_ns
        wall_ns = time.monotonic_ns() - self._wall_ns
        if took_ns > self._limit_ns:
            self._note(took_ns, waits=False)
        elif wall_ns > HELD_NS and self._ticked - self._ticks < 2:
            self._note(wall_ns, waits=True)
        if event == "call":
            if frame.f_code is threading.Thread.start.__code__:
                self._audit("_thread.start_new_thread", ())  # no audit event before Python 3.12
            if frame.f_code.co_filename.startswith(self._own):
                frame.f_trace_opcodes = True
        self._frame, self._line = frame, frame.f_lineno
        self._again()
        return self._trace

    def _note(self, ns: int, *, waits: bool) -> None:
        file, line = self._place(self._frame, self._line)
        known = self._longest.get((file, line))
        if known is None or known.ns < ns:
            self._longest[file, line] = Piece(file, line, ns, waits)

    def _place(self, frame: FrameType | None, line: int) -> tuple[str, int]:
        """The innermost line of the cell's own files, else the line itself."""
        at, number = frame, line
        while at is not None:
            if at.f_code.co_filename.startswith(self._own):
                return at.f_code.co_filename.removeprefix(self._own), number
            at = at.f_back
            number = 0 if at is None else at.f_lineno
        return ("?" if frame is None else frame.f_code.co_filename), line

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching or event not in HAZARDS:
            return
        self._watching = False
        frame = sys._getframe(1)
        self._found_hazard(HAZARDS[event], frame, frame.f_lineno)
        raise _HazardError

    def _found_hazard(self, what: str, frame: FrameType, line: int) -> None:
        file, line = self._place(frame, line)
        self.hazard = (
            f"{file}:{line}: {what}; take it out of what runs when the module is imported and the "
            "program is made, or stop the cell and start it again"
        )


def rehearse(folder: RunFolder, wanted: Wanted, place: Path) -> Found:
    """Load what runs, then what is to run, as the scan does. Called once in a process."""
    plan, running = folder.plan(), read_running(folder)
    cell = Path(plan.folder)
    finder = SetFinder(cell, running.programs)
    install(finder)
    present = [resolve(task.program) for task in plan.tasks if resolved([task.program], finder)]
    package = wanted.package
    shelf = ModuleSwap(cell, finder)
    sources = None if package is None else package.programs
    fresh = SetFinder(cell, sources, {} if package is None else code_of(package))
    meter = Meter(f"{cell}/", wanted.limit_ns)
    shelf.begin(fresh, shelf.names(package or running))
    kinds: dict[int, type[Program[Any]]] = {}
    with meter.watching():
        if package is None:
            for kind in resolved((task.program for task in plan.tasks), fresh):
                names_in(kind)
        else:
            for module in package.programs.modules:
                import_module(module.name)
            for index in affected(plan, package.programs):
                kinds[index] = resolve(plan.tasks[index].program)
                names_in(kinds[index])
    swap_ns = 0
    if package is not None and not meter.hazard:
        scratch = Image.create(place / "image", plan, "00000000")
        try:
            image = ProcessImage(scratch, plan)
            swap_ns = _hand_over(plan, image, meter, shelf, wanted, present, kinds)
        finally:
            scratch.close()
    return Found(pieces=meter.pieces, swap_ns=swap_ns, hazard=meter.hazard)


def _hand_over(  # noqa: PLR0917
    plan: Plan,
    image: ProcessImage,
    meter: Meter,
    shelf: ModuleSwap,
    wanted: Wanted,
    present: list[type[Program[Any]]],
    kinds: dict[int, type[Program[Any]]],
) -> int:
    """Nanoseconds of the step in which the programs take over; the shortest of some."""
    package = wanted.package
    assert package is not None
    modules = frozenset(name.partition(".")[0] for name in package.programs.names())
    shortest = []
    for _ in range(ROUNDS):
        total_ns = 0
        for index, kind in kinds.items():
            task = plan.tasks[index]
            made: list[Program[Any]] = []
            with meter.watching():
                options = from_plan(kind.Options, package.options[index])
                made.append(kind(ScratchImage(image), task.binding, options))
            if not made:
                continue
            state = wanted.states[index] if wanted.states else b""
            if not state:
                # No keyframe yet: what programs know at their start is better than nothing.
                shelf.swap()
                state, took_ns = _frozen(present[index], plan, index, image)
                shelf.swap()
                total_ns += took_ns
            take = partial(carry_over, state, made[0], image, modules)
            with suppress(Exception, SystemExit):
                total_ns += _took_ns(take)
        shortest.append(total_ns)
    return min(shortest)


def _frozen(
    kind: type[Program[Any]], plan: Plan, index: int, image: ProcessImage
) -> tuple[bytes, int]:
    task = plan.tasks[index]
    frozen = [b""]
    with suppress(Exception, SystemExit):
        options = from_plan(kind.Options, task.options)
        program = kind(ScratchImage(image), task.binding, options)

        def freeze() -> None:
            frozen[0] = freeze_program(program, image)

        return frozen[0], _took_ns(freeze)
    return frozen[0], 0


def _took_ns(work: Callable[[], object]) -> int:
    """What the beat would stand still for: work, and waiting when the code itself waits."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    wall_ns, cpu_ns = time.monotonic_ns(), time.thread_time_ns()
    work()
    cpu_ns, wall_ns = time.thread_time_ns() - cpu_ns, time.monotonic_ns() - wall_ns
    waited = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw > before
    return wall_ns if waited else cpu_ns
