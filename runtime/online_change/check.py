"""Everything that can be found out about a change before the running cell hears of it.

Called by ``cellwright change``, in its own process: compiles the cell's file with the changed
modules, compares the plans, makes the programs on a scratch image and lets them go on from the
newest recorded state. What it returns is what will run, byte for byte.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cellwright.io.files.problems import Problem
from cellwright.io.image import Image
from cellwright.io.options import from_plan
from cellwright.io.plan import Plan, Tag, Task
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.recording.cycle import RecordError
from cellwright.io.recording.file import Keyframe, Recording, RecordingError
from cellwright.io.recording.store import RECORDINGS, ROLLING
from cellwright.io.registry.registry import RegistryError
from cellwright.runtime.config import check_file, simulate_devices, stood_in_for
from cellwright.runtime.config.tasks.programs import where_in
from cellwright.runtime.programs.carry_over import CarryError, Taken, carry_over
from cellwright.runtime.programs.module_set import (
    imported_apart,
    of_folder,
    resolved,
    worker_files,
)
from cellwright.runtime.programs.package import Package, affected, compile_code
from cellwright.runtime.programs.program_set import ProgramSet, changed_files
from cellwright.runtime.programs.resolve import resolve, with_options

TOLD_OF_A_TAG: Final = frozenset({"description", "readers"})
"""What may be otherwise in a tag; it changes nothing in a running process."""


class ChangeError(Exception):
    """A change that must not be made; one sentence a reason."""

    def __init__(self, *reasons: str, problems: list[Problem] | None = None) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = list(reasons)
        self.problems = problems or []
        """What the compiler found."""


@dataclass
class Checked:
    """A change that can be made."""

    package: Package
    old: str
    new: str
    """SHA-256 of all program files together, before and after."""
    files: dict[str, tuple[str, str]]
    options: list[str]
    """Tasks whose options change."""
    tasks: list[str]
    """Tasks whose programs are loaded anew."""
    taken: dict[str, Taken] = field(default_factory=dict)
    """By task, tried on the newest recorded state; empty when there was none."""

    @property
    def nothing(self) -> bool:
        """What is there is what runs."""
        return not self.files and not self.options


def check(plan: Plan, image: Image, running: Package, before: Package | None) -> Checked:
    """Whether the cell can go on with what lies in its folder, or with the programs ``before``.

    ``plan`` is the running one. Raises ChangeError with all reasons that were found.
    """
    folder = Path(plan.folder)
    present = with_options(plan, running.options)
    with imported_apart(folder, before.programs if before else None) as finder:
        if before is None:
            fresh = _compiled(plan)
            reasons = [*differences(present, fresh), *_workers(fresh, running)]
        else:
            # Not compiled: the cell's file may know options by now that these programs do not.
            fresh = with_options(plan, before.options)
            reasons = []
            try:
                resolved((task.program for task in plan.tasks), finder)
            except RegistryError as error:
                raise ChangeError(f"the programs before cannot be loaded: {error}") from error
        programs = finder.found
        reasons += _stray(folder, programs)
        if reasons:
            raise ChangeError(*reasons)
        checked = Checked(
            package=Package(
                boot=running.boot,
                layout_hash=plan.layout_hash,
                programs=programs,
                options=[task.options for task in fresh.tasks],
                workers=running.workers,
                code=compile_code(programs, folder),
            ),
            old=running.programs.digest,
            new=programs.digest,
            files=changed_files(running.programs, programs),
            options=[
                old.name
                for old, new in zip(present.tasks, fresh.tasks, strict=True)
                if old.options != new.options
            ],
            tasks=[plan.tasks[index].name for index in affected(plan, programs)],
        )
        if not checked.nothing:
            _try(plan, fresh, image, checked)
    if before is None:
        _unchanged_since(folder, programs)
    return checked


def _compiled(plan: Plan) -> Plan:
    report = check_file(Path(plan.source), data=Path(plan.data))
    if report.plan is None:
        raise ChangeError("the changed cell is not correct", problems=report.problems)
    return simulate_devices(report.plan, stood_in_for(plan))


# --- what cannot change ---------------------------------------------------------------------------


def differences(old: Plan, new: Plan) -> Iterator[str]:
    """Sentences on everything in which the plans differ and that cannot change online."""
    tags = _tag_differences(old, new)
    if tags or old.layout_hash != new.layout_hash:
        yield (
            "this change moves tags; stop the cell and start it again "
            f"({', '.join(tags) or 'their places in the image'})"
        )
    yield from _task_differences(old, new)
    for name in old.__struct_fields__:
        if name in ("tags", "tasks", "layout_hash", "value_size"):
            continue
        if getattr(old, name) != getattr(new, name):
            yield f"the cell's file changes '{name}'; stop the cell and start it again"


def _tag_differences(old: Plan, new: Plan) -> list[str]:
    before: dict[str, Tag] = {tag.name: tag for tag in old.tags}
    after: dict[str, Tag] = {tag.name: tag for tag in new.tags}
    found = [f"{name} is gone" for name in before if name not in after]
    found += [f"{name} is new" for name in after if name not in before]
    for name, tag in before.items():
        fields = [
            field
            for field in tag.__struct_fields__
            if name in after
            and field not in TOLD_OF_A_TAG
            and field not in ("index", "offset")
            and getattr(tag, field) != getattr(after[name], field)
        ]
        if fields:
            found.append(f"{name} has another {' and '.join(fields)}")
    return found


def _task_differences(old: Plan, new: Plan) -> Iterator[str]:
    before: dict[str, Task] = {task.name: task for task in old.tasks}
    after: dict[str, Task] = {task.name: task for task in new.tasks}
    if list(before) != list(after):
        yield "the cell's file has other tasks; stop the cell and start it again"
        return
    for name, task in before.items():
        now = after[name]
        for field_ in task.__struct_fields__:
            if field_ in ("options", "binding") or getattr(task, field_) == getattr(now, field_):
                continue
            yield f"task '{name}' changes its {field_}; stop the cell and start it again"
        if task.binding.keys() == now.binding.keys() and any(
            old.tags[task.binding[variable]].name != new.tags[now.binding[variable]].name
            for variable in task.binding
        ):
            yield f"task '{name}' changes its bindings; stop the cell and start it again"
        if task.options != now.options and task.worker is not None:
            yield (
                f"task '{name}' changes options that its worker process has, too; stop the cell "
                "and start it again"
            )


def _workers(fresh: Plan, running: Package) -> Iterator[str]:
    for task in fresh.tasks:
        if task.worker is None:
            continue
        now = worker_files(Path(fresh.folder), task.worker)
        then = running.workers.get(task.name, {})
        changed = sorted(f for f in now.keys() | then.keys() if now.get(f) != then.get(f))
        if changed:
            yield (
                f"the worker of task '{task.name}' is made of {', '.join(changed)}, and a worker "
                "cannot be changed online; stop the cell and start it again"
            )


def _stray(folder: Path, programs: ProgramSet) -> Iterator[str]:
    """Files of the folder that are imported and do not belong to what was rolled back to."""
    for name in of_folder(folder):
        if name not in programs.names():
            file = getattr(sys.modules[name], "__file__", "")
            yield f"module '{name}' ({file}) was not read as a part of the programs"


def _unchanged_since(folder: Path, programs: ProgramSet) -> None:
    for module in programs.modules:
        try:
            same = (folder / module.file).read_bytes() == module.source
        except OSError:
            same = False
        if not same:
            raise ChangeError(
                f"{module.file} was changed while it was checked; give the command again"
            )


# --- trying it ------------------------------------------------------------------------------------


def _try(plan: Plan, fresh: Plan, image: Image, checked: Checked) -> None:
    with tempfile.TemporaryDirectory() as place:
        scratch = Image.create(Path(place) / "image", plan, "00000000")
        try:
            process_image = ProcessImage(scratch, plan)
            reader = image.snapshot_reader()
            if reader.read():
                for tag in plan.tags:
                    process_image.set(tag.index, reader.value(tag.index))
            _try_programs(plan, fresh, process_image, checked)
        finally:
            scratch.close()


def _try_programs(plan: Plan, fresh: Plan, image: ProcessImage, checked: Checked) -> None:
    modules = frozenset(name.partition(".")[0] for name in checked.package.programs.names())
    states = newest_states(plan, checked.old)
    for index in affected(plan, checked.package.programs):
        task = fresh.tasks[index]
        kind = resolve(task.program)
        try:
            options = from_plan(kind.Options, task.options)
            program = kind(image, plan.tasks[index].binding, options)
        except Exception as error:
            raise ChangeError(
                f"the program of task '{task.name}' cannot be made: {type(error).__name__}: "
                f"{error}{where_in(error, Path(plan.folder))}"
            ) from error
        if states is None:
            continue
        try:
            checked.taken[task.name] = carry_over(states[index], program, image, modules)
        except CarryError as error:
            raise ChangeError(f"task '{task.name}': {error}") from error


def newest_states(plan: Plan, digest: str) -> list[bytes] | None:
    """The programs' states in the newest keyframe that the recorder has kept of them in RUN."""
    segments = sorted((Path(plan.data) / RECORDINGS).glob(f"{ROLLING}*"), reverse=True)
    for path in segments[:3]:
        try:
            with Recording(path) as recording:
                first = next(recording.parts(), None)
        except (RecordingError, RecordError):
            continue  # it is being written, or from another version
        if (
            isinstance(first, Keyframe)
            and first.digest == digest
            and len(first.programs or ()) == len(plan.tasks)
        ):
            return first.programs
    return None
