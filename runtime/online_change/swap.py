"""Takes changed programs into a running scan: loads them in the slack, swaps between two cycles.

The scan process calls `OnlineChange.step` after a cycle while a change is wanted. Whatever goes
wrong on the way leaves the running programs as they were, and is told in a sentence.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final

from cellwright.io.messages import ChangeProgram, ProgramsLoaded, UntoldChange
from cellwright.io.options import from_plan
from cellwright.io.plan import CellState, Plan
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.online_change.slices import (
    CancelledError,
    InTheWayError,
    Slices,
    StillRunsError,
)
from cellwright.runtime.programs.carry_over import CarryError, carry_over
from cellwright.runtime.programs.loading import Loaded
from cellwright.runtime.programs.module_set import (
    SetFinder,
    of_folder,
)
from cellwright.runtime.programs.package import (
    Package,
    PackageError,
    affected,
    code_of,
    command_of,
    prepare_take_over,
    read_change,
    take_over,
)
from cellwright.runtime.programs.resolve import resolve, with_options
from cellwright.runtime.programs.scratch_image import ScratchImage, attach_image
from cellwright.runtime.programs.state import culprit, freeze_program
from cellwright.runtime.recorder.recorder import ScanRecorder
from cellwright.runtime.scan.cycle import Scan
from cellwright.runtime.scan.modes.states import DRIVING
from cellwright.tasks.api import Program, clip, names_in

LOAD_LIMIT_NS: Final = 20_000_000_000
"""Longest time for a change to be loaded; a module that does not end its import is given up."""
SWAP_LIMIT_NS: Final = 250_000_000
"""Longest time for a state to be handed over when the check was wrong about it; the scan is silent
meanwhile, and would be killed after a second."""
PATIENCE_NS: Final = 500_000_000
"""Longest time without a beat that a half-loaded module may be the reason of."""
MARGIN: Final = 5
"""The part of a base interval that is left free before a tick: a fifth."""
ERROR_BYTES: Final = 1000
"""Longest reason why a change was not made."""


class RefusedChangeError(Exception):
    """A change that was not made; the sentence says why."""


class _TooLongError(BaseException):
    """Raised in an author's code, which is not to catch it."""


@dataclass
class _Prepared:
    """Everything of a change that could be made beforehand."""

    package: Package
    plan: Plan
    """The running one with the options of the change."""
    tasks: list[int]
    classes: dict[int, type[Program[Any]]] = field(default_factory=dict)
    programs: dict[int, Program[Any]] = field(default_factory=dict)
    """Fresh ones; empty when no program ran at the time."""


class ModuleSwap:
    """The cell's modules of two sets, of which one at a time is the one that can be imported."""

    def __init__(self, folder: Path, finder: SetFinder) -> None:
        self._folder = folder
        self.finder = finder
        """Of the set that can be imported now."""
        self._new: SetFinder | None = None
        self._there: dict[str, ModuleType] = {}
        self._names: frozenset[str] = frozenset()

    def names(self, package: Package) -> frozenset[str]:
        """Names of both sets, those of the packages that hold them included."""
        names = {*package.programs.names(), *of_folder(self._folder)}
        for name in list(names):
            parts = name.split(".")
            names.update(".".join(parts[:count]) for count in range(1, len(parts)))
        return frozenset(names)

    def begin(self, finder: SetFinder, names: frozenset[str]) -> None:
        """From now on there is an empty second set; imports see it."""
        self._names, self._new, self._there = names, finder, {}
        self.swap()

    def swap(self) -> None:
        """Let imports see the other set."""
        if self._new is None:
            return
        here = {name: sys.modules.pop(name) for name in self._names if name in sys.modules}
        sys.modules.update(self._there)
        self._there = here
        sys.meta_path.remove(self.finder)
        self.finder, self._new = self._new, self.finder
        sys.meta_path.insert(0, self.finder)


class OnlineChange:
    """The changes of one scan process, one at a time."""

    def __init__(
        self,
        scan: Scan,
        folder: RunFolder,
        loaded: Loaded,
        *,
        recorder: ScanRecorder,
        now_ns: Callable[[], int],
        on_done: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_done`` is called when a change was made, or refused."""
        self._scan = scan
        self._plan = loaded.plan
        self._folder = folder
        self._recorder = recorder
        self._now_ns = now_ns
        self._on_done = on_done
        self._finder = loaded.finder
        self._shelf = ModuleSwap(Path(loaded.plan.folder), loaded.finder)
        self._own = f"{loaded.plan.folder}/"
        self._slices: Slices[_Prepared] = Slices(
            now_ns,
            own=self._own,
            patience_ns=max(PATIENCE_NS, loaded.plan.scan.base_ns * 3 // 2),
        )
        self._loading = False
        self._prepared: _Prepared | None = None
        self._begun_ns = 0
        self.running = loaded.package
        if loaded.pending is not None:
            scan.ask(UntoldChange(actor="scan", change=loaded.pending))

    @property
    def busy(self) -> bool:
        """There is something for `step` to do."""
        return self._scan.changes.wanted is not None

    def close(self) -> None:
        """End the loader; the scan process does not need it, since it ends as a whole."""
        self._slices.close()

    def step(self, tick_ns: int) -> None:
        """Between two cycles: go on with the change that is wanted, until shortly before a tick."""
        wanted = self._scan.changes.wanted
        if wanted is None:
            return
        try:
            if self._prepared is not None:
                self._swap(wanted, self._prepared)
                self._finish("")
            else:
                self._load(wanted, tick_ns)
        except RefusedChangeError as error:
            self._finish(str(error))

    def _finish(self, error: str) -> None:
        self._loading, self._prepared = False, None
        # Both hold the modules that do not run.
        self._shelf = ModuleSwap(Path(self._plan.folder), self._finder)
        self._slices.forget()
        # What a module raises may be no text for a message, or far too much of it.
        text = clip(error.encode(errors="backslashreplace").decode(), ERROR_BYTES)
        self._scan.changes.deliver(ProgramsLoaded(actor="scan", error=text))
        self._on_done()

    # --- loading, in turns ------------------------------------------------------------------------

    def _load(self, wanted: ChangeProgram, tick_ns: int) -> None:
        if not self._loading:
            self._begun_ns = self._now_ns()
            # One of its own: a load that was given up may still put its own back later.
            self._shelf = shelf = ModuleSwap(Path(self._plan.folder), self._finder)
            try:
                self._slices.begin(lambda: self._prepare(wanted, shelf), shelf.swap, shelf.swap)
            except StillRunsError as still:
                raise RefusedChangeError(
                    "a change that was given up is still being loaded; stop the cell and start it "
                    "again"
                ) from still
            self._loading = True
        margin_ns = self._plan.scan.base_ns // MARGIN
        if not self._slices.step(tick_ns - margin_ns, tick_ns - margin_ns // 4):
            if self._now_ns() - self._begun_ns > LOAD_LIMIT_NS:
                self._slices.cancel()
                raise RefusedChangeError(
                    f"the changed programs were not loaded within {LOAD_LIMIT_NS / 1e9:g} s of the "
                    "slack between cycles; take what lasts out of the modules' bodies"
                )
            return
        error = self._slices.error
        if isinstance(error, InTheWayError):
            raise RefusedChangeError(
                f"the cell stood still while the changed programs were loaded: {error}; stop the "
                "cell and start it again"
            ) from error
        if error is not None:
            raise RefusedChangeError(str(error)) from error
        self._prepared = self._slices.result

    def _prepare(self, wanted: ChangeProgram, shelf: ModuleSwap) -> _Prepared:
        """Load modules and make programs; runs in turns and touches nothing that runs."""
        try:
            return self._loaded(wanted, shelf)
        except CancelledError:
            raise
        except BaseException as error:
            # In words here, in turns: what an author's exception says is an author's code, too.
            raise RefusedChangeError(_sentence(error)) from error

    def _loaded(self, wanted: ChangeProgram, shelf: ModuleSwap) -> _Prepared:
        package = read_change(self._folder, wanted.sha256)
        self._check(package, wanted)
        plan = with_options(self._plan, package.options)
        prepared = _Prepared(package, plan, affected(plan, package.programs))
        finder = SetFinder(Path(plan.folder), package.programs, code_of(package))
        names = shelf.names(package)
        self._slices.at_once(lambda: shelf.begin(finder, names))
        for module in package.programs.modules:
            import_module(module.name)
            if not self._slices.traced:
                raise RefusedChangeError(
                    f"module '{module.name}' calls sys.settrace, without which it cannot be loaded "
                    "in turns with the beat; stop the cell and start it again"
                )
        stray = set(of_folder(Path(plan.folder))) - package.programs.names()
        if stray:
            raise RefusedChangeError(f"{', '.join(sorted(stray))} was not validated")
        for index in prepared.tasks:
            kind = resolve(plan.tasks[index].program)
            names_in(kind)
            prepared.classes[index] = kind
            if self._scan.state in DRIVING:
                prepared.programs[index] = self._make(prepared, index)
        prepare_take_over(self._folder)
        return prepared

    def _check(self, package: Package, wanted: ChangeProgram) -> None:
        running = self.running
        if package.boot != running.boot or package.layout_hash != running.layout_hash:
            raise RefusedChangeError("it was made for another start of the cell; give it again")
        if wanted.old != running.programs.digest or wanted.new != package.programs.digest:
            raise RefusedChangeError("the programs were changed meanwhile; give it again")
        tasks = [self._plan.tasks[index].name for index in affected(self._plan, package.programs)]
        if tasks != wanted.tasks:
            raise RefusedChangeError("it names other tasks than it has programs for")
        asked = package.asked
        if asked is None or command_of(asked, wanted.new, wanted.sha256) != wanted:
            raise RefusedChangeError("its file does not match the command; give it again")

    def _make(self, prepared: _Prepared, index: int) -> Program[Any]:
        kind, task = prepared.classes[index], prepared.plan.tasks[index]
        try:
            options = from_plan(kind.Options, task.options)
            return kind(ScratchImage(self._scan.process_image), task.binding, options)
        except Exception as error:
            raise RefusedChangeError(
                f"the program of task '{task.name}' cannot be made: {type(error).__name__}: {error}"
            ) from error

    # --- the swap, in one step --------------------------------------------------------------------

    def _swap(self, wanted: ChangeProgram, prepared: _Prepared) -> None:
        """All of it or nothing; the next cycle runs the changed programs."""
        if self._scan.state is CellState.FAULT:
            raise RefusedChangeError("the cell went to FAULT meanwhile; reset it first")
        execution, image = self._scan.execution, self._scan.process_image
        programs = list(execution.programs)
        with self._bounded():
            states = self._states(prepared)
            self._shelf.swap()
            try:
                modules = frozenset(
                    name.partition(".")[0] for name in prepared.package.programs.names()
                )
                for index, state in states.items():
                    program = prepared.programs.get(index)
                    if program is None:
                        program = self._make(prepared, index)
                    carry_over(state, program, image, modules)
                    attach_image(program, image)
                    programs[index] = program
                take_over(self._folder, wanted.sha256)
            except BaseException:
                self._shelf.swap()
                raise
        classes = [prepared.classes.get(i, kind) for i, kind in enumerate(execution.classes)]
        execution.replace(prepared.plan, classes, programs)
        self.running, self._finder = prepared.package, self._shelf.finder
        self._plan = prepared.plan
        self._recorder.programs_changed(
            prepared.package.programs.digest, prepared.package.options, self._now_ns()
        )

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """An author's code in the block ends in time, and with a RefusedChangeError if at all."""
        end_ns = self._now_ns() + max(SWAP_LIMIT_NS, self._plan.scan.base_ns)

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            if self._now_ns() > end_ns:
                raise _TooLongError
            if not frame.f_code.co_filename.startswith(self._own):
                return None
            frame.f_trace_opcodes = True  # an endless loop may be less than a line
            return trace

        sys.settrace(trace)
        try:
            yield
        except _TooLongError as error:
            sys.settrace(None)
            raise RefusedChangeError(
                f"handing over the programs' state takes longer than {SWAP_LIMIT_NS / 1e9:g} s"
                f"{self._own_place(error)}; shorten that, or stop the cell and start it again"
            ) from error
        except BaseException as error:
            raise RefusedChangeError(_sentence(error)) from error
        finally:
            sys.settrace(None)

    def _own_place(self, error: BaseException) -> str:
        """The innermost line of the cell's own files, short: an answer has no room for folders."""
        places = [
            f" ({name.removeprefix(self._own)}:{line})"
            for frame, line in traceback.walk_tb(error.__traceback__)
            if (name := frame.f_code.co_filename).startswith(self._own)
        ]
        return places[-1] if places else ""

    def _states(self, prepared: _Prepared) -> dict[int, bytes]:
        """What the running programs know; empty where a start makes new ones anyway."""
        execution, image = self._scan.execution, self._scan.process_image
        states = {}
        for index in prepared.tasks if self._scan.state in DRIVING else ():
            program, name = execution.programs[index], self._plan.tasks[index].name
            try:
                states[index] = freeze_program(program, image)
            except Exception as error:
                why = culprit(program, image) or f"its state cannot be saved ({error})"
                raise RefusedChangeError(f"task '{name}': {why}") from error
        return states


def _sentence(error: BaseException) -> str:
    if isinstance(error, RefusedChangeError | CarryError | PackageError):
        return str(error)
    try:
        what = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else repr(error)
    except Exception:  # noqa: BLE001 - an author's exception may be broken itself
        what = f"{type(error).__name__} (which cannot say why)"
    return f"the changed programs cannot be loaded: {what}{_place(error)}"


def _place(error: BaseException) -> str:
    # Not `extract_tb`, which reads source files.
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f" ({frame.f_code.co_filename}:{line})"
